//! The only wiring: the process's clock, environment, terminal and signals, handed on as values.
//!
//! Promise: nothing below this folder reads them by itself.

pub(crate) mod dirs;
pub(crate) mod encryption;
pub(crate) mod global_args;
mod hook;
mod manifest_keys;
pub(crate) mod ping;
pub(crate) mod process_env;
mod signals;
mod stores;
pub(crate) mod supervisor;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use global_args::GlobalArgs;
use jiff::Timestamp;

use crate::cancel::{CancelSource, CancelToken, cancelled, pair};
use crate::config::settings::EndpointSettings;
use crate::config::{self, Settings};
use crate::consent::{Consent, Decision, GuardTarget, IdentityMismatch, Plan};
use crate::docker::client::Client;
use crate::docker::context::endpoint::{ContextInputs, Endpoint, EndpointRequest};
use crate::docker::exec::tty;
use crate::docker::worker::late_removals;
use crate::docker::{Container, ContainerInfo, Engine, context};
use crate::environment::{Environment, Target};
use crate::error::{self, ErrorKind, Result};
use crate::operation::{Operation, OperationId};
use crate::postgres::access::ConnectionOverrides;
use crate::text::shell_word::shell_word;
use crate::ui::{Ui, UiOptions};

/// Process of a command: its printer, its cancel token, its environment variables.
#[derive(Clone)]
pub(crate) struct App {
    /// The printer.
    pub(crate) ui: Ui,
    /// The user's cancel token.
    pub(crate) cancel: CancelToken,
    source: Arc<CancelSource>,
    asking: Arc<AtomicBool>,
    environment: BTreeMap<String, String>,
    timeout: Option<Duration>,
    /// The time limit is no longer that of the whole command.
    each_has_its_limit: Arc<AtomicBool>,
}

/// A daemon that is meant, and how it is called in messages.
#[derive(Clone)]
pub(crate) struct Daemon {
    /// The engine behind its door.
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) context: String,
    /// Source of the context's name: `--context`, `DOCKER_HOST`, `currentContext in …`.
    pub(crate) origin: String,
}

impl Daemon {
    /// Returns the handle of a container of this daemon.
    pub(crate) fn container(&self, info: &ContainerInfo) -> Container {
        Container::new(&self.engine, info.clone())
    }
}

/// Most compression threads. Eight compress faster than any server dumps (each about 70 MB/s).
/// Each takes 2.4 MiB, and envctl promises 48 MiB in all.
const MOST_THREADS: usize = 8;

