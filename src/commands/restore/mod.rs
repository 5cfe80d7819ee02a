//! `envctl restore`: put a backup back, all or nothing.

pub(crate) mod all_databases;
mod data_only;
mod leave_out;
pub(crate) mod plan_json;
pub(crate) mod previous;
mod target;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::app::global_args::option;
use crate::commands::connect::ConnectedDatabase;
use crate::commands::find_catalog;
use crate::commands::multi_stack::one_stack;
use crate::commands::restore::target::RestoreTarget;
use crate::commands::transport_args::WayArgs;
use crate::config::Settings;
use crate::consent::{Decision, Guard, Unlike};
use crate::dump::format::Format;
use crate::dump::sql::Rules;
use crate::environment::{Environment, Inventory};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::atomic_file::home_of;
use crate::postgres::Session;
use crate::postgres::search_path::SearchPath;
use crate::postgres::tools::dump_runner::Transport;
use crate::progress::Progress;
use crate::random::nonce;
use crate::repository::authenticity::Authenticity;
use crate::repository::authenticity::ManifestKeys;
use crate::repository::catalog::{Backup, Catalog};
use crate::repository::identity::{Difference, Identity, IdentityPart};
use crate::repository::manifest::Manifest;
use crate::restore::all_databases::{Roles, is_cluster};
use crate::restore::input::{DumpSource, ExaminedDump, InputOptions, examine};
use crate::restore::load::parallel::{MOST_JOBS, share_out};
use crate::restore::load::parallel_archive::ParallelArchive;
use crate::restore::run::{ParallelPlan, RestorePlan, Restored, look, run as carry_out};
use crate::restore::search_path_aids::Aids;
use crate::text::shell_word::shell_word;
use crate::text::units::{age, count, counted, moment};

/// Arguments of `restore`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RestoreCommandArgs {
    #[command(flatten)]
    restore: RestoreArgs,
    #[command(subcommand)]
    verb: Option<RestoreVerb>,
}

#[derive(Debug, Subcommand)]
enum RestoreVerb {
    /// Swap the database that the last restore replaced back in
    Undo(undo::UndoArgs),
    /// List the databases that restores have replaced, or drop them
    Previous(previous::PreviousArgs),
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// A file, a name from `backup list`, `latest`, or `-` for stdin
    #[arg(value_name = "FILE|latest|-")]
    source: Option<PathBuf>,
    /// The profile whose backups are meant
    #[arg(long, value_name = "PROFILE")]
    from: Option<String>,
    /// The profile that is restored
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["dev", "prod", "profile"])]
    to: Option<String>,
    /// Restore into this database instead, made if it is not there
    #[arg(long, value_name = "DB")]
    into: Option<String>,
    /// Restore a file of unknown origin although it would run code on the server
    #[arg(long)]
    trust: bool,
    /// Do not back up what is there now
    #[arg(long)]
    no_backup: bool,
    /// Load over so many sessions, usually 2 for a large backup: tables side by side, and indexes behind theirs
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_JOBS)))]
    jobs: Option<u8>,
    #[command(flatten)]
    leave_out: leave_out::LeaveOutArgs,
    /// Let functions find names without a schema in these schemas while the dump is loaded: `public,extensions`
    #[arg(long, value_name = "SCHEMAS")]
    search_path: Option<SearchPath>,
    /// Add CHECKs that call functions when all rows are in: such a function may read another table
    #[arg(long)]
    defer_checks: bool,
    #[command(flatten)]
    ways: WayArgs,
}

impl RestoreArgs {
    /// The options that decide how the file is read, and the command that a hint adds to.
    fn asked(&self, source: &Path, keys: ManifestKeys) -> Result<InputOptions> {
        let rules = self.leave_out.rules()?;
        let mut options = String::new();
        if let Some(into) = &self.into {
            options.push_str(&format!(" --into {}", shell_word(into)));
        }
        if let Some(from) = &self.from {
            options.push_str(&format!(" --from {}", shell_word(from)));
        }
        if let Some(path) = &self.search_path {
            options.push_str(&format!(" --search-path {}", shell_word(&path.schemas().join(","))));
        }
        if let Some(jobs) = self.jobs {
            options.push_str(&format!(" --jobs {jobs}"));
        }
        for (given, option) in [
            (self.trust, " --trust"),
            (self.defer_checks, " --defer-checks"),
            (self.no_backup, " --no-backup"),
        ] {
            if given {
                options.push_str(option);
            }
        }
        for option in rules.options() {
            options.push_str(&format!(" {option}"));
        }
        let command = format!("envctl restore {}{options}", shell_word(&source.display().to_string()));
        let into = self.into.clone();
        Ok(InputOptions { trust: self.trust, keys, rules, command, options, database: None, into })
    }
}

