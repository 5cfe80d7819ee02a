//! Findings about durability, from values alone.
//!
//! Promises: a fact that is not known gives no finding; where recreating the container would lose data, the first hint
//! is a backup.

use super::probe::{self, MountedCluster};
use super::report::DurabilityReport;
use crate::docker::ContainerInfo;
use crate::docker::container_info::{ContainerMount, ImageConfig, MountKind, PublishedPort};
use crate::doctor::{CheckFinding, Severity, StackPlace};
use crate::postgres::server_durability::{HostRule, InactiveSlot, ServerDurability};
use crate::text::shell_word::shell_word;
use crate::text::sql_quote::literal;
use crate::text::units::bytes;

/// Place of the official image's data, up to version 17 and from 18 on.
const OLD_MOUNT: &str = "/var/lib/postgresql/data";
const NEW_MOUNT: &str = "/var/lib/postgresql";
/// First version whose official image keeps the data in a directory of the version.
const FIRST_NEW: u32 = 18;

/// Returns the findings about durability; none where all is well.
pub(crate) fn judge(seen: &DurabilityReport, place: &StackPlace) -> Vec<CheckFinding> {
    let judge = Judge { seen, container: &seen.container, place };
    let mut findings = Vec::new();
    findings.extend(judge.storage());
    findings.extend(judge.unused_clusters());
    findings.extend(judge.open_ports());
    findings.extend(judge.password());
    findings.extend(judge.moved_tag().or_else(|| judge.floating_tag()));
    if let Some(server) = &seen.server {
        findings.extend(judge.trust(server));
        findings.extend(server.slots.iter().map(|slot| judge.slot(slot, server)));
        findings.extend(judge.checksums(server));
    }
    findings.into_iter().map(|finding| finding.at(place)).collect()
}

/// Reports an image reference that can never mean another image: a digest or an id.
pub(super) fn is_pinned(reference: &str) -> bool {
    reference.is_empty()
        || reference.contains('@')
        || reference.starts_with("sha256:")
        || (reference.len() >= 12 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `registry:5000/postgres` and `17` of `registry:5000/postgres:17`; without a tag it is `latest`.
fn repository_and_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

/// Storage that ends before the data should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShortLived {
    Anonymous,
    Layer,
    Memory,
}

struct Judge<'a> {
    seen: &'a DurabilityReport,
    container: &'a ContainerInfo,
    place: &'a StackPlace,
}

