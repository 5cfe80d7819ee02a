//! Which of the known tools a container has files of.
//!
//! Promise: one exec looks for all of them, in the directory in which the tool would run.

use super::presets::{PRESETS, Preset};
use crate::docker::{Container, ExecSpec};
use crate::error::Result;

/// Files in the directory in which a tool would run.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolFiles {
    /// The directory, absolute.
    pub(crate) dir: String,
    /// The tools whose files are there, each with the first of them.
    pub(crate) found: Vec<Found>,
}

/// A tool that was recognised.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Preset of the tool.
    pub(crate) preset: &'static Preset,
    /// File that shows the tool.
    pub(crate) file: String,
}

/// The directory first, then for each name, pattern and text the first file that fits. The pattern is the one word that
/// the shell may expand: it is a constant of ours.
pub(crate) const LOOK: &str = r#"
[ -z "$1" ] || cd -- "$1" || exit 3
shift
printf '%s\n' "$PWD"
IFS=
while [ $# -gt 2 ]; do
  for f in $2; do
    if [ -f "$f" ] && { [ -z "$3" ] || grep -qF -e "$3" -- "$f"; }; then printf '%s\t%s\n' "$1" "$f"; break; fi
  done
  shift 3
done
exit 0
"#;

impl ToolFiles {
    /// Looks; `None` where there is no such directory, or no shell.
    pub(crate) async fn look(container: &Container, dir: Option<&str>) -> Result<Option<Self>> {
        let mut argv = ["sh", "-c", LOOK, "envctl", dir.unwrap_or_default()].map(str::to_owned).to_vec();
        argv.extend(questions().map(str::to_owned));
        let looked = container.capture(&ExecSpec::new(argv), None).await?;
        Ok((looked.exit_code == 0).then(|| Self::read(&looked.text())))
    }

    pub(crate) fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let dir = lines.next().unwrap_or("/").to_owned();
        let mut found: Vec<Found> = Vec::new();
        for (name, file) in lines.filter_map(|line| line.split_once('\t')) {
            if let Some(preset) = Preset::named(name)
                && !found.iter().any(|other| other.preset.name == name)
            {
                found.push(Found { preset, file: file.to_owned() });
            }
        }
        Self { dir, found }
    }
}

/// Name, pattern and text of every sign.
pub(crate) fn questions() -> impl Iterator<Item = &'static str> {
    PRESETS
        .iter()
        .flat_map(|preset| preset.signs.iter().flat_map(move |sign| [preset.name, sign.file, sign.holds]))
}
