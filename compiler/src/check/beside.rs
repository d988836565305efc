//! What may stand beside a policy: a snapshot of the directory, the history of grants, the generated CODEOWNERS. Their
//! text is read once by the loader; this file says what it means. None of it reaches the canonical tables.

use lang::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The path of the snapshot of the directory, below the policy's root.
pub const DIRECTORY: &str = "directory.json";
/// The path of the history of grants.
pub const HISTORY: &str = "history.json";
/// The path of the owners of files.
pub const CODEOWNERS: &str = ".github/CODEOWNERS";

/// The texts, by path.
#[derive(Clone, Debug, Default)]
pub struct Beside(pub BTreeMap<&'static str, String>);

/// A snapshot of the directory.
pub(super) type Directory = Vec<Person>;

/// Somebody of the directory.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Person {
    /// The object ids of the groups that they are in.
    pub(super) groups: Vec<String>,
}

/// When grants were last used.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// From when on uses are known.
    pub(super) since: Timestamp,
    /// The last use of a grant.
    pub(super) used: BTreeMap<String, Timestamp>,
}

#[derive(Deserialize)]
struct HistoryText {
    since: String,
    used: BTreeMap<String, String>,
}

impl Beside {
    /// The directory, when there is one; an error says why it cannot be read.
    pub(super) fn directory(&self) -> Option<Result<Directory, String>> {
        let text = self.0.get(DIRECTORY)?;
        let mut read: Result<Directory, String> = serde_json::from_str(text).map_err(|error| error.to_string());
        for id in read.iter_mut().flatten().flat_map(|person| &mut person.groups) {
            id.make_ascii_lowercase();
        }
        Some(read)
    }

    /// The history, when there is one; an error says why it cannot be read.
    pub(super) fn history(&self) -> Option<Result<History, String>> {
        let text = self.0.get(HISTORY)?;
        Some(serde_json::from_str::<HistoryText>(text).map_err(|error| error.to_string()).and_then(|read| {
            let instant = |text: &str| Timestamp::parse_rfc3339(text).ok_or(format!("`{text}` is not an instant"));
            let used: Result<BTreeMap<String, Timestamp>, String> =
                read.used.into_iter().map(|(grant, at)| Ok((grant, instant(&at)?))).collect();
            Ok(History { since: instant(&read.since)?, used: used? })
        }))
    }

    /// CODEOWNERS, when there is one.
    pub(super) fn codeowners(&self) -> Option<&str> {
        self.0.get(CODEOWNERS).map(String::as_str)
    }
}
