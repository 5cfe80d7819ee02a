//! Settings of each profile's database.
//!
//! Promises: a flag holds for every profile; a file that belongs to somebody else runs no command.

use std::path::Path;

use super::Flags;
use super::layers::{Resolver, SettingSpec};
use crate::config::file::DatabaseTable;
use crate::config::origin::Origin;
use crate::config::parsed_file::ParsedFile;
use crate::config::secret::SecretSource;
use crate::config::settings::{Database, PerProfile};
use crate::error::{self, Result};

/// The database of every profile: the flag over the profile's table over the general one.
pub(crate) fn databases(flags: &Flags, layers: &mut Resolver<'_>) -> Result<PerProfile<Database>> {
    let name = layers.optional(
        &SettingSpec {
            key: "database.name",
            flag: flags.database.as_ref(),
            variable: Some("ENVCTL_DATABASE"),
            parse: &|text| Ok(text.to_owned()),
            file: &|loaded| loaded.file.database.name.clone(),
        },
        Clone::clone,
    )?;
    let strongest =
        name.filter(|given| !matches!(given.origin, Origin::File { .. })).map(|given| given.value);
    let mut databases = PerProfile::default();
    if let Some(loaded) = layers.project {
        let general = database(&loaded.file.database, &Database::default(), "database", loaded, layers)?;
        for (profile, table) in &loaded.file.profiles {
            let key = format!("profiles.{profile}.database");
            let own = database(&table.database, &general, &key, loaded, layers)?;
            databases.own.insert(profile.clone(), own);
        }
        databases.general = general;
    }
    if strongest.is_some() {
        for database in databases.own.values_mut().chain([&mut databases.general]) {
            database.name.clone_from(&strongest);
        }
    }
    for key in
        ["database.user", "database.host", "database.port", "database.os_user", "database.password_file"]
    {
        let password = key.ends_with("file") && databases.general.password.is_some();
        if !password && !layers.rows.iter().any(|row| row.key == key) {
            layers.row(key, None, Origin::Default);
        }
    }
    Ok(databases)
}

/// One table over what holds in general; notes a row for what the table says itself.
fn database(
    table: &DatabaseTable,
    general: &Database,
    key: &str,
    loaded: &ParsedFile,
    layers: &mut Resolver<'_>,
) -> Result<Database> {
    let password = password(table, key, loaded, layers.home)?;
    let shown = password.as_ref().map(ToString::to_string);
    let form = if table.password_file.is_some() { "password_file" } else { "password_command" };
    let name = (key != "database").then(|| table.name.clone()).flatten();
    let fields = [
        ("name", name),
        ("user", table.user.clone()),
        ("host", table.host.clone()),
        ("port", table.port.map(|port| port.to_string())),
        ("os_user", table.os_user.clone()),
        (form, shown),
    ];
    for (field, value) in fields {
        let key = format!("{key}.{field}");
        if value.is_some() {
            layers.row(&key, value, loaded.origin(&key));
        }
    }
    let or = |own: &Option<String>, general: &Option<String>| own.clone().or_else(|| general.clone());
    Ok(Database {
        name: or(&table.name, &general.name),
        user: or(&table.user, &general.user),
        host: or(&table.host, &general.host),
        port: table.port.or(general.port),
        os_user: or(&table.os_user, &general.os_user),
        password: password.or_else(|| general.password.clone()),
    })
}

fn password(
    table: &DatabaseTable,
    key: &str,
    loaded: &ParsedFile,
    home: Option<&Path>,
) -> Result<Option<SecretSource>> {
    if let Some(file) = &table.password_file {
        return Ok(Some(SecretSource::File(loaded.locate(file, home))));
    }
    let Some(command) = &table.password_command else { return Ok(None) };
    if !loaded.trusted {
        let origin = loaded.origin(&format!("{key}.password_command"));
        let message = format!("{origin}: this file belongs to another user, so its command is not run");
        let hint = format!("look at the file, then name it: `--config {}`", loaded.path.display());
        return Err(error::usage(message).hint(hint));
    }
    Ok(Some(SecretSource::Command(command.0.clone())))
}
