//! Links between the documents lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::{files, root};

/// The name that a heading is linked by.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// `a/../b` without the detour.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents: BTreeMap<_, _> = files(".").into_iter().filter(|(path, _)| path.ends_with(".md")).collect();
    let mut checked = 0;
    for (path, text) in &documents {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.contains([' ', '\n']) {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let from = Path::new(path);
            let to = if file.is_empty() { from.to_path_buf() } else { plain(&from.with_file_name("").join(file)) };
            assert!(root().join(&to).exists(), "{path}: {target} is not there");
            if let Some(text) = documents.get(to.to_str().unwrap_or_default()).filter(|_| !heading.is_empty()) {
                assert!(anchors(text).contains(heading), "{path}: {target} has no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}
