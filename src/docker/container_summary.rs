//! Entry of a container listing, enough to decide whether to inspect the container.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line of the list of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerSummary {
    pub(crate) id: String,
    /// Name of the container, without the leading slash.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Id of the container's image; `None` where the engine does not report the id.
    pub(crate) image_id: Option<String>,
}

/// A row of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedRow {
    id: String,
    #[serde(default, rename = "ImageID")]
    image_id: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl ContainerSummary {
    /// Reads the answer of `GET /containers/json`.
    ///
    /// # Errors
    /// [`serde_json::Error`]: `json` is not such an answer.
    pub(crate) fn all(json: &[u8]) -> serde_json::Result<Vec<Self>> {
        let rows: Vec<ListedRow> = serde_json::from_slice(json)?;
        Ok(rows.into_iter().map(Self::of).collect())
    }

    fn of(row: ListedRow) -> Self {
        // A link gives a container another name behind the linking one's: `/other/alias`.
        let own = |name: &String| {
            Some(name.strip_prefix('/').unwrap_or(name)).filter(|n| !n.contains('/')).map(str::to_owned)
        };
        let name = row.names.iter().flatten().find_map(own).unwrap_or_default();
        Self { id: row.id, name, labels: row.labels.unwrap_or_default(), image_id: row.image_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_gives_names_and_labels_as_a_look_would() {
        let json =
            br#"[{"Id":"aa","ImageID":"sha256:1","Names":["/shop/db","/acme-db-1"],"Labels":{"a":"b"}},
                        {"Id":"bb","Names":["web"],"Labels":null},{"Id":"cc","Names":null}]"#;
        let all = ContainerSummary::all(json).unwrap();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["acme-db-1", "web", ""]);
        assert_eq!((all[0].labels["a"].as_str(), all[0].image_id.as_deref()), ("b", Some("sha256:1")));
        assert!(all[1].labels.is_empty() && all[2].labels.is_empty());
        assert!(ContainerSummary::all(b"{}").is_err());
    }
}
