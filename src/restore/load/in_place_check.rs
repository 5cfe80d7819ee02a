//! Restoring into an existing empty database, by a role that may not create another one.
//!
//! Promise: one transaction, so that the database stays empty unless all of the dump is in it.

use crate::docker::Container;
use crate::dump::sql::FindingKind;
use crate::error::{self, Result};
use crate::postgres::preflight::may_not_create;
use crate::postgres::{Access, Session, empty_databases};
use crate::restore::examine::ExaminedDump;

/// Checks that the database of `access` is empty, and that the dump stays inside one transaction.
pub(crate) async fn check(
    container: &Container,
    access: &Access,
    examined: Option<&ExaminedDump>,
) -> Result<()> {
    let mut session = Session::open(container, access, "envctl restore").await?;
    let empty = empty_databases::is_empty(&mut session).await?;
    session.close().await;
    if !empty {
        return Err(may_not_create(&access.user).hint(
            "restore into an empty database that belongs to the role, which needs no such right: `--into NAME`",
        ));
    }
    let own = |examined: &ExaminedDump| {
        examined.summary.findings.iter().any(|finding| finding.kind == FindingKind::Transaction)
    };
    if examined.is_some_and(own) {
        return Err(error::refused(format!(
            "the file begins or ends transactions of its own, and the role {} may only fill {:?} in one transaction",
            access.user, access.database
        ))
        .hint("let a superuser restore it, or take these statements out of the file"));
    }
    Ok(())
}