impl Judge<'_> {
    /// Risk of a later failure in production, good to know elsewhere.
    fn risk(&self, check: &'static str, what: impl Into<String>) -> CheckFinding {
        if self.place.prod { CheckFinding::warning(check, what) } else { CheckFinding::note(check, what) }
    }

    /// Failure that comes for certain: a problem in production, a warning elsewhere.
    fn mistake(&self, check: &'static str, what: impl Into<String>) -> CheckFinding {
        if self.place.prod { CheckFinding::problem(check, what) } else { CheckFinding::warning(check, what) }
    }

    fn major(&self) -> Option<u32> {
        self.seen.version.as_ref().map(crate::postgres::version::ServerVersion::major)
    }

    fn service(&self) -> &str {
        self.container.label("com.docker.compose.service").unwrap_or("db")
    }

    /// Returns the place of a change: the service in its compose file.
    fn in_compose(&self) -> String {
        let files = self.container.label("com.docker.compose.project.config_files").unwrap_or_default();
        let file = files.split(',').next().filter(|file| !file.is_empty()).unwrap_or("its compose file");
        format!("under service {} in {file}", self.service())
    }

    /// Adds the way to another place for the data: a backup, the lines, a new container, the backup again.
    fn with_move(&self, finding: CheckFinding, lines: &str) -> CheckFinding {
        let flags = &self.place.flags;
        finding
            .next(format!(
                "make a backup first, because a new container begins with an empty database: `envctl backup {flags}`"
            ))
            .next(format!("add {}: {lines}", self.in_compose()))
            .next(format!("create the container anew: `docker compose up -d {}`", shell_word(self.service())))
            .next(format!("load the backup: `envctl restore latest {flags}`"))
    }

    fn storage(&self) -> Option<CheckFinding> {
        let mounts = self.container.mounts.as_ref()?;
        let directory = self.seen.data_directory()?;
        let cover = covering(mounts, &directory);
        let filesystem = self.seen.probe.as_ref().map_or("", |probe| probe.filesystem.as_str());
        let lies = match cover {
            Some(mount) if mount.kind == MountKind::Tmpfs => ShortLived::Memory,
            _ if ["tmpfs", "ramfs"].contains(&filesystem) => ShortLived::Memory,
            Some(mount) if mount.is_anonymous() => ShortLived::Anonymous,
            Some(_) => return None,
            None => ShortLived::Layer,
        };
        // Lasting storage that was mounted for the data and does not hold them.
        let unused = mounts.iter().find(|mount| {
            matches!(mount.kind, MountKind::Volume | MountKind::Bind)
                && !mount.is_anonymous()
                && [OLD_MOUNT, NEW_MOUNT].contains(&mount.destination.as_str())
        });
        let path = self.mount_path(&directory);
        if let Some(unused) = unused.filter(|_| lies != ShortLived::Memory) {
            return Some(self.wrong_path(unused, &directory, lies, &path));
        }
        let name = format!("{}-data", self.service());
        let lines =
            format!("`volumes: [\"{name}:{path}\"]`, and at the top level `volumes: {{{name}: {{}}}}`");
        let what = format!("the data of PostgreSQL ({directory}) lies {}", fate(lies));
        match lies {
            // Nobody gets this by accident, and tests want it.
            ShortLived::Memory if !self.place.prod => None,
            ShortLived::Memory => {
                let lines = format!("{lines}, in the place of its `tmpfs`");
                Some(self.with_move(CheckFinding::problem("storage", what), &lines))
            }
            ShortLived::Anonymous | ShortLived::Layer => {
                Some(self.with_move(CheckFinding::problem_in_production(self.place, "storage", what), &lines))
            }
        }
    }

    /// Finds the mount path of another version: the image declares its own volume, which stays without a name.
    fn wrong_path(
        &self,
        unused: &ContainerMount,
        directory: &str,
        lies: ShortLived,
        path: &str,
    ) -> CheckFinding {
        let what = format!(
            "{} is mounted on {}, and the data of PostgreSQL ({directory}) does not lie there but {}",
            shown(unused),
            unused.destination,
            fate(lies)
        );
        let source = match unused.kind {
            MountKind::Volume => self.volume_key(&unused.name),
            _ => unused.source.clone(),
        };
        let lines =
            format!("`volumes: [\"{source}:{path}\"]`, in the place of `{source}:{}`", unused.destination);
        let mut finding = self.mistake("storage", what);
        if self.major().is_some_and(|major| major >= FIRST_NEW) {
            finding.notes.push(format!(
                "images of PostgreSQL {FIRST_NEW} and later keep the data in a directory of the version below {NEW_MOUNT}"
            ));
        }
        self.with_move(finding, &lines)
    }

    /// Name of a volume in the compose file, which the project's name precedes in the engine.
    fn volume_key(&self, name: &str) -> String {
        let project = self.container.label("com.docker.compose.project").unwrap_or_default();
        let key = name.strip_prefix(project).and_then(|rest| rest.strip_prefix('_'));
        key.filter(|key| !key.is_empty()).unwrap_or(name).to_owned()
    }

    /// Path on which a volume has to be mounted, so that the data lies on it after the next update, too.
    fn mount_path(&self, directory: &str) -> String {
        let of_image = is_within(directory, NEW_MOUNT);
        match self.major() {
            Some(major) if of_image && major >= FIRST_NEW => NEW_MOUNT.to_owned(),
            _ if is_within(directory, OLD_MOUNT) => OLD_MOUNT.to_owned(),
            _ => directory.to_owned(),
        }
    }

    /// Finds clusters on mounts that do not hold the data.
    fn unused_clusters(&self) -> Vec<CheckFinding> {
        let (Some(mounts), Some(probe), Some(directory)) =
            (&self.container.mounts, &self.seen.probe, self.seen.data_directory())
        else {
            return Vec::new();
        };
        let cover = covering(mounts, &directory).map(|mount| mount.destination.as_str());
        let of_mount = |cluster: &MountedCluster| mounts.iter().find(|one| one.destination == cluster.mount);
        let unused = probe.clusters.iter().filter(|cluster| {
            // A mount below another one shows its content twice.
            let nearest = covering(mounts, &cluster.directory).map(|mount| mount.destination.as_str());
            cluster.identity != probe.identity
                && nearest == Some(cluster.mount.as_str())
                && cover != Some(cluster.mount.as_str())
        });
        unused.filter_map(|cluster| Some(self.unused_cluster(cluster, of_mount(cluster)?))).collect()
    }

    fn unused_cluster(&self, cluster: &MountedCluster, mount: &ContainerMount) -> CheckFinding {
        let MountedCluster { directory, version, .. } = cluster;
        let source = if mount.kind == MountKind::Volume { &mount.name } else { &mount.source };
        let within = directory.strip_prefix(mount.destination.trim_end_matches('/')).unwrap_or_default();
        let see = format!(
            "docker run --rm --volume {}:/cluster --env PGDATA=/cluster{} postgres:{}",
            shell_word(source),
            shell_word(within),
            shell_word(version)
        );
        self.risk(
            "storage",
            format!(
                "{} holds a second cluster of PostgreSQL {version} ({directory}) that this server does not use",
                shown(mount)
            ),
        )
        .next(format!("see what is in it before you remove it; this starts a server on it: `{see}`"))
        .next(format!(
            "remove its line {} once nobody needs the data: `- {}:{}`",
            self.in_compose(),
            if mount.kind == MountKind::Volume { self.volume_key(source) } else { source.clone() },
            mount.destination
        ))
    }

    /// Returns the ports that every interface of the host offers.
    fn open(&self) -> Vec<&PublishedPort> {
        let mut open: Vec<&PublishedPort> = self
            .container
            .published
            .iter()
            .filter(|port| ["", "0.0.0.0", "::"].contains(&port.host_address.as_str()))
            .collect();
        // IPv4 and IPv6 of one line.
        open.dedup_by_key(|port| (&port.host_port, &port.container_port));
        open
    }

    fn open_ports(&self) -> Vec<CheckFinding> {
        let name = &self.container.name;
        let open = self.open().into_iter().map(|port| {
            let PublishedPort { host_port, container_port, .. } = port;
            self.risk(
                "access",
                format!(
                    "port {container_port} of container {name} is published on every interface of its host, as port \
                     {host_port}: firewalls such as ufw do not see it"
                ),
            )
            .next(format!(
                "write {}: `ports: [\"127.0.0.1:{host_port}:{container_port}\"]`",
                self.in_compose()
            ))
            .next(format!(
                "remove the line where only people connect, and give them: `envctl forward {} {container_port} {}`",
                shell_word(self.service()),
                self.place.flags
            ))
        });
        let mut findings: Vec<CheckFinding> = open.collect();
        if self.container.host_network && self.listens() == Some(true) {
            findings.push(
                self.risk(
                    "access",
                    format!("container {name} shares its host's network and listens on every interface"),
                )
                .next(format!(
                    "write {}: `command: [\"postgres\", \"-c\", \"listen_addresses=127.0.0.1\"]`",
                    self.in_compose()
                )),
            );
        }
        findings
    }

    /// Reports whether the server listens on more than its own loopback; `None` where that is not known.
    fn listens(&self) -> Option<bool> {
        let addresses = self.seen.server.as_ref()?.listen_addresses.as_ref()?;
        let mut each =
            addresses.split(',').map(|one| one.trim().trim_matches('\'')).filter(|one| !one.is_empty());
        Some(each.any(|one| !is_loopback(one)))
    }

    fn password(&self) -> Option<CheckFinding> {
        if !self.seen.probe.as_ref()?.password_is_refused {
            return None;
        }
        let (user, password) = probe::variables(self.container);
        let role = self.container.env(user).filter(|role| !role.is_empty()).unwrap_or("postgres");
        Some(
            CheckFinding::warning(
                "access",
                format!(
                    "the server does not take the password in {password} of container {} for role {role}: the variable \
                     counts on the first start only",
                    self.container.name
                ),
            )
            .next(format!(
                "change it in the server, with `\\password {role}` in `envctl psql {}`",
                self.place.flags
            ))
            .next(format!(
                "write the password that the server takes {}: `environment: {{{password}: …}}`",
                self.in_compose()
            )),
        )
    }

    fn trust(&self, server: &ServerDurability) -> Option<CheckFinding> {
        if self.listens() == Some(false) {
            return None;
        }
        let rule = trusting(&server.host_rules)?;
        let HostRule { line, databases, roles, address, .. } = rule;
        let what = format!(
            "the server asks nobody from the network for a password: line {line} of pg_hba.conf trusts roles {roles} on \
             databases {databases} from {address}"
        );
        let is_open = !self.open().is_empty() || self.container.host_network;
        let finding = if is_open { self.mistake("access", what) } else { self.risk("access", what) };
        let file = server.hba_file.as_deref().unwrap_or("pg_hba.conf");
        let name = shell_word(&self.container.name);
        let edit = format!("sed -i '{line}s/trust/scram-sha-256/' {}", shell_word(file));
        let finding = finding
            .next(format!("give the roles passwords, then change the rule: `docker exec {name} {edit}`"))
            .next(format!(
                "load the changed rule: `envctl psql {} -c 'select pg_reload_conf()'`",
                self.place.flags
            ));
        Some(match self.container.env("POSTGRES_HOST_AUTH_METHOD") {
            Some("trust") => finding.next(format!(
                "remove this {}, or a new, empty database gets the rule again: `environment: {{POSTGRES_HOST_AUTH_METHOD: trust}}`",
                self.in_compose()
            )),
            _ => finding,
        })
    }

    /// Finds a tag that names another image than the one that runs.
    fn moved_tag(&self) -> Option<CheckFinding> {
        let named = self.seen.named_image.as_ref()?;
        let reference = &self.container.image;
        if is_pinned(reference)
            || [&named.id, &self.container.image_id].contains(&&String::new())
            || named.id == self.container.image_id
        {
            return None;
        }
        let (old, new) = (ImageTraits::of(&self.container.env), ImageTraits::of(&named.env));
        let begin = format!("{reference} names another image now than the container runs");
        let next_up = "the next `docker compose up` changes";
        let finding = match (&old, &new) {
            (ImageTraits { major: Some(old), .. }, ImageTraits { major: Some(new), .. }) if old != new => self
                .mistake("image", format!("{begin}: {next_up} PostgreSQL {old} to {new}, which does not start on the data of {old}")),
            (ImageTraits { libc: Some(old), .. }, ImageTraits { libc: Some(new), .. }) if old != new => self
                .risk("image", format!("{begin}: {next_up} {old} to {new}, and indexes over text may sort wrongly")),
            (ImageTraits { major: Some(major), .. }, ImageTraits { major: Some(_), .. }) => {
                CheckFinding::note("image", format!("{begin}; both are PostgreSQL {major}"))
            }
            _ => self.risk("image", format!("{begin}; which version it has cannot be told")),
        };
        // No hint for a newer build of the same.
        if finding.severity == Severity::Note && old.major.is_some() && old.libc == new.libc {
            return Some(finding);
        }
        let (repository, _) = repository_and_tag(reference);
        let running = self.container.image_config.as_ref().and_then(|config| digest_of(config, repository));
        let finding = finding.next(format!("make a backup first: `envctl backup {}`", self.place.flags));
        if let Some(digest) = running {
            return Some(finding.next(format!("write {}: `image: {digest}`", self.in_compose())));
        }
        let kept = format!("{repository}:kept");
        let id = self.container.image_id.trim_start_matches("sha256:");
        let id = id.get(..12).unwrap_or(id);
        Some(
            finding
                .next(format!("name the image that runs: `docker tag {id} {}`", shell_word(&kept)))
                .next(format!("write {}: `image: {kept}`", self.in_compose())),
        )
    }

    /// Finds a tag of a registry that names no version.
    fn floating_tag(&self) -> Option<CheckFinding> {
        let named = self.seen.named_image.as_ref()?;
        let reference = &self.container.image;
        let (repository, tag) = repository_and_tag(reference);
        let digest = digest_of(named, repository)?;
        let label = |key: &str| self.container.label(key).unwrap_or_default();
        let (project, service) = (label("com.docker.compose.project"), label("com.docker.compose.service"));
        // Compose names an image so that it builds itself.
        let is_built =
            [format!("{project}-{service}"), format!("{project}_{service}")].contains(&repository.to_owned());
        if is_pinned(reference) || is_built || tag.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let major = self.major()?;
        let kind = if tag == "latest" { String::new() } else { format!("-{tag}") };
        Some(
            self.risk(
                "image",
                format!(
                    "image {reference} names no version: the next pull may bring a server that does not start on the data \
                     of PostgreSQL {major}"
                ),
            )
            .next(format!("write {}: `image: {repository}:{major}{kind}`", self.in_compose()))
            .next(format!("write `image: {digest}` to keep its C library too")),
        )
    }

    fn slot(&self, slot: &InactiveSlot, server: &ServerDurability) -> CheckFinding {
        let InactiveSlot { name, retained } = slot;
        let limit = if server.slots_are_unlimited { ", and nothing limits that: the disk fills" } else { "" };
        let psql = |sql: &str| format!("`envctl psql {} -c {}`", self.place.flags, shell_word(sql));
        let finding = self
            .risk(
                "database",
                format!(
                    "nobody reads the replication slot {name}; the server keeps {} of WAL for it{limit}",
                    bytes(*retained)
                ),
            )
            .next(format!(
                "drop it if its reader does not come back: {}",
                psql(&format!("select pg_drop_replication_slot({})", literal(name)))
            ));
        if server.slots_are_unlimited {
            finding.next(format!(
                "write {}, behind the other options of the server: `command: [\"postgres\", \"-c\", \"max_slot_wal_keep_size=10GB\"]`",
                self.in_compose()
            ))
        } else {
            finding
        }
    }

    /// Damage by the disk goes into the backups unseen. A development database is made anew.
    fn checksums(&self, server: &ServerDurability) -> Option<CheckFinding> {
        if server.has_checksums != Some(false) || !self.place.prod {
            return None;
        }
        let name = shell_word(&self.container.name);
        let directory = self.seen.data_directory().unwrap_or_default();
        let enable = format!(
            "docker stop {name} && docker run --rm --user postgres --volumes-from {name} {} pg_checksums --enable --pgdata {} && docker start {name}",
            shell_word(&self.container.image),
            shell_word(&directory)
        );
        Some(
            CheckFinding::note(
                "storage",
                "data checksums are off: what the disk damages is read, and backed up, without an error",
            )
            .next(format!("make a backup first: `envctl backup {}`", self.place.flags))
            .next(format!("set checksums on while the server is stopped; this reads all data once: `{enable}`"))
            .next(format!(
                "write {}, for clusters to come: `environment: {{POSTGRES_INITDB_ARGS: \"--data-checksums\"}}`",
                self.in_compose()
            )),
        )
    }
}

