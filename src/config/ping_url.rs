//! Address of a ping: `https://hc.example/uuid`.
//!
//! Promise: whoever knows the address can silence the alarm, so its path is in no message; one that cannot be read is not
//! quoted either.

use std::fmt;

use crate::secret::Secret;

/// Address that is asked before and after a backup.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PingUrl {
    pub(crate) is_https: bool,
    /// Host, perhaps with a port: `hc.example:8000`.
    pub(crate) authority: String,
    path: Secret,
    query: Option<Secret>,
}

impl PingUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// Phrase that names the fault and does not quote the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected an address such as https://hc.example/uuid, without credentials".to_owned();
        let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != '#');
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if authority.is_empty() || !authority.chars().all(is_host) || !plain(path) || !query.is_none_or(plain)
        {
            return Err(wrong());
        }
        Ok(Self {
            is_https,
            authority: authority.to_owned(),
            path: Secret::new(path.trim_end_matches('/')),
            query: query.map(Secret::new),
        })
    }

    /// Returns path and query of a request, with a suffix such as `/start` behind the path.
    pub(crate) fn request_path(&self, suffix: &str) -> Secret {
        let path = self.path.expose();
        let slash = if path.is_empty() { "" } else { "/" };
        let query = self.query.as_ref().map(|query| format!("?{}", query.expose())).unwrap_or_default();
        let path = format!("{slash}{path}{suffix}");
        Secret::new(format!("{}{query}", if path.is_empty() { "/" } else { &path }))
    }
}

impl fmt::Display for PingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Debug for PingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PingUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_stands_behind_the_path_and_nothing_secret_is_shown() {
        for (text, shown, start, success) in [
            ("https://hc.example/uuid", "https://hc.example/…", "/uuid/start", "/uuid"),
            ("http://localhost:8000/ping/uuid/", "http://localhost:8000/…", "/ping/uuid/start", "/ping/uuid"),
            (
                "https://hc.example/k/slug?create=1",
                "https://hc.example/…",
                "/k/slug/start?create=1",
                "/k/slug?create=1",
            ),
            ("https://hc.example", "https://hc.example/…", "/start", "/"),
        ] {
            let url = PingUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}")), (shown, format!("PingUrl({shown})")));
            assert_eq!(
                (url.request_path("/start").expose(), url.request_path("").expose()),
                (start, success)
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        for text in
            ["hunter2", "ftp://h/hunter2", "https:///hunter2", "https://u:hunter2@h/x", "http://h/hunter2 x"]
        {
            assert!(!PingUrl::parse(text).unwrap_err().contains("hunter2"), "{text}");
        }
    }
}
