//! `envctl backup schedule`: the text of a systemd timer and its service, a line of a crontab, or a compose service.
//!
//! Promise: stdout holds nothing but the text; what a person has to know goes to stderr.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::options::ScheduleOptions;
use crate::app::App;
use crate::commands::shared::context::CommandContext;
use crate::config::Settings;
use crate::config::duration;
use crate::config::origin::Origin;
use crate::error::{self, Result};
use crate::schedule::installation::{ContainerParts, Installation, InstallationUser};
use crate::schedule::{compose, crontab, systemd};
use crate::text::shell_word::shell_word;

/// Arguments of `backup schedule` without a verb.
#[derive(clap::Args, Debug)]
pub(super) struct SchedulePrintArgs {
    #[command(flatten)]
    options: ScheduleOptions,
    /// Program that starts the runs
    #[arg(long = "for", value_name = "TARGET", value_enum, default_value_t = ScheduleTarget::Systemd)]
    target: ScheduleTarget,
    /// One of both systemd units, for a file of its own
    #[arg(long, value_name = "UNIT", value_enum)]
    unit: Option<SystemdUnit>,
}

/// Program that starts the runs of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum ScheduleTarget {
    /// A timer and its service
    Systemd,
    /// A line for `crontab -e`
    Cron,
    /// A service whose main process is `backup schedule run`
    Compose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SystemdUnit {
    Service,
    Timer,
}

#[derive(Serialize)]
struct ScheduleTextAnswer {
    r#for: ScheduleTarget,
    files: Vec<ScheduleText>,
}

/// A file that installs a schedule.
#[derive(Serialize)]
struct ScheduleText {
    /// Name of the file; null for a line of a crontab.
    name: Option<String>,
    text: String,
}

/// Variables that name the Docker engine, with the options that do.
const ENGINE_VARIABLES: [(&str, &str); 2] = [("DOCKER_HOST", "--host"), ("DOCKER_CONTEXT", "--context")];

/// Settings that envctl takes from variables, and that have an option here.
const OPTIONS_OF_THE_TARGET: [&str; 12] = [
    "stacks",
    "all_stacks",
    "profile",
    "container",
    "index",
    "project_dir",
    "config",
    "database.name",
    "docker.context",
    "docker.host",
    "backup.schedule.cron",
    "backup.schedule.time_zone",
];

