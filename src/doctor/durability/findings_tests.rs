//! One row for each way to lose a database, and healthy ones that say nothing.

use super::*;
use crate::doctor::durability::probe::ContainerProbe;
use crate::postgres::version::ServerVersion;

const DATA: &str = "/var/lib/postgresql/data";
const ANONYMOUS: &str = "9e85af28df0092c98aba2b61187f1b707d0f556640a3eb159208b0a4018e67c9";

fn mount(kind: MountKind, name: &str, destination: &str) -> ContainerMount {
    ContainerMount {
        kind,
        name: name.into(),
        source: format!("/srv/{name}"),
        destination: destination.into(),
    }
}

fn volume(name: &str, destination: &str) -> ContainerMount {
    mount(MountKind::Volume, name, destination)
}

fn image(id: &str, env: &[&str], digests: &[&str]) -> ImageConfig {
    ImageConfig {
        id: id.into(),
        digests: digests.iter().map(|one| (*one).to_owned()).collect(),
        env: env.iter().map(|one| (*one).to_owned()).collect(),
        ..ImageConfig::default()
    }
}

fn rule(line: &str, address: &str, method: &str) -> HostRule {
    HostRule {
        line: line.into(),
        connection: "host".into(),
        databases: "all".into(),
        roles: "all".into(),
        address: address.into(),
        method: method.into(),
    }
}

