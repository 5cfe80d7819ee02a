//! Settings of each profile's database.
//!
//! Promises: a flag holds for every profile; a file that belongs to somebody else runs no command.

use super::layers::Resolver;
use crate::config::keys::{self, KEYS};
use crate::config::origin::Origin;
use crate::config::parsed_file::ParsedFile;
use crate::config::secret::SecretSource;
use crate::config::settings::{Database, PerProfile};
use crate::config::value_type::{Port, Text};
use crate::error::Result;

/// The database of every profile: the flag over the profile's table over the general one.
pub(crate) fn databases(layers: &mut Resolver<'_>) -> Result<PerProfile<Database>> {
    let flag = layers.inputs.flags.database.as_ref();
    let given = layers.find(&keys::DATABASE_NAME, flag)?;
    let strongest = given.clone().filter(|given| !matches!(given.origin, Origin::File { .. }));
    layers.note::<Text>("database.name", given);
    let mut databases = PerProfile::default();
    if let Some(loaded) = layers.project {
        let general = database("database", &Database::default(), loaded, layers)?;
        for profile in &loaded.profiles {
            let own = database(&format!("profiles.{profile}.database"), &general, loaded, layers)?;
            databases.own.insert(profile.clone(), own);
        }
        databases.general = general;
    }
    if let Some(given) = strongest {
        for database in databases.own.values_mut().chain([&mut databases.general]) {
            database.name = Some(given.value.clone());
        }
    }
    let password = databases.general.password.is_some();
    for key in KEYS.iter().filter(|key| key.path.starts_with("database.") && key.excludes.is_none()) {
        let known = password && key.path.ends_with("password_file");
        if !known && !layers.rows.iter().any(|row| row.key == key.path) {
            layers.row(key.path, None, Origin::Default);
        }
    }
    Ok(databases)
}

/// One table over what holds in general; notes a row for what the table says itself.
fn database(
    table: &str,
    general: &Database,
    loaded: &ParsedFile,
    layers: &mut Resolver<'_>,
) -> Result<Database> {
    let path = |field: &str| format!("{table}.{field}");
    // The general name has its row: options and variables override it.
    let name = match table {
        "database" => loaded.get::<Text>(&path("name"), None),
        _ => layers.take::<Text>(loaded, &path("name")),
    };
    let mut text = |field, general: &Option<String>| {
        layers.take::<Text>(loaded, &path(field)).or_else(|| general.clone())
    };
    let (user, host) = (text("user", &general.user), text("host", &general.host));
    let port = layers.take::<Port>(loaded, &path("port")).or(general.port);
    let os_user = layers.take::<Text>(loaded, &path("os_user")).or_else(|| general.os_user.clone());
    let password = loaded.secret(&path("password"), layers.inputs.home.as_deref());
    if let Some((key, source)) = &password {
        if matches!(source, SecretSource::Command(_)) && !loaded.trusted {
            return Err(loaded.refuse_untrusted(key, "its command is not run"));
        }
        layers.row(key, Some(source.to_string()), loaded.origin(key));
    }
    Ok(Database {
        name: name.or_else(|| general.name.clone()),
        user,
        os_user,
        host,
        port,
        password: password.map(|(_, source)| source).or_else(|| general.password.clone()),
    })
}