/// # Errors
/// See [`carry_out`]; unless the kind is `Unknown`, the database is as it was.
pub(crate) async fn run(args: RestoreCommandArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    match args.verb {
        Some(RestoreVerb::Undo(args)) => undo::run(&args, global, app).await,
        Some(RestoreVerb::Previous(args)) => previous::run(&args, global, app).await,
        None => Box::pin(restore(args.restore, global, app)).await,
    }
}

#[expect(clippy::too_many_lines, reason = "one recipe, read from top to bottom")]
async fn restore(args: RestoreArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let asked = args.source.clone().ok_or_else(|| {
        error::usage("what shall be restored?")
            .hint("name it: `envctl restore latest`, or a file of `envctl backup list`")
    })?;
    let global = &args.to.as_deref().map_or_else(|| global.clone(), |profile| global.with_profile(profile));
    let settings = app.settings(global)?;
    one_stack(&settings, "restore", "select one stack, each has a backup of its own to choose: `-s STACK`")?;
    let daemon = app.connect(&settings, global)?;
    let landscape = app.landscape(&daemon, &settings).await?;
    let environment = landscape.environment(&settings.target)?;
    let environment = app.protected_by_its_own(environment, &settings)?;
    let settings = settings.for_stack(&environment)?;
    app.means(&environment);
    // The newest backup of a database is known once it is known which database that is.
    let early = if asked.as_os_str() == "latest" {
        Some(target::reach(app, &daemon, &settings, &environment, None).await?)
    } else {
        None
    };
    let meant = early.as_ref().map(RestoreTarget::meant);
    let source = source(app, &asked, &args, &settings, &landscape, &environment, meant.as_ref())?;
    if let DumpSource::File(path) = &source
        && is_cluster(path)
    {
        return Box::pin(crate::commands::restore::all_databases::run(
            &args,
            global,
            app,
            &settings,
            &daemon,
            &environment,
            path,
        ))
        .await;
    }
    // The file first: what is not whole never meets the server.
    let progress: Arc<dyn Progress> = app.ui.progress();
    let mut reading = args.asked(&asked, app.manifest_keys(&settings)?)?;
    reading.database = global.database().map(str::to_owned);
    let mut examined = match &source {
        DumpSource::Stdin => None,
        DumpSource::File(path) => {
            progress.step(&format!("checking {}", path.display()));
            Some(examine(path, &reading, app.threads(), &progress, &app.interrupt).await?)
        }
    };
    app.ui.end_progress();
    let made_from =
        examined.as_ref().and_then(|examined| examined.manifest.as_ref()?.source.profile.as_deref());
    crosses_up(&args, global, &environment, made_from)?;
    // Only a manifest that vouches may settle which database is meant.
    let vouching = examined.as_ref().filter(|examined| examined.authenticity.vouches());
    let made_of = vouching.and_then(|examined| Some(examined.manifest.as_ref()?.database.clone()));
    let (of, reached) = if let Some(early) = early {
        // The newest backup was looked for by the name of its database.
        (early.missing.clone(), early)
    } else {
        let of = examined.as_ref().and_then(ExaminedDump::of_database).map(str::to_owned);
        (of, target::reach(app, &daemon, &settings, &environment, made_of.as_deref()).await?)
    };
    let database = reached.database(args.into.as_deref(), of.as_deref(), &reading.command)?;
    let found = reached.found;
    let roles = roles(&args, app, &found, examined.as_mut()).await?;
    let examined = examined.as_ref();
    let mut command = reading.command.clone();
    // With `--into` none is added to the command when it is printed.
    if let Some(name) = global.database() {
        command.push_str(&format!(" {}", option("-d", "--database", name)));
    }
    let wanted = RestoreInput { source, examined, asked: reading, roles, database, encoding: None };
    let mut plan = plan(&args, app, &settings, &found, wanted).await?;
    let identity = found.in_database(&plan.database).identity();
    let manifest = examined.and_then(|examined| examined.manifest.as_ref());
    let differences = manifest.map(|manifest| identity.differences(manifest)).unwrap_or_default();
    let taken = examined.and_then(|examined| examined.taken.as_ref());
    let other = taken.filter(|taken| plan.exists && args.into.is_none() && **taken != plan.database);
    let prod = environment.profile.counts_as_prod();
    let naming = option("--into", "--into", &plan.database);
    let unnamed = Unnamed { differences: &differences, exists: plan.exists, taken: other.is_some(), naming };
    let unlike = args.unlike(&unnamed, prod, &command);
    if let Some(taken) = other {
        let note = format!("the part of the file is of database {taken:?}, this is {:?}", plan.database);
        plan.findings.warnings.insert(0, note);
    }
    if manifest.is_some_and(Manifest::is_empty) {
        plan.findings.warnings.push("the backup is of an empty database: there is nothing in it".to_owned());
    }
    plan.findings.warnings.splice(0..0, differences.iter().map(ToString::to_string));
    let before = plan.backup_first.then(|| found.in_database(&plan.database));
    let target = (&found.target, unlike);
    let plan = match app.confirm_unlike(plan, Guard::Destroy, target, &global.consent())? {
        Decision::Go(plan) => plan,
        Decision::DryRun(plan) => {
            crate::commands::restore::plan_json::show(app, &plan);
            return Ok(());
        }
    };
    if let Some(before) = before {
        let path = super::backup::safety(app, &daemon, &settings, &before).await?;
        app.ui.say(&format!("what is there now is backed up in {}", path.display()));
    }
    let progress: Arc<dyn Progress> = app.ui.progress();
    let restoring = carry_out(&found.container, plan, &progress, &app.interrupt);
    let restored = Box::pin(restoring).await;
    app.ui.end_progress();
    show(app, &restored?);
    Ok(())
}

