//! Containers for the fake engine, as short to write as they are to say.

use serde_json::{Value, json};

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// 64 hex digits.
    pub(crate) id: String,
    /// Without the slash.
    pub(crate) name: String,
    /// The engine's word: `running`, `exited`, `paused`, `restarting`, …
    pub(crate) state: String,
    /// Whether it has a terminal of its own.
    pub(crate) tty: bool,
    /// Lines it has printed: 1 stdout, 2 stderr.
    pub(crate) log: Vec<(u8, String)>,
    /// Users that exist inside.
    pub(crate) users: Vec<String>,
    /// Programs that are not there.
    pub(crate) missing: Vec<String>,
    exit_code: i64,
    health: Option<&'static str>,
    image: String,
    labels: Vec<(String, String)>,
    env: Vec<String>,
    postgres: bool,
}

/// Started by hand: no labels.
pub(crate) fn plain(name: &str) -> Container {
    // Distinct, stable ids: FNV-1a of the name, in 64 hex digits.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Container {
        id: format!("{hash:016x}").repeat(4),
        name: name.to_owned(),
        state: "running".to_owned(),
        tty: false,
        log: Vec::new(),
        users: ["root", "node", "postgres"].map(str::to_owned).into(),
        missing: Vec::new(),
        exit_code: 0,
        health: None,
        image: "acme/thing:1".to_owned(),
        labels: Vec::new(),
        env: Vec::new(),
        postgres: false,
    }
}

/// Replica 1 of a compose service, in `/srv/STACK`.
pub(crate) fn service(project: &str, service: &str) -> Container {
    let stack = project.rsplit_once('-').map_or(project, |(stack, _)| stack);
    plain(&format!("{project}-{service}-1"))
        .label("com.docker.compose.project", project)
        .label("com.docker.compose.service", service)
        .label("com.docker.compose.container-number", "1")
        .label("com.docker.compose.oneoff", "False")
        .label("com.docker.compose.project.working_dir", &format!("/srv/{stack}"))
}

/// The service `db`, made of the official image.
pub(crate) fn db(project: &str) -> Container {
    service(project, "db").postgres()
}

/// Backend and database of a project.
pub(crate) fn stack(project: &str) -> Vec<Container> {
    vec![service(project, "backend"), db(project)]
}

impl Container {
    /// With a label.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With a variable.
    pub(crate) fn env(mut self, pair: &str) -> Self {
        self.env.push(pair.to_owned());
        self
    }

    /// In another state.
    pub(crate) fn state(mut self, word: &str) -> Self {
        word.clone_into(&mut self.state);
        self
    }

    /// Ended with this code.
    pub(crate) fn exited(mut self, code: i64) -> Self {
        self.exit_code = code;
        self.state("exited")
    }

    /// With a health check that says this.
    pub(crate) fn health(mut self, word: &'static str) -> Self {
        self.health = Some(word);
        self
    }

    /// Made of the official PostgreSQL image.
    pub(crate) fn postgres(mut self) -> Self {
        self.postgres = true;
        "postgres:15".clone_into(&mut self.image);
        self
    }

    /// Without a program.
    pub(crate) fn without(mut self, program: &str) -> Self {
        self.missing.push(program.to_owned());
        self
    }

    /// With a line on stdout.
    pub(crate) fn printed(mut self, line: &str) -> Self {
        self.log.push((1, line.to_owned()));
        self
    }

    /// With a line on stderr.
    pub(crate) fn complained(mut self, line: &str) -> Self {
        self.log.push((2, line.to_owned()));
        self
    }

    /// With a terminal of its own.
    pub(crate) fn with_terminal(mut self) -> Self {
        self.tty = true;
        self
    }

    /// Under another name.
    pub(crate) fn named(self, name: &str) -> Self {
        let id = plain(name).id;
        Self { name: name.to_owned(), id, ..self }
    }

    /// The image's id.
    pub(crate) fn image_id(&self) -> &'static str {
        if self.postgres { "sha256:0db" } else { "sha256:0be" }
    }

    fn labels(&self) -> serde_json::Map<String, Value> {
        self.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect()
    }

    /// Its row in a listing.
    pub(crate) fn row(&self) -> Value {
        let names = [format!("/{}", self.name)];
        json!({"Id": self.id, "ImageID": self.image_id(), "Names": names, "Labels": self.labels()})
    }

    /// `GET /containers/{id}/json`.
    pub(crate) fn inspect(&self) -> Value {
        let labels = self.labels();
        let (path, args) =
            if self.postgres { ("docker-entrypoint.sh", ["postgres"]) } else { ("node", ["server.js"]) };
        json!({
            "Id": self.id,
            "Name": format!("/{}", self.name),
            "Created": "2026-01-01T00:00:00Z",
            "Path": path,
            "Args": args,
            "Image": self.image_id(),
            "State": {
                "Status": self.state,
                "Running": self.state == "running" || self.state == "paused",
                "Paused": self.state == "paused",
                "ExitCode": self.exit_code,
                "StartedAt": "2026-01-01T00:00:01Z",
                "Health": self.health.map(|word| json!({"Status": word})),
            },
            "Config": {"Image": self.image, "Env": self.env, "Labels": labels, "Tty": self.tty},
            "HostConfig": {"Init": null},
            "NetworkSettings": {"Networks": {"default": {"IPAddress": "172.18.0.2"}}},
        })
    }

    /// `GET /images/{id}/json`.
    pub(crate) fn image_inspect(&self) -> Value {
        if self.postgres {
            json!({"Id": self.image_id(), "Config": {
                "Env": ["PGDATA=/var/lib/postgresql/data", "PG_MAJOR=15"],
                "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"],
            }})
        } else {
            json!({"Id": self.image_id(), "Config": {"Env": ["PATH=/bin"], "Entrypoint": null, "Cmd": ["node", "server.js"]}})
        }
    }
}
