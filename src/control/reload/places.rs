//! Which folder entries decide what a path leads to.
//!
//! A file changes when it is written, but also when it is replaced by rename, when any symbolic link on the way is
//! turned (as Kubernetes and `ln -sfn` do), when a folder on the way is exchanged, or when it appears where nothing
//! was. All of these are changes of some entry (folder, name) on the way; this walks the path and lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As Linux has it.
const MOST_LINKS: usize = 40;

/// Folders with the names in them that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    by_folder: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// Folders that hold a file itself rather than a folder or link on the way to it.
    direct: BTreeSet<PathBuf>,
}

impl Places {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let mut places = Self::default();
        for file in files {
            places.walk(file);
        }
        places
    }

    /// Every folder to watch.
    pub(super) fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.by_folder.keys()
    }

    /// Whether changes in this folder are changes of a file, so that not seeing them is a loss.
    pub(super) fn is_direct(&self, folder: &Path) -> bool {
        self.direct.contains(folder)
    }

    /// Whether a change at this path may change a file.
    pub(super) fn concern(&self, changed: &Path) -> bool {
        let (Some(folder), Some(name)) = (changed.parent(), changed.file_name()) else { return true };
        self.by_folder.get(folder).is_some_and(|names| names.contains(name)) || self.by_folder.contains_key(changed)
    }

    /// Whether `self` has an entry that `other` lacks.
    pub(super) fn exceed(&self, other: &Self) -> bool {
        self.by_folder
            .iter()
            .any(|(folder, names)| other.by_folder.get(folder).is_none_or(|known| !names.is_subset(known)))
    }

    fn walk(&mut self, file: &Path) {
        // A relative path is relative to the current folder, which does not change.
        let Ok(absolute) = std::path::absolute(file) else { return };
        let mut rest: Vec<OsString> = components(&absolute);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            self.by_folder.entry(at.clone()).or_default().insert(name.clone());
            if rest.is_empty() {
                self.direct.insert(at.clone());
            }
            let next = at.join(&name);
            match std::fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(components(&target));
                }
                Ok(_) => return,
                // What is not there yet is noticed when this entry appears.
                Err(_) if !next.is_dir() => return,
                Err(_) => at = next,
            }
        }
    }
}

/// The path's names, last first, so that they can be popped and pushed.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder whose own path has no links.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_plain_file_concerns_itself_and_the_folders_above() {
        let (_guard, root) = folder();
        std::fs::write(root.join("relay.toml"), "").unwrap();
        let places = Places::of(&[root.join("relay.toml")]);
        assert!(places.concern(&root.join("relay.toml")));
        assert!(places.concern(&root), "the folder itself may be exchanged");
        assert!(!places.concern(&root.join("relay.db")));
        assert!(places.is_direct(&root));
        assert!(!places.is_direct(root.parent().unwrap()));
    }

    #[test]
    fn every_link_on_the_way_concerns() {
        let (_guard, root) = folder();
        std::fs::create_dir(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/relay.toml"), "").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/relay.toml", root.join("relay.toml")).unwrap();
        let places = Places::of(&[root.join("relay.toml")]);
        for name in ["relay.toml", "..data", "..2026", "..2026/relay.toml"] {
            assert!(places.concern(&root.join(name)), "{name}");
        }
    }

    #[test]
    fn a_missing_folder_is_awaited_where_it_would_appear() {
        let (_guard, root) = folder();
        let places = Places::of(&[root.join("secrets/github")]);
        assert!(places.concern(&root.join("secrets")));
        std::fs::create_dir(root.join("secrets")).unwrap();
        let after = Places::of(&[root.join("secrets/github")]);
        assert!(after.exceed(&places));
        assert!(!places.exceed(&after));
        assert!(after.concern(&root.join("secrets/github")));
    }

    #[test]
    fn links_in_a_circle_end() {
        let (_guard, root) = folder();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let places = Places::of(&[root.join("a")]);
        assert!(places.concern(&root.join("b")));
    }

    #[test]
    fn a_way_up_is_followed() {
        let (_guard, root) = folder();
        std::fs::create_dir(root.join("conf")).unwrap();
        std::fs::write(root.join("key"), "").unwrap();
        let places = Places::of(&[root.join("conf/../key")]);
        assert!(places.concern(&root.join("key")));
        assert!(!places.concern(&root.join("conf/key")));
    }
}
