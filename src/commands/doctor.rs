//! `envctl doctor`: what is wrong and what to type about it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;

use crate::app::encryption::recipients;
use crate::app::{App, Daemon};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::find_catalog;
use crate::commands::shared::find_catalog::SelectedBackups;
use crate::commands::status;
use crate::config::Settings;
use crate::config::secret::SecretSource;
use crate::docker::ContainerInfo;
use crate::docker::exec::subreaper;
use crate::doctor::backups::{BackupReport, DatabaseStorage, is_good};
use crate::doctor::durability::DurabilityReport;
use crate::doctor::stores::StoreReport;
use crate::doctor::{self, CheckFinding, Severity, StackPlace};
use crate::environment::Role;
use crate::environment::selector::ContainerSelector;
use crate::error::{self, Error, ErrorKind, Result};
use crate::postgres::server_durability::ServerDurability;
use crate::repository::catalog::Catalog;
use crate::repository::identity::Identity;
use crate::repository::store::Patience;
use crate::text::shell_word::shell_word;
use crate::text::units::counted;
use crate::ui::{Checklist, Item, Tone};

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct DoctorArgs {}

/// Help text behind the options.
pub(crate) const AFTER_HELP: &str = "\
The worst comes last, with what to type. Orphans of killed runs of envctl (workers, unfinished files, sessions) are \
removed, as the next backup would do. Nothing else is changed, and with --dry-run nothing at all.

Exit code 0: nothing is worse than a note; 9: something needs a decision. -q shows only that.";

#[derive(Serialize)]
struct DoctorAnswer<'a> {
    context: &'a str,
    worst: Severity,
    findings: &'a [CheckFinding],
}

/// Stacks that are looked at at a time.
const AT_ONCE: usize = 4;

/// Time limit for each check of one stack's database, and of its backups.
const LIMIT: Duration = Duration::from_secs(10);
/// Time limit for a look at a container whose database does not answer.
const WITHOUT_SERVER: Duration = Duration::from_secs(3);

/// # Errors
/// Kind `Found`: something wants a decision. `Docker`: the daemon cannot be asked at all. `Target`: no stack of that name.
pub(crate) async fn run(_args: DoctorArgs, ctx: &CommandContext) -> Result<()> {
    let daemon = ctx.daemon()?;
    let inventory = ctx.inventory().await.inspect_err(|error| say_where(ctx, daemon, error))?;
    // Everything, unless something was named; what was named has to be there.
    let environments = status::wanted(&inventory, &ctx.settings)?;
    let stacks =
        environments.into_iter().map(|environment| ctx.of(environment)).collect::<Result<Vec<_>>>()?;
    let looking = look(ctx, &stacks);
    let mut findings = configuration(&ctx.settings);
    if stacks.is_empty() {
        findings.push(CheckFinding::note("containers", status::nothing(&inventory, daemon)));
    }
    findings.extend(ctx.cancel.run_until_cancelled(looking).await??);
    findings.sort_by_key(|finding| finding.severity);
    for step in findings.iter_mut().flat_map(|finding| finding.notes.iter_mut().chain(&mut finding.next)) {
        *step = ctx.ui.complete(step);
    }
    show(ctx, daemon, &findings);
    conclusion(ctx, &findings)
}

/// Which daemon it was: who has several wants to know before all else.
fn say_where(app: &App, daemon: &Daemon, error: &Error) {
    let address = daemon.engine.address();
    if !matches!(error.kind(), ErrorKind::Cancelled(_)) && !error.message().contains(&address) {
        app.ui.say(&format!("asked {address}, {}", choice(daemon)));
    }
}

fn choice(daemon: &Daemon) -> String {
    format!("context {} ({})", daemon.context, daemon.origin)
}

/// Findings about the configuration, which need neither Docker nor a database.
fn configuration(settings: &Settings) -> Vec<CheckFinding> {
    let version = env!("CARGO_PKG_VERSION");
    let file = match &settings.project_file {
        Some(path) => format!("version {version}, {}", path.display()),
        None => format!("version {version}, no envctl.toml; none is needed"),
    };
    let mut findings = vec![CheckFinding::ok("configuration", file)];
    findings.extend(encryption(settings));
    if settings.target.profile.is_none() {
        let general = settings.daemon(None);
        let elsewhere =
            settings.target.rules.profiles.keys().filter(|name| settings.daemon(Some(name)) != general);
        findings.extend(elsewhere.map(|name| {
            CheckFinding::note(
                "configuration",
                format!("profile {name} has another Docker engine, which was not looked at"),
            )
            .next(format!("look there: `envctl doctor --profile {}`", shell_word(name)))
        }));
    }
    findings
}

/// The recipients of backups: those that cannot be used, and none where there have to be some.
fn encryption(settings: &Settings) -> Option<CheckFinding> {
    let error = match recipients(settings) {
        Err(error) => error,
        Ok(None) if settings.backup.encryption.required => {
            error::usage("backups have to be encrypted, and there are no recipients: no backup is made")
                .hint("name who can open them: `backup.encryption.recipients` in envctl.toml")
        }
        Ok(_) => return exposed_identity(settings),
    };
    Some(CheckFinding::problem("encryption", error.full_message()).explained_by(&error))
}

