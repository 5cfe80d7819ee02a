//! Facts that only a command in the container can tell, all by one script.
//!
//! Promises: the script reads and writes nothing; the password goes from the container's variables to psql by a variable,
//! so it is on no command line and never here.

use crate::docker::container_info::MountKind;
use crate::docker::{Container, ContainerInfo, ExecSpec};
use crate::postgres::Access;

/// File that is the same for every process under one kernel, from its start to its end.
pub(super) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Facts from inside a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerProbe {
    /// [`BOOT_ID`] as the container sees it.
    pub(crate) boot_id: String,
    /// Directory of the cluster without symbolic links; empty where it could not be entered.
    pub(crate) directory: String,
    /// Number of the device that the cluster lies on.
    pub(crate) device: Option<u64>,
    /// Device and inode of the cluster.
    pub(crate) identity: String,
    /// File system of the cluster, as `stat -f` names it.
    pub(crate) filesystem: String,
    /// Clusters on the mounts of the container.
    pub(crate) clusters: Vec<MountedCluster>,
    /// True where the server has refused the password in the container's variables.
    pub(crate) password_is_refused: bool,
}

/// Directory on a mount that holds a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountedCluster {
    /// Destination of the mount.
    pub(crate) mount: String,
    pub(crate) directory: String,
    /// Content of `PG_VERSION`.
    pub(crate) version: String,
    /// Device and inode.
    pub(crate) identity: String,
}

/// `$1` directory of the cluster, `$2` address for the password or nothing, then the mounts. A database has a
/// `PG_VERSION` too, so a cluster is told by its `pg_control`, and a base backup by its label.
const SCRIPT: &str = r#"
data=$1; address=$2; shift 2
tell() { printf '%s' "$1"; shift; for field; do printf '\t%s' "$field"; done; printf '\n'; }
tell boot "$(cat BOOT_ID)"
tell data "$(cd "$data" && pwd -P)" "$(stat -L -c %d "$data")" "$(stat -L -c %d:%i "$data")" "$(stat -f -c %T "$data")"
for mount; do
    for file in "$mount"/PG_VERSION "$mount"/*/PG_VERSION "$mount"/*/*/PG_VERSION; do
        home=${file%/PG_VERSION}
        [ -f "$file" ] && [ -f "$home/global/pg_control" ] && [ ! -e "$home/backup_label" ] || continue
        tell cluster "$mount" "$home" "$(head -n 1 "$file")" "$(stat -L -c %d:%i "$home")"
    done
done
secret=$PASSWORD_VARIABLE role=$ROLE_VARIABLE
[ -n "$secret" ] || [ -z "$PASSWORD_VARIABLE_FILE" ] || secret=$(cat "$PASSWORD_VARIABLE_FILE")
[ -n "$role" ] || [ -z "$ROLE_VARIABLE_FILE" ] || role=$(cat "$ROLE_VARIABLE_FILE")
if [ -n "$address" ] && [ -n "$secret" ]; then
    said=$(PGPASSWORD=$secret PGCONNECT_TIMEOUT=3 LC_ALL=C psql -X -w -h "$address" -U "${role:-postgres}" -d postgres \
        -c 'select 1' </dev/null 2>&1)
    case $said in *'password authentication failed'*) tell password refused ;; esac
fi
exit 0
"#;

/// Names of the variables of a first start: role and password.
pub(super) fn variables(container: &ContainerInfo) -> (&'static str, &'static str) {
    if container.env("BITNAMI_APP_NAME").is_some() {
        ("POSTGRESQL_USERNAME", "POSTGRESQL_PASSWORD")
    } else {
        ("POSTGRES_USER", "POSTGRES_PASSWORD")
    }
}

/// Address of the container by which a rule for the network applies. Images trust their own loopback.
fn address(container: &ContainerInfo) -> &str {
    container.addresses.values().next().map_or("127.0.0.1", String::as_str)
}

/// Runs the script; `None` where it cannot be run.
pub(super) async fn look(
    container: &Container,
    directory: Option<&str>,
    access: Option<&Access>,
) -> Option<ContainerProbe> {
    let (role, password) = variables(container);
    let script = SCRIPT
        .replace("BOOT_ID", BOOT_ID)
        .replace("PASSWORD_VARIABLE", password)
        .replace("ROLE_VARIABLE", role);
    let address = if access.is_some() { address(container) } else { "" };
    let mounts = container.mounts.iter().flatten();
    let mounts = mounts
        .filter(|mount| matches!(mount.kind, MountKind::Volume | MountKind::Bind))
        .map(|mount| mount.destination.as_str());
    let argv = ["sh", "-c", &script, "envctl", directory.unwrap_or_default(), address];
    let mut spec = ExecSpec::new(argv.into_iter().chain(mounts));
    let port = access.map(Access::place).unwrap_or_default().into_iter().filter(|(name, _)| name == "PGPORT");
    spec.env.extend(port);
    let output = container.capture(&spec, None).await.ok()?;
    (output.exit_code == 0).then(|| parse(&output.text()))
}

fn parse(text: &str) -> ContainerProbe {
    let mut probe = ContainerProbe::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["boot", id] => (*id).clone_into(&mut probe.boot_id),
            ["data", directory, device, identity, filesystem] => {
                (*directory).clone_into(&mut probe.directory);
                probe.device = device.parse().ok();
                (*identity).clone_into(&mut probe.identity);
                (*filesystem).clone_into(&mut probe.filesystem);
            }
            ["cluster", mount, directory, version, identity] => probe.clusters.push(MountedCluster {
                mount: (*mount).to_owned(),
                directory: (*directory).to_owned(),
                version: (*version).to_owned(),
                identity: (*identity).to_owned(),
            }),
            ["password", "refused"] => probe.password_is_refused = true,
            _ => {}
        }
    }
    probe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::fake_engine::{Scripted, ScriptedExec, container};

    #[test]
    fn each_line_goes_to_its_place() {
        let probe = parse(
            "boot\tabc\ndata\t/var/lib/postgresql/data\t65024\t65024:12\text2/ext3\n\
             cluster\t/old\t/old/15\t15\t65024:99\npassword\trefused\nnoise\n",
        );
        assert_eq!((probe.boot_id.as_str(), probe.device), ("abc", Some(65024)));
        assert_eq!((probe.identity.as_str(), probe.filesystem.as_str()), ("65024:12", "ext2/ext3"));
        assert_eq!(
            (probe.clusters[0].directory.as_str(), probe.clusters[0].version.as_str()),
            ("/old/15", "15")
        );
        assert!(probe.password_is_refused);
    }

    #[tokio::test]
    async fn no_password_stands_in_the_command() {
        let mut info = container("db");
        info.env = vec!["POSTGRES_PASSWORD=hunter2".to_owned()];
        let script = Scripted::new([ScriptedExec::prints("sh", "boot\tabc\n", 0)]);
        let probe = look(&script.container(info), Some("/data"), None).await.unwrap();
        assert_eq!(probe.boot_id, "abc");
        let asked = format!("{:?}", script.asked()) + &format!("{:?}", script.asked()[0].env);
        assert!(!asked.contains("hunter2"), "{asked}");
    }
}
