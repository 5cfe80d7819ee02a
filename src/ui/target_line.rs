//! The target line: what is about to be worked on, said before anything happens.
//!
//! Promises: production cannot be overlooked (a red band, `[prod]` without colours); the words of the
//! profile are never cut, however narrow the terminal; every name is escaped.

use super::style::{Styles, Tone};
use crate::text::escape::{columns, ellipsis, escape};

/// Content of the target line. Names are raw, as Docker and the database gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetLine {
    pub(crate) stack: String,
    /// The profile's name, where it is known.
    pub(crate) profile: Option<String>,
    /// The profile counts as production by its name or by configuration.
    pub(crate) prod: bool,
    /// The profile cannot be known; it counts as production.
    pub(crate) unknown: bool,
    /// `backend`, `db`, or a service's name.
    pub(crate) role_or_service: String,
    pub(crate) container: String,
    /// Container health, if `starting` or `unhealthy`.
    pub(crate) health: Option<&'static str>,
    /// The Docker context, or the host where none is used.
    pub(crate) context: String,
    /// The database's name and the server's version, for the verbs that speak to it.
    pub(crate) database: Option<(String, String)>,
    /// Reason for the choice of this target: "the only profile that runs".
    pub(crate) because: Option<String>,
}

impl TargetLine {
    /// The line, ended. Longer than `width` it goes on, indented; `None` is one line of any length.
    pub(crate) fn render(&self, styles: Styles, width: Option<usize>) -> String {
        let mut shown = String::new();
        let mut at = 0;
        for (number, piece) in self.pieces().into_iter().enumerate() {
            // Lines that go on are indented by two.
            let available = width.map_or(usize::MAX, |width| width.saturating_sub(2));
            let text = if number == 0 { piece } else { ellipsis(&piece, available) };
            let gap = match number {
                0 => "",
                1 => " ",
                _ => " · ",
            };
            if number > 0 && width.is_some_and(|width| at + columns(gap) + columns(&text) > width) {
                shown.push_str("\n  ");
                at = 2;
            } else {
                shown.push_str(gap);
                at += columns(gap);
            }
            at += columns(&text);
            shown.push_str(&self.painted(number, &text, styles));
        }
        shown.push('\n');
        shown
    }

    /// The profile, the stack, then the rest in the order of weight.
    fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![self.badge(), self.stack.clone()];
        let role = &self.role_or_service;
        let health = self.health.map_or(String::new(), |health| format!(" ({health})"));
        pieces.push(
            if role.is_empty() { "container".to_owned() } else { escape(role) }
                + " "
                + &self.container
                + &health,
        );
        if let Some((name, version)) = &self.database {
            pieces.push(format!("database {name}, PostgreSQL {version}"));
        }
        pieces.push(format!("context {}", self.context));
        pieces.extend(self.because.iter().map(|because| format!("({because})")));
        pieces
    }

    fn badge(&self) -> String {
        let name = self.profile.as_deref().map(|name| ellipsis(name, 20));
        match name.as_deref() {
            _ if self.unknown => "[profile unknown: counts as prod]".to_owned(),
            Some("prod") | None if self.prod => "[prod]".to_owned(),
            Some(name) if self.prod => format!("[prod: {name}]"),
            Some(name) => format!("[{name}]"),
            // Nothing said that it is not: the caller forgot to say that it does not know.
            None => "[profile unknown: counts as prod]".to_owned(),
        }
    }

    fn painted(&self, number: usize, text: &str, styles: Styles) -> String {
        let counts_as_prod = self.prod || self.unknown || self.profile.is_none();
        let badge_tone = match self.profile.as_deref() {
            _ if counts_as_prod => Tone::Prod,
            Some("dev") => Tone::Good,
            _ => Tone::Note,
        };
        match number {
            0 => styles.paint(badge_tone, text),
            1 if counts_as_prod => styles.paint(Tone::Prod, text),
            1 => styles.paint(Tone::Strong, text),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prod() -> TargetLine {
        TargetLine {
            stack: "acme".to_owned(),
            profile: Some("prod".to_owned()),
            prod: true,
            role_or_service: "db".to_owned(),
            container: "acme-prod-db-1".to_owned(),
            context: "default".to_owned(),
            database: Some(("shop".to_owned(), "15.18".to_owned())),
            because: Some("the only profile that runs".to_owned()),
            ..TargetLine::default()
        }
    }

    fn dev() -> TargetLine {
        TargetLine { profile: Some("dev".to_owned()), prod: false, database: None, because: None, ..prod() }
    }

    #[test]
    fn a_container_that_is_not_well_is_called_so() {
        let line = TargetLine { health: Some("unhealthy"), ..dev() };
        assert!(line.render(Styles::PLAIN, None).contains("db acme-prod-db-1 (unhealthy) · "));
    }

    #[test]
    fn without_a_terminal_it_is_one_line() {
        assert_eq!(
            prod().render(Styles::PLAIN, None),
            "[prod] acme · db acme-prod-db-1 · database shop, PostgreSQL 15.18 · context default · \
             (the only profile that runs)\n"
        );
    }

    #[test]
    fn at_80_and_40_columns_it_breaks_between_pieces() {
        assert_eq!(
            dev().render(Styles::PLAIN, Some(80)),
            "[dev] acme · db acme-prod-db-1 · context default\n"
        );
        assert_eq!(
            prod().render(Styles::PLAIN, Some(80)),
            "[prod] acme · db acme-prod-db-1 · database shop, PostgreSQL 15.18\n  context default · \
             (the only profile that runs)\n"
        );
        assert_eq!(
            prod().render(Styles::PLAIN, Some(40)),
            "[prod] acme · db acme-prod-db-1\n  database shop, PostgreSQL 15.18\n  context default\n  \
             (the only profile that runs)\n"
        );
    }

    #[test]
    fn prod_is_a_red_band_and_dev_is_green() {
        assert_eq!(
            prod().render(Styles::COLOURED, Some(40)).lines().next().unwrap(),
            "\x1b[1;97;41m[prod]\x1b[0m \x1b[1;97;41macme\x1b[0m · db acme-prod-db-1"
        );
        assert!(
            dev().render(Styles::COLOURED, Some(80)).starts_with("\x1b[32m[dev]\x1b[0m \x1b[1macme\x1b[0m")
        );
    }

    #[test]
    fn profiles_have_their_words() {
        for (profile, prod, unknown, badge) in [
            (Some("prod"), true, false, "[prod]"),
            (Some("live"), true, false, "[prod: live]"),
            (Some("staging"), false, false, "[staging]"),
            (Some("prod"), true, true, "[profile unknown: counts as prod]"),
            (None, false, true, "[profile unknown: counts as prod]"),
            (None, false, false, "[profile unknown: counts as prod]"),
        ] {
            let line = TargetLine { profile: profile.map(str::to_owned), prod, unknown, ..dev() };
            assert_eq!(line.badge(), badge);
        }
    }

    #[test]
    fn names_are_escaped_and_cut_but_never_the_profile() {
        let line = TargetLine {
            stack: "ac\u{202e}me\x1b[2J".to_owned(),
            container: "x".repeat(90),
            unknown: true,
            ..prod()
        };
        let shown = line.render(Styles::PLAIN, Some(40));
        assert!(
            shown.starts_with("[profile unknown: counts as prod]\n  ac\\u{202e}me\\u{1b}[2J\n"),
            "{shown}"
        );
        assert!(shown.lines().all(|line| columns(line) <= 40), "{shown}");
        assert!(line.render(Styles::PLAIN, Some(20)).starts_with("[profile unknown: counts as prod]\n"));
    }
}
