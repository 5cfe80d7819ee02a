//! Prisma Studio in the backend's container, or in a worker from an image that was named: which CLI has one that
//! works, how it is started and ended.
//!
//! From version 7 on Studio needs a database and nothing else: no schema, no engine. It gets its address by its
//! environment and a file of two lines, since a command line is published by `docker events` and `docker top`.
//!
//! Promise: Studio ends with us, also when we are killed: it is the child of a shell that waits for the end of its
//! input. In a worker its address is in a file of the worker's private directory, since an engine shows variables too. Never in the database's container, whose PID 1 takes orphans for its own (reliability §0.6).

use crate::cancel::CancelToken;
use crate::docker::exec::demux::Output;
use crate::docker::exec::kill_tree::{SurvivingProcesses, TAG, end_marked};
use crate::docker::exec::{Exec, ExecInput, ExecOutput};
use crate::docker::worker::{Unfit, Worker};
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Error, Result};
use crate::postgres::tools::runner::WorkerRunner;
use crate::random::nonce;
use crate::secret::Secret;

/// Every CLI from here up and below, with its version.
const LOOK: &str = r#"
tell() {
  version=$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "${1%/.bin/prisma}/prisma/package.json" 2>/dev/null | head -n 1)
  echo "$version $1"
}
at=$PWD
while :; do
  [ -x "$at/node_modules/.bin/prisma" ] && tell "$at/node_modules/.bin/prisma"
  [ "$at" = / ] && break
  at=${at%/*}; [ -n "$at" ] || at=/
done
find "$PWD" -maxdepth 4 -path '*/node_modules/.bin/prisma' 2>/dev/null | while read -r cli; do tell "$cli"; done
exit 0
"#;

/// `$1` a directory of ours, `$2` what stands in the configuration there; the rest is the command.
const RUN: &str = r#"
dir=$1
mkdir -p -m 700 "$dir" && printf '%s\n' "$2" >"$dir/prisma.config.mjs" || exit 1
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
studio=$!
{ cat <&3 >/dev/null; kill "$studio"; } >/dev/null 2>&1 &
wait "$studio"
code=$?
rm -rf "$dir"
exit "$code"
"#;

/// Script that runs Studio in a worker. `$1` is the program, and `$3` is the port.
/// The script in `$2` finds the program where `$1` is empty.
const SERVE: &str = r#"
program=$1
if [ -z "$program" ]; then
  program=$( { sh -c "$2"; found=$(command -v prisma) && echo "7 $found"; } | sort -rn | sed -n '1s/^[^ ]* //p')
fi
[ -n "$program" ] || { echo "the image has no Prisma CLI" >&2; exit 127; }
exec 3<&0
"$program" studio --port "$3" --browser none --config "$HOME/prisma.config.mjs" </dev/null 3<&- &
studio=$!
{ cat <&3 >/dev/null; kill "$studio"; } >/dev/null 2>&1 &
wait "$studio"
"#;

const IMAGE_CONFIG: &str = "import { readFileSync } from 'node:fs';
export default { datasource: { url: readFileSync(`${process.env.HOME}/url`, 'utf8') } };
";

const CONFIG: &str = "export default { datasource: { url: process.env.ENVCTL_STUDIO_URL } };";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StudioCli {
    /// The program, absolute.
    pub(crate) program: String,
    /// Major version of the program.
    pub(crate) major: u32,
}

impl StudioCli {
    /// The newest CLI of a container; `named` is one that was configured.
    pub(crate) async fn find(container: &Container, named: Option<&str>) -> Result<Option<Self>> {
        if let Some(program) = named {
            return Ok(Some(Self { program: program.to_owned(), major: 7 }));
        }
        let looked = container.capture(&ExecSpec::new(["sh", "-c", LOOK]), None).await?;
        Ok(Self::newest(&looked.text()))
    }

    fn newest(text: &str) -> Option<Self> {
        let one = |line: &str| {
            let (version, program) = line.split_once(' ')?;
            let major = version.split('.').next()?.parse().ok()?;
            Some(Self { program: program.to_owned(), major })
        };
        // The first of the newest: the project's own stands before those below it.
        text.lines().filter_map(one).rev().max_by_key(|cli| cli.major)
    }

    /// Returns the command line of Studio: on the container's own loopback, without a browser.
    fn argv(&self, port: u16, dir: &str) -> Vec<String> {
        let mut argv = vec![self.program.clone(), "studio".into(), "--port".into(), port.to_string()];
        argv.extend(["--browser".to_owned(), "none".to_owned()]);
        if self.major >= 7 {
            argv.extend(["--config".to_owned(), format!("{dir}/prisma.config.mjs")]);
        }
        argv
    }
}

/// Image that Studio runs from where the project has none.
pub(crate) struct StudioImage {
    /// Image on the daemon's machine.
    pub(crate) image: String,
    /// Prisma CLI in the image, where one was configured.
    pub(crate) program: Option<String>,
}

/// A Studio that was started.
pub(crate) struct Studio {
    container: Container,
    output: ExecOutput,
    // Its end ends Studio.
    input: ExecInput,
    place: StudioPlace,
    /// Last bytes of what Studio printed.
    printed: Vec<u8>,
}

/// Place where Studio runs.
enum StudioPlace {
    /// In the backend, its processes marked with this word.
    Backend(String),
    /// In a container of its own.
    Worker(Box<Worker>),
}

impl Studio {
    /// Starts it. `url` is the database's.
    ///
    /// # Errors
    /// Kind `Docker`, `Target`.
    pub(crate) async fn start(
        container: &Container,
        cli: &StudioCli,
        port: u16,
        url: &Secret,
    ) -> Result<Self> {
        let mark = nonce();
        let dir = format!("/tmp/envctl-studio-{}", &mark[..8]);
        let mut argv: Vec<String> = ["sh", "-c", RUN, "sh", &dir, CONFIG].map(str::to_owned).into();
        argv.extend(cli.argv(port, &dir));
        let spec = ExecSpec::new(argv)
            .env(TAG, mark.clone())
            .env("ENVCTL_STUDIO_URL", url.expose())
            .env("DATABASE_URL", url.expose());
        let exec = container.exec(&quiet(spec).with_stdin()).await?;
        Ok(Self::started(container.clone(), exec, StudioPlace::Backend(mark)))
    }

    /// Starts it in a worker from `image`, beside the database.
    ///
    /// # Errors
    /// Kind `Tool`: no such image, no worker can be made; `Cancelled`. In every case nothing of it is left.
    pub(crate) async fn start_beside(
        workers: &WorkerRunner,
        image: &StudioImage,
        port: u16,
        url: &Secret,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let StudioImage { image, program } = image;
        let unfit = |unfit: Unfit| no_worker(unfit, image);
        let port = port.to_string();
        let argv = ["sh", "-c", SERVE, "sh", program.as_deref().unwrap_or_default(), LOOK, &port];
        let worker = workers.worker(&quiet(ExecSpec::new(argv))).map_err(unfit)?.of_image(image);
        let private_dir = &worker.private_dir;
        let left = private_dir.secret("url", url.expose().as_bytes());
        let left = left.and_then(|()| private_dir.secret("prisma.config.mjs", IMAGE_CONFIG.as_bytes()));
        left.map_err(|cause| unfit(Unfit::NoPrivateDir(cause.to_string())))?;
        let started = async {
            let exec = worker.start().await.map_err(unfit)?;
            Ok((worker.container().await?, exec))
        };
        match cancel.run_until_cancelled(started).await.and_then(|started| started) {
            Ok((container, exec)) => {
                Ok(Self::started(container, exec, StudioPlace::Worker(Box::new(worker))))
            }
            Err(error) => {
                worker.end().await;
                Err(error)
            }
        }
    }

    fn started(container: Container, Exec { output, input, .. }: Exec, place: StudioPlace) -> Self {
        Self { container, output, input, place, printed: Vec::new() }
    }

    /// The container it runs in.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// Resolves when Studio has ended by itself, with why. Keeps its output flowing meanwhile.
    pub(crate) async fn ended(&mut self) -> Error {
        loop {
            let printed = &mut self.printed;
            let mut sink = |_: Output, bytes: &[u8]| {
                printed.extend_from_slice(bytes);
                let surplus = printed.len().saturating_sub(16 << 10);
                printed.drain(..surplus);
            };
            match self.output.read(&mut sink).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&self.printed);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(4)..].join("; ");
        error::tool(format!("Studio in {} has ended: {last}", self.container.name))
    }

    /// Ends it and what it has started.
    ///
    /// # Errors
    /// Processes that could not be ended.
    pub(crate) async fn end(self) -> std::result::Result<(), SurvivingProcesses> {
        let Self { container, place, output, input, .. } = self;
        drop((output, input));
        match place {
            StudioPlace::Worker(worker) => {
                worker.end().await;
                Ok(())
            }
            StudioPlace::Backend(mark) => end_marked(&container, None, &mark).await,
        }
    }
}

