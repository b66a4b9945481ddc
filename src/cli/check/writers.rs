//! Who else may put another file in the place of a secret, of a key, or of the configuration: the members of a group in which the
//! service's user is not. What everybody may write is reported at each load. For a group it has to be known which user the
//! service has.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Problem;
use crate::control::admin::accounts::{Accounts, User};

/// Of the group, in a mode.
const GROUP_WRITES: u32 = 0o020;
/// In a folder with it nobody replaces what is another's.
const STICKY: u32 = 0o1000;

/// What lies in a folder or is a file that others may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Configuration,
    Secrets,
}

/// One warning for each folder and each file, however many lie below it.
pub(super) fn warnings<'s>(
    config: &Path,
    secrets: impl Iterator<Item = &'s Path>,
    who: &User,
    accounts: &Accounts,
) -> Vec<Problem> {
    let named = secrets.map(|path| (path, Kept::Secrets)).chain([(config, Kept::Configuration)]);
    let mut found: BTreeMap<PathBuf, (Kept, Metadata)> = BTreeMap::new();
    for (path, kept) in named {
        // Where a link leads to, and every folder above that.
        let real = fs::canonicalize(path).ok();
        for above in real.iter().flat_map(|real| real.ancestors()) {
            let Ok(metadata) = fs::metadata(above) else { continue };
            if is_foreign(&metadata, who) {
                let (known, _) = found.entry(above.to_path_buf()).or_insert((kept, metadata));
                *known = kept.max(*known);
            }
        }
    }
    found.iter().map(|(at, (kept, metadata))| problem(config, at, *kept, metadata, accounts)).collect()
}

/// Whether a group may write that is neither one of the service's user nor that of root.
fn is_foreign(found: &Metadata, who: &User) -> bool {
    let (mode, gid) = (found.mode(), found.gid());
    let spared = found.is_dir() && mode & STICKY != 0;
    mode & GROUP_WRITES != 0 && !spared && gid != 0 && !who.groups.contains(&gid)
}

fn problem(config: &Path, at: &Path, kept: Kept, found: &Metadata, accounts: &Accounts) -> Problem {
    let group = accounts.group_name(found.gid()).map_or_else(|| found.gid().to_string(), str::to_owned);
    let (shown, below) = (at.display(), found.is_dir());
    let lies = match (below, kept) {
        (true, Kept::Secrets) => ", and secrets lie below it",
        (true, Kept::Configuration) => ", and the configuration lies below it",
        (false, _) => "",
    };
    let what = format!("{shown} may be written by the group {group}, in which the service's user is not{lies}");
    let theirs = match kept {
        Kept::Secrets => "a secret of theirs",
        Kept::Configuration => "a configuration of theirs",
    };
    Problem::of(
        config,
        "",
        what,
        Some(format!("whoever is in that group can put {theirs} in place: chmod g-w {shown}")),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    /// A folder with a configuration and a folder `secrets` with one of them, which belong to a group that is not root's.
    struct Rig(tempfile::TempDir, u32);

    impl Rig {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("secrets")).unwrap();
            for name in ["relay.toml", "secrets/a"] {
                fs::write(folder.path().join(name), "x").unwrap();
            }
            let own = fs::metadata(folder.path()).unwrap().gid();
            // Root gives it away; for anybody else the own group will do.
            let gid = if own == 0 { 4_000_001 } else { own };
            let rig = Self(folder, gid);
            for (name, mode) in [("", 0o755), ("relay.toml", 0o640), ("secrets", 0o750), ("secrets/a", 0o640)] {
                chown(rig.path(name), None, Some(gid)).unwrap();
                rig.mode(name, mode);
            }
            rig
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        /// The warnings for a service in these groups.
        fn told(&self, secret: &str, groups: &[u32]) -> Vec<String> {
            let who = User { name: "svc".to_owned(), uid: 4_000_000, groups: groups.to_vec() };
            let accounts = Accounts::new("", &format!("editors:x:{}:\n", self.1));
            let secret = self.path(secret);
            let told = warnings(&self.path("relay.toml"), [secret.as_path()].into_iter(), &who, &accounts);
            let root = format!("{}/", self.0.path().canonicalize().unwrap().display());
            told.iter().map(|one| format!("{one:?}").replace(&root, "")).collect()
        }
    }

    #[test]
    fn a_folder_of_a_foreign_group_gets_a_warning_and_one_of_the_services_own_does_not() {
        let rig = Rig::new();
        assert_eq!(rig.told("secrets/a", &[4]), [""; 0]);
        rig.mode("secrets", 0o770);
        let told = rig.told("secrets/a", &[4]);
        assert_eq!(told.len(), 1, "{told:?}");
        for words in [
            "secrets may be written by the group editors, in which the service's user is not, and secrets lie below it",
            "can put a secret of theirs in place: chmod g-w secrets",
        ] {
            assert!(told[0].contains(words), "{told:?}");
        }
        assert_eq!(rig.told("secrets/a", &[4, rig.1]), [""; 0], "its own group");
        rig.mode("secrets", 0o1770);
        assert_eq!(rig.told("secrets/a", &[4]), [""; 0], "nobody replaces what is another's");
    }

    #[test]
    fn a_folder_above_a_file_itself_and_what_a_link_leads_to_are_told() {
        let rig = Rig::new();
        rig.mode("secrets/a", 0o660);
        assert!(rig.told("secrets/a", &[])[0].contains("secrets/a may be written by the group editors"));
        rig.mode("secrets/a", 0o640);
        rig.mode("secrets", 0o770);
        fs::create_dir(rig.path("links")).unwrap();
        symlink("../secrets/a", rig.path("links/a")).unwrap();
        assert_eq!(rig.told("links/a", &[]).len(), 1);
        rig.mode("secrets", 0o750);
        rig.mode("relay.toml", 0o660);
        assert!(rig.told("secrets/a", &[])[0].contains("put a configuration of theirs in place"));
        rig.mode("relay.toml", 0o640);
        rig.mode("", 0o775);
        let told = rig.told("secrets/a", &[]);
        assert!(told.len() == 1 && told[0].contains("secrets lie below it"), "once, with the more precious: {told:?}");
        assert!(rig.told("gone", &[])[0].contains("the configuration lies below it"));
    }
}
