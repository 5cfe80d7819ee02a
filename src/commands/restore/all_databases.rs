//! `envctl restore` of a backup of all databases.

use std::path::Path;
use std::sync::Arc;

use super::identity_check::{UnnamedDifferences, refuse_into_production};
use crate::app::App;
use crate::app::global_args::option;
use crate::codec::age::Keyring;
use crate::commands::restore::args::RestoreArgs;
use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::error::{self, Result};
use crate::postgres::{Access, Session, preflight};
use crate::progress::Progress;
use crate::repository::manifest::Manifest;
use crate::restore::all_databases::{
    ClusterPlan, RestoredAll, Roles, UnpackedCluster, UnpackedDatabase, missing_roles, run as carry_out,
    unpack,
};
use crate::restore::examine::{DumpSource, InputOptions, examine};
use crate::restore::planner::{RestoreInput, plan};
use crate::text::escape::escape;
use crate::text::units::counted;

/// # Errors
/// See [`crate::restore::all_databases::unpack`] and [`carry_out`]; what failed says which databases are as they were.
pub(crate) async fn run(
    args: &RestoreArgs,
    stack: &StackContext,
    source: &DumpSource,
    keyring: &Keyring,
) -> Result<()> {
    let only = stack.global.database();
    if args.into.is_some() && only.is_none() {
        return Err(error::usage("`--into` names one database, and the backup is of all")
            .hint("say which of them: `-d NAME --into OTHER`"));
    }
    let progress: Arc<dyn Progress> = stack.ui.progress();
    progress.step(&format!("checking {}", source.name()));
    let typed = args.source.as_deref().unwrap_or(Path::new("latest"));
    // The identities that have opened it already: a pipe gives them once.
    let asked = InputOptions { keyring: keyring.clone(), ..args.asked(typed, stack)? };
    let unpacking = unpack(source, only, args.trust, (&asked.keys, &asked.keyring), &stack.cancel);
    let unpacked = unpacking.await?;
    stack.ui.end_progress();
    let made_from = unpacked.manifest.as_ref().and_then(|manifest| manifest.source.profile.as_deref());
    refuse_into_production(args, stack, made_from)?;
    let (found, mut session) = stack.server_by_any_database(args.into.as_deref().or(only)).await?;
    let roles = missing_roles(&mut session, &unpacked).await?;
    let tablespaces = tablespaces(&mut session).await?;
    session.close().await;
    let whole = WholePlan { args, stack, found: &found, asked: &asked, unpacked: &unpacked };
    let mut plan = whole.plan(source, roles, &tablespaces).await?;
    let before: Vec<String> =
        plan.databases.iter().filter(|plan| plan.backup_first).map(|plan| plan.database.clone()).collect();
    let differences =
        unpacked.manifest.as_ref().map(|manifest| found.identity().differences(manifest)).unwrap_or_default();
    let exists = plan.databases.iter().any(|plan| plan.exists);
    // `--into` names one database: of all of them the command names where they are from.
    let own = stack.environment.profile.keyword();
    let naming = option("--from", "--from", made_from.unwrap_or(own));
    let unnamed = UnnamedDifferences { differences: &differences, exists, taken: false, naming };
    let unlike = args.unlike(&unnamed, stack.environment.profile.counts_as_prod(), &asked.command);
    plan.notes.splice(0..0, differences.iter().map(ToString::to_string));
    let show_plan = |plan: &ClusterPlan| stack.show_dry_run(plan);
    let Some(plan) = stack.confirm_unlike(plan, &found.target, unlike, show_plan)? else { return Ok(()) };
    for database in before {
        let there = found.in_database(&database);
        let path = crate::commands::backup::safety(stack, &there).await?;
        stack.ui.say(&format!("what is in {database:?} now is backed up in {}", path.display()));
    }
    let restored = carry_out(&found.container, plan).await;
    stack.ui.end_progress();
    show(stack, &restored?);
    drop(unpacked);
    Ok(())
}

async fn tablespaces(session: &mut Session) -> Result<Vec<String>> {
    Ok(session.column("select spcname from pg_catalog.pg_tablespace").await?)
}

