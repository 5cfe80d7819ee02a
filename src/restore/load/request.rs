//! Request and result of a load, whatever the format of the dump.

use crate::codec::Digest;
use crate::codec::age::Keyring;
use crate::dump::sql::{LeftOut, Rules, Summary};
use crate::postgres::tools::load_settings::LoadSettings;
use crate::repository::authenticity::Authenticity;
use crate::restore::examine::DumpSource;

/// Dump to load, its authenticity, and the settings of the load.
#[derive(Clone, Debug)]
pub(crate) struct LoadRequest {
    pub(crate) source: DumpSource,
    /// Identities that open an encrypted one.
    pub(crate) keyring: Keyring,
    /// The command as it was typed, for a hint that adds to it.
    pub(crate) command: String,
    /// Authenticity of the manifest that describes it.
    pub(crate) authenticity: Authenticity,
    /// `--trust`.
    pub(crate) trust: bool,
    /// Statements that are left out, changed or set later.
    pub(crate) rules: Rules,
    /// Reports whether no psql command of the dump may run because psql does not know `\restrict`.
    pub(crate) doubtful: bool,
    /// The hash the first reading gave; `None` for a pipe.
    pub sha256: Option<Digest>,
    /// Expected plain bytes, for progress.
    pub(crate) expected: Option<u64>,
    /// Unpacking threads.
    pub(crate) threads: usize,
    /// Application name of the session.
    pub(crate) application: String,
    /// Settings of the load session.
    pub(crate) loading: LoadSettings,
    /// Loads in one transaction, which is committed after the end marker.
    pub(crate) one_transaction: bool,
}

#[derive(Debug)]
pub(crate) struct LoadedDump {
    pub(crate) summary: Summary,
    /// Tables with more rows than the dump has for them, and what wrote them.
    pub(crate) notes: Vec<String>,
    /// Count of what the rules left out, with the owners and rights that are still to be set.
    pub(crate) left_out: LeftOut,
}