/// Data of another profile goes up into production only where both ends are named.
fn crosses_up(
    args: &RestoreArgs,
    global: &GlobalArgs,
    environment: &Environment,
    made_from: Option<&str>,
) -> Result<()> {
    let from = args.from.as_deref().or(made_from).map(normal);
    let upwards = environment.profile.counts_as_prod() && from.is_some_and(|from| from != "prod");
    let both_named = args.from.is_some() && (args.to.is_some() || global.names_profile());
    if upwards && !both_named {
        let from = from.unwrap_or_default();
        return Err(error::refused(format!("this would put the data of {from} into {environment}")).hint(
            format!(
                "name both ends, if that is what you want: `--from {from} --to {}`",
                environment.profile.word()
            ),
        ));
    }
    Ok(())
}

/// Differences between what comes in and its target, as far as they may still have to be named.
struct Unnamed<'a> {
    differences: &'a [Difference],
    /// The database that is restored is there.
    exists: bool,
    /// The part of a file with several databases is of another one.
    taken: bool,
    /// Option that names where the data goes: `--into shop`.
    naming: String,
}

impl RestoreArgs {
    /// Returns what has to be agreed to where the command line does not name every difference: another database by
    /// `--into`, another profile by `--from`.
    fn unlike(&self, unnamed: &Unnamed<'_>, prod: bool, command: &str) -> Option<Unlike> {
        let (into, from) = (self.into.is_some(), self.from.as_deref().map(normal));
        let (mut wants_into, mut wants_from, mut wants_name) = (unnamed.taken, None, false);
        for difference in unnamed.differences {
            let profile = normal(&difference.backup);
            match difference.part {
                IdentityPart::Database => wants_into |= !into,
                IdentityPart::Profile if from != Some(profile) => wants_from = Some(profile),
                IdentityPart::Profile => {}
                // In production the typed name is asked for anyway: where the data goes is named as well.
                IdentityPart::Stack | IdentityPart::Service | IdentityPart::Host if prod => {
                    wants_into |= !into && from.is_none();
                }
                // Into a database that is not there nothing comes unasked.
                IdentityPart::Stack | IdentityPart::Service | IdentityPart::Host => {
                    wants_name |= !into || unnamed.exists;
                }
            }
        }
        if !wants_into && wants_from.is_none() && !wants_name {
            return None;
        }
        let mut command = command.to_owned();
        if wants_into {
            command.push_str(&format!(" {}", unnamed.naming));
        }
        if let Some(profile) = wants_from {
            command.push_str(&format!(" {}", option("--from", "--from", profile)));
        }
        Some(Unlike { command })
    }
}