/// The plan of all databases, while it is made.
struct WholePlan<'a> {
    args: &'a RestoreArgs,
    stack: &'a StackContext,
    found: &'a ConnectedDatabase,
    asked: &'a InputOptions,
    unpacked: &'a UnpackedCluster,
}

impl WholePlan<'_> {
    /// Reads every dump to its end before anything is asked.
    async fn plan(&self, source: &DumpSource, roles: Roles, tablespaces: &[String]) -> Result<ClusterPlan> {
        let Self { args, stack, found, asked, unpacked } = self;
        let progress: Arc<dyn Progress> = stack.ui.progress();
        let options = args.options(stack)?;
        let mut databases = Vec::new();
        let mut notes = Vec::new();
        for UnpackedDatabase { name, path: dump, properties } in &unpacked.databases {
            progress.step(&format!("checking the dump of {name}"));
            let mut examined =
                examine(&DumpSource::File(dump.clone()), asked, stack.threads(), &progress, &stack.cancel)
                    .await?;
            stack.ui.end_progress();
            if examined.manifest.as_ref().is_none_or(|manifest| manifest.database != *name) {
                return Err(error::integrity(format!("the dump of {name:?} is one of another database"))
                    .hint("take another backup: `envctl backup list`"));
            }
            // Those are there by then.
            examined.summary.roles.retain(|role| !roles.missing.contains(role));
            let wanted = RestoreInput {
                source: DumpSource::File(dump.clone()),
                examined: Some(&examined),
                asked: (*asked).clone(),
                roles: Roles::default(),
                database: args.into.clone().unwrap_or_else(|| name.clone()),
                encoding: Some(&properties.encoding),
            };
            let planning = plan(&found.container, &found.access, wanted, &options);
            let planned = Box::pin(planning).await;
            let (mut plan, detail) = planned.map_err(|e| e.context(format!("database {name:?}")))?;
            if let Some(detail) = detail {
                stack.ui.detail(&detail);
            }
            plan.transport_options.disk = source.home()?;
            if !plan.exists {
                let mut properties = properties.clone();
                if !tablespaces.contains(&properties.tablespace) {
                    notes.push(format!(
                        "database {:?} was in tablespace {:?}, which the server has not: it goes into pg_default",
                        plan.database, properties.tablespace
                    ));
                    "pg_default".clone_into(&mut properties.tablespace);
                }
                plan.properties = Some(properties);
            }
            databases.push(plan);
        }
        let needed = databases.iter().filter_map(|plan| plan.bytes).sum();
        let data = databases.iter().find_map(|plan| plan.findings.data_directory.as_deref());
        preflight::space(&found.container, data, needed).await?;
        let access: Access = found.access.clone();
        let origin = origin(unpacked.manifest.as_ref());
        let (name, operation) = (source.name(), options.operation);
        Ok(ClusterPlan { operation, name, origin, roles, access, notes, databases })
    }
}

fn origin(manifest: Option<&Manifest>) -> String {
    match manifest {
        Some(manifest) => format!(
            "{} {}, all databases, PostgreSQL {}, {}",
            manifest.source.stack,
            manifest.source.profile.as_deref().unwrap_or("(profile unknown)"),
            manifest.server_version,
            manifest.started
        ),
        None => "a file without a manifest; each dump in it is whole".to_owned(),
    }
}

fn show(app: &App, restored: &RestoredAll) {
    app.ui.show(restored, |_| {
        let lines = restored.databases.iter().map(|one| {
            let name = escape(&one.database);
            let rows = counted(one.rows, "row", "rows");
            let tables = counted(one.tables as u64, "table", "tables");
            format!("{rows} in {tables} restored into {name}\n")
        });
        lines.collect()
    });
    for one in &restored.databases {
        for note in &one.notes {
            app.ui.say(&format!("note: {}: {note}", one.database));
        }
        if let Some(previous) = &one.previous_database {
            app.ui.say(&format!(
                "the previous {:?} is {previous:?} now; swap it back with {}",
                one.database,
                super::undo::undo_command(&one.database)
            ));
        }
    }
}
