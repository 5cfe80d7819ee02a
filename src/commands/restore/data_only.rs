//! `envctl restore` of a dump that holds rows and no tables.

use crate::commands::connect::ConnectedDatabase;
use crate::dump::format::Format;
use crate::error::{self, Result};
use crate::postgres::Session;
use crate::postgres::preflight::{self, Findings};
use crate::restore::data_only::{DataOnly, DataOnlyPlan};
use crate::restore::input::{DumpSource, ExaminedDump};

/// Decides what the rows replace in `database`; `None` where the dump holds more than rows.
///
/// # Errors
/// Kind `Refused`: the database or one of the tables is not there, or there is no space for a copy of what stays.
pub(crate) async fn decide(
    found: &ConnectedDatabase,
    source: &DumpSource,
    examined: Option<&ExaminedDump>,
    (database, exists): (&str, bool),
    findings: &Findings,
) -> Result<Option<DataOnlyPlan>> {
    let Some(examined) = examined else { return Ok(None) };
    let Some(rows) = DataOnly::of(&examined.summary, examined.format != Format::Plain) else {
        return Ok(None);
    };
    if !exists {
        return Err(error::refused(format!(
            "{} holds rows and no tables, and there is no database {database:?} to have them",
            source.name()
        ))
        .hint(
            "restore a dump that holds the tables first, or name a database that has them: `--into NAME`",
        ));
    }
    let container = &found.container;
    let access = found.access.to(database);
    let mut session = Session::open(container, &access, "envctl restore").await?;
    let plan = rows.decide(&mut session, &source.name()).await?;
    session.close().await;
    let needed = findings.size + examined.summary.bytes;
    preflight::space(container, findings.data_directory.as_deref(), needed).await?;
    Ok(Some(plan))
}
