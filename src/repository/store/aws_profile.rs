//! Keys, region and endpoint of a profile in `~/.aws/credentials` and `~/.aws/config`, as the `aws` command reads them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::StoreOptions;
use crate::error::{self, Result};
use crate::secret::Secret;

/// A profile; empty where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AwsProfile {
    pub(super) keys: Option<AwsKeys>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// Keys of a profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AwsKeys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

impl AwsProfile {
    /// Reads the profile of `AWS_PROFILE`, else `default`.
    ///
    /// # Errors
    /// Kind `Usage`: a profile was named and is in none of the files.
    pub(super) fn read(options: &StoreOptions) -> Result<Self> {
        let variable = |name: &str| options.variables.get(name).filter(|value| !value.is_empty());
        let file = |name: &str, below_home: &str| {
            let named = variable(name).map(PathBuf::from);
            named.or_else(|| Some(options.home.as_ref()?.join(below_home)))
        };
        let named = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
        let profile = named.map_or("default", String::as_str);
        let read = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok());
        let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"));
        let config = read(file("AWS_CONFIG_FILE", ".aws/config"));
        let section = if profile == "default" { profile.to_owned() } else { format!("profile {profile}") };
        let mut values = config.as_deref().and_then(|text| values_of(text, &section)).unwrap_or_default();
        let found = credentials.as_deref().and_then(|text| values_of(text, profile));
        if named.is_some() && found.is_none() && values.is_empty() {
            return Err(error::usage(format!("there is no AWS profile {profile:?}"))
                .hint("see which there are: `aws configure list-profiles`"));
        }
        values.extend(found.unwrap_or_default());
        let mut take = |name: &str| values.remove(name).filter(|value| !value.is_empty());
        let (id, secret, token) =
            (take("aws_access_key_id"), take("aws_secret_access_key"), take("aws_session_token"));
        let keys = id.zip(secret).map(|(id, secret)| AwsKeys {
            id,
            secret: Secret::new(secret),
            token: token.map(Secret::new),
        });
        Ok(Self { keys, region: take("region"), endpoint: take("endpoint_url") })
    }
}

/// Values of one section of a file; `None` where there is no such section.
fn values_of(text: &str, section: &str) -> Option<BTreeMap<String, String>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines() {
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.trim() == section;
            if inside {
                found.get_or_insert_with(BTreeMap::new);
            }
        } else if let (true, false, Some((name, value))) = (inside, nested, line.split_once('='))
            && !line.starts_with(['#', ';'])
        {
            let values = found.get_or_insert_with(BTreeMap::new);
            values.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_the_aws_command_reads_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(home.path().join(".aws").join(name), text).unwrap();
        write(
            "credentials",
            "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n# x\n[ci]\naws_access_key_id = C\n\
             aws_secret_access_key = D/=\naws_session_token = T\n",
        );
        write(
            "config",
            "[default]\nregion = eu-west-1\ns3 =\n  region = no\n[profile ci]\nendpoint_url = http://h\n",
        );
        let read = |profile: &str| {
            let variables = BTreeMap::from([("AWS_PROFILE".to_owned(), profile.to_owned())]);
            AwsProfile::read(&StoreOptions {
                variables,
                home: Some(home.path().to_owned()),
                ..StoreOptions::default()
            })
        };
        let usual = read("").unwrap();
        assert_eq!(usual.region.as_deref(), Some("eu-west-1"));
        assert_eq!(usual.keys.unwrap().secret.expose(), "B");
        let ci = read("ci").unwrap();
        assert_eq!((ci.region, ci.endpoint.as_deref()), (None, Some("http://h")));
        let keys = ci.keys.unwrap();
        assert_eq!((keys.secret.expose(), keys.token.unwrap().expose()), ("D/=", "T"));
        assert!(read("nobody").is_err());
    }
}