/// # Errors
/// Kind `Usage`: something that the target cannot express.
pub(super) fn run(args: &SchedulePrintArgs, ctx: &CommandContext) -> Result<()> {
    if args.unit.is_some() && args.target != ScheduleTarget::Systemd {
        return Err(error::usage("`--unit` is for systemd").hint("leave it out, or write `--for systemd`"));
    }
    let files = match args.target {
        ScheduleTarget::Systemd => of_systemd(args, ctx)?,
        ScheduleTarget::Cron => of_cron(args, ctx)?,
        ScheduleTarget::Compose => of_compose(args, ctx)?,
    };
    tell_target(args, ctx);
    let answer = ScheduleTextAnswer { r#for: args.target, files };
    ctx.ui.show(&answer, |_| {
        let several = answer.files.len() > 1;
        let texts = answer.files.iter().map(|file| match &file.name {
            Some(name) if several => format!("# {name}\n{}", file.text),
            _ => file.text.clone(),
        });
        texts.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn of_systemd(args: &SchedulePrintArgs, ctx: &CommandContext) -> Result<Vec<ScheduleText>> {
    let installation = installation(args, ctx)?;
    let name = &installation.name;
    let file = |unit, kind: &str, text| (unit, ScheduleText { name: Some(format!("{name}.{kind}")), text });
    let files = [
        file(SystemdUnit::Service, "service", systemd::service(&installation)),
        file(SystemdUnit::Timer, "timer", systemd::timer(&installation)),
    ];
    let files = files.into_iter().filter(|(unit, _)| args.unit.is_none_or(|asked| asked == *unit));
    ctx.ui.say(&format!(
        "save both units in /etc/systemd/system (`--unit service` and `--unit timer` print one), then: `systemctl \
         daemon-reload && systemctl enable --now {name}.timer`"
    ));
    Ok(files.map(|(_, file)| file).collect())
}

fn of_cron(args: &SchedulePrintArgs, ctx: &CommandContext) -> Result<Vec<ScheduleText>> {
    let installation = installation(args, ctx)?;
    let text = crontab::line(&installation)
        .ok_or_else(|| error::usage("an argument holds a line break, which no crontab can"))?;
    if let Some(zone) = &installation.time_zone {
        ctx.ui.warn(&format!(
            "cron takes the time zone of the machine, and the schedule is in {zone}; systemd and compose follow it"
        ));
    }
    if !installation.times.jitter.is_zero() {
        ctx.ui.warn("cron knows no jitter: the runs begin on time");
    }
    ctx.ui.say("add the line: `crontab -e`");
    Ok(vec![ScheduleText { name: None, text }])
}

fn of_compose(args: &SchedulePrintArgs, ctx: &CommandContext) -> Result<Vec<ScheduleText>> {
    let settings = &ctx.settings;
    let selection = args.options.selection(settings);
    if selection.stacks.is_empty() && !selection.all_stacks {
        return Err(error::usage("the container does not know which stack is meant")
            .hint("name it: `-s STACK` or `--all-stacks`"));
    }
    let mut installation = installation(args, ctx)?;
    let place = OutsidePlace::new(settings, ctx);
    installation.arguments = place.arguments.into_iter().chain(of_run(args, ctx, true)?).collect();
    installation.check_arguments = of_target(args, settings);
    installation.check_arguments.extend(["--max-age".to_owned(), duration::format(installation.max_age)]);
    installation.environment.extend(place.environment);
    for (path, _) in place.parts.mounts.iter().filter(|(path, _)| !path.exists()) {
        ctx.ui.warn(&format!(
            "{} is not there; make it first: `mkdir -p {}`",
            path.display(),
            shell_word(&path.display().to_string())
        ));
    }
    ctx.ui.say("build the image where it is missing: `packaging/image/build`; then: `docker compose up -d`");
    let text = compose::file(&installation, &place.parts);
    Ok(vec![ScheduleText { name: Some("compose.yml".to_owned()), text }])
}

/// Facts about this machine that a container needs.
struct OutsidePlace {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    parts: ContainerParts,
}

impl OutsidePlace {
    fn new(settings: &Settings, app: &App) -> Self {
        let root = &settings.backup.root;
        let mut environment = vec![("ENVCTL_BACKUP_DIR".to_owned(), root.display().to_string())];
        let mut mounts = vec![(root.clone(), true)];
        // The key of the manifests is there: else the backups of the container were not trusted outside, nor the other
        // way round.
        if let Some((state, home)) =
            app.state().and_then(|state| Some((state.clone(), state.parent()?.to_owned())))
        {
            environment.push(("XDG_STATE_HOME".to_owned(), home.display().to_string()));
            mounts.push((state, true));
        }
        let mut arguments = Vec::new();
        if let Some(file) = &settings.project_file {
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
            mounts.push((file.clone(), false));
        }
        let socket = app.engine_socket(settings);
        let socket = socket.and_then(|path| Some((path.clone(), std::fs::metadata(path).ok()?.gid())));
        if let Some((path, _)) = &socket {
            environment.push(("DOCKER_HOST".to_owned(), format!("unix://{}", path.display())));
        }
        // The home of the image belongs to the user of the image.
        environment.push(("HOME".to_owned(), "/tmp".to_owned()));
        if socket.is_none() {
            app.ui.warn("the Docker engine has no socket here; give the service access to it, for example with DOCKER_HOST");
        }
        let image = concat!("envctl:", env!("CARGO_PKG_VERSION")).to_owned();
        Self { arguments, environment, parts: ContainerParts { image, mounts, socket } }
    }
}

/// Returns the schedule as this command line and its settings mean it.
fn installation(args: &SchedulePrintArgs, ctx: &CommandContext) -> Result<Installation> {
    let settings = &ctx.settings;
    let times = args.options.times(settings, ctx)?;
    let selection = args.options.selection(settings);
    let mut arguments = of_place(settings);
    arguments.extend(of_engine(settings, ctx));
    arguments.extend(of_run(args, ctx, false)?);
    let named = args.options.time_zone.is_some() || settings.backup.schedule.time_zone.is_some();
    let (uid, gid) = ctx.user();
    Ok(Installation {
        name: format!("envctl-backup-{}", selection.file_name()),
        about: selection.shown(),
        program: path_text(ctx.own_path()?)?,
        arguments,
        check_arguments: Vec::new(),
        environment: environment(settings, ctx),
        max_age: times.max_age(ctx.now()),
        time_zone: times.zone.iana_name().filter(|_| named).map(str::to_owned),
        times,
        user: InstallationUser { name: ctx.user_name(), uid, gid },
    })
}

fn path_text(path: PathBuf) -> Result<String> {
    path.into_os_string()
        .into_string()
        .map_err(|path| error::usage(format!("{} is no text", path.to_string_lossy())))
}

/// Options that name the project: a timer has another working directory.
fn of_place(settings: &Settings) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(directory) = settings.target.project_dir.as_ref() {
        arguments.extend(["-C".to_owned(), directory.display().to_string()]);
    }
    if *settings.origin("config") != Origin::Default
        && let Some(file) = &settings.project_file
    {
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    arguments
}

/// Options that name the engine, where an option or a variable does.
fn of_engine(settings: &Settings, app: &App) -> Vec<String> {
    let endpoint = settings.daemon(settings.target.profile.as_deref());
    for (given, option) in [(&endpoint.host, "--host"), (&endpoint.context, "--context")] {
        if let Some(given) = given.as_ref().filter(|given| !matches!(given.origin, Origin::File { .. })) {
            return vec![option.to_owned(), given.value.clone()];
        }
    }
    if endpoint.is_empty() {
        for (variable, option) in ENGINE_VARIABLES {
            if let Some((_, value)) = app.set_variable(variable).filter(|(_, value)| !value.is_empty()) {
                return vec![option.to_owned(), value];
            }
        }
    }
    Vec::new()
}

/// Options that name the stack, the profile and the database.
fn of_target(args: &SchedulePrintArgs, settings: &Settings) -> Vec<String> {
    let selection = args.options.selection(settings);
    let mut arguments = Vec::new();
    if selection.all_stacks {
        arguments.push("--all-stacks".to_owned());
    }
    for stack in &selection.stacks {
        arguments.extend(["-s".to_owned(), stack.clone()]);
    }
    match selection.profile.as_deref() {
        Some("prod") => arguments.push("--prod".to_owned()),
        Some("dev") => arguments.push("--dev".to_owned()),
        Some(name) => arguments.extend(["--profile".to_owned(), name.to_owned()]),
        None => {}
    }
    if let Some(database) = &selection.database {
        arguments.extend(["-d".to_owned(), database.clone()]);
    }
    arguments
}

/// Options of `backup schedule run`; `elsewhere` is a place with another time zone.
fn of_run(args: &SchedulePrintArgs, ctx: &CommandContext, elsewhere: bool) -> Result<Vec<String>> {
    let (options, settings) = (&args.options, &ctx.settings);
    let mut arguments = of_target(args, settings);
    let target = &settings.target;
    if let Some(container) = &target.container {
        arguments.extend(["--container".to_owned(), container.clone()]);
    }
    if let Some(index) = target.index {
        arguments.extend(["--index".to_owned(), index.to_string()]);
    }
    if options.all_databases {
        arguments.push("--all-databases".to_owned());
    }
    if options.plain {
        arguments.push("--plain".to_owned());
    }
    let times = options.times(settings, ctx)?;
    let in_file = |key: &str| matches!(settings.origin(key), Origin::File { .. });
    // The state of the schedule tells when the next run comes.
    if options.cron.is_some() || !in_file("backup.schedule.cron") {
        arguments.extend(["--cron".to_owned(), times.cron.to_string()]);
    }
    let named = options.time_zone.is_some()
        || matches!(settings.origin("backup.schedule.time_zone"), Origin::Env { .. })
        || (elsewhere && !in_file("backup.schedule.time_zone"));
    if let Some(zone) = times.zone.iana_name().filter(|_| named) {
        arguments.extend(["--time-zone".to_owned(), zone.to_owned()]);
    }
    if let Some(jitter) = options.jitter {
        arguments.extend(["--jitter".to_owned(), duration::format(jitter)]);
    }
    if let Some(verify) = &options.verify {
        arguments.extend(["--verify".to_owned(), verify.clone()]);
    }
    Ok(arguments)
}

/// Variables that are set here and have no option in the command line. A secret is named and not written.
fn environment(settings: &Settings, app: &App) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    for row in settings.table() {
        let Origin::Env { name } = &row.origin else { continue };
        if OPTIONS_OF_THE_TARGET.contains(&row.key.as_str()) {
            continue;
        }
        if row.key == "backup.ping" {
            app.ui.warn(&format!("{name} is set here and is a secret; set it where the schedule runs"));
            continue;
        }
        environment.extend(app.set_variable(name));
    }
    environment
}

/// Tells which stack and profile the schedule takes where that is not written.
fn tell_target(args: &SchedulePrintArgs, ctx: &CommandContext) {
    let selection = args.options.selection(&ctx.settings);
    if selection.profile.is_none() && !selection.all_stacks {
        ctx.ui.warn(
            "no profile is named: each run takes dev where it runs, else the only one; name it with `--prod`",
        );
    }
    if !ctx.settings.backup.stores.is_empty() {
        ctx.ui.say("the credentials of the stores have to be set where the schedule runs");
    }
}