/// Returns the longest mount that a directory lies on; `None` for the container's own layer.
fn covering<'m>(mounts: &'m [ContainerMount], directory: &str) -> Option<&'m ContainerMount> {
    let covering = mounts.iter().filter(|mount| is_within(directory, &mount.destination));
    covering.max_by_key(|mount| mount.destination.trim_end_matches('/').len())
}

/// Reports that a path is a directory or lies in it.
fn is_within(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn fate(lies: ShortLived) -> &'static str {
    match lies {
        ShortLived::Anonymous => {
            "in an anonymous volume: after `docker compose down` the next `up` begins with an empty database"
        }
        ShortLived::Layer => {
            "in the container's own layer: whoever removes or recreates the container removes it"
        }
        ShortLived::Memory => "in memory: it is gone when the container stops",
    }
}

fn shown(mount: &ContainerMount) -> String {
    match mount.kind {
        MountKind::Volume if mount.is_anonymous() => format!("the anonymous volume {:.12}", mount.name),
        MountKind::Volume => format!("volume {}", mount.name),
        _ => mount.source.clone(),
    }
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("127.") || address.starts_with("::1") || ["localhost", "samehost"].contains(&address)
}

/// Returns the first rule that lets hosts of the network in without a password. Rules are tried in their order, and the
/// first that fits decides.
fn trusting(rules: &[HostRule]) -> Option<&HostRule> {
    let is_for_all = |rule: &HostRule| {
        rule.connection == "host" && rule.databases == "all" && rule.roles == "all" && rule.method != "trust"
    };
    rules.iter().enumerate().find_map(|(at, rule)| {
        let hides = |earlier: &HostRule| {
            is_for_all(earlier)
                && (earlier.address == "all" || earlier.address == rule.address)
                && !rule.databases.split(',').any(|database| database == "replication")
        };
        let trusts = rule.method == "trust" && !is_loopback(&rule.address) && !rules[..at].iter().any(hides);
        trusts.then_some(rule)
    })
}

