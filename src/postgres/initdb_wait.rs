//! The first start of the official image: a container that runs, whose server is a temporary one.
//!
//! The image's entrypoint makes the cluster, starts a server on the socket alone and runs the project's own scripts.
//! The entrypoint then stops that server, which ends every session, and becomes the real server. No operation should
//! begin while the entrypoint runs.
use crate::docker::{Container, ContainerInfo, ExecSpec};
use crate::error::{self, Error};

/// The complaint about a temporary server.
pub(crate) const WORDS: &str = "PostgreSQL is being set up for the first time";

/// A shell that runs the entrypoint; an init (`docker-init -- docker-entrypoint.sh …`) names it for ever. The bracket
/// keeps the script from finding itself.
const LOOK: &str = r#"
for p in $(grep -l 'docker-entrypoin[t]' /proc/[0-9]*/cmdline 2>/dev/null); do
  name=
  { read -r name <"${p%cmdline}comm"; } 2>/dev/null
  case $name in bash|dash|ash|sh|busybox|docker-entrypoi*) echo "$name"; exit 0 ;; esac
done
exit 1
"#;

/// Reports whether the entrypoint still runs.
pub(crate) async fn runs(container: &Container) -> bool {
    let looked = container.capture(&ExecSpec::new(["sh", "-c", LOOK]), None).await;
    looked.is_ok_and(|looked| looked.exit_code == 0)
}

/// Nobody waits for ever.
pub(crate) fn too_long(container: &ContainerInfo) -> Error {
    error::busy(format!("PostgreSQL in {} is still being set up after five minutes", container.name))
        .hint(format!("see what it does: `docker logs --tail 50 {}`", container.name))
}