/// Finds an identity that other users of this machine may read.
fn exposed_identity(settings: &Settings) -> Option<CheckFinding> {
    let Some(SecretSource::File(path)) = &settings.backup.encryption.identity else { return None };
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let shown = path.display().to_string();
        CheckFinding::warning("encryption", format!("other users may read the identity {shown}"))
            .next(format!("take that right from them: `chmod 600 {}`", shell_word(&shown)))
    })
}

/// Every check but those of the configuration.
async fn look(ctx: &CommandContext, stacks: &[StackContext]) -> Result<Vec<CheckFinding>> {
    let daemon = ctx.daemon()?;
    let engine = doctor::engine::look(&daemon.engine, choice(daemon), &ctx.private_dirs()).await;
    let mut findings = doctor::engine::judge(&engine);
    // First: what a worker of a killed run does in a database ends with it.
    let beside = stacks
        .iter()
        .filter_map(|stack| find_catalog::catalog_of_environment(&stack.settings, &stack.environment).ok());
    let mut homes: Vec<PathBuf> = beside.map(|catalog| catalog.directory().to_owned()).collect();
    for place in ctx.all_private_dirs() {
        if !homes.contains(&place) {
            homes.push(place);
        }
    }
    let sweeping = doctor::orphans::look(&daemon.engine, &homes, ctx.global.dry_run);
    findings.extend(match tokio::time::timeout(LIMIT, sweeping).await {
        Ok(seen) => doctor::orphans::judge(&seen),
        Err(_) => vec![CheckFinding::warning("orphans", late("the engine's list of workers"))],
    });
    let of_each: Vec<Vec<CheckFinding>> =
        futures::stream::iter(stacks).map(examine).buffered(AT_ONCE).collect().await;
    findings.extend(of_each.into_iter().flatten());
    findings.extend(schedules(ctx, stacks).await);
    Ok(findings)
}

/// Schedules whose states lie beside the backups of these stacks.
async fn schedules(ctx: &CommandContext, stacks: &[StackContext]) -> Vec<CheckFinding> {
    let directories =
        find_catalog::backup_directories(&ctx.settings, stacks.iter().map(|stack| &stack.environment));
    let looking = tokio::task::spawn_blocking(move || doctor::schedules::look(&directories));
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(Ok(seen)) => doctor::schedules::judge(&seen, ctx.now(), &ctx.time_zone()),
        Ok(Err(_)) | Err(_) => vec![CheckFinding::warning("schedule", late("the backup directory"))],
    }
}

/// One profile of one stack.
async fn examine(stack: &StackContext) -> Vec<CheckFinding> {
    let environment = &stack.environment;
    let place = StackPlace::of(environment);
    let mut findings = doctor::containers::judge(environment, &place);
    // What cannot be picked has been told with its containers.
    let mut about = DatabaseStorage::default();
    let mut target = Identity {
        stack: environment.stack.clone(),
        profile: environment.profile.name.clone(),
        database: stack.settings.database(environment.profile.name.as_deref()).name.clone(),
        context: Some(stack.daemon.context.clone()),
        ..Identity::default()
    };
    if let Ok(picked) = environment.pick(&ContainerSelector::Db, stack.settings.target.index) {
        let answers = ask(stack, &place, &picked.container).await;
        findings.extend(answers.findings);
        about.holds = answers.report.as_ref().is_some_and(|seen| seen.holds == Some(true));
        about.device = answers.device;
        let database = answers.report.map(|seen| seen.facts.database).or(target.database);
        let only = environment.database_services().len() < 2;
        target = crate::commands::shared::database::identity(
            &picked,
            only,
            &stack.daemon.context,
            database.as_deref(),
        );
    }
    findings.extend(backups(stack, &place, target, about).await);
    findings
}

/// Answers about one stack's database.
#[derive(Default)]
struct DatabaseAnswers {
    findings: Vec<CheckFinding>,
    report: Option<doctor::database::DatabaseReport>,
    /// Device that the data lies on, where that is one of this host.
    device: Option<u64>,
}

async fn ask(stack: &StackContext, place: &StackPlace, picked: &ContainerInfo) -> DatabaseAnswers {
    let asking = async {
        let (_, mut session) = stack.connect().await?;
        let container = session.container().clone();
        let access = session.access().clone();
        // Not waited for when it is dropped: its end of input ends it.
        let server = ServerDurability::read(&mut session).await.ok();
        let durability = doctor::durability::look(&container, server, Some(&access));
        let (seen, durability) =
            tokio::join!(doctor::database::look(&mut session, stack.global.dry_run), durability);
        let seen = seen?;
        let durability = DurabilityReport { version: Some(seen.facts.version.clone()), ..durability };
        Ok::<_, Error>((container, seen, durability))
    };
    let error = match tokio::time::timeout(LIMIT, asking).await {
        Ok(Ok((container, seen, durability))) => {
            let mut findings = doctor::database::judge(&seen, place);
            findings.extend(doctor::durability::judge(&durability, place));
            if let Some(why) = subreaper::shortcoming(&container).await {
                findings.push(doctor::containers::unprotected(&container.name, &why, place));
            }
            return DatabaseAnswers { findings, report: Some(seen), device: durability.device_here() };
        }
        Ok(Err(error)) => {
            CheckFinding::problem("database", error.full_message()).explained_by(&error).at(place)
        }
        Err(_) => {
            let logs = format!("what its logs say: `envctl logs db {}`", place.flags);
            CheckFinding::problem("database", late("the database")).next(logs).at(place)
        }
    };
    let mut findings = vec![error];
    // Where the data lies is known without the server.
    let container = stack.daemon.container(picked);
    let looking = doctor::durability::look(&container, None, None);
    if let Ok(durability) = tokio::time::timeout(WITHOUT_SERVER, looking).await {
        findings.extend(doctor::durability::judge(&durability, place));
    }
    DatabaseAnswers { findings, ..DatabaseAnswers::default() }
}

