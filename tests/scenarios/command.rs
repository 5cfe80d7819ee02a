//! The driver `command` with the real Django and the real Alembic, in a backend's container.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::rig::{CANARY, Wanted, docker, try_docker};
use crate::support::{Finished, Project, Server};

const IMAGE: &str = "envctl-python:3.13";

/// A container with the tools, in the network of a database's.
struct Python {
    container: String,
    service: String,
}

impl Python {
    /// `source` is mounted where there is to be a bind mount, else copied.
    fn beside(server: &Server, database: &str, source: &Path, bind: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let service = format!("python{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let project = format!("{}-{}", server.stack, server.profile);
        let container = format!("{project}-{service}-1");
        let label = |name: &str, value: &str| format!("--label=com.docker.compose.{name}={value}");
        let mut args = vec![
            "run".to_owned(),
            "--detach".to_owned(),
            "--rm".to_owned(),
            "--init".to_owned(),
            format!("--name={container}"),
            format!("--network=container:{}", server.container),
            label("project", &project),
            label("service", &service),
            label("container-number", "1"),
            label("oneoff", "False"),
            format!("--label=rig.run={}", std::process::id()),
            format!("--env=DATABASE_URL=postgresql://postgres:{CANARY}@127.0.0.1:5432/{database}"),
        ];
        if bind {
            args.push(format!("--volume={}:/app", source.display()));
        }
        args.extend([IMAGE, "sleep", "1000"].map(str::to_owned));
        docker(&args);
        if !bind {
            docker(&["cp", &format!("{}/.", source.display()), &format!("{container}:/app")]);
        }
        Self { container, service }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", &self.container]);
    }
}

/// A project with a backend in Python.
struct Backend {
    project: Project,
    source: PathBuf,
    python: Python,
}

impl Backend {
    fn new(name: &str, files: &[(&str, &str)], bind: bool) -> Self {
        let project = Project::new(Server::shared(15), name);
        let source = project.path().join("services/api");
        for (name, text) in files {
            write(&source.join(name), text);
        }
        let python = Python::beside(&project.server, &project.database, &source, bind);
        let backend = Self { project, source, python };
        backend.configure("");
        backend
    }

    fn configure(&self, more: &str) {
        let toml = format!(
            "stack = \"{}\"\n[profiles.dev]\nbackend = \"{}\"\ndb = \"db\"\n{more}",
            self.project.server.stack, self.python.service
        );
        fs::write(self.project.path().join("envctl.toml"), toml).unwrap();
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Finished {
        self.project.run(args)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.source.join(name), text);
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const MANAGE: &str = r#"import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"#;

const SETTINGS: &str = r#"import os
from urllib.parse import urlparse
at = urlparse(os.environ["DATABASE_URL"])
SECRET_KEY = "of a test"
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": at.path[1:], "USER": at.username,
    "PASSWORD": at.password, "HOST": at.hostname, "PORT": at.port,
}}
"#;

const MODELS: &str =
    "from django.db import models\nclass Item(models.Model):\n    name = models.CharField(max_length=20)\n";

const INITIAL: &str = r#"from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [migrations.CreateModel(name="Item", fields=[
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("name", models.CharField(max_length=20)),
    ])]
"#;

const DJANGO: &[(&str, &str)] = &[
    ("manage.py", MANAGE),
    ("settings.py", SETTINGS),
    ("shop/__init__.py", ""),
    ("shop/models.py", MODELS),
    ("shop/migrations/__init__.py", ""),
    ("shop/migrations/0001_initial.py", INITIAL),
];

/// A Django migration of one statement.
fn sql_migration(after: &str, statement: &str) -> String {
    format!(
        "from django.db import migrations\nclass Migration(migrations.Migration):\n    \
         dependencies = [(\"shop\", \"{after}\")]\n    operations = [migrations.RunSQL(\"{statement}\")]\n"
    )
}

