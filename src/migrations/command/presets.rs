//! The tools that are known, one row each: how they are recognised, called and read. A tool is a row, not code.
//!
//! Promises: an argv is a list of words and never shell text; `{name}` in it is the new migration's name, `{file}` the
//! file by which the tool was recognised and `{dir}` that file's folder. No row carries a password: the tool takes the
//! database from the container's own environment.

/// A command line.
pub(crate) type Argv = &'static [&'static str];

/// A file by which a tool is recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    /// Relative to the backend's working directory; `*` within one name.
    pub(crate) file: &'static str,
    /// Text that the file has to contain; empty where the file's name is enough.
    pub(crate) holds: &'static str,
}

/// Format of the output of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusFormat {
    /// A line begins with a mark, the name is the rest of it.
    Begins {
        /// Before what is applied.
        applied: &'static str,
        /// Before what waits.
        pending: &'static str,
    },
    /// Format `Begins`, where the name is the line's last word.
    BeginsEndsWithName {
        /// Before what is applied.
        applied: &'static str,
        /// Before what waits.
        pending: &'static str,
    },
    /// A line begins with the name and ends with a word.
    Ends {
        /// Behind what is applied.
        applied: &'static str,
        /// Behind what waits.
        pending: &'static str,
    },
    /// Names alone, below a heading that holds these words.
    Below {
        /// Above what is applied.
        applied: &'static str,
        /// Above what waits.
        pending: &'static str,
    },
    /// The name is behind `mark`; what has the word before it waits, anything else is applied.
    Behind {
        /// Between state and name.
        mark: &'static str,
        /// Before what waits.
        pending: &'static str,
    },
    /// `old -> new, message`, the newest first: what the marked ones go back to is applied.
    Graph {
        /// Between those before and the name.
        arrow: &'static str,
        /// On what the database has.
        current: &'static str,
    },
    /// A table with `|` between its cells and a heading.
    Table {
        /// The headings of the cells that make the name.
        name: &'static [&'static str],
        /// The heading of the state.
        state: &'static str,
        /// The states of what waits.
        pending: &'static [&'static str],
        /// The states of what failed.
        failed: &'static [&'static str],
    },
}

/// One tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preset {
    /// The word in settings.
    pub(crate) name: &'static str,
    /// Any of them is enough; the first that is there is `{file}`.
    pub(crate) signs: &'static [Sign],
    /// Lists what is applied and what waits; `None` where the tool cannot.
    pub(crate) status: Option<Argv>,
    /// Format of the output of `status`.
    pub(crate) reading: StatusFormat,
    /// Messages with which `status` fails where no migration was ever applied.
    pub(crate) fresh: &'static [&'static str],
    /// Messages of `status` where there is no migration at all.
    pub(crate) none: &'static [&'static str],
    /// Applies what waits.
    pub(crate) apply: Argv,
    /// Writes a migration, from the models where the tool can.
    pub(crate) create: Option<Argv>,
    /// Writes an empty one.
    pub(crate) create_empty: Option<Argv>,
    /// Patterns of the paths of new files, as `find -path` takes them.
    pub(crate) writes: &'static [&'static str],
    /// Drops everything and applies all; `None` where envctl drops and `apply` applies.
    pub(crate) reset: Option<Argv>,
    /// Fills in the project's own data.
    pub(crate) seed: Option<Argv>,
    /// Command that the tool's users type for `migrate resolve`; empty where there is none.
    pub(crate) resolve: &'static str,
}

const fn sign(file: &'static str) -> Sign {
    Sign { file, holds: "" }
}

/// Checkmarks, as Django, Diesel and TypeORM print them.
const CHECKED: StatusFormat = StatusFormat::BeginsEndsWithName { applied: "[X]", pending: "[ ]" };

/// Format of the output of `status` for a tool of `[migrations.commands]`.
pub(crate) const OWN: StatusFormat = StatusFormat::Begins { applied: "[X]", pending: "[ ]" };

/// Patterns of the paths of new files for a tool of `[migrations.commands]`.
pub(crate) const OWN_WRITES: &[&str] = &["*/migrations/*", "*/migrate/*", "*.sql"];

const KNEX_MAKE: Argv = &["npx", "--no-install", "knex", "migrate:make", "{name}", "--knexfile", "{file}"];
const RAILS_MIGRATION: Argv = &["bin/rails", "generate", "migration", "{name}"];
const LARAVEL_MAKE: Argv = &["php", "artisan", "make:migration", "{name}", "--no-ansi", "--no-interaction"];
const DIESEL_GENERATE: Argv = &["diesel", "migration", "generate", "{name}"];
const GOOSE_CREATE: Argv = &["goose", "-dir", "{dir}", "create", "{name}", "sql"];
const TYPEORM_CREATE: Argv =
    &["npx", "--no-install", "typeorm", "migration:create", "{dir}/migrations/{name}"];

/// `{file}` for a DataSource in TypeScript goes through ts-node, which an image for production leaves out.
const DATA_SOURCES_TS: &[Sign] = &[
    Sign { file: "src/data-source.ts", holds: "typeorm" },
    Sign { file: "data-source.ts", holds: "typeorm" },
    Sign { file: "src/database/data-source.ts", holds: "typeorm" },
];

