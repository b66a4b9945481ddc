//! As whom a file is judged: the service's user, whoever calls.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::unit::Unit;
use crate::config::Problem;
use crate::control::admin::accounts::{Accounts, User};

/// What is asked of a file or a folder, as its mode has it.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

/// Why nobody can be judged.
pub(super) enum Nobody {
    /// The caller names a user that this host does not have.
    Unknown(String),
    /// The unit does: the service does not start.
    UnknownToTheUnit { key: &'static str, name: String },
}

impl User {
    /// As whom a check judges: the named user, else the unit's where root asks. `None`: the caller, who reads what it may.
    pub(super) fn judged(
        named: Option<&str>,
        unit: Option<&Unit>,
        accounts: &Accounts,
    ) -> Result<Option<Self>, Nobody> {
        if let Some(name) = named {
            let user = accounts.user(name).ok_or_else(|| Nobody::Unknown(name.to_owned()))?;
            return Ok(Some(user));
        }
        match unit {
            Some(unit) if geteuid().is_root() => Self::of_unit(unit, accounts),
            _ => Ok(None),
        }
    }

    fn of_unit(unit: &Unit, accounts: &Accounts) -> Result<Option<Self>, Nobody> {
        let unknown = |key, name: &str| Nobody::UnknownToTheUnit { key, name: name.to_owned() };
        let Some(name) = &unit.user else { return Ok(None) };
        let user = accounts.user(name).ok_or_else(|| unknown("User", name))?;
        let mut groups = user.groups;
        if let Some(group) = &unit.group
            && let Some(own) = groups.first_mut()
        {
            *own = accounts.group(group).ok_or_else(|| unknown("Group", group))?;
        }
        for group in &unit.groups {
            groups.push(accounts.group(group).ok_or_else(|| unknown("SupplementaryGroups", group))?);
        }
        Ok(Some(Self { name: user.name, uid: user.uid, groups }))
    }

    /// Whether the kernel would let this user, by owner, groups, mode and access control list.
    pub(super) fn may(&self, path: &Path, found: &Metadata, wanted: u32) -> bool {
        let mode = found.mode();
        if self.uid == 0 {
            return true;
        }
        if self.uid == found.uid() {
            return mode >> 6 & wanted == wanted;
        }
        if let Some(list) = acl(path) {
            return self.is_let_by(&list, found, wanted);
        }
        let bits = if self.groups.contains(&found.gid()) { mode >> 3 } else { mode };
        bits & wanted == wanted
    }

    /// As `acl(5)` has it: a named user, else the groups together, else the others.
    fn is_let_by(&self, list: &[Entry], found: &Metadata, wanted: u32) -> bool {
        let mask = list.iter().find(|entry| entry.tag == Tag::Mask).map_or(7, |entry| entry.bits);
        if let Some(own) = list.iter().find(|entry| entry.tag == Tag::User && entry.id == self.uid) {
            return own.bits & mask & wanted == wanted;
        }
        let mut groups = list.iter().filter(|entry| match entry.tag {
            Tag::OwningGroup => self.groups.contains(&found.gid()),
            Tag::Group => self.groups.contains(&entry.id),
            _ => false,
        });
        let mut is_member = false;
        if groups.any(|entry| {
            is_member = true;
            entry.bits & mask & wanted == wanted
        }) {
            return true;
        }
        let others = list.iter().find(|entry| entry.tag == Tag::Other).map_or(0, |entry| entry.bits);
        !is_member && others & wanted == wanted
    }
}

/// The problem of a unit whose account this host does not have: systemd does not start the service.
pub(super) fn without(config: &Path, key: &str, name: &str) -> Problem {
    let what = format!("the unit has {key}={name}, and this host has no such account: the service cannot start");
    Problem::of(config, "", what, Some("make it: systemd-sysusers (sysusers.d/dmz-relay.conf)".to_owned()))
}

/// One entry of an access control list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    bits: u32,
    id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Owner,
    User,
    OwningGroup,
    Group,
    Mask,
    Other,
}

/// Most entries of a list that are read.
const ENTRIES: usize = 256;