fn source(
    app: &App,
    asked: &Path,
    args: &RestoreArgs,
    settings: &Settings,
    landscape: &Inventory,
    environment: &Environment,
    found: Option<&ConnectedDatabase>,
) -> Result<DumpSource> {
    if asked.as_os_str() == "-" {
        return Ok(DumpSource::Stdin);
    }
    let own = environment.profile.name.as_deref();
    let profile = args.from.as_deref().map(normal).or(own);
    let catalog = match profile.filter(|profile| Some(*profile) != own) {
        Some(other) => find_catalog::of_profile(settings, landscape, environment, other)?,
        None => find_catalog::of(settings, environment)?,
    };
    if let Some(found) = found {
        let latest = latest(&catalog, found, profile, settings)?;
        for (path, problem) in catalog.passed_over(&latest)? {
            app.ui.warn(&format!("{} is newer and passed over: {problem}", path.display()));
        }
        return Ok(DumpSource::File(latest.path));
    }
    let named = catalog.find(asked);
    let path = if !asked.exists() && named.exists() { named } else { asked.to_owned() };
    Ok(DumpSource::File(path))
}

/// The newest backup of this target; of another profile, of the database that is configured for that, else of the one
/// of the same name, else of the only one.
fn latest(
    catalog: &Catalog,
    found: &ConnectedDatabase,
    profile: Option<&str>,
    settings: &Settings,
) -> Result<Backup> {
    let own = found.identity();
    if profile == own.profile.as_deref() {
        return catalog.latest(&own);
    }
    // What runs there has its own containers, on whatever host.
    let container = None;
    let there = Identity { profile: profile.map(str::to_owned), container, context: None, ..own };
    if let Some(name) = &settings.database(profile).name {
        return catalog.latest(&Identity { database: Some(name.clone()), ..there });
    }
    catalog.latest(&there).or_else(|error| match error.kind() {
        ErrorKind::Target => catalog.latest(&Identity { database: None, ..there }),
        _ => Err(error),
    })
}

fn normal(profile: &str) -> &str {
    match profile {
        "production" => "prod",
        "development" => "dev",
        other => other,
    }
}

/// Dump to restore, and the database to restore it to.
struct RestoreInput<'a> {
    source: DumpSource,
    examined: Option<&'a ExaminedDump>,
    asked: InputOptions,
    /// Roles that are made first.
    roles: Roles,
    database: String,
    /// Encoding for a database that does not exist yet, if known.
    encoding: Option<&'a str>,
}

/// The note on statements behind the trailer.
fn behind(examined: &ExaminedDump) -> Option<String> {
    let behind = examined.summary.notes.behind;
    (behind > 0).then(|| {
        let statements = if behind == 1 { "statement follows" } else { "statements follow" };
        format!("{} {statements} the end of the dump, run with it", count(behind))
    })
}

/// The roles that the file makes and the server has not, of those that the dump names.
async fn roles(
    args: &RestoreArgs,
    app: &App,
    found: &ConnectedDatabase,
    examined: Option<&mut ExaminedDump>,
) -> Result<Roles> {
    let Some(examined) = examined.filter(|examined| !examined.globals.is_empty()) else {
        return Ok(Roles::default());
    };
    let asking = async {
        let container = &found.container;
        let mut session = Session::open(container, &found.access, "envctl restore").await?;
        let rows = session.query("select rolname from pg_catalog.pg_roles").await.map_err(Error::from)?;
        session.close().await;
        Ok::<_, Error>(rows)
    };
    let rows = app.interrupt.or(asking).await??;
    let existing: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next()).collect();
    Ok(examined.take_roles(&existing, args.trust))
}