#[test]
fn django_is_recognised_lists_applies_and_writes() {
    let backend = Backend::new("cmd_django", DJANGO, true);
    let status = backend.run(&["migrate", "status", "--exit-code"]).code(11).says("1 pending");
    assert!(status.out().contains("shop.0001_initial"), "{}", status.out());
    let plan = backend.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("+ shop.0001_initial") && plan.contains("by django in"), "{plan}");
    assert!(plan.contains("python manage.py migrate"), "{plan}");
    assert_eq!(backend.project.sql("select to_regclass('shop_item')"), "");
    let applied = backend.run(&["migrate"]).code(0).says("1 migration applied");
    assert_eq!(applied.out(), "shop.0001_initial\n");
    assert_eq!(backend.project.sql("select to_regclass('shop_item')"), "shop_item");
    assert_eq!(backend.run(&["migrate"]).code(0).out(), "nothing to apply\n");
    backend.run(&["migrate", "status", "--exit-code"]).code(0).says("1 applied");

    backend.run(&["migrate", "create", "add price"]).code(2).says("`add_price`");
    backend.run(&["migrate", "create", "add_price"]).code(6).says("no changes detected");
    backend.run(&["migrate", "create", "add_price", "--empty"]).code(2).says("[migrations.commands] create");
    backend.write("shop/models.py", &format!("{MODELS}    price = models.IntegerField(default=0)\n"));
    let would = backend.run(&["migrate", "create", "add_price", "--dry-run"]).code(0).out();
    assert!(would.contains("makemigrations") && would.contains("add_price"), "{would}");
    let path = backend.run(&["migrate", "create", "add_price"]).code(0).out();
    assert_eq!(Path::new(path.trim()), backend.source.join("shop/migrations/0002_add_price.py"));
    assert!(fs::read_to_string(path.trim()).unwrap().contains("price"));
    let applied = backend.run(&["migrate", "--json"]).code(0).out();
    assert!(applied.contains("\"applied\":[\"shop.0002_add_price\"]"), "{applied}");
    backend.run(&["migrate", "resolve", "shop.0002_add_price", "--applied"]).code(2).says("migrate --fake");
}

#[test]
fn what_fails_in_django_ends_in_its_last_words_and_a_next_command() {
    let backend = Backend::new("cmd_fail", DJANGO, true);
    backend.write("shop/migrations/0002_bad.py", &sql_migration("0001_initial", "select 1/0"));
    backend
        .run(&["migrate"])
        .code(7)
        .says("python manage.py migrate --no-input --no-color` in")
        .says("division by zero")
        .says("envctl exec backend --dev -- python manage.py migrate");
    backend.run(&["migrate", "status", "--exit-code"]).code(11).says("1 applied, 1 pending");
    backend.configure("[migrations]\npreset = \"rails\"\n");
    backend.run(&["migrate"]).code(7).says("bin/rails").says("is rails in the image?");
    backend.configure("[migrations]\npreset = \"djnago\"\n");
    backend.run(&["migrate"]).code(2).says("did you mean `django`?");
    backend.configure("");
    backend.write("alembic.ini", "[alembic]\n");
    backend
        .run(&["migrate"])
        .code(2)
        .says("command: django (manage.py in")
        .says("command: alembic")
        .says("`preset`");
}

#[test]
fn reset_and_seed_make_the_database_anew_from_djangos_migrations() {
    let backend = Backend::new("cmd_reset", DJANGO, true);
    backend.run(&["migrate"]).code(0);
    backend.run(&["seed"]).code(2).says("[migrations.commands] seed");
    let seed = "from shop.models import Item; Item.objects.create(name='a; $(b)')";
    backend.configure(&format!(
        "[migrations.commands]\nseed = [\"python\", \"manage.py\", \"shell\", \"--no-imports\", \"-c\", \"{seed}\"]\n"
    ));
    backend.run(&["seed"]).code(0);
    assert_eq!(backend.project.sql("select name from shop_item"), "a; $(b)");
    let origin = backend.run(&["config", "--json"]).code(0).out();
    assert!(origin.contains("migrations.commands.seed") && origin.contains("envctl.toml"), "{origin}");
    backend.project.sql("create table stray (); create schema other; create table other.t (); insert into shop_item (name) values ('b')");
    backend.run(&["migrate", "reset"]).code(6);
    assert_eq!(backend.project.sql("select count(*) from shop_item"), "2");
    backend.run(&["migrate", "reset", "--yes"]).code(0).says("backed up in").says("all migrations applied");
    assert_eq!(backend.project.sql("select to_regclass('stray'), to_regclass('other.t')"), "|");
    assert_eq!(backend.project.sql("select count(*) from shop_item"), "1", "seeded again");
    backend.run(&["migrate", "reset", "--yes", "--skip-seed", "--no-backup"]).code(0);
    assert_eq!(backend.project.sql("select count(*) from shop_item"), "0");
    backend.run(&["migrate", "status", "--exit-code"]).code(0);
    backend.run(&["push"]).code(2).says("django has no command for `push`");
}

