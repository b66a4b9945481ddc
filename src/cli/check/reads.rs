//! What the service's user may read and write, of everything that a configuration names: root reads all of it, and the service does
//! not. One report for each file or folder that is in the way, however many it keeps away.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::identity::{READ, SEARCH, WRITE};
use super::unit::Unit;
use crate::base::folder_of;
use crate::config::Problem;
use crate::control::admin::accounts::{Accounts, User};

/// Links on one path, as for the kernel.
const LINKS: usize = 40;

/// What a configuration names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'n> {
    /// The configuration itself.
    pub(super) config: &'n Path,
    /// What is read, the configuration included.
    pub(super) read: &'n [PathBuf],
    /// The store's file.
    pub(super) store: Option<&'n Path>,
    /// The admin socket.
    pub(super) socket: Option<&'n Path>,
}

/// What is in the way of a user.
struct Obstacle {
    found: Metadata,
    /// A folder that may not be entered.
    on_the_way: bool,
    wanted: u32,
    kept: Vec<PathBuf>,
}

/// What this user may not do. Files that do not exist are somebody else's to report.
pub(super) fn problems(named: Named<'_>, who: &User, accounts: &Accounts) -> Vec<Problem> {
    let mut obstacles: BTreeMap<PathBuf, Obstacle> = BTreeMap::new();
    let mut meet = |path: &Path, wanted: u32| {
        if let Ok(Some((at, found, on_the_way))) = obstacle(path, wanted, who) {
            let wanted = if on_the_way { SEARCH } else { wanted };
            let known = obstacles.entry(at).or_insert_with(|| Obstacle { found, on_the_way, wanted, kept: Vec::new() });
            known.kept.push(path.to_path_buf());
        }
    };
    named.read.iter().for_each(|path| meet(path, READ));
    if let Some(store) = named.store {
        meet(store, READ | WRITE);
    }
    for made in [named.store, named.socket].into_iter().flatten() {
        meet(folder_of(made), WRITE | SEARCH);
    }
    obstacles.into_iter().map(|(at, obstacle)| obstacle.problem(&at, named.config, who, accounts)).collect()
}

/// Whether a problem says of a file what the caller met with it, and the other says it of the user.
pub(super) fn is_same(of_user: &Problem, of_caller: &Problem) -> bool {
    of_user
        .denied
        .as_deref()
        .zip(of_caller.denied.as_deref())
        .is_some_and(|(of_user, of_caller)| real(of_user) == real(of_caller))
}

/// What the unit keeps from the service, whoever its user is.
pub(super) fn kept_by_unit(named: Named<'_>, unit: &Unit) -> Vec<Problem> {
    let problem = |what: String, help: String| Problem::of(named.config, "", what, Some(help));
    let mut found = Vec::new();
    for (key, folder) in &unit.hidden {
        let below: Vec<_> = named.read.iter().filter(|path| real(path).starts_with(folder)).collect();
        if let Some(first) = below.first() {
            let (first, folder) = (first.display(), folder.display());
            let what = format!("{first}{} lies below {folder}, which the unit hides ({key}=)", more(below.len()));
            found.push(problem(what, "move it below /etc/dmz-relay".to_owned()));
        }
    }
    if let Some(writable) = &unit.writable {
        for made in [named.store, named.socket].into_iter().flatten() {
            let folder = real(folder_of(made));
            if !writable.iter().any(|path| folder.starts_with(path)) {
                let folder = folder.display();
                let what = format!("{folder} is read-only for the service (ProtectSystem=strict of the unit)");
                found.push(problem(what, format!("set ReadWritePaths={folder} (systemctl edit dmz-relay)")));
            }
        }
    }
    found
}

impl Obstacle {
    fn problem(&self, at: &Path, config: &Path, who: &User, accounts: &Accounts) -> Problem {
        let (mode, uid, gid) = (self.found.mode() & 0o7777, self.found.uid(), self.found.gid());
        let owner = accounts.user_name(uid).map_or_else(|| uid.to_string(), str::to_owned);
        let group = accounts.group_name(gid).map_or_else(|| gid.to_string(), str::to_owned);
        let (name, shown) = (&who.name, at.display());
        let whose = format!("mode {mode:04o}, {owner}:{group}");
        let what = if self.on_the_way {
            let first = self.kept.first().map_or_else(String::new, |path| path.display().to_string());
            format!("the user {name} may not enter {shown} ({whose}), and needs {first}{}", more(self.kept.len()))
        } else if self.wanted & WRITE == 0 {
            format!("{shown} may not be read by the user {name} ({whose})")
        } else {
            format!("{shown} may not be written by the user {name} ({whose})")
        };
        let own =
            who.groups.first().map(|gid| accounts.group_name(*gid).map_or_else(|| gid.to_string(), str::to_owned));
        let own = own.unwrap_or_default();
        let help = if self.wanted & WRITE != 0 {
            format!("chown {name}:{own} {shown}")
        } else {
            let letter = if self.on_the_way { 'x' } else { 'r' };
            let (missing, change) = (mode >> 3 & self.wanted != self.wanted, !who.groups.contains(&gid));
            let commands =
                [change.then(|| format!("chgrp {own} {shown}")), missing.then(|| format!("chmod g+{letter} {shown}"))];
            commands.into_iter().flatten().collect::<Vec<_>>().join(" && ")
        };
        let denied = (!self.on_the_way && self.wanted & WRITE == 0).then(|| at.to_path_buf());
        Problem { denied, ..Problem::of(config, "", what, Some(help)) }
    }
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

/// Where a path leads to, as far as that is there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf())
}

