//! A line of a crontab.

use super::installation::Installation;
use crate::text::shell_word::quoted;

/// Returns the line; `None` where an argument holds a line break, which no crontab can.
pub(crate) fn line(installation: &Installation) -> Option<String> {
    let variables = installation.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    let program = std::iter::once(quoted(&installation.program));
    let arguments = installation.run_once();
    // cron sends what a job says by mail.
    let arguments = arguments.iter().map(|argument| quoted(argument)).chain(["-q".to_owned()]);
    let command = variables.chain(program).chain(arguments).collect::<Vec<_>>().join(" ");
    if command.contains(['\n', '\r']) {
        return None;
    }
    // Behind a bare `%` cron reads the job's stdin.
    Some(format!("{} {}\n", installation.times.cron, command.replace('%', r"\%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_for_cron_and_for_its_shell() {
        let mut installation = Installation::sample("30 1 * * *");
        let expected = "30 1 * * * ENVCTL_BACKUP_DIR='/srv/back ups/50\\%' /usr/local/bin/envctl backup schedule run \
             --once -s shop --prod -C '/srv/my shop/100\\% \"a\\b\" $HOME' -q\n";
        assert_eq!(line(&installation).as_deref(), Some(expected));
        installation.arguments.push("a\nb".into());
        assert_eq!(line(&installation), None);
    }
}
