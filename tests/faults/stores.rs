//! Backups in stores: a directory, an S3 server, an Azure server. Each has to do the same.

use std::path::Path;
use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::support::rig::{Wanted, docker};
use crate::support::store_proxy::StoreProxy;
use crate::support::store_server::{
    AZURE_ACCOUNT, AZURE_KEY, azure_port, free_port, new_bucket, new_container, s3_port, start,
};
use crate::support::{Finished, Project, Running, Server};

/// A store of one test, with the variables that lead to it.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A pair of keys that the tests of age have published.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

const SECRET: &str = "hidden-secret-of-the-store";

impl Place {
    pub(crate) fn s3(endpoint: &str) -> Self {
        Self::s3_bucket(endpoint, &new_bucket())
    }

    pub(crate) fn s3_bucket(endpoint: &str, bucket: &str) -> Self {
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ];
        Self { url: format!("s3://{bucket}/some/backups"), variables }
    }

    /// Google's store, as far as an S3 server behind a proxy can stand for it.
    fn google() -> Self {
        let endpoint = StoreProxy::start(Vec::new()).endpoint();
        let variables = vec![("GOOGLE_BASE_URL", endpoint), ("GOOGLE_BEARER_TOKEN", SECRET.to_owned())];
        Self { url: format!("gs://{}/some/backups", new_bucket()), variables }
    }

    fn all(project: &Project) -> [Self; 4] {
        let directory = project.path().join("other disk");
        let endpoint = format!("http://127.0.0.1:{}/{AZURE_ACCOUNT}", azure_port());
        let azure = vec![
            ("AZURE_STORAGE_ACCOUNT", AZURE_ACCOUNT.to_owned()),
            ("AZURE_STORAGE_KEY", AZURE_KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", endpoint),
        ];
        [
            Self { url: format!("file://{}", directory.display()), variables: Vec::new() },
            Self::s3(&format!("http://127.0.0.1:{}", s3_port())),
            Self { url: format!("az://{}/backups", new_container()), variables: azure },
            Self::google(),
        ]
    }

    pub(crate) fn bucket(&self) -> &str {
        self.url.split('/').nth(2).unwrap()
    }

    pub(crate) fn command(&self, project: &Project, args: &[&str]) -> Command {
        let mut command = project.command(args);
        // A backup goes into a bucket unencrypted only when that is asked for.
        let verb = args.iter().skip_while(|arg| **arg != "backup").nth(1);
        if args.contains(&"backup") && verb.is_none_or(|verb| verb.starts_with('-')) {
            command.arg("--plain");
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, project: &Project, args: &[&str]) -> Finished {
        let finished = Running::start(self.command(project, args), None).finish();
        for secret in [SECRET, AZURE_KEY] {
            assert!(
                !finished.err().contains(secret) && !finished.out().contains(secret),
                "a secret was printed"
            );
        }
        finished
    }
}

/// A project whose dump, uncompressed, takes three parts.
pub(crate) fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(200_000);
    project
}

#[test]
fn every_store_takes_a_backup_lists_it_shows_it_and_gives_it_back() {
    let project = project("stores");
    let before = project.digest();
    for place in Place::all(&project) {
        let url = place.url.as_str();
        place.run(&project, &["store", "check", url]).code(0);
        place.run(&project, &["backup", "list", "--store", url]).code(0).says("no backups in");

        let backup = ["-v", "backup", "--store", url, "--compress", "none"];
        let (finished, memory) = Running::start(place.command(&project, &backup), None).watch();
        let address = finished.code(0).out().trim().to_owned();
        let stack = &project.server.stack;
        assert!(address.starts_with(&format!("{url}/{stack}/dev/backup_")), "{address}");
        assert!(memory < 64 << 20, "{memory} bytes for an upload to {url}");
        assert!(!project.backup_dir().exists(), "nothing is written to the disk of this machine");

        let name = address.rsplit('/').next().unwrap();
        let listed = place.run(&project, &["backup", "list", "--store", url]).code(0).out();
        assert!(listed.contains(name) && listed.contains("complete"), "{listed}");
        let shown = place.run(&project, &["backup", "show", "--store", url]).code(0).out();
        assert!(shown.contains(&address) && shown.contains("authenticated"), "{shown}");
        place.run(&project, &["backup", "show", name, "--store", url]).code(0);
        let second = place.run(&project, &["backup", "--store", url]).code(0).out();
        let listed = place.run(&project, &["backup", "list", "--store", url, "--json"]).code(0).out();
        assert_eq!(listed.matches("\"verified\":\"complete\"").count(), 2, "{listed}");
        assert!(listed.contains(second.trim()), "{listed}");

        for wanted in [name, "latest", &address] {
            project.sql("delete from item where id % 2 = 0");
            let restore = ["restore", wanted, "--store", url, "--yes", "--no-backup"];
            place.run(&project, &restore).code(0).says("fetched");
            assert_eq!(project.digest(), before, "{wanted} of {url}");
        }
        let missing = ["restore", "backup_20200101_000000.sql", "--store", url, "--yes"];
        place.run(&project, &missing).code(3).says("there is no backup").says("--store");
        place.run(&project, &["restore", "-", "--store", url]).code(2);
    }
}

