//! Which Docker daemon was asked for, for each profile.
//!
//! Promises: context and host are taken from one layer, the strongest that names either; a password in a
//! URL does not reach a row.

use std::collections::BTreeMap;

use super::Flags;
use super::layers::Resolver;
use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::settings::{EndpointSettings, PerProfile};

/// The daemon of every profile: flags, then variables, then the profile's own, then what holds for all.
pub(crate) fn daemons(flags: &Flags, layers: &mut Resolver<'_>) -> PerProfile<EndpointSettings> {
    let variable = |name: &str| layers.variable(name).map(|value| Sourced::env(name, value.to_owned()));
    let from_variables =
        EndpointSettings { context: variable("ENVCTL_CONTEXT"), host: variable("ENVCTL_HOST") };
    let from_flags = EndpointSettings { context: flags.context.clone(), host: flags.host.clone() };
    let (flags, filled_by_clap) = split(from_flags);
    let variables = EndpointSettings {
        context: filled_by_clap.context.or(from_variables.context),
        host: filled_by_clap.host.or(from_variables.host),
    };
    let mut asked = flags;
    if asked.is_empty() {
        asked = variables;
    }
    let general = [layers.project, layers.user].into_iter().flatten().map(|loaded| {
        wish(loaded, "docker", loaded.file.docker.context.as_ref(), loaded.file.docker.host.as_ref())
    });
    let general =
        std::iter::once(asked.clone()).chain(general).find(|wish| !wish.is_empty()).unwrap_or_default();
    let mut daemons = PerProfile { general: general.clone(), own: BTreeMap::new() };
    rows(layers, "docker", &general, true);
    let Some(loaded) = layers.project else { return daemons };
    for (name, table) in &loaded.file.profiles {
        let key = format!("profiles.{name}");
        let own = wish(loaded, &key, table.context.as_ref(), table.host.as_ref());
        if !own.is_empty() {
            rows(layers, &key, &own, false);
            let own = if asked.is_empty() { own } else { asked.clone() };
            daemons.own.insert(name.clone(), own);
        }
    }
    daemons
}

/// Splits the options into those typed and those that clap took from variables.
fn split(flags: EndpointSettings) -> (EndpointSettings, EndpointSettings) {
    let typed = |given: &Option<Sourced<String>>| {
        given.clone().filter(|given| matches!(given.origin, Origin::Flag { .. }))
    };
    let other =
        |given: Option<Sourced<String>>| given.filter(|given| !matches!(given.origin, Origin::Flag { .. }));
    let by_hand = EndpointSettings { context: typed(&flags.context), host: typed(&flags.host) };
    (by_hand, EndpointSettings { context: other(flags.context), host: other(flags.host) })
}

fn wish(
    loaded: &ParsedFile,
    table: &str,
    context: Option<&String>,
    host: Option<&String>,
) -> EndpointSettings {
    let given = |field: &str, value: Option<&String>| {
        value.cloned().map(|value| Sourced { value, origin: loaded.origin(&format!("{table}.{field}")) })
    };
    EndpointSettings { context: given("context", context), host: given("host", host) }
}

fn rows(layers: &mut Resolver<'_>, table: &str, wish: &EndpointSettings, unset_too: bool) {
    for (field, given) in [("context", &wish.context), ("host", &wish.host)] {
        let origin = given.as_ref().map_or(Origin::Default, |given| given.origin.clone());
        let value = given.as_ref().map(|given| without_password(&given.value));
        if value.is_some() || unset_too {
            layers.row(&format!("{table}.{field}"), value, origin);
        }
    }
}

/// A URL as it may be shown: whatever stands before an `@` together with a colon is taken for a password.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{scheme}://[secret]@{host}"),
        _ => url.to_owned(),
    }
}
