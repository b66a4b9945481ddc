//! The texts of the configurations that were in force, kept beside the store, so that an operator can see what changed when and
//! go back, also while the relay does not start.
//!
//! A version is a text. What the files say that it names (secrets, certificates, lists) is not kept: a way back to them would be
//! a second place where secrets lie. Each version is one file that appears whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::replace::replace;
use crate::base::{UnixMillis, text};

/// So many are kept; the oldest goes.
pub const KEPT: usize = 20;
/// Largest file that is taken for a version: the largest configuration with every byte escaped, and the rest.
const LARGEST: u64 = 6 * super::source::MAX_CONFIG + (1 << 20);
/// The folder, beside the store's file.
const FOLDER: &str = "versions";

/// Where versions are kept.
#[derive(Clone, Debug)]
pub struct Versions(PathBuf);

/// A configuration that was in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts from 1 and never backwards.
    pub version: u64,
    /// When it came into force, RFC 3339 in UTC.
    pub applied_at: String,
    /// What applied it: `start`, `file`, `signal`, `admin`.
    pub trigger: String,
    /// What it says and the one before did not, one line each.
    pub changes: Vec<String>,
    /// The file, as it was.
    pub text: String,
}

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub version: u64,
    /// What it says and the version before did not; nothing where it is that one.
    pub changes: Vec<String>,
}

impl Versions {
    /// Those of the relay whose store has this file.
    pub fn beside(store: &Path) -> Self {
        Self(store.with_file_name(FOLDER))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Every version that can be read, the newest first. Where nothing was kept yet, there is none.
    pub fn list(&self) -> io::Result<Vec<Version>> {
        let numbers = self.numbers()?;
        Ok(numbers.into_iter().rev().filter_map(|number| self.read(number).ok()).collect())
    }

    /// One of them.
    pub fn read(&self, number: u64) -> io::Result<Version> {
        let file = File::open(self.path(number))?;
        let version: Version = serde_json::from_reader(io::Read::take(file, LARGEST)).map_err(io::Error::from)?;
        if version.version == number { Ok(version) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Keeps the text that came into force, unless the newest version has the same.
    pub fn keep(&self, source: &str, now: UnixMillis, trigger: &str) -> io::Result<Kept> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let numbers = self.numbers()?;
        let newest = numbers.last().and_then(|number| self.read(*number).ok());
        if let Some(newest) = newest.as_ref().filter(|newest| newest.text == source) {
            return Ok(Kept { version: newest.version, changes: Vec::new() });
        }
        let number = numbers.last().map_or(1, |last| last + 1);
        let changes = newest.map_or_else(Vec::new, |newest| super::changes::lines(&newest.text, source));
        let applied_at = text::rfc3339(now).map(|at| at.as_str().to_owned()).unwrap_or_default();
        let version =
            Version { version: number, applied_at, trigger: trigger.to_owned(), changes, text: source.to_owned() };
        self.write(&version)?;
        for old in numbers.iter().take((numbers.len() + 1).saturating_sub(KEPT)) {
            fs::remove_file(self.path(*old))?;
        }
        Ok(Kept { version: number, changes: version.changes })
    }

    fn write(&self, version: &Version) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(version).map_err(io::Error::from)?;
        text.push(b'\n');
        replace(&self.path(version.version), &text)
    }

    /// In ascending order.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn rig() -> (tempfile::TempDir, Versions) {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::beside(&folder.path().join("relay.db"));
        (folder, versions)
    }

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    #[test]
    fn a_text_is_kept_once_while_it_stays() {
        let (_folder, versions) = rig();
        assert_eq!(versions.list().unwrap(), []);
        assert_eq!(versions.keep("reload = \"auto\"", NOW, "start").unwrap().version, 1);
        assert_eq!(versions.keep("reload = \"auto\"", NOW, "start").unwrap().version, 1);
        assert_eq!(versions.keep("reload = \"manual\"", NOW, "admin").unwrap().version, 2);
        assert_eq!(
            versions.keep("reload = \"auto\"", NOW, "file").unwrap().version,
            3,
            "back again is a version of its own"
        );
        let list = versions.list().unwrap();
        assert_eq!(list.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(list[1].changes, ["reload: changed from \"auto\" to \"manual\""]);
        assert_eq!((list[1].trigger.as_str(), list[1].text.as_str()), ("admin", "reload = \"manual\""));
    }

    #[test]
    fn the_oldest_goes_and_numbers_go_on() {
        let (_folder, versions) = rig();
        for number in 1..=(KEPT as u64 + 5) {
            assert_eq!(versions.keep(&format!("# {number}"), NOW, "file").unwrap().version, number);
        }
        let list = versions.list().unwrap();
        assert_eq!((list.len(), list[0].version, list[KEPT - 1].version), (KEPT, KEPT as u64 + 5, 6));
    }

    #[test]
    fn only_the_owner_may_read_them() {
        let (_folder, versions) = rig();
        versions.keep("", NOW, "start").unwrap();
        assert_eq!(fs::metadata(versions.folder()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(versions.path(1)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_lies_under_the_name_of_the_next_one_is_neither_followed_nor_written_to() {
        let (folder, versions) = rig();
        versions.keep("# 1", NOW, "start").unwrap();
        let (new, other) = (versions.folder().join(".new"), folder.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &new).unwrap();
        assert_eq!(versions.keep("# 2", NOW, "file").unwrap().version, 2);
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert!(fs::symlink_metadata(versions.path(2)).unwrap().is_file());
        // What a killed process left, and a second name of another file.
        fs::write(&new, "half of a ver").unwrap();
        assert_eq!(versions.keep("# 3", NOW, "file").unwrap().version, 3);
        fs::hard_link(&other, &new).unwrap();
        assert_eq!(versions.keep("# 4", NOW, "file").unwrap().version, 4);
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(versions.list().unwrap().len(), 4);
    }

    #[test]
    fn a_damaged_version_is_passed_over_and_its_number_is_not_used_again() {
        let (_folder, versions) = rig();
        versions.keep("# 1", NOW, "start").unwrap();
        fs::write(versions.path(2), "{").unwrap();
        assert_eq!(versions.keep("# 3", NOW, "file").unwrap().version, 3);
        assert_eq!(versions.list().unwrap().len(), 2);
        assert!(versions.read(2).is_err());
    }
}
