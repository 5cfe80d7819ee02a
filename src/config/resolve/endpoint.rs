//! Which Docker daemon was asked for, for each profile.
//!
//! Promises: context and host are taken from one layer, the strongest that names either; a password in a
//! URL does not reach a row.

use std::collections::BTreeMap;

use super::layers::Resolver;
use crate::config::keys;
use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::settings::{EndpointSettings, PerProfile};
use crate::config::value_type::Text;
use crate::error::Result;

/// The daemon of every profile: flags, then variables, then the profile's own, then what holds for all.
pub(crate) fn daemons(layers: &mut Resolver<'_>) -> Result<PerProfile<EndpointSettings>> {
    let flags = &layers.inputs.flags;
    let from_flags = EndpointSettings { context: flags.context.clone(), host: flags.host.clone() };
    let (flags, filled_by_clap) = split(from_flags);
    let variables = EndpointSettings {
        context: filled_by_clap.context.or(layers.read_variable(&keys::DOCKER_CONTEXT)?),
        host: filled_by_clap.host.or(layers.read_variable(&keys::DOCKER_HOST)?),
    };
    let asked = if flags.is_empty() { variables } else { flags };
    let of_file = |file: &ParsedFile, table: &str| EndpointSettings {
        context: layers.read_file::<Text>(file, &format!("{table}.context")),
        host: layers.read_file::<Text>(file, &format!("{table}.host")),
    };
    let general = layers.files().map(|file| of_file(file, "docker"));
    let general =
        std::iter::once(asked.clone()).chain(general).find(|given| !given.is_empty()).unwrap_or_default();
    let profiles = layers.project.into_iter().flat_map(|file| {
        file.profiles.iter().map(move |name| (name, of_file(file, &format!("profiles.{name}"))))
    });
    let profiles: Vec<_> = profiles.filter(|(_, own)| !own.is_empty()).collect();
    rows(layers, "docker", &general, true);
    let mut daemons = PerProfile { general, own: BTreeMap::new() };
    for (name, own) in profiles {
        rows(layers, &format!("profiles.{name}"), &own, false);
        let own = if asked.is_empty() { own } else { asked.clone() };
        daemons.own.insert(name.clone(), own);
    }
    Ok(daemons)
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

fn rows(layers: &mut Resolver<'_>, table: &str, endpoint: &EndpointSettings, unset_too: bool) {
    for (field, given) in [("context", &endpoint.context), ("host", &endpoint.host)] {
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
