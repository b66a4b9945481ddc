//! Whether the accounts that `[admin]` names exist on this host: a role for a name that nobody has is a role for nobody.

use std::path::Path;

use crate::config::Problem;
use crate::control::admin::accounts::Accounts;
use crate::runtime::snapshot::{Account, Snapshot};

pub(super) fn warnings(file: &Path, snapshot: &Snapshot, accounts: &Accounts) -> Vec<Problem> {
    let roles = [("admin.operators", &snapshot.roles.operators), ("admin.readers", &snapshot.roles.readers)];
    let named = roles.into_iter().flat_map(|(key, members)| members.iter().map(move |member| (key, member)));
    let unknown = named.filter_map(|(key, account)| {
        let (kind, name, known, place) = match account {
            Account::User(name) => ("user", name, accounts.user(name).is_some(), "/etc/passwd"),
            Account::Group(name) => ("group", name, accounts.group(name).is_some(), "/etc/group"),
        };
        // A number may be that of a directory service's account.
        if known || name.parse::<u32>().is_ok() {
            return None;
        }
        let add = if kind == "user" { "useradd --system" } else { "groupadd --system" };
        let what = format!("\"{kind}:{name}\" names nobody on this host: there is no such {kind} in {place}");
        let help = format!(
            "correct the name, make the account ({add} {name}), or write its number where a directory service has it"
        );
        Some(Problem::of(file, key, what, Some(help)))
    });
    unknown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UnixMillis;
    use crate::config::{Environment, load};
    use crate::runtime::state::State;

    #[test]
    fn names_that_nobody_has_are_told_and_numbers_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let text = "[admin]\naddress = \"unix:/run/a.sock\"\noperators = [\"user:alice\", \"group:ops\", \"user:4711\"]\n\
             readers = [\"user:alcie\", \"group:alice\", \"group:opps\"]\n\
             [[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
             [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
             [routes.a]\npath = \"/a\"\nverify.dangerously_none = true\nupstream = \"app\"\n";
        std::fs::write(&file, text).unwrap();
        let loaded = load(&file, &Environment::default(), &State::default(), UnixMillis(1_780_315_200_000)).unwrap();
        let accounts = Accounts::new("alice:x:1001:1001::/:/bin/sh\n", "ops:x:500:\nalice:x:1001:\n");
        let told: Vec<_> = warnings(&file, &loaded.snapshot, &accounts);
        let told: Vec<_> = told.iter().map(|one| (one.key.as_str(), one.what.split(' ').next().unwrap())).collect();
        assert_eq!(told, [("admin.readers", "\"user:alcie\""), ("admin.readers", "\"group:opps\"")]);
    }
}
