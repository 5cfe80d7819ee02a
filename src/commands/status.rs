//! `envctl status`: every stack, its containers, databases, migrations and last backup.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use serde::Serialize;

use crate::app::{App, Daemon};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::find_catalog::{self, SelectedBackups};
use crate::config::Settings;
use crate::config::store_url::StoreUrl;
use crate::doctor;
use crate::doctor::schedules::ScheduleCondition;
use crate::environment::selector::TargetRequest;
use crate::environment::{Environment, Inventory, Role};
use crate::error::{self, Result};
use crate::postgres::database_info::{DatabaseInfo, PrismaHistory};
use crate::repository::identity::Identity;
use crate::repository::store::{Patience, Store};
use crate::schedule::state::{ScheduleSelection, ScheduledRunRow};
use crate::text::units::{age, bytes};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub(crate) struct StatusArgs {
    /// The last backups are those in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
}

#[derive(Serialize)]
struct StatusAnswer {
    context: String,
    stacks: Vec<EnvironmentRow>,
    schedules: Vec<ScheduleRow>,
}

/// Schedule of backups.
#[derive(Serialize)]
struct ScheduleRow {
    path: String,
    #[serde(flatten)]
    selection: ScheduleSelection,
    cron: Option<String>,
    time_zone: Option<String>,
    next: Option<jiff::Timestamp>,
    overdue: bool,
    running: bool,
    last_success: Option<jiff::Timestamp>,
    last: Option<ScheduledRunRow>,
}

/// One profile of one stack.
#[derive(Serialize)]
struct EnvironmentRow {
    stack: String,
    profile: Option<String>,
    project: Option<String>,
    directory: Option<String>,
    protected: bool,
    containers: Vec<ContainerRow>,
    /// Of the only database service; null where there are several.
    database: Option<DatabaseRow>,
    databases: Vec<DatabaseRow>,
    last_backup: Option<BackupRow>,
    backup_directory: Option<String>,
    #[serde(skip)]
    prod: bool,
}

#[derive(Serialize)]
struct ContainerRow {
    service: String,
    role: Option<String>,
    name: String,
    state: String,
    health: Option<&'static str>,
}

#[derive(Clone, Serialize)]
struct DatabaseRow {
    service: String,
    name: Option<String>,
    version: Option<String>,
    size: Option<u64>,
    migrations: Option<PrismaHistory>,
    problem: Option<String>,
    last_backup: Option<BackupRow>,
    /// Reason why no backup was found, with the directory that was searched.
    #[serde(skip)]
    no_backup: Option<String>,
}

#[derive(Clone, Serialize)]
struct BackupRow {
    path: String,
    started: jiff::Timestamp,
    verified: &'static str,
}

/// Databases that are asked at a time: an exec costs the daemon 40 ms of a core.
const AT_ONCE: usize = 4;

/// # Errors
/// Kind `Docker`: the daemon cannot be asked. A database that does not answer is shown as such.
pub(crate) async fn run(args: StatusArgs, ctx: &CommandContext) -> Result<()> {
    let inventory = ctx.inventory().await?;
    let store = match &args.store {
        None => None,
        Some(url) => Some(ctx.open_store(&ctx.settings, url, Patience::Short).await?),
    };
    let environments = wanted(&inventory, &ctx.settings)?;
    let directories = find_catalog::backup_directories(&ctx.settings, environments.iter());
    let stacks = environments.into_iter().map(|environment| ctx.of(environment));
    let looking = futures::stream::iter(stacks.collect::<Result<Vec<_>>>()?)
        .map(|stack| look(stack, store.clone()))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>();
    let stacks = ctx.cancel.run_until_cancelled(looking).await?;
    if stacks.is_empty() {
        ctx.ui.say(&nothing(&inventory, ctx.daemon()?));
    }
    for row in &stacks {
        for database in &row.databases {
            let Some(problem) = &database.problem else { continue };
            match row.databases.len() {
                1 => ctx.ui.warn(&format!("{}: {problem}", row.stack)),
                _ => ctx.ui.warn(&format!("{} {}: {problem}", row.stack, database.service)),
            }
        }
    }
    tell_missing(ctx, &stacks);
    let now = ctx.now();
    let schedules = schedules(ctx, directories, now).await?;
    let answer = StatusAnswer { context: ctx.daemon()?.context.clone(), stacks, schedules };
    ctx.ui.show(&answer, |ui| {
        if answer.stacks.is_empty() { String::new() } else { ui.render(&table(&answer.stacks, now)) }
    });
    Ok(())
}

