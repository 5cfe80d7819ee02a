//! The plan of a restore as a document, for `--dry-run --json`.

use serde::Serialize;

use crate::app::App;
use crate::postgres::connections::ConnectionGroup;
use crate::restore::plan::{ParallelPlan, RestorePlan};

/// Fields are those of `docs/json.md`.
#[derive(Serialize)]
struct RestorePlanAnswer<'a> {
    dry_run: bool,
    /// The lines that a person is shown.
    plan: Vec<String>,
    source: String,
    database: &'a str,
    exists: bool,
    size: u64,
    rows: Option<u64>,
    bytes: Option<u64>,
    jobs: usize,
    backup_first: bool,
    previous_database: Option<String>,
    sessions: &'a [ConnectionGroup],
    warnings: &'a [String],
}

/// Writes it, where documents are wanted; a person has seen the plan already.
pub(crate) fn show(app: &App, plan: &RestorePlan) {
    if !app.ui.is_json() {
        return;
    }
    app.ui.json(&RestorePlanAnswer {
        dry_run: true,
        plan: plan.to_string().lines().map(str::to_owned).collect(),
        source: plan.source.name(),
        database: &plan.database,
        exists: plan.exists,
        size: plan.findings.size,
        rows: plan.rows,
        bytes: plan.bytes,
        jobs: plan.shared.as_ref().map_or(1, ParallelPlan::jobs),
        backup_first: plan.backup_first,
        previous_database: plan.kept_name(),
        sessions: &plan.findings.sessions,
        warnings: &plan.findings.warnings,
    });
}