const ALEMBIC_INI: &str = "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n";

const ENV: &str = r#"import os
from alembic import context
from sqlalchemy import create_engine
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url).connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"#;

const MAKO: &str = r#""""${message}"""
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
def upgrade():
    pass
def downgrade():
    pass
"#;

/// A revision of one statement; `before` is Python.
fn revision(id: &str, before: &str, statement: &str) -> String {
    format!(
        "\"\"\"{id} of a test\"\"\"\nfrom alembic import op\nrevision = \"{id}\"\ndown_revision = {before}\nbranch_labels = None\n\
         depends_on = None\ndef upgrade():\n    op.execute(\"{statement}\")\ndef downgrade():\n    pass\n"
    )
}

#[test]
fn alembic_is_recognised_without_a_bind_mount_and_with_branches() {
    let (one, two) =
        (revision("a1", "None", "create table a ()"), revision("b2", "'a1'", "create table b ()"));
    let files = [
        ("alembic.ini", ALEMBIC_INI),
        ("migrations/env.py", ENV),
        ("migrations/script.py.mako", MAKO),
        ("migrations/versions/a1.py", &one),
        ("migrations/versions/b2.py", &two),
    ];
    let backend = Backend::new("cmd_alembic", &files, false);
    backend.run(&["migrate", "status", "--exit-code"]).code(11).says("0 applied, 2 pending");
    let plan = backend.run(&["migrate", "--dry-run"]).code(0).out();
    let at = |name: &str| plan.find(name).unwrap_or_else(|| panic!("{name} is not in {plan}"));
    assert!(at("+ a1 a1 of a test") < at("+ b2 b2 of a test"), "{plan}");
    backend.run(&["migrate"]).code(0).says("2 migrations applied");
    assert_eq!(backend.project.sql("select version_num from alembic_version"), "b2");
    backend.run(&["migrate", "status", "--exit-code"]).code(0).says("2 applied");

    // A branch below what is current waits too.
    let container = &backend.python.container;
    backend.write("migrations/versions/c3.py", &revision("c3", "'a1'", "create table c ()"));
    let from = backend.source.join("migrations/versions/c3.py");
    docker(&["cp", &from.display().to_string(), &format!("{container}:/app/migrations/versions/c3.py")]);
    backend.run(&["migrate", "status", "--exit-code"]).code(11).says("2 applied, 1 pending");
    backend.run(&["migrate"]).code(0).says("1 migration applied");
    assert_eq!(backend.project.sql("select to_regclass('c')"), "c");

    let merge = revision("d4", "('b2', 'c3')", "select 1");
    backend.write("migrations/versions/d4.py", &merge);
    let from = backend.source.join("migrations/versions/d4.py");
    docker(&["cp", &from.display().to_string(), &format!("{container}:/app/migrations/versions/d4.py")]);
    backend.run(&["migrate"]).code(0).says("1 migration applied");
    let path = backend.run(&["migrate", "create", "by_hand", "--empty"]).code(0).out();
    let path = Path::new(path.trim());
    assert!(
        path.starts_with(backend.source.join("migrations/versions")) && path.is_file(),
        "{}",
        path.display()
    );
    assert!(fs::read_to_string(path).unwrap().contains("by_hand"));
    backend.run(&["migrate", "status", "--exit-code"]).code(11).says("4 applied, 1 pending");
    backend.run(&["migrate", "resolve", "x", "--applied"]).code(2).says("alembic stamp");
    backend.run(&["migrate", "reset", "--yes", "--no-backup"]).code(0);
    backend.run(&["migrate", "status", "--exit-code"]).code(0).says("5 applied");
}