/// What keeps a user from a path, link by link and folder by folder; whether it is a folder on the way.
fn obstacle(path: &Path, wanted: u32, who: &User) -> io::Result<Option<(PathBuf, Metadata, bool)>> {
    let mut at = PathBuf::from("/");
    let mut rest = parts(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let folder = fs::metadata(&at)?;
        if !who.may(&at, &folder, SEARCH) {
            return Ok(Some((at, folder, true)));
        }
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        if !fs::symlink_metadata(&next)?.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        let mut before = parts(&target);
        before.append(&mut rest);
        rest = before;
    }
    let found = fs::metadata(&at)?;
    Ok((!who.may(&at, &found, wanted)).then_some((at, found, false)))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Rig(tempfile::TempDir);

    impl Rig {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn folder(&self, name: &str, mode: u32) {
            fs::create_dir(self.path(name)).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn told(&self, read: &[PathBuf], store: Option<&Path>, who: &User) -> Vec<String> {
            let config = self.path("relay.toml");
            let named = Named { config: &config, read, store, socket: None };
            let accounts = Accounts::new("", "");
            let told = problems(named, who, &accounts);
            told.iter().map(|one| format!("{} -> {}", one.what, one.help.as_deref().unwrap_or_default())).collect()
        }
    }

    /// Neither the owner of what a test makes, nor in its group.
    fn stranger() -> User {
        User { name: "svc".to_owned(), uid: 4_000_000, groups: vec![4_000_001] }
    }

    #[test]
    fn a_file_that_only_its_owner_reads_is_told_with_what_helps() {
        let rig = Rig::new();
        let (open, closed) = (rig.file("open", 0o644), rig.file("closed", 0o600));
        assert_eq!(rig.told(std::slice::from_ref(&open), None, &stranger()), [""; 0]);
        let told = rig.told(&[open, closed.clone()], None, &stranger());
        let shown = closed.display();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with(&format!("{shown} may not be read by the user svc (mode 0600, ")), "{told:?}");
        assert!(told[0].ends_with(&format!("-> chgrp 4000001 {shown} && chmod g+r {shown}")), "{told:?}");
        let owner = fs::metadata(&closed).unwrap().uid();
        let told = rig.told(&[closed], None, &User { uid: owner, ..stranger() });
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn a_folder_in_the_way_is_told_once_for_everything_below_it() {
        let rig = Rig::new();
        rig.folder("secrets", 0o700);
        let files = ["secrets/a", "secrets/b", "secrets/c"].map(|name| rig.file(name, 0o644));
        let told = rig.told(&files, None, &stranger());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("may not enter") && told[0].contains("secrets/a and 2 more"), "{told:?}");
    }

    #[test]
    fn a_link_is_followed_to_what_it_means() {
        let rig = Rig::new();
        rig.folder("live", 0o700);
        rig.folder("open", 0o755);
        rig.file("live/key", 0o644);
        symlink("../live", rig.path("open/certs")).unwrap();
        let told = rig.told(&[rig.path("open/certs/key")], None, &stranger());
        assert!(
            told.len() == 1 && told[0].contains(&format!("may not enter {} ", rig.path("live").display())),
            "{told:?}"
        );
        symlink("round", rig.path("round")).unwrap();
        assert_eq!(rig.told(&[rig.path("round")], None, &stranger()), [""; 0]);
    }

    #[test]
    fn a_store_must_be_writable_and_so_must_its_folder() {
        let rig = Rig::new();
        rig.folder("store", 0o755);
        let store = rig.file("store/relay.db", 0o644);
        let told = rig.told(&[], Some(&store), &stranger());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.iter().all(|one| one.contains("may not be written") && one.contains("-> chown svc:4000001 ")),
            "{told:?}"
        );
        assert_eq!(rig.told(&[], Some(&rig.path("gone/relay.db")), &stranger()), [""; 0]);
    }

    #[test]
    fn what_the_unit_hides_or_makes_read_only_is_told() {
        let rig = Rig::new();
        let key = rig.file("key", 0o644);
        let config = rig.path("relay.toml");
        let store = rig.path("relay.db");
        let named = Named { config: &config, read: &[key], store: Some(&store), socket: None };
        let unit = Unit { hidden: vec![("ProtectHome", rig.0.path().to_path_buf())], ..Unit::default() };
        let told = kept_by_unit(named, &unit);
        assert!(told.len() == 1 && told[0].what.contains("which the unit hides (ProtectHome=)"), "{told:?}");
        let strict = |folder: &Path| Unit { writable: Some(vec![folder.to_path_buf()]), ..Unit::default() };
        let told = kept_by_unit(named, &strict(Path::new("/var/lib/dmz-relay")));
        assert!(told.len() == 1 && told[0].what.contains("read-only for the service"), "{told:?}");
        assert_eq!(kept_by_unit(named, &strict(rig.0.path())), []);
    }
}