/// Time limit for the look at the states of schedules.
const SCHEDULES_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// Finds the schedules, and tells each in a line.
async fn schedules(
    ctx: &CommandContext,
    directories: Vec<PathBuf>,
    now: jiff::Timestamp,
) -> Result<Vec<ScheduleRow>> {
    // On a thread of its own: a directory on a server that is gone hangs whoever reads it.
    let looking = tokio::task::spawn_blocking(move || doctor::schedules::look(&directories));
    let looking = tokio::time::timeout(SCHEDULES_LIMIT, looking);
    let Ok(Ok(reports)) = ctx.cancel.run_until_cancelled(looking).await? else {
        ctx.ui.warn("the states of schedules cannot be read");
        return Ok(Vec::new());
    };
    let local = ctx.time_zone();
    let mut rows = Vec::new();
    for report in &reports {
        let state = match &report.state {
            Ok(state) => state,
            Err(error) => {
                ctx.ui.warn(&error.full_message());
                continue;
            }
        };
        let condition = report.condition(state, now, &local);
        let line = format!("schedule of {}", doctor::schedules::summary(report, state, now, &local));
        match condition {
            ScheduleCondition::Overdue | ScheduleCondition::Failed | ScheduleCondition::Killed => {
                ctx.ui.warn(&format!("{line}; what to type: `envctl doctor`"));
            }
            _ => ctx.ui.say(&line),
        }
        rows.push(ScheduleRow {
            path: report.path.display().to_string(),
            selection: state.selection.clone(),
            cron: state.cron.clone(),
            time_zone: state.time_zone.clone(),
            next: state.times(&local).and_then(|times| times.next_run(state.after)),
            overdue: condition == ScheduleCondition::Overdue,
            running: report.running,
            last_success: state.last_success,
            last: state.last.as_ref().map(ScheduledRunRow::from),
        });
    }
    Ok(rows)
}

/// So many stacks without a backup are told one by one.
const TOLD: usize = 5;

/// Prints the directories in which no backup was found.
fn tell_missing(app: &App, rows: &[EnvironmentRow]) {
    let missing: Vec<String> = rows
        .iter()
        .flat_map(|row| row.databases.iter().map(move |database| (row, database)))
        .filter_map(|(row, database)| {
            let reason = database.no_backup.as_ref()?;
            let profile = row.profile.as_deref().unwrap_or("unknown");
            let service =
                if row.databases.len() > 1 { format!(" {}", database.service) } else { String::new() };
            Some(format!("{} {profile}{service}: {reason}", row.stack))
        })
        .collect();
    if missing.len() > TOLD && app.ui.options().verbose == 0 {
        let count = missing.len();
        app.ui
            .say(&format!("{count} databases have no verified backup; `-v` says where each was looked for"));
        return;
    }
    for line in missing {
        app.ui.say(&line);
    }
}

/// Everything, unless a stack or a profile was named.
pub(crate) fn wanted(inventory: &Inventory, settings: &Settings) -> Result<Vec<Environment>> {
    let request = &settings.target;
    if request.container.is_some() {
        return inventory.environments(request);
    }
    let names = globs(&request.stacks)?;
    let stacks = inventory.stacks();
    // Each name has to fit something, as with every other verb: the error lists what is there.
    for pattern in &request.stacks {
        let glob = globs(std::slice::from_ref(pattern))?;
        if !stacks.iter().any(|stack| glob.is_match(stack.name)) {
            let alone = TargetRequest { stacks: vec![pattern.clone()], profile: None, ..request.clone() };
            inventory.environments(&alone)?;
        }
    }
    let profile = request.profile.as_deref();
    let wanted: Vec<Environment> = stacks
        .into_iter()
        .filter(|stack| request.stacks.is_empty() || names.is_match(stack.name))
        .flat_map(|stack| stack.environments)
        .filter(|environment| profile.is_none_or(|name| environment.profile.keyword() == name))
        .cloned()
        .collect();
    let named = !request.stacks.is_empty() || profile.is_some();
    if wanted.is_empty() && named { inventory.environments(request) } else { Ok(wanted) }
}

