//! Who is at the other end of the admin socket, and what they may do.
//!
//! The kernel says which user and which primary group the caller's process has. Names and further groups are those of `/etc/passwd` and
//! `/etc/group`, read when they are needed, so that a change there holds at once. The unit hides other users' processes from the
//! relay, so it cannot ask `/proc` for a caller's groups; accounts of a directory service are listed by their numbers.

use super::accounts::{Accounts, is};
use super::router::Access;
use crate::runtime::snapshot::{Account, Roles};

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
        self.owner || (!members.is_empty() && self.is_among(members, &Accounts::of_host()))
    }

    /// The user's name, where this machine knows it.
    pub(super) fn user(&self) -> Option<String> {
        Accounts::of_host().user_name(self.uid).map(str::to_owned)
    }

    /// Whether the service manager runs the caller's process for the relay's own unit, as `ExecReload=` does: it puts such a
    /// process into the unit's control group, and nobody but root can put one there. The group says who is in it; of the process
    /// itself `/proc` shows nothing, because every command makes itself undumpable. It is asked while the process waits for its
    /// answer, so that its number is still its own.
    pub(super) fn is_of_own_unit(&self) -> bool {
        let (Some(pid), true) = (self.pid, self.owner) else { return false };
        let Ok(own) = std::fs::read_to_string("/proc/self/cgroup") else { return false };
        let Some((mounted, group)) = unit_group(&own) else { return false };
        let has = |below: &str| {
            let processes = std::fs::read_to_string(format!("{mounted}{group}{below}/cgroup.procs"));
            processes.is_ok_and(|processes| processes.lines().any(|line| line.parse() == Ok(pid)))
        };
        has("") || has("/.control")
    }

    fn is_among(&self, members: &[Account], accounts: &Accounts) -> bool {
        let user = accounts.user_name(self.uid);
        members.iter().any(|account| match account {
            Account::User(wanted) => is(wanted, user, self.uid),
            Account::Group(wanted) => {
                is(wanted, accounts.group_name(self.gid), self.gid)
                    || user.is_some_and(|user| accounts.is_member(user, wanted))
            }
        })
    }
}

/// The control group of the unit that a process runs in, by its `/proc/PID/cgroup`, and where such groups are mounted: in the
/// service manager's own hierarchy where there are several, else in the only one. What no service manager started is in none.
fn unit_group(text: &str) -> Option<(&'static str, &str)> {
    let of = |hierarchy: &str| {
        text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(hierarchy)?.strip_prefix(':'))
    };
    let named = of("name=systemd").map(|group| ("/sys/fs/cgroup/systemd", group));
    named.or_else(|| Some(("/sys/fs/cgroup", of("")?))).filter(|(_, group)| group.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\nbob:x:1002:100::/:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:\nops:x:500:carol,alice\nalice:x:1001:\nbroken\n";

    #[test]
    fn a_process_of_the_unit_is_known_by_its_control_group() {
        let group = "/system.slice/dmz-relay.service";
        assert_eq!(unit_group("0::/system.slice/dmz-relay.service\n"), Some(("/sys/fs/cgroup", group)));
        let mixed = "12:memory:/elsewhere\n1:name=systemd:/system.slice/dmz-relay.service\n0::/\n";
        assert_eq!(unit_group(mixed), Some(("/sys/fs/cgroup/systemd", group)));
        for other in [
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            "0::/system.slice/dmz-relay.service.d\n",
            "0::/system.slice\n",
            "0::/\n",
            "",
        ] {
            assert_eq!(unit_group(other), None, "{other}: started in a shell, or in a container");
        }
    }

    /// This test runs in no unit of its own, or was started by whatever runs the unit that it is in.
    #[test]
    fn another_users_process_is_never_asked_about() {
        let caller = |owner, pid| Caller { uid: 1, gid: 1, pid, owner };
        assert!(!caller(false, Some(1)).is_of_own_unit());
        assert!(!caller(true, None).is_of_own_unit());
        assert!(!caller(true, Some(i32::MAX)).is_of_own_unit());
    }

    #[test]
    fn an_account_is_known_by_name_by_number_and_by_its_groups() {
        let accounts = Accounts::new(USERS, GROUPS);
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
            let found = [alice, bob, nobody].map(|caller| caller.is_among(std::slice::from_ref(&account), &accounts));
            assert_eq!(found, expected, "{account:?}");
        }
    }
}
