//! `envctl backup` over several stacks: each into its own place, one after the other.

use std::fmt;

use serde::Serialize;

use super::create::{CreateArgs, destination_directory, perform, request};
use super::encryption;
use super::notifications::{report_failure, with_notifications};
use super::store_copies::copy_to_stores;
use crate::backup::create::Created;
use crate::commands::multi_stack::{MultiStackVerb, for_each_stack};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::database::ConnectedDatabase;
use crate::consent::{Confirmed, Guard, Plan};
use crate::error::{self, Result};
use crate::multi_stack::schedule::OnFailure;
use crate::repository::manifest::Purpose;
use crate::text::units::{bytes, counted};

/// A backup that would be made.
#[derive(Serialize)]
pub(crate) struct PlannedBackup {
    database: String,
    server_version: String,
    size: u64,
    directory: String,
    #[serde(skip)]
    found: ConnectedDatabase,
}

/// A backup that was made.
#[derive(Serialize)]
pub(crate) struct BackupDone {
    path: String,
    database: String,
    stored_bytes: u64,
    plain_bytes: u64,
    rows: u64,
    /// The database held nothing.
    empty: bool,
}

impl Plan for PlannedBackup {
    fn guard(&self) -> Guard {
        Guard::Read
    }
}

impl fmt::Display for PlannedBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (PostgreSQL {}, {}) into {}",
            self.database,
            self.server_version,
            bytes(self.size),
            self.directory
        )
    }
}

impl fmt::Display for BackupDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its folder stood in the plan; the table at the end has to fit a terminal.
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let empty = if self.empty { "EMPTY, " } else { "" };
        let rows = counted(self.rows, "row", "rows");
        write!(f, "{empty}{rows}, {}, {name}", bytes(self.stored_bytes))
    }
}

/// Backs up each stack. One that fails does not keep the others from theirs: a nightly run shall leave as many backups
/// as it can.
///
/// # Errors
/// Errors of [`for_each_stack`].
pub(crate) async fn run(args: &CreateArgs, ctx: &CommandContext) -> Result<()> {
    if args.output.is_some() {
        return Err(error::usage("`-o` names one file, and several stacks are backed up")
            .hint("leave it out: each goes into BACKUPS/STACK/PROFILE; `ENVCTL_BACKUP_DIR` names BACKUPS"));
    }
    let plan = async |stack: StackContext| {
        let planned = Box::pin(plan_one(args, &stack)).await;
        if stack.global.dry_run { planned } else { report_failure(&stack, planned).await }
    };
    let run = async |stack: StackContext, plan: Confirmed<PlannedBackup>| {
        let found = plan.into_plan().found;
        let backup = async {
            let request = request(args, Purpose::Backup, &stack, &found).await?;
            let created = perform(&stack, &found, &request, None).await?;
            let copies = copy_to_stores(&stack, &found, &request, &created).await?;
            Ok((created, copies))
        };
        let (Created { path, manifest }, _) = with_notifications(&stack, Box::pin(backup)).await?;
        Ok(BackupDone {
            path: path.map(|path| path.display().to_string()).unwrap_or_default(),
            rows: manifest.rows(),
            empty: manifest.is_empty(),
            stored_bytes: manifest.stored_bytes,
            plain_bytes: manifest.plain_bytes,
            database: manifest.database,
        })
    };
    let (many, on_failure) = (&args.many, OnFailure::Continue);
    let verb = MultiStackVerb { name: "backup", args: many, on_failure, changes: |_| true };
    for_each_stack(ctx, verb, plan, run).await
}

/// Looks at one stack and decides about its backup.
async fn plan_one(args: &CreateArgs, stack: &StackContext) -> Result<PlannedBackup> {
    let found = stack.server().await?;
    // Refused in the plan, and not after the first stacks.
    encryption::recipients(&args.encryption(Purpose::Backup), &stack.settings.for_stack(&found.target)?)?;
    Ok(PlannedBackup {
        database: found.facts.database.clone(),
        server_version: found.facts.version.to_string(),
        size: found.facts.size,
        directory: match &args.store {
            Some(url) => url.to_string(),
            None => destination_directory(&stack.settings, &found)?,
        },
        found,
    })
}