/// The list of a file that has one.
fn acl(path: &Path) -> Option<Vec<Entry>> {
    let mut bytes = vec![0; 4 + 8 * ENTRIES];
    let length = rustix::fs::getxattr(path, c"system.posix_acl_access", &mut bytes[..]).ok()?;
    parse(bytes.get(..length)?)
}

/// A version, then eight bytes for each entry: tag, bits and id, each the least byte first.
fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let entries = bytes.strip_prefix(&[2, 0, 0, 0])?;
    let (entries, []) = entries.as_chunks::<8>() else { return None };
    entries
        .iter()
        .map(|&[tag_low, tag_high, bits, _, a, b, c, d]| {
            let tag = match u16::from_le_bytes([tag_low, tag_high]) {
                0x01 => Tag::Owner,
                0x02 => Tag::User,
                0x04 => Tag::OwningGroup,
                0x08 => Tag::Group,
                0x10 => Tag::Mask,
                0x20 => Tag::Other,
                _ => return None,
            };
            Some(Entry { tag, bits: u32::from(bits), id: u32::from_le_bytes([a, b, c, d]) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(uid: u32, groups: &[u32]) -> User {
        User { name: "somebody".to_owned(), uid, groups: groups.to_vec() }
    }

    #[test]
    fn the_units_user_has_the_units_groups() {
        let accounts = Accounts::new(
            "dmz-relay:x:990:990::/:/bin/false\n",
            "dmz-relay:x:990:\nadm:x:4:dmz-relay\ntls:x:77:\nown:x:88:\n",
        );
        let unit = Unit { user: Some("dmz-relay".into()), ..Unit::default() };
        let groups = |unit: &Unit| match User::of_unit(unit, &accounts) {
            Ok(who) => who.map(|who| who.groups),
            Err(_) => Some(Vec::new()),
        };
        assert_eq!(groups(&unit), Some(vec![990, 4]));
        let more = Unit { group: Some("own".into()), groups: vec!["tls".into()], ..unit };
        assert_eq!(groups(&more), Some(vec![88, 4, 77]));
        assert_eq!(groups(&Unit { user: Some("gone".into()), ..Unit::default() }), Some(Vec::new()));
        assert_eq!(groups(&Unit::default()), None);
    }

    #[test]
    fn a_mode_counts_for_the_first_class_that_fits() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let set = |mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            std::fs::metadata(file.path()).unwrap()
        };
        let (uid, gid) = {
            let found = set(0o600);
            (found.uid(), found.gid())
        };
        let other = somebody(uid + 1, &[gid + 1]);
        let member = somebody(uid + 1, &[gid + 1, gid]);
        for (mode, expected) in
            [(0o600, [false, false]), (0o640, [false, true]), (0o604, [true, false]), (0o644, [true, true])]
        {
            let found = set(mode);
            let may = [&other, &member].map(|who| who.may(file.path(), &found, READ));
            assert_eq!(may, expected, "{mode:o}");
        }
        let found = set(0o640);
        assert!(!member.may(file.path(), &found, READ | WRITE) && somebody(0, &[]).may(file.path(), &found, WRITE));
    }

    #[test]
    fn a_list_goes_before_the_mode() {
        let entry = |tag: u8, bits: u8, id: u32| [&[tag, 0, bits, 0][..], &id.to_le_bytes()].concat();
        let bytes = [
            vec![2, 0, 0, 0],
            entry(0x01, 6, u32::MAX),
            entry(0x02, 6, 990),
            entry(0x04, 0, u32::MAX),
            entry(0x08, 4, 77),
            entry(0x10, 4, u32::MAX),
            entry(0x20, 0, u32::MAX),
        ]
        .concat();
        let list = parse(&bytes).unwrap();
        let found = std::fs::metadata("/").unwrap();
        let may = |uid: u32, groups: &[u32], wanted| somebody(uid, groups).is_let_by(&list, &found, wanted);
        assert!(may(990, &[990], READ) && !may(990, &[990], READ | WRITE), "the mask bounds it");
        assert!(may(1, &[1, 77], READ) && !may(1, &[1], READ) && !may(1, &[found.gid()], READ));
        assert_eq!(parse(&bytes[..10]), None);
        assert_eq!(parse(&[1, 0, 0, 0]), None);
    }
}
