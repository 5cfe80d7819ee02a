//! Interpreters of containers that can run the reaper, as far as they are known.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::docker::container_info::ContainerInfo;
use crate::sync::lock;

/// Interpreter of a container: an index into [`INTERPRETERS`], or `None` where the image has none.
pub(crate) type Interpreter = Option<usize>;

/// Interpreters that are known, by the id of the container.
#[derive(Debug, Default)]
pub(crate) struct InterpreterCache(Mutex<BTreeMap<String, Interpreter>>);

impl InterpreterCache {
    pub(super) fn known(&self, container: &ContainerInfo) -> Option<Interpreter> {
        if is_official_alpine(container) {
            return Some(None);
        }
        lock(&self.0).get(&container.id).copied()
    }

    pub(super) fn learn(&self, container: &ContainerInfo, interpreter: Interpreter) {
        lock(&self.0).insert(container.id.clone(), interpreter);
    }
}

/// The official image on Alpine has neither interpreter. Its Dockerfile sets this variable, Debian's does not.
pub(crate) fn is_official_alpine(container: &ContainerInfo) -> bool {
    container.env("PG_SHA256").is_some()
}
