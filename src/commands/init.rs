//! `envctl init`: an envctl.toml from what is running, and a Makefile with the old names.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::config::generate::draft;
use crate::config::write_new::{create, exists};
use crate::environment::Environment;
use crate::error::{self, Result};
use crate::text::escape::escape_lines;

/// Text of the Makefile that is written; the demo stack's Makefile includes it.
const MAKEFILE: &str = include_str!("init.mk");

/// The names under which make looks for its file; any of them is somebody's.
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// Arguments of `init`.
#[derive(clap::Args, Debug)]
pub(crate) struct InitArgs {
    /// Also a Makefile with the old names: db-migrate, db-backup, dev-shell …
    #[arg(long)]
    makefile: bool,
    /// Another name for the Makefile, or without `--makefile` for envctl.toml; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct InitAnswer {
    dry_run: bool,
    written: Vec<String>,
}

/// A file that would be written.
struct New {
    path: PathBuf,
    text: String,
}

/// # Errors
/// Kind `Target`: no stack runs here. `Refused`: a file exists; nothing was written then.
pub(crate) async fn run(args: InitArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("init", "name it: `-s STACK`")?;
    let folder = ctx.settings.target.project_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    let mut files = Vec::new();
    if args.makefile {
        files.push(makefile(&args, &folder, to_stdout)?);
    }
    let toml = match &args.output {
        Some(name) if !args.makefile => name.clone(),
        _ => folder.join("envctl.toml"),
    };
    if !args.makefile || (!to_stdout && !toml.exists()) {
        if toml.exists() && !args.force && !to_stdout {
            return Err(exists(&toml));
        }
        match from_what_runs(ctx).await {
            Ok(text) => files.push(New { path: toml, text }),
            // The Makefile is the same whatever runs.
            Err(e) if args.makefile => {
                ctx.ui.warn(&format!("no envctl.toml was written: {}", e.full_message()));
            }
            Err(e) => return Err(e),
        }
    } else if !to_stdout {
        ctx.ui.say(&format!("{} exists and is not replaced", toml.display()));
    }
    write(&args, ctx, &files, to_stdout)
}

/// # Errors
/// Kind `Refused`: there is one already, under whatever name make takes it.
fn makefile(args: &InitArgs, folder: &Path, to_stdout: bool) -> Result<New> {
    let new = |path| New { path, text: MAKEFILE.to_owned() };
    if let Some(path) = &args.output {
        if path.exists() && !args.force && !to_stdout {
            return Err(exists(path));
        }
        return Ok(new(path.clone()));
    }
    let there = MAKEFILES.iter().map(|name| folder.join(name)).find(|path| path.exists());
    match there {
        Some(path) if !args.force => Err(error::refused(format!(
            "{} exists and is not replaced",
            path.display()
        ))
        .hint("write another beside it: `envctl init --makefile -o envctl.mk`, and a line `include envctl.mk` in yours")
        .hint("replace it with `--force`")),
        // The one that make reads, or the new one would never be seen.
        Some(path) => Ok(new(path)),
        None => Ok(new(folder.join("Makefile"))),
    }
}

async fn from_what_runs(ctx: &CommandContext) -> Result<String> {
    let inventory = ctx.inventory().await?;
    // Which profile is meant does not matter here: all of them are written down.
    let stack = inventory.stack_of(&ctx.settings.target).map_err(|e| {
        e.hint("start the stack first, so that there is something to write down: `docker compose up -d`")
    })?;
    let environments: Vec<&Environment> = inventory
        .stacks()
        .into_iter()
        .filter(|other| other.name == stack)
        .flat_map(|other| other.environments)
        .collect();
    Ok(draft(&stack, &environments))
}

fn write(args: &InitArgs, ctx: &CommandContext, files: &[New], to_stdout: bool) -> Result<()> {
    let shown = |new: &New| new.path.display().to_string();
    if to_stdout && !ctx.global.dry_run {
        for new in files {
            ctx.ui.answer(&new.text);
        }
        return Ok(());
    }
    if ctx.global.dry_run {
        let plan: Vec<String> = files.iter().map(|new| format!("would write {}", shown(new))).collect();
        for line in &plan {
            ctx.ui.say(line);
        }
        let text: String = files.iter().map(|new| new.text.clone()).collect();
        ctx.ui.show(&InitAnswer { dry_run: true, written: Vec::new() }, |_| text);
        return Ok(());
    }
    for new in files {
        create(&new.path, &new.text, args.force)?;
    }
    let answer = InitAnswer { dry_run: false, written: files.iter().map(shown).collect() };
    if args.makefile {
        let name = files[0].path.file_name().unwrap_or_default().to_string_lossy();
        let own = MAKEFILES.contains(&&*name);
        let next = if own {
            "`make help` lists the targets".to_owned()
        } else {
            format!("put `include {name}` into your Makefile")
        };
        ctx.ui.say(&next);
    }
    ctx.ui.show(&answer, |_| escape_lines(&answer.written.join("\n")) + "\n");
    Ok(())
}
