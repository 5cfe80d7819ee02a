//! Arguments of a restore.

use std::path::{Path, PathBuf};

use crate::app::encryption::keyring;
use crate::commands::restore::filter_args::FilterArgs;
use crate::commands::shared::context::StackContext;
use crate::commands::shared::transport_args::TransportArgs;
use crate::config::store_url::StoreUrl;
use crate::error;
use crate::error::Result;
use crate::postgres::search_path::SearchPath;
use crate::restore::examine::InputOptions;
use crate::restore::load::parallel::MOST_JOBS;
use crate::restore::load_workarounds::LoadWorkarounds;
use crate::restore::planner::RestoreOptions;
use crate::text::shell_word::shell_word;

#[derive(clap::Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RestoreArgs {
    /// A file, a name from `backup list`, `latest`, or `-` for stdin
    #[arg(value_name = "FILE|latest|-")]
    pub(super) source: Option<PathBuf>,
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<StoreUrl>,
    /// The profile whose backups are meant
    #[arg(long, value_name = "PROFILE")]
    pub(super) from: Option<String>,
    /// The profile that is restored
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["dev", "prod", "profile"])]
    pub(super) to: Option<String>,
    /// Restore into this database instead, made if it is not there
    #[arg(long, value_name = "DB")]
    pub(super) into: Option<String>,
    /// Private keys that open an encrypted backup: a file of age-keygen, or a private key of ssh
    #[arg(short, long, value_name = "FILE")]
    pub(super) identity: Option<PathBuf>,
    /// Restore a file of unknown origin although it would run code on the server
    #[arg(long)]
    pub(super) trust: bool,
    /// Do not back up what is there now
    #[arg(long)]
    pub(super) no_backup: bool,
    /// Leave out ANALYZE: the first queries are planned without statistics
    #[arg(long)]
    pub(super) no_analyze: bool,
    /// Load over so many sessions, usually 2 for a large backup: tables side by side, and indexes behind theirs
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_JOBS)))]
    pub(super) jobs: Option<u8>,
    #[command(flatten)]
    pub(super) leave_out: FilterArgs,
    /// Let functions find names without a schema in these schemas while the dump is loaded: `public,extensions`
    #[arg(long, value_name = "SCHEMAS")]
    pub(super) search_path: Option<SearchPath>,
    /// Add CHECKs that call functions when all rows are in: such a function may read another table
    #[arg(long)]
    pub(super) defer_checks: bool,
    #[command(flatten)]
    pub(super) transport_options: TransportArgs,
}

impl RestoreArgs {
    /// The options that decide how the file is read, and the command that a hint adds to.
    pub(super) fn asked(&self, source: &Path, stack: &StackContext) -> Result<InputOptions> {
        let rules = self.leave_out.rules()?;
        let mut options = String::new();
        if let Some(into) = &self.into {
            options.push_str(&format!(" --into {}", shell_word(into)));
        }
        if let Some(store) = &self.store {
            options.push_str(&format!(" --store {}", shell_word(&store.to_string())));
        }
        if let Some(identity) = &self.identity {
            options.push_str(&format!(" --identity {}", shell_word(&identity.display().to_string())));
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
            (self.no_analyze, " --no-analyze"),
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
        Ok(InputOptions {
            trust: self.trust,
            keys: stack.manifest_keys(&stack.settings)?,
            keyring: keyring(&stack.settings, self.identity.as_deref()),
            rules,
            command,
            options,
            database: None,
            into,
        })
    }
}

impl RestoreArgs {
    /// The options of the plan, with the settings behind them.
    ///
    /// # Errors
    /// Kind `Usage`: an unknown word, too many sessions.
    pub(super) fn options(&self, stack: &StackContext) -> Result<RestoreOptions> {
        let settings = &stack.settings;
        let most = u32::from(MOST_JOBS);
        if let (None, Some(jobs)) = (self.jobs, settings.restore.jobs)
            && jobs > most
        {
            let origin = settings.origin("restore.jobs");
            return Err(error::usage(format!("{origin}: at most {most} sessions load")));
        }
        Ok(RestoreOptions {
            operation: stack.operation(),
            threads: stack.threads(),
            jobs: self.jobs.or(settings.restore.jobs.and_then(|jobs| u8::try_from(jobs).ok())),
            transport_options: self.transport_options.options(stack, settings)?,
            lock_limit: settings.timeouts.lock,
            trust: self.trust,
            no_backup: self.no_backup,
            analyze: !self.no_analyze,
            aids: LoadWorkarounds {
                search_path: self.search_path.clone().unwrap_or_default(),
                defer_checks: self.defer_checks,
            },
        })
    }
}