#[expect(clippy::unused_self, reason = "what the process gives is asked of the App")]
impl App {
    /// From the process itself.
    pub(crate) fn from_process(global: &GlobalArgs) -> Self {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        // A file that cannot be read is the command's own error, in its own words.
        let settings = crate::app::process_env::settings(global, &environment).ok();
        let ui = Ui::new(UiOptions {
            color: settings.as_ref().map_or(global.color.unwrap_or_default(), |settings| {
                crate::app::process_env::color(settings.color)
            }),
            no_color_env: set("NO_COLOR"),
            dumb_terminal: environment.get("TERM").is_some_and(|term| term == "dumb"),
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            progress: !global.no_progress,
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            width: tty::size().map(|(_, columns)| columns),
        });
        ui.set_target_options(global.target_options());
        let (source, cancel) = pair();
        let panic = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tty::restore();
            panic(info);
        }));
        Self {
            ui,
            cancel,
            source: Arc::new(source),
            asking: Arc::default(),
            environment,
            timeout: global.timeout.or_else(|| settings?.timeouts.overall),
            each_has_its_limit: Arc::default(),
        }
    }

    /// Returns the context for one stack of a multi-stack operation.
    /// The context has its own cancel token, and messages begin with the stack's name.
    #[must_use]
    pub(crate) fn of_stack(&self, environment: &Environment, stop: CancelToken) -> Self {
        let ui = self.ui.of_stack(&environment.stack);
        let mut options = ui.target_options();
        options.stack = Some(format!("-s {}", shell_word(&environment.stack)));
        options.profile = Some(environment.profile.flag());
        options.profile_typed = true;
        ui.set_target_options(options);
        Self { ui, cancel: stop, ..self.clone() }
    }

    /// Lets the commands in hints mean the environment that was chosen. The stack is named where one was typed: else
    /// the directory says which one is meant, then as now.
    pub(crate) fn means(&self, environment: &Environment) {
        let mut options = self.ui.target_options();
        if options.stack.is_some() {
            options.stack = Some(format!("-s {}", shell_word(&environment.stack)));
        }
        options.profile = Some(environment.profile.flag());
        self.ui.set_target_options(options);
    }

    /// `--timeout`, which from now on is that of each stack and no longer that of the whole command.
    pub(crate) fn limit_for_each(&self) -> Option<Duration> {
        self.each_has_its_limit.store(true, Ordering::SeqCst);
        self.timeout
    }

    /// The plan of a dry run as a document, where documents are wanted; a person has seen it already.
    pub(crate) fn show_dry_run(&self, plan: &impl std::fmt::Display) {
        #[derive(serde::Serialize)]
        struct DryRunAnswer {
            dry_run: bool,
            plan: Vec<String>,
        }
        if self.ui.is_json() {
            let plan = plan.to_string().lines().map(str::to_owned).collect();
            self.ui.json(&DryRunAnswer { dry_run: true, plan });
        }
    }

    /// Runs a command to its end, with signals turned into [`CancelToken`] and `--timeout` enforced.
    ///
    /// # Errors
    /// The command's own; kind `Timeout` when it took too long and had been told to stop.
    pub(crate) fn run<F>(&self, command: impl FnOnce(Self) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        // One thread for all streams: a second one would be woken for every read of the daemon's 8 KiB.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| error::failed("the runtime cannot be started").because(e))?;
        signals::watch_signals(self.source.clone(), self.asking.clone());
        let app = self.clone();
        let result = runtime.block_on(async {
            let source = app.source.clone();
            let work = async {
                let result = command(app.clone()).await;
                late_removals::finish(late_removals::LONGEST, |text| app.ui.detail(&text)).await;
                result
            };
            let Some(limit) = app.timeout else { return work.await };
            tokio::pin!(work);
            tokio::select! {
                result = &mut work => result,
                () = tokio::time::sleep(limit) => {
                    if app.each_has_its_limit.load(Ordering::SeqCst) {
                        return work.await;
                    }
                    // The same way out as Ctrl-C: what runs in a container is ended, nothing half-made stays.
                    source.fire(15);
                    let ended = work.await;
                    match ended {
                        Err(e) if matches!(e.kind(), ErrorKind::Cancelled(_)) => {
                            let limit = config::duration::format(limit);
                            let late = error::timeout(format!("not done within {limit} (--timeout); it was ended"));
                            let late = e.notes().iter().fold(late, error::Error::note);
                            Err(e.hints().iter().fold(late, error::Error::hint))
                        }
                        other => other,
                    }
                }
            }
        });
        // A thread that reads a terminal cannot be stopped; it ends with the process.
        runtime.shutdown_background();
        result
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Returns the time zone of this machine: `TZ`, else the system's; UTC where neither tells.
    pub(crate) fn time_zone(&self) -> jiff::tz::TimeZone {
        jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC)
    }

    /// args → settings.
    pub(crate) fn settings(&self, global: &GlobalArgs) -> Result<Settings> {
        crate::app::process_env::settings(global, &self.environment)
    }

    fn home(&self) -> Option<PathBuf> {
        crate::app::process_env::home(&self.environment)
    }

    /// Returns the user and host for `pg_stat_activity`: `user@host`, at most 32 characters.
    pub(crate) fn who(&self) -> String {
        let variable = |name: &str| self.environment.get(name).filter(|value| !value.is_empty());
        let user = variable("USER").or_else(|| variable("LOGNAME")).map_or("somebody", String::as_str);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{user}@{host}").chars().filter(char::is_ascii_graphic).take(32).collect()
    }

    /// Begins an operation of this command.
    pub(crate) fn operation(&self) -> Operation {
        Operation {
            id: OperationId::new(),
            actor: self.who(),
            started: self.now(),
            cancel: self.cancel.clone(),
            progress: self.ui.progress(),
        }
    }

    /// Number of compression and decompression threads: one for each core, up to [`MOST_THREADS`].
    pub(crate) fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
    }

    /// settings → docker.
    pub(crate) fn connect(&self, settings: &Settings, insecure: bool) -> Result<Daemon> {
        let endpoint = self.endpoint(settings.daemon(settings.target.profile.as_deref()))?;
        if endpoint.insecure() && !insecure {
            return Err(error::docker(format!("{} is a plain TCP daemon: anybody on the way could read and change everything", endpoint.host))
                .hint("use TLS (DOCKER_TLS_VERIFY, a context with certificates) or ssh://; `--insecure` goes on all the same"));
        }
        self.ui.detail(&format!("Docker: {} ({})", endpoint.host, endpoint.origin));
        let (context, origin) = (endpoint.name.clone(), endpoint.origin.clone());
        Ok(Daemon { engine: Client::engine(endpoint)?, context, origin })
    }

    fn endpoint(&self, endpoint: &EndpointSettings) -> Result<Endpoint> {
        let asked = |given: &config::Sourced<String>| EndpointRequest {
            value: given.value.clone(),
            by: given.origin.to_string(),
        };
        let inputs = ContextInputs {
            context: endpoint.context.as_ref().map(asked),
            host: endpoint.host.as_ref().map(asked),
            home: self.home(),
            uid: Some(rustix::process::getuid().as_raw()),
            ..ContextInputs::from_environment(|name| self.environment.get(name).cloned())
        };
        context::resolve(&inputs, &context::socket_at)
    }

    /// Returns the socket of the Docker engine; `None` where it has another address, or none.
    pub(crate) fn engine_socket(&self, settings: &Settings) -> Option<PathBuf> {
        let endpoint = self.endpoint(settings.daemon(settings.target.profile.as_deref())).ok()?;
        endpoint.host.to_string().strip_prefix("unix://").map(PathBuf::from)
    }

    /// Returns the user and the group of this process.
    pub(crate) fn user(&self) -> (u32, u32) {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    }

    /// Returns the name of the user of this process, where a variable tells it.
    pub(crate) fn user_name(&self) -> Option<String> {
        self.environment.get("USER").filter(|name| !name.is_empty()).cloned()
    }

    /// Returns the settings of a profile's database, with the password read from its source.
    ///
    /// # Errors
    /// Kind `Usage`: the password's source cannot be read.
    pub(crate) fn overrides(
        &self,
        settings: &Settings,
        profile: Option<&str>,
    ) -> Result<ConnectionOverrides> {
        let database = settings.database(profile);
        let password = match &database.password {
            Some(source) => Some(source.read(crate::app::process_env::run_for_secret)?),
            None => None,
        };
        Ok(ConnectionOverrides {
            user: database.user.clone(),
            database: database.name.clone(),
            password,
            os_user: database.os_user.clone(),
            host: database.host.clone(),
            port: database.port,
        })
    }

    /// Name and value of `-e`: `NAME=VALUE` as it is, `NAME` with the value of our own variable. `None` where that
    /// is not set: the container's own variable stays, as with `docker exec -e NAME`.
    pub(crate) fn variable(&self, given: &str) -> Option<(String, String)> {
        match given.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => self.set_variable(given),
        }
    }

    /// Opens an address in the person's browser; `false` where there is none to open it in.
    pub(crate) fn open(&self, url: &str) -> bool {
        let set = |name: &str| self.environment.get(name).is_some_and(|value| !value.is_empty());
        let mac = cfg!(target_os = "macos");
        if !mac && !set("DISPLAY") && !set("WAYLAND_DISPLAY") && !set("BROWSER") {
            return false;
        }
        let null = std::process::Stdio::null;
        let mut command = std::process::Command::new(if mac { "open" } else { "xdg-open" });
        command.arg(url).stdin(null()).stdout(null()).stderr(null()).spawn().is_ok()
    }

    /// A variable of our own that is set, with its name.
    pub(crate) fn set_variable(&self, name: &str) -> Option<(String, String)> {
        self.environment.get(name).map(|value| (name.to_owned(), value.clone()))
    }

    /// Puts a file in the place of our stdin.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn stdin_from(&self, file: &std::path::Path) -> std::io::Result<()> {
        Ok(rustix::stdio::dup2_stdin(std::fs::File::open(file)?)?)
    }

    /// Asks what the plan's guard asks, with Ctrl-C leaving at once: nothing runs yet. `unlike`: what comes in is of
    /// something else, and that has to be agreed to whatever the profile.
    pub(crate) fn confirm<P: Plan>(
        &self,
        plan: P,
        target: &Target,
        unlike: Option<IdentityMismatch>,
        consent: &Consent,
    ) -> Result<Decision<P>> {
        let target = GuardTarget {
            stack: target.stack.clone(),
            profile: target.profile.name.clone(),
            prod: target.profile.counts_as_prod(),
            protected: target.protected,
            unlike,
        };
        self.confirm_each(plan, std::slice::from_ref(&target), consent)
    }

    /// Offers what need not be; without a terminal, or with `--yes`, the answer is no.
    pub(crate) fn offer(&self, question: &str, consent: &Consent) -> bool {
        self.asking.store(true, Ordering::SeqCst);
        let taken = crate::consent::offer(&self.ui, question, consent);
        self.asking.store(false, Ordering::SeqCst);
        taken
    }

    /// Asks like [`App::confirm`], for one plan over several targets.
    pub(crate) fn confirm_each<P: Plan>(
        &self,
        plan: P,
        targets: &[GuardTarget],
        consent: &Consent,
    ) -> Result<Decision<P>> {
        if let Some(signal) = self.cancel.signal() {
            return Err(cancelled(signal));
        }
        self.asking.store(true, Ordering::SeqCst);
        let guard = plan.guard();
        let decision = crate::consent::confirm_each(&self.ui, plan, guard, targets, consent);
        self.asking.store(false, Ordering::SeqCst);
        decision
    }
}
