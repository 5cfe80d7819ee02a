//! `envctl migrate create`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::App;
use crate::commands::migrate::context::MigrationContext;
use crate::commands::shared::context::CommandContext;
use crate::error::{self, Result};
use crate::migrations::command::ChangedFile;
use crate::migrations::driver::new_file;
use crate::migrations::prisma::CreatedMigration;
use crate::migrations::sql::SqlDriver;
use crate::migrations::{Driver, MigrationName};

/// Arguments of `migrate create`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct MigrateCreateArgs {
    /// What it does: letters, digits, `_` and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// An empty one, for SQL of your own
    #[arg(long)]
    empty: bool,
    /// Also where the target is production
    #[arg(long)]
    allow_prod: bool,
}

#[derive(Serialize)]
struct MigrateCreateAnswer {
    name: String,
    /// On this machine; none where the project is not here.
    files: Vec<PathBuf>,
    /// In the container, with a tool there.
    container_path: Option<String>,
}

/// # Errors
/// Kind `Usage`: the name, the schema. `Refused`: production; nothing new in the schema.
pub(crate) async fn run(args: &MigrateCreateArgs, ctx: &CommandContext) -> Result<()> {
    let name: MigrationName = args.name.parse()?;
    ctx.one_stack("migrate create", "name it with `-s STACK`")?;
    let stack = ctx.stack().await?;
    if stack.environment.profile.is_prod() && !args.allow_prod {
        return Err(error::refused("migrations are created in development, and this is production")
            .hint("create it in development: `envctl migrate create NAME --dev`; if you mean it, add `--allow-prod`"));
    }
    let migrations = stack.migrations().await?;
    let at = ctx.now();
    if ctx.global.dry_run {
        let (named, would) = match &migrations.driver {
            Driver::Command(driver) => {
                let argv = driver.tool.creating(&name, args.empty)?;
                (name.as_str().to_owned(), format!("would run {}\n", argv.join(" ")))
            }
            _ => (name.dated(at), format!("would write {}\n", name.dated(at))),
        };
        let answer = MigrateCreateAnswer { name: named, files: Vec::new(), container_path: None };
        ctx.ui.show(&answer, |_| crate::text::escape::escape_lines(&would));
        return Ok(());
    }
    let answer = match &migrations.driver {
        Driver::Prisma(driver) => {
            let written = driver.create(&name, at, args.empty).await?;
            let files = bring_here(&migrations, &driver.cli.migrations, &written)?;
            MigrateCreateAnswer {
                container_path: Some(driver.path_of(&written.name)),
                name: written.name,
                files,
            }
        }
        Driver::Sql(driver) => MigrateCreateAnswer {
            name: name.dated(at),
            files: write(driver, &name, at)?,
            container_path: None,
        },
        Driver::Command(driver) => {
            let written = driver.create(&name, args.empty).await?;
            let files = arrived(ctx, migrations.project.as_deref(), &written)?;
            let first = written.iter().find(|file| !file.changed).or(written.first());
            let container_path = first.map(|file| format!("{}/{}", driver.tool.dir, file.path));
            MigrateCreateAnswer { name: name.as_str().to_owned(), files, container_path }
        }
    };
    ctx.ui.end_progress();
    show(ctx, &answer, &migrations);
    Ok(())
}

/// The files on this machine. With a bind mount they are there already; without one they are put where the folder of
/// the same name is, and what is there already stays as it is.
fn arrived(app: &App, project: Option<&Path>, written: &[ChangedFile]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in written {
        let Some(path) = project.and_then(|project| place(project, Path::new(&file.path))) else { continue };
        match std::fs::read(&path) {
            Ok(there) if there == file.bytes => {}
            Ok(_) => {
                app.ui.warn(&format!(
                    "{} is another one in the container: bring it over by hand, `envctl exec backend -- cat {}`",
                    path.display(),
                    file.path
                ));
                continue;
            }
            Err(_) => put(&path, &file.bytes)?,
        }
        if !file.changed {
            files.push(path);
        }
    }
    Ok(files)
}

/// Returns the path below the project for a file of the tool's directory.
/// The longest part of the file's folder that is found in the project decides.
fn place(project: &Path, file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    for known in folder.ancestors().filter(|known| !known.as_os_str().is_empty()) {
        let exact = Some(project.join(known)).filter(|path| path.is_dir());
        let found = match exact {
            Some(exact) => exact,
            None => match crate::migrations::directory::search(project, 6, &|path| path.ends_with(known))
                .as_slice()
            {
                [one] => one.clone(),
                _ => continue,
            },
        };
        return Some(found.join(file.strip_prefix(known).ok()?));
    }
    None
}

fn write(driver: &SqlDriver, name: &MigrationName, at: jiff::Timestamp) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (path, text) in new_file(driver.layout, &driver.folder, name, at)? {
        let path = driver.folder.join(path);
        put(&path, text.as_bytes())?;
        files.push(path);
    }
    Ok(files)
}

/// Writes a file that is not there yet.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let cannot =
        |e: std::io::Error| error::failed(format!("{} cannot be written", path.display())).because(e);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(cannot)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(cannot)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(cannot)
}

/// The folder of this machine that holds the same migrations as the container's. With a bind mount the new file is
/// there already; without one it would be gone with the container.
fn bring_here(
    migrations: &MigrationContext,
    inside: &str,
    written: &CreatedMigration,
) -> Result<Vec<PathBuf>> {
    let Some(project) = &migrations.project else { return Ok(Vec::new()) };
    let suffix = Path::new(inside);
    let fits = |folder: &Path| {
        folder.ends_with(suffix)
            || (folder.ends_with("migrations") && folder.join("migration_lock.toml").is_file())
    };
    let folders = crate::migrations::directory::search(project, 6, &fits);
    let exact = folders.iter().find(|folder| folder.ends_with(suffix));
    let Some(folder) = exact.or(match folders.as_slice() {
        [one] => Some(one),
        _ => None,
    }) else {
        return Ok(Vec::new());
    };
    let path = folder.join(&written.name).join("migration.sql");
    if !path.exists() {
        put(&path, written.sql.as_bytes())?;
    }
    Ok(vec![path])
}

fn show(app: &App, answer: &MigrateCreateAnswer, migrations: &MigrationContext) {
    app.ui.show(answer, |_| {
        let paths = answer.files.iter().map(|path| path.display().to_string());
        let all: Vec<String> = if answer.files.is_empty() {
            answer.container_path.clone().into_iter().collect()
        } else {
            paths.collect()
        };
        all.iter().fold(String::new(), |text, path| text + &crate::text::escape::escape(path) + "\n")
    });
    if answer.files.is_empty() {
        app.ui.warn(&format!(
            "it is in container {} only; the project was not found on this machine: `-C DIR` names it",
            migrations.found.target.stack
        ));
    }
    if let Some(place) = &migrations.place {
        app.ui.warn(place);
    }
    app.ui.say("read it, then apply it: `envctl migrate`");
}