#[test]
fn production_asks_for_what_development_has_not_tried() {
    let dev = Wanted::postgres(15, "cmdprod").start();
    let mut wanted = Wanted::postgres(15, "cmdprod");
    wanted.profile = "prod".to_owned();
    let prod = wanted.start();
    let (dev, prod) = (dev.ready(), prod.ready());
    for server in [&dev, &prod] {
        server.sql("postgres", "create database shop");
    }
    let project = Project::of(&prod, "shop");
    let source = project.path().join("api");
    for (name, text) in DJANGO {
        write(&source.join(name), text);
    }
    let beside_dev = Python::beside(&dev, "shop", &source, true);
    let beside_prod = Python::beside(&prod, "shop", &source, true);
    let toml = format!(
        "stack = \"{}\"\n[profiles.dev]\nbackend = \"{}\"\ndb = \"db\"\n[profiles.prod]\nbackend = \"{}\"\ndb = \"db\"\n",
        prod.stack, beside_dev.service, beside_prod.service
    );
    fs::write(project.path().join("envctl.toml"), toml).unwrap();

    project
        .run(&["migrate", "--prod"])
        .code(6)
        .says("not applied in dev: shop.0001_initial")
        .says("--untested");
    assert_eq!(project.sql("select to_regclass('django_migrations')"), "");
    project.run(&["migrate", "--dev"]).code(0).says("1 migration applied");
    // Without a terminal nobody can answer: refused, and nothing is changed.
    project.run(&["migrate", "--prod"]).code(6).says("applied in dev already").says("there is no backup yet");
    assert_eq!(project.sql("select to_regclass('shop_item')"), "");
    project.run(&["migrate", "--prod", "--yes", "--backup"]).code(0).says("backed up in");
    assert_eq!(project.sql("select to_regclass('shop_item')"), "shop_item");
    project.run(&["migrate", "create", "x", "--prod"]).code(6).says("--allow-prod");
    project.run(&["migrate", "reset", "--prod", "--yes"]).code(6).says("--allow-prod");

    write(
        &source.join("shop/migrations/0002_more.py"),
        &sql_migration("0001_initial", "create table more ()"),
    );
    let several = format!("{}*", prod.stack);
    let status = ["migrate", "status", "-s", &several, "--dev", "--exit-code"];
    let seen = project.run(&status).code(11);
    assert!(seen.out().contains("1 applied, 1 pending"), "{}", seen.out());
    project.run(&["migrate", "-s", &several, "--dev"]).code(0);
    assert_eq!(dev.sql("shop", "select to_regclass('more')"), "more");
}

const UP: &str = r#"import os, sys, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    if sys.argv[1] == "up":
        connection.execute("create table if not exists own ()")
    else:
        there = connection.execute("select to_regclass('own')").fetchone()[0]
        print("looking" if sys.argv[1] == "babble" else "[X] the first" if there else "[ ] the first")
"#;

#[test]
fn a_tool_of_ones_own_applies_and_what_it_does_not_list_is_not_known() {
    let backend = Backend::new("cmd_own", &[("own.py", UP)], true);
    backend.run(&["migrate"]).code(2).says("no other tool in the backend").says("[migrations] preset");
    let apply = "[migrations.commands]\napply = [\"python\", \"own.py\", \"up\"]\n";
    backend.configure(apply);
    backend.run(&["migrate", "status"]).code(2).says("[migrations.commands] status");
    let plan = backend.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("+ whatever is pending") && plan.contains("cannot list"), "{plan}");
    backend.run(&["migrate"]).code(0).says("what it applied it does not list");
    assert_eq!(backend.project.sql("select to_regclass('own')"), "own");

    backend.project.sql("drop table own");
    backend.configure(&format!("{apply}status = [\"python\", \"own.py\", \"status\"]\n"));
    let status = backend.run(&["migrate", "status", "--exit-code"]).code(11).says("1 pending");
    assert!(status.out().contains("the first"), "{}", status.out());
    assert_eq!(backend.run(&["migrate"]).code(0).out(), "the first\n");
    assert_eq!(backend.run(&["migrate"]).code(0).out(), "nothing to apply\n");
    // Words that are not understood are not "nothing to apply".
    backend.configure(&format!("{apply}status = [\"python\", \"own.py\", \"babble\"]\n"));
    let plan = backend.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("+ whatever is pending") && plan.contains("lists nothing that is known"), "{plan}");
    backend.configure("[migrations]\ndir = \"nowhere\"\npreset = \"django\"\n");
    backend.run(&["migrate"]).code(2).says("no directory nowhere in container");
}