/// The official image under compose, with a named volume.
fn well() -> DurabilityReport {
    let mut container = crate::docker::fake_engine::container("acme-prod-db-1");
    container.image = "postgres:17".into();
    container.image_id = "sha256:aaaaaaaaaaaaaaaa".into();
    container.env = [
        "PGDATA=/var/lib/postgresql/data",
        "PG_MAJOR=17",
        "PG_VERSION=17.2-1.pgdg120+1",
        "POSTGRES_PASSWORD=hunter2",
    ]
    .map(str::to_owned)
    .into();
    container.labels = [
        ("com.docker.compose.project", "acme-prod"),
        ("com.docker.compose.service", "db"),
        ("com.docker.compose.project.config_files", "/srv/acme/compose.yml"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    container.mounts = Some(vec![volume("acme-prod_db-data", DATA)]);
    DurabilityReport {
        named_image: Some(image("sha256:aaaaaaaaaaaaaaaa", &["PG_MAJOR=17"], &["postgres@sha256:aa"])),
        container,
        probe: Some(ContainerProbe {
            directory: DATA.into(),
            device: Some(1),
            identity: "1:2".into(),
            filesystem: "ext2/ext3".into(),
            ..ContainerProbe::default()
        }),
        server: Some(ServerDurability {
            data_directory: Some(DATA.into()),
            hba_file: Some("/var/lib/postgresql/data/pg_hba.conf".into()),
            has_checksums: Some(true),
            listen_addresses: Some("*".into()),
            slots_are_unlimited: true,
            host_rules: vec![
                rule("119", "127.0.0.1/255.255.255.255", "trust"),
                rule("128", "all", "scram-sha-256"),
            ],
            ..ServerDurability::default()
        }),
        version: Some(ServerVersion::new(170_002, "17.2")),
    }
}

type Change = fn(&mut DurabilityReport);

fn mounts(seen: &mut DurabilityReport, mounts: Vec<ContainerMount>) {
    seen.container.mounts = Some(mounts);
}

fn server(seen: &mut DurabilityReport) -> &mut ServerDurability {
    seen.server.as_mut().unwrap()
}

fn probe(seen: &mut DurabilityReport) -> &mut ContainerProbe {
    seen.probe.as_mut().unwrap()
}

fn publish(seen: &mut DurabilityReport, addresses: &[&str]) {
    seen.container.published = addresses
        .iter()
        .map(|address| PublishedPort {
            host_address: (*address).to_owned(),
            host_port: "5433".into(),
            container_port: "5432".into(),
        })
        .collect();
}

fn lies_at(seen: &mut DurabilityReport, directory: &str) {
    probe(seen).directory = directory.into();
    server(seen).data_directory = Some(directory.into());
}

fn with_cluster(seen: &mut DurabilityReport, mount: &str, directory: &str, identity: &str) {
    probe(seen).clusters.push(MountedCluster {
        mount: mount.into(),
        directory: directory.into(),
        version: "15".into(),
        identity: identity.into(),
    });
}

fn findings(change: Change, prod: bool) -> Vec<CheckFinding> {
    let mut seen = well();
    change(&mut seen);
    judge(&seen, &StackPlace::sample(prod))
}

/// Case, change, severity in production and elsewhere, text, hints in their order.
type Row = (&'static str, Change, Severity, Option<Severity>, &'static str, &'static [&'static str]);

const BACKUP: &str = "`envctl backup -s acme --prod`";

const ROWS: &[Row] = &[
    (
        "an anonymous volume",
        |seen| mounts(seen, vec![volume(ANONYMOUS, DATA)]),
        Severity::Problem,
        Some(Severity::Note),
        "in an anonymous volume",
        &[
            BACKUP,
            "under service db in /srv/acme/compose.yml: `volumes: [\"db-data:/var/lib/postgresql/data\"]`",
            "`docker compose up -d db`",
            "`envctl restore latest -s acme --prod`",
        ],
    ),
    (
        "a volume on the directory above, and the image's own on the data",
        |seen| mounts(seen, vec![volume("acme-prod_pg", "/var/lib/postgresql"), volume(ANONYMOUS, DATA)]),
        Severity::Problem,
        Some(Severity::Warning),
        "volume acme-prod_pg is mounted on /var/lib/postgresql, and the data of PostgreSQL (/var/lib/postgresql/data) does not lie there",
        &[BACKUP, "`volumes: [\"pg:/var/lib/postgresql/data\"]`, in the place of `pg:/var/lib/postgresql`"],
    ),
    (
        "the container's own layer",
        |seen| mounts(seen, Vec::new()),
        Severity::Problem,
        Some(Severity::Note),
        "in the container's own layer",
        &[BACKUP, "`volumes: {db-data: {}}`"],
    ),
    (
        "the layer beside a volume for something else",
        |seen| {
            lies_at(seen, "/pgdata/main");
            mounts(seen, vec![volume("acme-prod_certs", "/certs")]);
        },
        Severity::Problem,
        Some(Severity::Note),
        "(/pgdata/main) lies in the container's own layer",
        &[BACKUP, "`volumes: [\"db-data:/pgdata/main\"]`"],
    ),
    (
        "tmpfs",
        |seen| mounts(seen, vec![mount(MountKind::Tmpfs, "", DATA)]),
        Severity::Problem,
        None,
        "in memory",
        &[BACKUP, "in the place of its `tmpfs`"],
    ),
    (
        "a named volume in memory",
        |seen| "tmpfs".clone_into(&mut probe(seen).filesystem),
        Severity::Problem,
        None,
        "in memory",
        &[BACKUP],
    ),
    (
        "the mount path of PostgreSQL 17 and earlier",
        |seen| {
            seen.version = Some(ServerVersion::new(180_001, "18.1"));
            lies_at(seen, "/var/lib/postgresql/18/docker");
            mounts(seen, vec![volume("acme-prod_db-data", DATA), volume(ANONYMOUS, "/var/lib/postgresql")]);
        },
        Severity::Problem,
        Some(Severity::Warning),
        "volume acme-prod_db-data is mounted on /var/lib/postgresql/data, and the data of PostgreSQL (/var/lib/postgresql/18/docker) does not lie there but in an anonymous volume",
        &[
            BACKUP,
            "`volumes: [\"db-data:/var/lib/postgresql\"]`, in the place of `db-data:/var/lib/postgresql/data`",
        ],
    ),
    (
        "a second volume with a cluster",
        |seen| {
            mounts(seen, vec![volume("acme-prod_db-data", DATA), volume("acme-prod_old", "/old")]);
            with_cluster(seen, "/old", "/old/data", "1:9");
        },
        Severity::Warning,
        Some(Severity::Note),
        "volume acme-prod_old holds a second cluster of PostgreSQL 15 (/old/data)",
        &[
            "`docker run --rm --volume acme-prod_old:/cluster --env PGDATA=/cluster/data postgres:15`",
            "`- old:/old`",
        ],
    ),
    (
        "a port on every interface",
        |seen| publish(seen, &["0.0.0.0", "::"]),
        Severity::Warning,
        Some(Severity::Note),
        "port 5432 of container acme-prod-db-1 is published on every interface of its host, as port 5433",
        &["`ports: [\"127.0.0.1:5433:5432\"]`", "`envctl forward db 5432 -s acme --prod`"],
    ),
    (
        "the host's network",
        |seen| seen.container.host_network = true,
        Severity::Warning,
        Some(Severity::Note),
        "shares its host's network",
        &["listen_addresses=127.0.0.1"],
    ),
    (
        "a password that is not taken",
        |seen| probe(seen).password_is_refused = true,
        Severity::Warning,
        Some(Severity::Warning),
        "does not take the password in POSTGRES_PASSWORD of container acme-prod-db-1 for role postgres",
        &["`envctl psql -s acme --prod`", "`environment: {POSTGRES_PASSWORD: …}`"],
    ),
    (
        "trust for the network",
        |seen| {
            server(seen).host_rules.insert(1, rule("120", "all", "trust"));
            seen.container.env.push("POSTGRES_HOST_AUTH_METHOD=trust".into());
        },
        Severity::Warning,
        Some(Severity::Note),
        "line 120 of pg_hba.conf trusts roles all on databases all from all",
        &[
            "`docker exec acme-prod-db-1 sed -i '120s/trust/scram-sha-256/' /var/lib/postgresql/data/pg_hba.conf`",
            "select pg_reload_conf()",
            "`environment: {POSTGRES_HOST_AUTH_METHOD: trust}`",
        ],
    ),
    (
        "a tag without a version",
        |seen| seen.container.image = "postgres".into(),
        Severity::Warning,
        Some(Severity::Note),
        "image postgres names no version",
        &["`image: postgres:17`", "`image: postgres@sha256:aa`"],
    ),
    (
        "a tag that names another major version now",
        |seen| {
            seen.container.image = "registry:5000/pg".into();
            seen.named_image = Some(image("sha256:bb", &["PG_MAJOR=18"], &[]));
        },
        Severity::Problem,
        Some(Severity::Warning),
        "changes PostgreSQL 17 to 18, which does not start on the data of 17",
        &[BACKUP, "`docker tag aaaaaaaaaaaa registry:5000/pg:kept`", "`image: registry:5000/pg:kept`"],
    ),
    (
        "a tag that names another C library now",
        |seen| {
            seen.named_image = Some(image("sha256:bb", &["PG_MAJOR=17", "PG_VERSION=17.6-1.pgdg130+1"], &[]));
            seen.container.image_config = Some(image("sha256:aa", &[], &["postgres@sha256:aa"]));
        },
        Severity::Warning,
        Some(Severity::Note),
        "changes Debian 12 (glibc 2.36) to Debian 13 (glibc 2.41)",
        &[BACKUP, "`image: postgres@sha256:aa`"],
    ),
    (
        "a tag that names a newer build of the same",
        |seen| {
            seen.named_image = Some(image("sha256:bb", &["PG_MAJOR=17", "PG_VERSION=17.6-1.pgdg120+1"], &[]));
        },
        Severity::Note,
        Some(Severity::Note),
        "both are PostgreSQL 17",
        &[],
    ),
    (
        "a slot that nobody reads",
        |seen| server(seen).slots.push(InactiveSlot { name: "gone".into(), retained: 3_000_000_000 }),
        Severity::Warning,
        Some(Severity::Note),
        "nobody reads the replication slot gone; the server keeps 3.0 GB of WAL for it, and nothing limits that",
        &["pg_drop_replication_slot", "max_slot_wal_keep_size=10GB"],
    ),
    (
        "checksums off",
        |seen| server(seen).has_checksums = Some(false),
        Severity::Note,
        None,
        "data checksums are off",
        &[BACKUP, "pg_checksums --enable --pgdata /var/lib/postgresql/data", "--data-checksums"],
    ),
];

#[test]
fn each_way_to_lose_a_database_is_found_with_what_to_type() {
    for (case, change, in_production, elsewhere, text, hints) in ROWS {
        let found = findings(*change, true);
        let [one] = &found[..] else { panic!("{case}: {found:#?}") };
        assert_eq!(one.severity, *in_production, "{case}: {one:?}");
        assert!(one.what.contains(text), "{case}: {}", one.what);
        assert!(one.next.len() >= hints.len(), "{case}: {one:#?}");
        for (hint, next) in hints.iter().zip(&one.next) {
            assert!(next.contains(hint), "{case}: {hint}: {next}");
        }
        let found = findings(*change, false);
        let severity = found.first().map(|finding| finding.severity);
        assert_eq!(
            (found.len(), severity),
            (usize::from(elsewhere.is_some()), *elsewhere),
            "{case}: {found:?}"
        );
    }
}

#[test]
fn a_healthy_database_is_not_mentioned() {
    let rows: &[(&str, Change)] = &[
        ("a named volume", |_| ()),
        ("a directory of the host", |seen| mounts(seen, vec![mount(MountKind::Bind, "pg", DATA)])),
        ("a directory in a named volume", |seen| {
            lies_at(seen, "/var/lib/postgresql/data/pgdata");
        }),
        ("a named volume for PGDATA, and the image's own, which is empty", |seen| {
            lies_at(seen, "/pgdata");
            mounts(seen, vec![volume("pg", "/pgdata"), volume(ANONYMOUS, DATA)]);
        }),
        ("PostgreSQL 18 on its own path", |seen| {
            seen.version = Some(ServerVersion::new(180_001, "18.1"));
            lies_at(seen, "/var/lib/postgresql/18/docker");
            mounts(seen, vec![volume("pg", "/var/lib/postgresql")]);
        }),
        ("PostgreSQL 18 with PGDATA on the old path", |seen| {
            seen.version = Some(ServerVersion::new(180_001, "18.1"));
        }),
        ("an engine that tells no mounts", |seen| seen.container.mounts = None),
        ("its own cluster", |seen| with_cluster(seen, DATA, DATA, "1:2")),
        ("the version before, in the same volume", |seen| {
            lies_at(seen, "/var/lib/postgresql/data/17");
            with_cluster(seen, DATA, "/var/lib/postgresql/data/15", "1:3");
        }),
        ("the cluster seen through a second mount", |seen| {
            mounts(seen, vec![volume("pg", DATA), mount(MountKind::Bind, "all", "/all")]);
            with_cluster(seen, "/all", "/all/pg", "1:2");
        }),
        ("a port for this host alone", |seen| publish(seen, &["127.0.0.1", "::1", "10.0.0.7"])),
        ("the host's network with a server for this host alone", |seen| {
            seen.container.host_network = true;
            server(seen).listen_addresses = Some("localhost".into());
        }),
        ("trust that an earlier rule hides", |seen| {
            server(seen).host_rules.push(rule("129", "all", "trust"));
        }),
        ("trust where nobody from the network is heard", |seen| {
            server(seen).host_rules.insert(0, rule("1", "all", "trust"));
            server(seen).listen_addresses = Some("localhost, ::1".into());
        }),
        ("an image by its digest", |seen| {
            seen.container.image = "postgres@sha256:aa".into();
            seen.named_image = Some(image("sha256:bb", &["PG_MAJOR=18"], &["postgres@sha256:aa"]));
        }),
        ("an image that compose builds", |seen| {
            seen.container.image = "acme-prod-db".into();
            seen.named_image = Some(image("sha256:aaaaaaaaaaaaaaaa", &[], &["acme-prod-db@sha256:aa"]));
        }),
        ("an image of this host", |seen| {
            seen.container.image = "own-postgres".into();
            seen.named_image = Some(image("sha256:aaaaaaaaaaaaaaaa", &[], &[]));
        }),
        ("a tag whose image is gone", |seen| seen.named_image = None),
        ("a role that sees nothing", |seen| {
            seen.server = Some(ServerDurability::default());
            seen.version = None;
        }),
        ("a container where nothing can be run", |seen| {
            seen.probe = None;
            seen.server = None;
            seen.version = None;
        }),
    ];
    for (case, change) in rows {
        for prod in [true, false] {
            assert_eq!(findings(*change, prod), [], "{case}");
        }
    }
}

#[test]
fn trust_is_a_problem_where_the_port_is_open_to_everybody() {
    let open: Change = |seen| {
        publish(seen, &["0.0.0.0"]);
        server(seen).host_rules.insert(0, rule("1", "all", "trust"));
    };
    for (prod, severity) in [(true, Severity::Problem), (false, Severity::Warning)] {
        let found = findings(open, prod);
        assert_eq!(found.iter().map(|finding| finding.severity).max(), Some(severity), "{found:?}");
    }
}

#[test]
fn the_new_path_is_explained() {
    let (_, change, ..) = ROWS.iter().find(|row| row.0.starts_with("the mount path")).unwrap();
    assert!(findings(*change, true)[0].notes[0].contains("PostgreSQL 18"));
}

#[test]
fn no_secret_is_shown() {
    for (case, change, ..) in ROWS {
        let shown = format!("{:?}", findings(*change, true));
        assert!(!shown.contains("hunter2"), "{case}: {shown}");
    }
}
