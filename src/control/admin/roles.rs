//! Who is at the other end of the admin socket, and what they may do.
//!
//! The kernel says which user and which primary group the caller's process has. Names and further groups are those of `/etc/passwd` and
//! `/etc/group`, read when they are needed, so that a change there holds at once. The unit hides other users' processes from the
//! relay, so it cannot ask `/proc` for a caller's groups; accounts of a directory service are listed by their numbers.

use std::fs::File;
use std::io::Read;

use super::router::Access;
use crate::runtime::snapshot::{Account, Roles};

/// More of these files is not read.
const ACCOUNTS: u64 = 4 * 1024 * 1024;

/// The process at the other end, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<i32>,
    /// Root, or the relay's own user.
    pub(super) owner: bool,
}

impl Caller {
    /// Whether this caller may ask for it.
    pub(super) fn may(&self, access: Access, roles: &Roles) -> bool {
        let members = match access {
            Access::Scraper | Access::Viewer => return true,
            Access::Operator => &roles.operators,
            Access::Reader => &roles.readers,
        };
        self.owner || (!members.is_empty() && self.is_among(members, &accounts("/etc/passwd"), &accounts("/etc/group")))
    }

    /// The user's name, where this machine knows it.
    pub(super) fn user(&self) -> Option<String> {
        name_of(self.uid, &accounts("/etc/passwd")).map(str::to_owned)
    }

    fn is_among(&self, members: &[Account], users: &str, groups: &str) -> bool {
        let user = name_of(self.uid, users);
        members.iter().any(|account| match account {
            Account::User(wanted) => is(wanted, user, self.uid),
            Account::Group(wanted) => {
                is(wanted, name_of(self.gid, groups), self.gid)
                    || groups
                        .lines()
                        .filter_map(Group::of)
                        .any(|group| is(wanted, Some(group.name), group.id) && user.is_some_and(|user| group.has(user)))
            }
        })
    }
}

fn is(wanted: &str, name: Option<&str>, id: u32) -> bool {
    wanted.parse().map_or_else(|_| name == Some(wanted), |wanted: u32| wanted == id)
}

/// Both files have the name first and the number third.
fn name_of(id: u32, text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

struct Group<'l> {
    name: &'l str,
    id: u32,
    members: &'l str,
}

impl<'l> Group<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, id, members) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?);
        Some(Self { name, id, members })
    }

    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

/// Empty where it cannot be read: then nobody is found in it.
fn accounts(path: &str) -> String {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(ACCOUNTS).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\nbob:x:1002:100::/:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:\nops:x:500:carol,alice\nalice:x:1001:\nbroken\n";

    #[test]
    fn an_account_is_known_by_name_by_number_and_by_its_groups() {
        let alice = Caller { uid: 1001, gid: 1001, pid: None, owner: false };
        let bob = Caller { uid: 1002, gid: 100, pid: None, owner: false };
        let nobody = Caller { uid: 65534, gid: 65534, pid: None, owner: false };
        let user = |name: &str| Account::User(name.to_owned());
        let group = |name: &str| Account::Group(name.to_owned());
        for (account, expected) in [
            (user("alice"), [true, false, false]),
            (user("1002"), [false, true, false]),
            (user("65534"), [false, false, true]),
            (user("100"), [false, false, false]),
            (group("ops"), [true, false, false]),
            (group("500"), [true, false, false]),
            (group("users"), [false, true, false]),
            (group("100"), [false, true, false]),
            (group("alic"), [false, false, false]),
            (user(""), [false, false, false]),
        ] {
            let found =
                [alice, bob, nobody].map(|caller| caller.is_among(std::slice::from_ref(&account), USERS, GROUPS));
            assert_eq!(found, expected, "{account:?}");
        }
    }
}