/// Every profile of several stacks, as far as it runs; the one that was named, where one was.
pub(crate) fn each_profile(inventory: &Inventory, settings: &Settings) -> Result<Vec<Environment>> {
    if settings.target.profile.is_some() {
        return inventory.environments(&settings.target);
    }
    let running: Vec<Environment> =
        wanted(inventory, settings)?.into_iter().filter(Environment::is_up).collect();
    if running.is_empty() { inventory.environments(&settings.target) } else { Ok(running) }
}

fn globs(patterns: &[String]) -> Result<globset::GlobSet> {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        let glob = globset::Glob::new(pattern).map_err(|e| {
            crate::error::usage(format!("`--stack {pattern}` is no name and no glob")).because(e)
        })?;
        set.add(glob);
    }
    set.build().map_err(|e| crate::error::usage("the globs of `--stack` are too large").because(e))
}

pub(crate) fn nothing(inventory: &Inventory, daemon: &Daemon) -> String {
    let others: usize = inventory.others().map(|environment| environment.members.len()).sum();
    format!(
        "no stack with a backend or a database runs in Docker context {}{}; start one with `docker compose up -d`, or name containers in envctl.toml",
        daemon.context,
        match others {
            0 => String::new(),
            1 => " (1 other container runs)".to_owned(),
            n => format!(" ({n} other containers run)"),
        }
    )
}

async fn look(stack: StackContext, store: Option<Arc<dyn Store>>) -> EnvironmentRow {
    let environment = &stack.environment;
    let profile = environment.profile.name.clone();
    let (catalog, remote) = match (SelectedBackups::of(&stack.settings, environment), store) {
        (Ok(selected), Some(store)) => {
            let backups = selected.in_store(store);
            let listed = backups.list().await;
            (Ok(backups.catalog().clone()), Some((backups, listed)))
        }
        (selected, _) => (selected.map(|selected| selected.catalog), None),
    };
    let latest = |target: &Identity| match (&catalog, &remote) {
        (Ok(_), Some((backups, Ok(listed)))) => Ok(backups.latest_of(listed, target)?.backup),
        (Ok(_), Some((_, Err(error)))) => Err(error::failed(error.full_message())),
        (Ok(catalog), None) => catalog.latest(target),
        (Err(error), _) => Err(error::usage(error.full_message())),
    };
    let backup_directory = catalog.as_ref().ok().map(|catalog| catalog.directory().display().to_string());
    let mut databases = Vec::new();
    // The one that ties were broken for is not the only one that is looked at.
    for service in environment.database_services() {
        let one = environment.with_database(service);
        let only = environment.database_services().len() < 2;
        let mut row = ask(&stack.with_environment(one.clone()), service).await;
        let database = row.name.clone().or_else(|| stack.settings.database(profile.as_deref()).name.clone());
        let target = one.with_role(Role::Db).next().map(|member| Identity {
            stack: one.stack.clone(),
            profile: profile.clone(),
            service: one.project.is_some().then(|| member.service.clone()),
            container: Some((member.container.name.clone(), member.container.id.clone())),
            only_service: only,
            database,
            context: Some(stack.daemon.context.clone()),
        });
        let latest = match target {
            Some(target) => latest(&target),
            None if catalog.is_ok() => continue,
            None => latest(&Identity::default()),
        };
        match latest {
            Ok(backup) => {
                let path = backup.path.display().to_string();
                let (started, verified) = (backup.label.timestamp(), backup.verification().keyword());
                row.last_backup = Some(BackupRow { path, started, verified });
            }
            Err(error) => row.no_backup = Some(error.full_message()),
        }
        databases.push(row);
    }
    let only = match databases.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    let last_backup =
        databases.iter().filter_map(|row| row.last_backup.clone()).max_by_key(|backup| backup.started);
    EnvironmentRow {
        prod: environment.profile.counts_as_prod(),
        stack: environment.stack.clone(),
        profile,
        project: environment.project.clone(),
        directory: environment.directory.clone(),
        protected: environment.protected,
        containers: environment
            .members
            .iter()
            .map(|member| ContainerRow {
                service: member.service.clone(),
                role: member.role.map(|role| role.to_string()),
                name: member.container.name.clone(),
                state: member.container.state.to_string(),
                health: member.container.health.keyword(),
            })
            .collect(),
        database: only,
        databases,
        last_backup,
        backup_directory,
    }
}

