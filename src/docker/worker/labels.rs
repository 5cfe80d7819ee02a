//! Labels of the containers that envctl makes for one operation.

/// The operation's id. Discovery passes over containers that carry it.
pub(crate) const LABEL: &str = "envctl.worker";
/// Private directory on the host, by which a later run knows whether its envctl still lives.
pub(crate) const DIR_LABEL: &str = "envctl.worker.dir";

/// Machine of the private directory.
pub(crate) const HOST_LABEL: &str = "envctl.worker.host";