const DATA_SOURCES_JS: &[Sign] = &[
    Sign { file: "dist/data-source.js", holds: "typeorm" },
    Sign { file: "dist/src/data-source.js", holds: "typeorm" },
    Sign { file: "dist/database/data-source.js", holds: "typeorm" },
    Sign { file: "build/data-source.js", holds: "typeorm" },
    Sign { file: "src/data-source.js", holds: "typeorm" },
    Sign { file: "data-source.js", holds: "typeorm" },
];

/// All of them. `npx --no-install` runs what the project has and never downloads.
pub(crate) const PRESETS: &[Preset] = &[
    Preset {
        name: "django",
        signs: &[Sign { file: "manage.py", holds: "django" }],
        status: Some(&["python", "manage.py", "showmigrations", "--plan", "--no-color"]),
        reading: CHECKED,
        fresh: &[],
        none: &["(no migrations)"],
        apply: &["python", "manage.py", "migrate", "--no-input", "--no-color"],
        create: Some(&[
            "python",
            "manage.py",
            "makemigrations",
            "--no-input",
            "--no-color",
            "--name",
            "{name}",
        ]),
        // It wants the name of an app, which a name of a migration is not.
        create_empty: None,
        writes: &["*/migrations/*.py"],
        // `flush` keeps the tables.
        reset: None,
        seed: None,
        resolve: "python manage.py migrate --fake APP NAME",
    },
    Preset {
        name: "alembic",
        signs: &[sign("alembic.ini"), Sign { file: "pyproject.toml", holds: "[tool.alembic]" }],
        // The whole history: `current:heads` leaves out a branch that begins below `current` (seen with 1.20).
        status: Some(&["alembic", "history", "--indicate-current"]),
        reading: StatusFormat::Graph { arrow: " -> ", current: "(current)" },
        fresh: &[],
        none: &[],
        apply: &["alembic", "upgrade", "heads"],
        create: Some(&["alembic", "revision", "--autogenerate", "-m", "{name}"]),
        create_empty: Some(&["alembic", "revision", "-m", "{name}"]),
        writes: &["*/versions/*.py"],
        reset: None,
        seed: None,
        resolve: "alembic stamp REVISION",
    },
    Preset {
        name: "rails",
        signs: &[sign("bin/rails")],
        status: Some(&["bin/rails", "db:migrate:status"]),
        reading: StatusFormat::Begins { applied: "up", pending: "down" },
        fresh: &["Schema migrations table does not exist yet"],
        none: &["Migration ID"],
        apply: &["bin/rails", "db:migrate"],
        create: Some(RAILS_MIGRATION),
        create_empty: Some(RAILS_MIGRATION),
        writes: &["*/db/migrate/*.rb"],
        // `db:migrate:reset` drops the database itself, which the application's own sessions prevent.
        reset: None,
        seed: Some(&["bin/rails", "db:seed"]),
        resolve: "",
    },
    Preset {
        name: "laravel",
        signs: &[sign("artisan")],
        status: Some(&["php", "artisan", "migrate:status", "--no-ansi", "--no-interaction"]),
        reading: StatusFormat::Ends { applied: "Ran", pending: "Pending" },
        fresh: &["Migration table not found"],
        none: &["No migrations found"],
        // Without `--force` it asks in production, which envctl has done already.
        apply: &["php", "artisan", "migrate", "--force", "--no-ansi", "--no-interaction"],
        create: Some(LARAVEL_MAKE),
        create_empty: Some(LARAVEL_MAKE),
        writes: &["*/database/migrations/*.php"],
        reset: Some(&["php", "artisan", "migrate:fresh", "--force", "--no-ansi", "--no-interaction"]),
        seed: Some(&["php", "artisan", "db:seed", "--force", "--no-ansi", "--no-interaction"]),
        resolve: "",
    },
    Preset {
        name: "flyway",
        signs: &[
            sign("flyway.toml"),
            sign("flyway.conf"),
            sign("conf/flyway.toml"),
            sign("conf/flyway.conf"),
        ],
        status: Some(&["flyway", "info"]),
        reading: StatusFormat::Table {
            name: &["Version", "Description"],
            state: "State",
            pending: &["Pending", "Outdated"],
            failed: &["Failed", "Failed (Missing)", "Failed (Future)"],
        },
        fresh: &[],
        none: &["No migrations found"],
        apply: &["flyway", "migrate"],
        create: None,
        create_empty: None,
        writes: &["*.sql"],
        // `clean` is switched off unless the project says otherwise.
        reset: None,
        seed: None,
        resolve: "flyway repair",
    },
    Preset {
        name: "knex",
        signs: &[sign("knexfile.js"), sign("knexfile.ts"), sign("knexfile.cjs"), sign("knexfile.mjs")],
        status: Some(&["npx", "--no-install", "knex", "migrate:list", "--knexfile", "{file}"]),
        reading: StatusFormat::Below {
            applied: "Completed Migration file",
            pending: "Pending Migration file",
        },
        fresh: &[],
        none: &["No Pending Migration files Found"],
        apply: &["npx", "--no-install", "knex", "migrate:latest", "--knexfile", "{file}"],
        create: Some(KNEX_MAKE),
        create_empty: Some(KNEX_MAKE),
        writes: &["*/migrations/*"],
        reset: None,
        seed: Some(&["npx", "--no-install", "knex", "seed:run", "--knexfile", "{file}"]),
        resolve: "",
    },
    Preset {
        name: "typeorm",
        signs: DATA_SOURCES_JS,
        status: Some(&["npx", "--no-install", "typeorm", "migration:show", "-d", "{file}"]),
        reading: CHECKED,
        fresh: &[],
        none: &["No migrations"],
        apply: &["npx", "--no-install", "typeorm", "migration:run", "-d", "{file}"],
        create: Some(&[
            "npx",
            "--no-install",
            "typeorm",
            "migration:generate",
            "{dir}/migrations/{name}",
            "-d",
            "{file}",
        ]),
        create_empty: Some(TYPEORM_CREATE),
        writes: &["*/migrations/*"],
        reset: None,
        seed: None,
        resolve: "npx typeorm migration:run --fake -d FILE",
    },
    Preset {
        name: "typeorm-ts",
        signs: DATA_SOURCES_TS,
        status: Some(&["npx", "--no-install", "typeorm-ts-node-commonjs", "migration:show", "-d", "{file}"]),
        reading: CHECKED,
        fresh: &[],
        none: &["No migrations"],
        apply: &["npx", "--no-install", "typeorm-ts-node-commonjs", "migration:run", "-d", "{file}"],
        create: Some(&[
            "npx",
            "--no-install",
            "typeorm-ts-node-commonjs",
            "migration:generate",
            "{dir}/migrations/{name}",
            "-d",
            "{file}",
        ]),
        create_empty: Some(TYPEORM_CREATE),
        writes: &["*/migrations/*"],
        reset: None,
        seed: None,
        resolve: "npx typeorm-ts-node-commonjs migration:run --fake -d FILE",
    },
    Preset {
        name: "drizzle",
        signs: &[
            sign("drizzle.config.ts"),
            sign("drizzle.config.js"),
            sign("drizzle.config.mjs"),
            sign("drizzle.config.json"),
        ],
        // `check` compares the files with each other, not with the database.
        status: None,
        reading: OWN,
        fresh: &[],
        none: &[],
        apply: &["npx", "--no-install", "drizzle-kit", "migrate", "--config={file}"],
        create: Some(&["npx", "--no-install", "drizzle-kit", "generate", "--config={file}", "--name={name}"]),
        create_empty: Some(&[
            "npx",
            "--no-install",
            "drizzle-kit",
            "generate",
            "--custom",
            "--config={file}",
            "--name={name}",
        ]),
        writes: &["*.sql", "*/meta/*.json"],
        reset: None,
        seed: None,
        resolve: "",
    },
    Preset {
        name: "diesel",
        signs: &[sign("diesel.toml")],
        status: Some(&["diesel", "migration", "list"]),
        reading: CHECKED,
        fresh: &[],
        none: &["Migrations:"],
        apply: &["diesel", "migration", "run"],
        create: Some(DIESEL_GENERATE),
        create_empty: Some(DIESEL_GENERATE),
        writes: &["*/migrations/*"],
        // `database reset` drops the database itself, which the application's own sessions prevent.
        reset: None,
        seed: None,
        resolve: "",
    },
    Preset {
        name: "goose",
        signs: &[
            Sign { file: "migrations/*.sql", holds: "+goose Up" },
            Sign { file: "db/migrations/*.sql", holds: "+goose Up" },
            Sign { file: "sql/migrations/*.sql", holds: "+goose Up" },
            Sign { file: "sql/schema/*.sql", holds: "+goose Up" },
        ],
        // Which database comes from GOOSE_DRIVER and GOOSE_DBSTRING.
        status: Some(&["goose", "-dir", "{dir}", "status"]),
        reading: StatusFormat::Behind { mark: " -- ", pending: "Pending" },
        fresh: &[],
        none: &["Applied At"],
        apply: &["goose", "-dir", "{dir}", "up"],
        create: Some(GOOSE_CREATE),
        create_empty: Some(GOOSE_CREATE),
        writes: &["*.sql"],
        reset: None,
        seed: None,
        resolve: "",
    },
];

impl Preset {
    /// Returns the preset with this name in settings.
    pub(crate) fn named(argument: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == argument)
    }

    /// Every command line of the row, with its verb.
    #[cfg(test)]
    pub(crate) fn argvs(&self) -> Vec<(&'static str, Argv)> {
        [
            ("status", self.status),
            ("apply", Some(self.apply)),
            ("create", self.create),
            ("create", self.create_empty),
            ("reset", self.reset),
            ("seed", self.seed),
        ]
        .into_iter()
        .filter_map(|(verb, argv)| Some((verb, argv?)))
        .collect()
    }
}
