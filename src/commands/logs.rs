//! `envctl logs`: what a container has printed.

use std::io::Write as _;

use jiff::{Span, Timestamp};
use tokio::io::AsyncReadExt as _;

use crate::app::App;
use crate::commands::shared::context::CommandContext;
use crate::docker::engine::LogsRequest;
use crate::docker::exec::demux::{Demuxer, Output};
use crate::environment::selector::ContainerSelector;
use crate::error::{self, Result};

/// Arguments of `logs`.
#[derive(clap::Args, Debug)]
pub(crate) struct LogsArgs {
    /// backend, db, a service or a container
    #[arg(value_name = "ROLE|SERVICE", default_value = "backend")]
    target: String,
    /// Go on as lines come
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u64>,
    /// Only what came since: 10m, 2h, or a time like 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The time in front of each line
    #[arg(short, long)]
    timestamps: bool,
}

/// # Errors
/// Kind `Target`, `Docker`: no such container, no logs.
pub(crate) async fn run(args: LogsArgs, ctx: &CommandContext) -> Result<()> {
    let since = args.since.as_deref().map(|text| since(text, ctx.now())).transpose()?;
    ctx.one_stack("logs", "name it: `-s STACK`; several at a time: one `envctl logs -f` in each terminal")?;
    let stack = ctx.stack().await?;
    let target = stack
        .environment
        .pick_in_any_state(&ContainerSelector::parse(&args.target), stack.settings.target.index)?;
    ctx.ui.target(&stack.target_line(&target));
    let request = LogsRequest { follow: args.follow, tail: args.tail, since, timestamps: args.timestamps };
    let logs = stack.daemon.engine.logs(&target.container.id, &request).await?;
    let copying = copy(logs.reader, logs.framed, ctx);
    ctx.cancel.run_until_cancelled(copying).await?
}

async fn copy(
    mut reader: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    framed: bool,
    app: &App,
) -> Result<()> {
    let (mut stdout, mut stderr) = (app.ui.raw_stdout(), app.ui.raw_stderr());
    let mut demuxer = Demuxer::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let len =
            reader.read(&mut buffer).await.map_err(|e| error::docker("the logs broke off").because(e))?;
        if len == 0 || app.ui.broken_pipe() {
            return Ok(());
        }
        let mut failure = None;
        let mut write = |which: Output, bytes: &[u8]| {
            let result = match which {
                Output::Stdout => stdout.write_all(bytes),
                Output::Stderr => stderr.write_all(bytes),
            };
            failure = failure.take().or(result.err());
        };
        if framed {
            demuxer
                .feed(&buffer[..len], &mut write)
                .map_err(|e| error::docker("the log stream is damaged").because(e))?;
        } else {
            write(Output::Stdout, &buffer[..len]);
        }
        match failure {
            Some(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Some(cause) => return Err(error::failed("the logs cannot be written").because(cause)),
            None => {}
        }
    }
}

/// `10m` ago, or a point in time, as seconds since the epoch.
fn since(text: &str, now: Timestamp) -> Result<i64> {
    if let Ok(ago) = crate::config::duration::parse(text) {
        let span = Span::new().seconds(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX / 2));
        return Ok(now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH).as_second());
    }
    text.parse::<Timestamp>().map(Timestamp::as_second).map_err(|e| {
        error::usage(format!("{text:?} is no time")).because(e).hint("write 10m, 2h or 2026-01-31T12:00:00Z")
    })
}
