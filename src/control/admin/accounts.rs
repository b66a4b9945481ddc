//! Users and groups of this host, as `/etc/passwd` and `/etc/group` have them. Accounts of a directory service stand in neither: they
//! are known by their numbers only.

use std::fs::File;
use std::io::Read;

/// More of these files is not read.
const MOST: u64 = 4 * 1024 * 1024;

/// Both files as they are at one moment.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: String,
    groups: String,
}

/// A user with every group that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the file has it.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its own group first.
    pub groups: Vec<u32>,
}

impl Accounts {
    /// Of this host. A file that cannot be read counts as empty: then nobody is found in it.
    pub fn of_host() -> Self {
        Self::new(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// Of these texts.
    pub fn new(users: &str, groups: &str) -> Self {
        Self { users: users.to_owned(), groups: groups.to_owned() }
    }

    /// The name of a user.
    pub fn user_name(&self, uid: u32) -> Option<&str> {
        name_of(uid, &self.users)
    }

    /// The name of a group.
    pub fn group_name(&self, gid: u32) -> Option<&str> {
        name_of(gid, &self.groups)
    }

    /// A user by name or by number.
    pub fn user(&self, wanted: &str) -> Option<User> {
        let line = self.users.lines().find(|line| is_of(line, wanted))?;
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        let own: u32 = fields.next()?.parse().ok()?;
        let mut groups = vec![own];
        groups.extend(self.all_groups().filter(|group| group.id != own && group.has(name)).map(|group| group.id));
        Some(User { name: name.to_owned(), uid, groups })
    }

    /// The number of a group, by name or by number.
    pub fn group(&self, wanted: &str) -> Option<u32> {
        let line = self.groups.lines().find(|line| is_of(line, wanted))?;
        Group::of(line).map(|group| group.id)
    }

    /// Whether a group's list of members names this user.
    pub fn is_member(&self, user: &str, group: &str) -> bool {
        self.all_groups().any(|known| is(group, Some(known.name), known.id) && known.has(user))
    }

    fn all_groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.groups.lines().filter_map(Group::of)
    }
}

/// Whether an account's name or number is what was written.
pub fn is(wanted: &str, name: Option<&str>, id: u32) -> bool {
    wanted.parse().map_or_else(|_| name == Some(wanted), |wanted: u32| wanted == id)
}

/// Both files have the name first and the number third.
fn is_of(line: &str, wanted: &str) -> bool {
    let mut fields = line.split(':');
    let (name, id) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
    id.is_some_and(|id| is(wanted, name, id))
}

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

fn read(path: &str) -> String {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\nbroken:x:1\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:bob\nops:x:500:carol,alice\nalice:x:1001:alice\nbroken\n";

    #[test]
    fn a_user_has_its_own_group_and_those_that_list_it() {
        let accounts = Accounts::new(USERS, GROUPS);
        let alice = User { name: "alice".to_owned(), uid: 1001, groups: vec![1001, 500] };
        assert_eq!(accounts.user("alice"), Some(alice.clone()));
        assert_eq!(accounts.user("1001"), Some(alice));
        assert_eq!((accounts.user("bob"), accounts.user("broken")), (None, None));
        assert_eq!((accounts.group("ops"), accounts.group("500"), accounts.group("op")), (Some(500), Some(500), None));
        assert_eq!((accounts.user_name(0), accounts.group_name(100)), (Some("root"), Some("users")));
        assert!(accounts.is_member("carol", "ops") && !accounts.is_member("alice", "users"));
    }
}
