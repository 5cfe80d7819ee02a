//! ANALYZE of a restored database, before the application sees it: without statistics its first queries are planned
//! blindly, and may be ten times slower.

use std::time::{Duration, Instant};

use crate::docker::Container;
use crate::error::{Error, Result};
use crate::operation::{Operation, SessionRole};
use crate::postgres::session::Refusal;
use crate::postgres::{Access, Session};
use crate::progress::Event;

/// Analyzes every table of the database of `access`; returns the time that it took. Statistics are no contents: a
/// table that cannot be analyzed is a warning, and `None` is returned.
///
/// # Errors
/// The session is lost; `Cancelled`.
pub(crate) async fn run(
    container: &Container,
    access: &Access,
    operation: &Operation,
) -> Result<Option<Duration>> {
    let Operation { cancel, progress, .. } = operation;
    progress.step("analyzing");
    let began = Instant::now();
    // The name of what loads: whoever ends the load ends this.
    let name = operation.application_name(SessionRole::Load);
    let analyzing = async {
        let mut session = Session::open(container, access, &name).await?;
        let analyzed = session.query("ANALYZE").await;
        session.close().await;
        Ok::<_, Error>(analyzed)
    };
    match cancel.run_until_cancelled(analyzing).await?? {
        Ok(_) => Ok(Some(began.elapsed())),
        Err(Refusal::Lost(lost)) => Err(lost),
        Err(Refusal::Sql(cause)) => {
            progress.on(Event::Warning(format!("not all tables could be analyzed: {cause}")));
            Ok(None)
        }
    }
}
