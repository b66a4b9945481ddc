//! What a good file names and a start would stumble over. A reload does not ask: what it would find is already open.

use std::path::Path;

use super::unit::Unit;
use crate::config::Problem;
use crate::control::admin::without_folder;
use crate::runtime::snapshot::{AdminAddress, Snapshot};
use crate::store;

pub(super) fn problems(file: &Path, snapshot: &Snapshot, unit: Option<&Unit>) -> Vec<Problem> {
    let problem = |key: &str, what: String, help: String| Problem::of(file, key, what, Some(help));
    let mut found = Vec::new();
    if let Some(settings) = &snapshot.store
        && let Some(why) = store::unfit(&settings.path)
    {
        let help = "name another file, which the relay makes; this one was not touched";
        found.push(problem("store.sqlite.path", format!("{} {why}", settings.path.display()), help.to_owned()));
    }
    if let Some(AdminAddress::Unix(socket)) = &snapshot.admin
        && let Some(folder) = socket.parent().filter(|folder| !folder.is_dir() && !comes_later(folder, unit))
    {
        let what = format!("the folder {} does not exist", folder.display());
        found.push(problem("admin.address", what, without_folder(folder)));
    }
    found
}

/// A folder below `/run` is there after the installation, or is made by the unit. Where this configuration is no service's, nobody
/// knows.
fn comes_later(folder: &Path, unit: Option<&Unit>) -> bool {
    folder.starts_with("/run")
        && unit.is_none_or(|unit| {
            unit.made.iter().any(|made| folder.starts_with(made) || made.to_string_lossy().contains('%'))
        })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::base::UnixMillis;
    use crate::config::{Environment, load};
    use crate::runtime::state::State;

    /// The problems of a file with a store and an admin socket in this folder.
    fn told(folder: &Path, socket: &str) -> Vec<String> {
        let file = folder.join("relay.toml");
        let text = format!(
            "[admin]\naddress = \"unix:{socket}\"\n[store]\nsqlite = {{ path = \"relay.db\" }}\n\
             [[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
             [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
             [routes.a]\npath = \"/a\"\nverify.dangerously_none = true\nupstream = \"app\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let loaded = load(&file, &Environment::default(), &State::default(), UnixMillis(1_780_315_200_000)).unwrap();
        problems(&file, &loaded.snapshot, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_store_that_is_no_database_is_found_and_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock").display().to_string();
        assert_eq!(told(folder.path(), &socket), [""; 0]);
        let path = folder.path().join("relay.db");
        let words = b"not a database at all, but as long as the head of one would be: ".repeat(4);
        // The head of an SQLite file with the application id of another program.
        let mut foreign = [b"SQLite format 3\0".to_vec(), vec![0; 4096]].concat();
        foreign[68..72].copy_from_slice(b"fore");
        for (content, why) in [(words, "is no SQLite database"), (foreign, "another program")] {
            std::fs::write(&path, &content).unwrap();
            let told = told(folder.path(), &socket);
            assert!(matches!(told.as_slice(), [one] if one.contains(why)), "{told:?}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(told(folder.path(), &socket), [""; 0]);
    }

    #[test]
    fn a_missing_folder_of_the_admin_socket_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("gone/admin.sock").display().to_string();
        let told = told(folder.path(), &socket);
        assert!(matches!(told.as_slice(), [one] if one.contains("gone does not exist")), "{told:?}");
    }

    #[test]
    fn a_folder_below_run_is_missed_where_the_unit_does_not_make_it() {
        let folder = Path::new("/run/dmz-relay-that-is-not-there");
        let making = |made: &str| Unit { made: vec![PathBuf::from(made)], ..Unit::default() };
        assert!(comes_later(folder, None), "a configuration that no unit reads");
        assert!(!comes_later(folder, Some(&Unit::default())));
        assert!(comes_later(folder, Some(&making("/run/dmz-relay-that-is-not-there"))));
        assert!(comes_later(folder, Some(&making("/run/%p"))));
        assert!(!comes_later(folder, Some(&making("/run/other"))));
        assert!(!comes_later(Path::new("/srv/gone"), Some(&making("/srv/gone"))));
    }
}