/// Returns the name with digest of an image in this repository.
fn digest_of<'a>(config: &'a ImageConfig, repository: &str) -> Option<&'a str> {
    let of_repository = |name: &&String| name.split_once('@').is_some_and(|(own, _)| own == repository);
    config.digests.iter().find(of_repository).map(String::as_str)
}

/// Properties of an image that an update of its tag changes, from the variables of the official image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ImageTraits {
    major: Option<String>,
    libc: Option<String>,
}

impl ImageTraits {
    fn of(env: &[String]) -> Self {
        let value = |name: &str| {
            env.iter()
                .find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name))
                .map(|(_, value)| value)
        };
        // `17.2-1.pgdg120+1` on Debian 12, `17.2` on Alpine.
        let libc = value("PG_VERSION").map(|version| {
            let debian = version
                .split_once("pgdg")
                .and_then(|(_, rest)| rest.split_once('+'))
                .map(|(number, _)| number);
            match debian.and_then(|number| number.strip_suffix('0')) {
                Some("11") => "Debian 11 (glibc 2.31)".to_owned(),
                Some("12") => "Debian 12 (glibc 2.36)".to_owned(),
                Some("13") => "Debian 13 (glibc 2.41)".to_owned(),
                Some(other) => format!("Debian {other} (glibc)"),
                None => "Alpine (musl)".to_owned(),
            }
        });
        Self { major: value("PG_MAJOR").map(str::to_owned), libc }
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