/// On a thread of its own: a directory on a server that is gone hangs whoever reads it.
async fn backups(
    stack: &StackContext,
    place: &StackPlace,
    target: Identity,
    about: DatabaseStorage,
) -> Vec<CheckFinding> {
    let (settings, environment, only_look) = (&stack.settings, &stack.environment, stack.global.dry_run);
    let looking = async {
        let catalog: Catalog = find_catalog::catalog_of_environment(settings, environment)?;
        let look = move || {
            let seen = doctor::backups::look(&catalog, target, only_look)?;
            Ok(doctor::backups::BackupReport { about, ..seen })
        };
        let seen = tokio::task::spawn_blocking(look).await;
        seen.unwrap_or_else(|_| Err(error::failed("the look at the backups failed")))
    };
    // One that somebody has stopped in development makes no new rows.
    let matters = environment.is_up() || environment.profile.is_prod();
    let has_database = matters && environment.with_role(Role::Db).next().is_some();
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(Ok(mut seen)) => {
            // A file of its project that cannot be understood is told by the look above.
            let own = settings.for_stack(environment);
            let own = own.as_ref().unwrap_or(settings);
            let limit = own.migrations.backup_age;
            seen.about.has_stores = !own.backup.stores.is_empty();
            let mut findings = doctor::backups::judge(&seen, place, has_database, limit, stack.now());
            if has_database {
                findings.extend(stores(stack, place, own, &seen).await);
            }
            findings
        }
        Ok(Err(error)) => {
            vec![CheckFinding::problem("backups", error.full_message()).explained_by(&error).at(place)]
        }
        Err(_) => vec![CheckFinding::problem("backups", late("the backup directory")).at(place)],
    }
}

/// Looks into every store of the settings.
async fn stores(
    stack: &StackContext,
    place: &StackPlace,
    settings: &Settings,
    here: &BackupReport,
) -> Vec<CheckFinding> {
    let newest = here.backups.iter().find(|backup| is_good(backup, &here.target));
    let looking = settings.backup.stores.iter().map(async |url| {
        let listing = async {
            let selected = SelectedBackups::of(&stack.settings, &stack.environment)?;
            let store = stack.open_store(settings, url, Patience::Short).await?;
            selected.in_store(store).listing(&stack.manifest_keys(settings)?).await
        };
        let listing = tokio::time::timeout(LIMIT, Box::pin(listing)).await;
        let listing = listing.unwrap_or_else(|_| Err(error::failed(late("the store"))));
        StoreReport { url: url.to_string(), listing }
    });
    let seen = futures::future::join_all(looking).await;
    let judge = |seen| doctor::stores::judge(seen, place, (&here.target, newest), stack.now());
    seen.iter().flat_map(judge).collect()
}

fn late(what: &str) -> String {
    format!("{what} gives no answer within {} s", LIMIT.as_secs())
}

fn show(app: &App, daemon: &Daemon, findings: &[CheckFinding]) {
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    let least = if app.ui.options().quiet { Severity::Warning } else { Severity::Ok };
    let answer = DoctorAnswer { context: &daemon.context, worst, findings };
    let items = findings.iter().filter(|finding| finding.severity >= least).map(item).collect();
    app.ui.show(&answer, |ui| ui.checked(&Checklist { items }));
}

fn item(finding: &CheckFinding) -> Item {
    let tone = match finding.severity {
        Severity::Ok => Tone::Good,
        Severity::Note => Tone::Note,
        Severity::Warning => Tone::Warn,
        Severity::Problem => Tone::Bad,
    };
    Item {
        label: finding.severity.keyword(),
        tone,
        about: finding.about(),
        text: finding.what.clone(),
        notes: finding.notes.clone(),
        next: finding.next.clone(),
    }
}

/// The last line.
fn conclusion(app: &App, findings: &[CheckFinding]) -> Result<()> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let told: Vec<String> = [
        (count(Severity::Problem), "problem", "problems"),
        (count(Severity::Warning), "warning", "warnings"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect();
    if told.is_empty() {
        app.ui.say("nothing wants a decision");
        return Ok(());
    }
    Err(Error::new(ErrorKind::Found, format!("{}; what to type stands below each", told.join(" and "))))
}