async fn ask(stack: &StackContext, service: &str) -> DatabaseRow {
    let row = DatabaseRow {
        service: service.to_owned(),
        name: None,
        version: None,
        size: None,
        migrations: None,
        problem: None,
        last_backup: None,
        no_backup: None,
    };
    let asking = async {
        let (_, mut session) = stack.connect().await?;
        let facts = DatabaseInfo::read(&mut session).await?;
        // Not waited for: its end of input ends it.
        drop(session);
        Ok::<_, crate::error::Error>(facts)
    };
    let limit = std::time::Duration::from_secs(10);
    match tokio::time::timeout(limit, asking).await {
        Ok(Ok(facts)) => DatabaseRow {
            name: Some(facts.database),
            version: Some(facts.version.to_string()),
            size: Some(facts.size),
            migrations: facts.migrations,
            ..row
        },
        Ok(Err(error)) => DatabaseRow { problem: Some(error.full_message()), ..row },
        Err(_) => DatabaseRow { problem: Some(format!("no answer within {} s", limit.as_secs())), ..row },
    }
}

fn table(rows: &[EnvironmentRow], now: jiff::Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("stack"),
        Column::text("profile"),
        Column::text("container"),
        Column::text("state"),
        Column::text("database").spare(),
        Column::number("size"),
        Column::text("migrations").spare(),
        Column::text("last backup"),
    ]);
    for row in rows {
        for (at, container) in row.containers.iter().enumerate() {
            let first = at == 0;
            let is_db = container.role.as_deref() == Some("db");
            let shown = row.databases.iter().find(|database| is_db && database.service == container.service);
            let profile = row.profile.clone().unwrap_or_else(|| "unknown".to_owned());
            let profile = if row.prod { Cell::toned(profile, Tone::Prod) } else { Cell::from(profile) };
            table.row([
                if first { Cell::from(row.stack.clone()) } else { Cell::from(row.stack.clone()).again() },
                if first { profile } else { profile.again() },
                Cell::from(container.name.clone()),
                state(container),
                shown.map_or_else(|| Cell::from(""), database_cell),
                Cell::from(shown.and_then(|db| db.size).map(bytes).unwrap_or_default()),
                shown.and_then(|db| db.migrations.as_ref()).map_or_else(|| Cell::from(""), migrations),
                shown.map_or_else(|| Cell::from(""), |database| backup(database.last_backup.as_ref(), now)),
            ]);
        }
    }
    table
}

fn state(container: &ContainerRow) -> Cell {
    let text = match container.health {
        Some(health) if container.state == "running" => health.to_owned(),
        _ => container.state.clone(),
    };
    let tone = match text.as_str() {
        "healthy" | "running" => Tone::Good,
        "starting" => Tone::Warn,
        _ => Tone::Bad,
    };
    Cell::toned(text, tone)
}

fn database_cell(row: &DatabaseRow) -> Cell {
    match (&row.name, &row.version, &row.problem) {
        (Some(name), Some(version), _) => Cell::from(format!("{name} (PostgreSQL {version})")),
        (_, _, Some(problem)) if problem.contains("starting up") => Cell::toned("starting", Tone::Warn),
        (_, _, Some(_)) => Cell::toned("does not answer", Tone::Bad),
        _ => Cell::from(""),
    }
}

fn migrations(migrations: &PrismaHistory) -> Cell {
    match migrations.unfinished {
        0 => Cell::from(format!("{} applied", migrations.applied)),
        n => Cell::toned(format!("{} applied, {n} failed", migrations.applied), Tone::Bad),
    }
}

fn backup(backup: Option<&BackupRow>, now: jiff::Timestamp) -> Cell {
    match backup {
        Some(backup) => Cell::from(age(backup.started, now)),
        None => Cell::toned("none", Tone::Warn),
    }
}
