//! Settings of `[docker]`: the transport of dump bytes, and the limits of a worker.

use super::layers::{Resolver, SettingSpec};
use super::sections::word;
use crate::config::file::SizeText;
use crate::config::parsed_file::ParsedFile;
use crate::config::settings::TransportSettings;
use crate::error::Result;

/// Docker refuses a smaller limit.
const LEAST_MEMORY: u64 = 6 << 20;

/// Starting and removing a worker costs 0.17 s where an exec costs 0.045; the daemon's stream costs about 6 ms more for
/// each MB than a worker's. Below this an exec is done first.
const WORKER_MIN_SIZE: &str = "20m";

/// Bytes of memory for a container, as [`size`] reads them.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < LEAST_MEMORY { Err("a container needs at least 6m".to_owned()) } else { Ok(bytes) }
}

/// Bytes from `512m`, `2g`, `1GiB` or a plain number.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is no size such as 512m or 2g", text.escape_debug());
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    let bytes = number * f64::from(unit);
    if !bytes.is_finite() || bytes < 0.0 {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Processors from `1.5`.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn cpus(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(cpus) if cpus.is_finite() && (0.01..=1024.0).contains(&cpus) => Ok(cpus),
        _ => Err(format!("`{}` is no number of processors such as 1.5", text.escape_debug())),
    }
}

/// Decides.
pub(crate) fn workers(layers: &mut Resolver<'_>) -> Result<TransportSettings> {
    let transports = ["auto", "worker", "exec"];
    let transport = word(layers, "docker.transport", "ENVCTL_TRANSPORT", "auto", &transports, |l| {
        l.file.docker.transport.clone()
    })?;
    let min_size = layers.decided(
        &SettingSpec {
            key: "docker.worker_min_size",
            flag: None,
            variable: Some("ENVCTL_WORKER_MIN_SIZE"),
            parse: &|text| Ok(SizeText(text.to_owned())),
            file: &|l| l.file.docker.worker_min_size.clone(),
        },
        SizeText(WORKER_MIN_SIZE.to_owned()),
        |text| size(&text.0).map(drop),
        |text| text.0.clone(),
    )?;
    let min_size = size(&min_size.0).map_err(crate::error::usage)?;
    let memory = amount(layers, "docker.worker_memory", "ENVCTL_WORKER_MEMORY", memory, |l| {
        l.file.docker.worker_memory.clone()
    })?;
    let cpus = amount(layers, "docker.worker_cpus", "ENVCTL_WORKER_CPUS", cpus, |l| {
        l.file.docker.worker_cpus.clone()
    })?;
    Ok(TransportSettings { transport, min_size, memory, cpus })
}

fn amount<T>(
    layers: &mut Resolver<'_>,
    key: &str,
    variable: &str,
    read: impl Fn(&str) -> Result<T, String>,
    file: impl Fn(&ParsedFile) -> Option<SizeText>,
) -> Result<Option<T>> {
    let lookup = SettingSpec {
        key,
        flag: None,
        variable: Some(variable),
        parse: &|text| Ok(SizeText(text.to_owned())),
        file: &file,
    };
    let given = layers.optional(&lookup, |amount| amount.0.clone())?;
    let Some(given) = given else { return Ok(None) };
    read(&given.value.0)
        .map(Some)
        .map_err(|reason| crate::error::usage(format!("{}: `{key}`: {reason}", given.origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        for (text, bytes) in [("512m", 512 << 20), ("2G", 2 << 30), ("1.5gib", 3 << 29), ("8388608", 8 << 20)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "lots", "1x", "-1g", "5m", "NaN", "é"] {
            assert!(memory(text).is_err(), "{text}");
        }
        assert_eq!((size("0"), size(WORKER_MIN_SIZE)), (Ok(0), Ok(20 << 20)));
        assert_eq!(cpus("1.5"), Ok(1.5));
        assert!(["0", "-1", "inf", "", "two"].iter().all(|text| cpus(text).is_err()));
    }
}