/// Adds what keeps Prisma from asking the network for news, and from colours.
fn quiet(spec: ExecSpec) -> ExecSpec {
    spec.env("CHECKPOINT_DISABLE", "1").env("PRISMA_HIDE_UPDATE_MESSAGE", "1").env("NO_COLOR", "1")
}

fn no_worker(unfit: Unfit, image: &str) -> Error {
    match unfit {
        Unfit::Refused(reason) if reason.contains("No such image") || reason.contains("no such image") => {
            error::tool(format!("the image {image} is not on the daemon's machine"))
                .hint(format!("get it: `docker pull {image}`; or name another: `[migrations] studio_image`"))
        }
        Unfit::NoTool(reason) => error::tool(format!("the image {image} has no shell: {reason}"))
            .hint("use an image with a shell, Node and Prisma 7 or later, which Studio needs"),
        other => error::tool(format!("Studio cannot run beside the database: {other}"))
            .hint("put Prisma 7 or later into the backend's image; then Studio runs there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_cli_is_taken_and_of_two_alike_the_projects_own() {
        let text = "6.19.3 /app/node_modules/.bin/prisma\n7.10.1 /app/studio/node_modules/.bin/prisma\n /x";
        let found = StudioCli::newest(text).unwrap();
        assert_eq!((found.program.as_str(), found.major), ("/app/studio/node_modules/.bin/prisma", 7));
        let same = "7.0.0 /app/node_modules/.bin/prisma\n7.1.0 /app/x/node_modules/.bin/prisma";
        assert_eq!(StudioCli::newest(same).unwrap().program, "/app/node_modules/.bin/prisma");
        assert_eq!(StudioCli::newest(""), None);
    }

    #[test]
    fn no_address_of_a_database_is_on_a_command_line() {
        let cli = StudioCli { program: "/p".into(), major: 7 };
        let argv = cli.argv(5555, "/tmp/x");
        assert_eq!(
            argv,
            ["/p", "studio", "--port", "5555", "--browser", "none", "--config", "/tmp/x/prisma.config.mjs"]
        );
        assert!(!CONFIG.contains("postgres") && !IMAGE_CONFIG.contains("postgres"));
    }
}
