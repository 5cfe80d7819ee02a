//! A compose service whose main process is the schedule, and whose health check judges the backups.
//!
//! Promise: every value is a JSON string, which YAML reads as it is; compose expands `$`, which is doubled.

use super::installation::{ContainerParts, Installation};

/// Returns the text of a compose file.
pub(crate) fn file(installation: &Installation, parts: &ContainerParts) -> String {
    let user = &installation.user;
    let mut text = format!(
        "services:\n  envctl-backup:\n    image: {}\n    command: {}\n    restart: unless-stopped\n    user: {}\n",
        string(&parts.image),
        list(
            ["backup", "schedule", "run"]
                .into_iter()
                .chain(installation.arguments.iter().map(String::as_str))
        ),
        string(&format!("{}:{}", user.uid, user.gid)),
    );
    if let Some((_, group)) = &parts.socket {
        text.push_str(&format!("    group_add:\n      - {}\n", string(&group.to_string())));
    }
    text.push_str("    environment:\n");
    for (name, value) in &installation.environment {
        text.push_str(&format!("      {name}: {}\n", string(value)));
    }
    text.push_str("    volumes:\n");
    let socket = parts.socket.iter().map(|(path, _)| (path, true));
    for (path, written) in socket.chain(parts.mounts.iter().map(|(path, written)| (path, *written))) {
        let path = string(&path.display().to_string());
        text.push_str(&format!("      - type: bind\n        source: {path}\n        target: {path}\n"));
        if !written {
            text.push_str("        read_only: true\n");
        }
    }
    let check = ["CMD", "envctl", "backup", "check", "-q"].into_iter();
    let check = check.chain(installation.check_arguments.iter().map(String::as_str));
    text.push_str(&format!(
        "    healthcheck:\n      test: {}\n      interval: 5m\n      timeout: 30s\n      retries: 1\n      \
         start_period: {}m\n    stop_grace_period: 1m\n",
        list(check),
        // Until the first backup is late the service is neither healthy nor not.
        installation.max_age.as_secs().div_ceil(60)
    ));
    text
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(string).collect::<Vec<_>>().join(", "))
}

fn string(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_says_everything() {
        let parts = ContainerParts {
            image: "envctl:0.1.0".into(),
            mounts: vec![("/srv/back ups".into(), true), ("/srv/shop/envctl.toml".into(), false)],
            socket: Some(("/var/run/docker.sock".into(), 998)),
        };
        let text = file(&Installation::sample("30 1 * * *"), &parts);
        let expected = r#"services:
  envctl-backup:
    image: "envctl:0.1.0"
    command: ["backup", "schedule", "run", "-s", "shop", "--prod", "-C", "/srv/my shop/100% \"a\\b\" $$HOME"]
    restart: unless-stopped
    user: "1000:1000"
    group_add:
      - "998"
    environment:
      ENVCTL_BACKUP_DIR: "/srv/back ups/50%"
    volumes:
      - type: bind
        source: "/var/run/docker.sock"
        target: "/var/run/docker.sock"
      - type: bind
        source: "/srv/back ups"
        target: "/srv/back ups"
      - type: bind
        source: "/srv/shop/envctl.toml"
        target: "/srv/shop/envctl.toml"
        read_only: true
    healthcheck:
      test: ["CMD", "envctl", "backup", "check", "-q", "-s", "shop", "--prod", "--max-age", "26h"]
      interval: 5m
      timeout: 30s
      retries: 1
      start_period: 1560m
    stop_grace_period: 1m
"#;
        assert_eq!(text, expected);
    }
}