async fn plan(
    args: &RestoreArgs,
    app: &App,
    settings: &Settings,
    found: &ConnectedDatabase,
    wanted: RestoreInput<'_>,
) -> Result<RestorePlan> {
    let RestoreInput { source, examined, asked, roles, database, encoding } = wanted;
    let container = &found.container;
    let looking =
        look(container, &found.access, &database, examined.map(|examined| (examined, &asked)), encoding);
    let (exists, version, mut findings) = app.interrupt.or(looking).await??;
    findings
        .warnings
        .extend(examined.and_then(|examined| unauthenticated(&examined.authenticity, args.trust)));
    findings.warnings.extend(examined.iter().flat_map(|examined| examined.notes.iter().cloned()));
    findings.warnings.extend(examined.and_then(behind));
    let manifest = examined.and_then(|examined| examined.manifest.as_ref());
    if findings.in_place {
        in_place(args, &source, &database)?;
    }
    let data_only = data_only::decide(found, &source, examined, (&database, exists), &findings);
    let data_only = app.interrupt.or(data_only).await??;
    if manifest.is_some_and(|manifest| !manifest.whole) && exists && data_only.is_none() {
        return Err(error::refused(format!(
            "{} holds only a part of its database and would replace all of {database:?}",
            source.name()
        ))
        .hint("put it into a database of its own: `--into NAME`"));
    }
    let mut ways = args.ways.ways(app, settings)?;
    let jobs = jobs(args, app, settings, examined)?;
    let InputOptions { mut rules, command, .. } = asked;
    rules.database = examined.and_then(|examined| examined.taken.clone());
    rules.triggers =
        data_only.is_some() && examined.is_some_and(|examined| examined.summary.notes.rows.triggers > 0);
    let mut left_out = examined.map(|examined| examined.left_out.clone()).unwrap_or_default();
    left_out.merge(rules.adapt(examined.map(|examined| &examined.summary.notes), &findings.unknown_settings));
    let shared = if findings.in_place {
        app.ui.detail("one session loads it, in one transaction");
        None
    } else {
        match shared(jobs, ways.transport, app, &source, (examined, &rules)).await? {
            Some(Err(reason)) => {
                let aside = format!("ignoring -j {jobs}, one session loads it: {reason}");
                if args.jobs.is_some() || settings.restore.jobs.is_some() {
                    findings.warnings.push(aside);
                } else {
                    app.ui.detail(&aside);
                }
                None
            }
            Some(Ok(shared)) => Some(shared),
            None => None,
        }
    };
    if let DumpSource::File(path) = &source {
        ways.disk = Some(home_of(path)?);
    }
    Ok(RestorePlan {
        operation: nonce(),
        who: app.who(),
        origin: origin(examined, app.now()),
        backup_first: exists && !args.no_backup && !findings.in_place,
        exists,
        database,
        access: found.access.clone(),
        version,
        findings,
        authenticity: examined.map_or(Authenticity::NoManifest, |examined| examined.authenticity.clone()),
        trust: args.trust,
        command,
        rules,
        data_only,
        left_out,
        extensions: examined.map(|one| one.summary.extension_places.clone()).unwrap_or_default(),
        tablespaces: examined.map(|one| one.summary.tablespaces.clone()).unwrap_or_default(),
        roles,
        taken: examined.and_then(|examined| examined.taken.clone()),
        sha256: examined.map(|examined| examined.sha256),
        bytes: examined.map(|examined| examined.summary.bytes),
        format: examined.map(|examined| examined.format),
        rows: examined.map(|examined| examined.summary.rows()),
        shared,
        aids: Aids {
            search_path: args.search_path.clone().unwrap_or_default(),
            defer_checks: args.defer_checks,
        },
        source_path: manifest
            .map(|manifest| SearchPath::of(manifest.search_path.clone()))
            .unwrap_or_default(),
        threads: app.threads(),
        at: app.now().to_string(),
        lock_limit: settings.timeouts.lock,
        ways,
        source,
        properties: None,
    })
}

/// Refuses what cannot be done in one transaction in the database itself.
fn in_place(args: &RestoreArgs, source: &DumpSource, database: &str) -> Result<()> {
    if *source == DumpSource::Stdin {
        return Err(error::refused(format!(
            "a pipe is verified only after the load, and the role may only fill {database:?} itself"
        ))
        .hint("restore it from a file: `envctl restore FILE`"));
    }
    if args.search_path.is_some() || args.defer_checks {
        return Err(error::refused("only a superuser can use --search-path and --defer-checks")
            .hint("name a superuser in envctl.toml: `[database] user = \"…\"`"));
    }
    Ok(())
}

/// Describes a manifest that vouches for nothing, and the way out.
fn unauthenticated(authenticity: &Authenticity, trust: bool) -> Option<String> {
    let doubt = authenticity.doubt()?;
    Some(if trust {
        format!("{doubt}; `--trust` lets pass what it would run")
    } else {
        format!(
            "{doubt}: the file was scanned like one of unknown origin; \
             a key shared by a team is named by `backup.manifest_key_file`"
        )
    })
}