#[test]
fn copies_are_made_beside_the_file_and_one_that_fails_is_said() {
    let project = project("copies");
    let [directory, s3, azure, _] = Place::all(&project);
    let stores = format!("{},{}", directory.url, s3.url);
    let mut command = s3.command(&project, &["backup", "--json"]);
    command.env("ENVCTL_BACKUP_STORES", &stores);
    let answer = Running::start(command, None).finish().code(0).out();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let path = Path::new(answer["path"].as_str().unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(answer["copies"].as_array().unwrap().len(), 2, "{answer}");
    // The manifest is the same to the last byte, and so is its MAC.
    let copy = directory.url.strip_prefix("file://").unwrap();
    let copied = Path::new(copy).join(&project.server.stack).join("dev").join(format!("{name}.json"));
    let manifest = std::fs::read(path.with_file_name(format!("{name}.json"))).unwrap();
    assert_eq!(std::fs::read(copied).unwrap(), manifest);

    let before = project.digest();
    std::fs::remove_dir_all(project.backup_dir()).unwrap();
    for place in [&directory, &s3] {
        project.sql("delete from item where id % 2 = 0");
        let restore = ["restore", "latest", "--store", &place.url, "--yes", "--no-backup"];
        place.run(&project, &restore).code(0);
        assert_eq!(project.digest(), before);
    }

    let mut command = azure.command(&project, &["backup"]);
    let nowhere = format!("az://nowhere-{}/x,{}", std::process::id(), directory.url);
    command.env("ENVCTL_BACKUP_STORES", nowhere);
    let failed = Running::start(command, None).finish().code(1);
    failed.says("ContainerNotFound").says("the backup itself is complete").says("nowhere");
    project.run(&["backup", "list"]).code(0);
    let listed =
        directory.run(&project, &["backup", "list", "--store", &directory.url, "--json"]).code(0).out();
    assert_eq!(
        listed.matches("\"verified\":\"complete\"").count(),
        2,
        "the other store has its copy: {listed}"
    );
}

#[test]
fn a_new_machine_restores_with_the_binary_the_bucket_and_the_keys_alone() {
    let wanted = Wanted::postgres(15, "drill");
    let first = wanted.clone().start().ready();
    let project = Project::new(&first, "drill");
    project.fill(1_000);
    let before = project.digest();
    let place = Place::s3(&format!("http://127.0.0.1:{}", s3_port()));
    let key = project.path().join("manifest.key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n").unwrap();
    let with_key = |mut command: Command| {
        command.env("ENVCTL_MANIFEST_KEY_FILE", &key);
        Running::start(command, None).finish()
    };
    let identity = project.path().join("backup.key");
    std::fs::write(&identity, format!("{IDENTITY}\n")).unwrap();
    let mut backup = project.command(&["backup", "--store", &place.url]);
    backup.envs(place.variables.iter().map(|(name, value)| (name, value)));
    backup.env("ENVCTL_RECIPIENTS", RECIPIENT).env("ENVCTL_ENCRYPT", "required");
    let made = with_key(backup).code(0).out();
    assert!(made.trim().ends_with(".sql.gz.age"), "{made}");
    docker(&["rm", "-f", &first.container]);

    // Neither the project's file nor the home of the first machine.
    let second = wanted.start().ready();
    let new = Project::of(&second, &project.database);
    std::fs::remove_file(new.path().join("envctl.toml")).unwrap();
    let stack = second.stack.as_str();
    let restore = ["restore", "latest", "--store", &place.url, "-s", stack, "--dev", "--yes"];
    place.run(&new, &restore).code(2).says("no identity is here to open it");
    let restore = [&restore[..], &["--identity", identity.to_str().unwrap()]].concat();
    let restored = with_key(place.command(&new, &restore)).code(0);
    assert!(!restored.err().contains("unknown origin"), "{}", restored.err());
    assert_eq!(new.digest(), before);
    // Without the key of the manifests it is scanned, and restored all the same.
    new.sql("drop table item");
    place.run(&new, &restore).code(0).says("not authenticated");
    assert_eq!(new.digest(), before);
}

#[test]
fn what_a_store_cannot_take_is_refused_before_the_dump() {
    let project = Project::new(Server::shared(15), "refusals");
    let place = Place { url: format!("file://{}", project.path().display()), variables: Vec::new() };
    let url = place.url.as_str();
    for (args, text) in [
        (vec!["backup", "--store", url, "--format", "directory"], "backup.stores"),
        (vec!["backup", "--store", url, "--all-databases"], "backup.stores"),
        (vec!["backup", "--store", url, "-o", "x.sql"], "cannot be used with"),
        (vec!["backup", "--store", "s3://key:secret@bucket/x"], "credentials do not belong"),
        (vec!["backup", "list", "--store", "ftp://x"], "s3://BUCKET"),
    ] {
        place.run(&project, &args).code(2).says(text);
    }
    let mut command = project.command(&["backup", "--plain", "--store", "s3://bucket"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    Running::start(command, None).finish().code(2).says("there are no credentials").says("AWS_ACCESS_KEY_ID");
}

#[test]
fn a_store_behind_tls_needs_a_certificate_that_the_machine_trusts() {
    let project = Project::new(Server::shared(15), "tls");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (both, ca) = (project.path().join("both.pem"), project.path().join("ca.pem"));
    std::fs::write(&both, signing_key.serialize_pem() + &cert.pem()).unwrap();
    std::fs::write(&ca, cert.pem()).unwrap();
    let port = free_port();
    let listen =
        format!("OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,cert={}", both.display());
    start(&format!("exec socat {listen} TCP:127.0.0.1:{}", s3_port()), port);
    let place = Place::s3(&format!("https://127.0.0.1:{port}"));
    let with_ca = |args: &[&str]| {
        let mut command = place.command(&project, args);
        command.env("SSL_CERT_FILE", &ca);
        Running::start(command, None).finish()
    };
    with_ca(&["backup", "--store", &place.url]).code(0);
    with_ca(&["backup", "show", "--store", &place.url]).code(0);
    place.run(&project, &["backup", "--store", &place.url]).code(1).says("invalid peer certificate");
}