/// From here on a second session is worth its start; two ask no more of a server than the application did.
const WORTH_TWO: u64 = 64 << 20;

/// Number of load sessions: `-j`, else the setting, else by the size of the dump.
fn jobs(args: &RestoreArgs, app: &App, settings: &Settings, examined: Option<&ExaminedDump>) -> Result<u8> {
    if let Some(jobs) = args.jobs {
        return Ok(jobs);
    }
    let Some(jobs) = settings.restore.jobs else {
        let ours = examined.filter(|dump| dump.format == Format::Plain && dump.authenticity.vouches());
        return Ok(usual_jobs(ours.map_or(0, |dump| dump.summary.bytes), app.threads()));
    };
    u8::try_from(jobs).ok().filter(|jobs| *jobs <= MOST_JOBS).ok_or_else(|| {
        error::usage(format!("{}: at most {MOST_JOBS} sessions load", settings.origin("restore.jobs")))
    })
}

fn usual_jobs(plain_bytes: u64, threads: usize) -> u8 {
    if plain_bytes >= WORTH_TWO && threads > 1 { 2 } else { 1 }
}

/// Shares the dump out over `-j N` sessions, or gives the reason why one session loads it; `None` where one was asked for.
async fn shared(
    jobs: u8,
    transport: Transport,
    app: &App,
    source: &DumpSource,
    (examined, rules): (Option<&ExaminedDump>, &Rules),
) -> Result<Option<std::result::Result<ParallelPlan, &'static str>>> {
    // An archive is read by a worker itself, or passes the daemon.
    let by_worker = transport == Transport::Worker
        && examined.is_some_and(|examined| examined.format != Format::Plain)
        && matches!(source, DumpSource::File(_));
    if jobs == 1 && !by_worker {
        return Ok(None);
    }
    let shared = match (source, examined) {
        (DumpSource::File(_), Some(examined))
            if rules.triggers || (examined.format == Format::Plain && !rules.is_empty()) =>
        {
            Err("statements of it are left out or changed")
        }
        (DumpSource::File(path), Some(examined)) if examined.format == Format::Plain => {
            share_out(path, examined, jobs)?.map(|shared| ParallelPlan::Plain(Arc::new(shared)))
        }
        (DumpSource::File(path), Some(examined)) => {
            let spread = ParallelArchive::of(path, examined, jobs, &app.interrupt).await?;
            spread.map(|spread| ParallelPlan::Archive(Arc::new(spread)))
        }
        _ => Err("a pipe can only be read from its start"),
    };
    Ok(Some(shared))
}

fn origin(examined: Option<&ExaminedDump>, now: jiff::Timestamp) -> String {
    let Some(examined) = examined else { return "stdin; it is verified before the swap".to_owned() };
    match &examined.manifest {
        Some(manifest) => format!(
            "{} {}, database {}, PostgreSQL {}, {} ({})",
            manifest.source.stack,
            manifest.source.profile.as_deref().unwrap_or("(profile unknown)"),
            manifest.database,
            manifest.server_version,
            moment(manifest.started),
            age(manifest.started, now)
        ),
        None => format!(
            "a file without a manifest, PostgreSQL {}; its own end is there",
            examined.summary.server_version.as_deref().unwrap_or("unknown")
        ),
    }
}

/// The command that takes a restore of this database back. It names the database: which one is meant without a name
/// may change until the command is typed.
fn undo_command(database: &str) -> String {
    format!("`envctl restore undo {}`", option("-d", "--database", database))
}

fn show(app: &App, restored: &Restored) {
    app.ui.show(restored, |_| {
        format!(
            "{} in {} restored into {}\n",
            counted(restored.rows, "row", "rows"),
            counted(restored.tables as u64, "table", "tables"),
            crate::text::escape::escape(&restored.database)
        )
    });
    for note in &restored.notes {
        app.ui.say(&format!("note: {note}"));
    }
    if let Some(previous) = &restored.previous_database {
        app.ui.say(&format!(
            "the previous database is {previous:?} now; swap it back with {}",
            undo_command(&restored.database)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_session_has_to_be_worth_its_start() {
        assert_eq!((usual_jobs(0, 8), usual_jobs(WORTH_TWO - 1, 8)), (1, 1));
        assert_eq!((usual_jobs(WORTH_TWO, 8), usual_jobs(u64::MAX, 1)), (2, 1));
    }
}
