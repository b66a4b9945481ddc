//! What a command writes is a new file of its owner's, whatever somebody planted where it will be: a link, a link that leads nowhere,
//! a second name of another file, or the names of files on the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::events::Stage;
use super::harness::{CANARY, Said, binary, relay, relay_reading, said};

/// What is planted under a name, and must stay as it is.
const PLANTED: [&str; 4] = ["link", "dangling", "hard-link", "file"];

/// A folder that anybody may write, and a file elsewhere that is none of theirs.
struct Trap {
    folder: tempfile::TempDir,
    elsewhere: tempfile::TempDir,
}

impl Trap {
    fn new() -> Self {
        let trap = Self { folder: tempfile::tempdir().unwrap(), elsewhere: tempfile::tempdir().unwrap() };
        fs::set_permissions(trap.folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(trap.victim(), "precious").unwrap();
        fs::set_permissions(trap.victim(), fs::Permissions::from_mode(0o644)).unwrap();
        trap
    }

    fn victim(&self) -> PathBuf {
        self.elsewhere.path().join("victim")
    }

    fn plant(&self, kind: &str, at: &Path) {
        match kind {
            "link" => symlink(self.victim(), at).unwrap(),
            "dangling" => symlink(self.elsewhere.path().join("nowhere"), at).unwrap(),
            "hard-link" => fs::hard_link(self.victim(), at).unwrap(),
            _ => fs::write(at, "there before").unwrap(),
        }
    }

    /// The victim has its content and its mode, and nothing was made where a link leads.
    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.victim()).unwrap(), "precious");
        assert_eq!(fs::metadata(self.victim()).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(self.elsewhere.path()).unwrap().count(), 1);
    }
}

/// Under the most generous umask there is.
fn generous(arguments: &[&str]) -> Said {
    let bare = binary();
    let mut shell = Command::new("sh");
    for (name, _) in bare.get_envs() {
        shell.env_remove(name);
    }
    shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(bare.get_program()).args(arguments);
    said(shell.output().unwrap())
}

#[test]
fn what_is_written_is_new_and_private_whatever_was_planted() {
    let stage = Stage::new();
    stage.send(&["kept", "--data", "{\"n\":1}"]).exits(0);
    let id = stage.listed(&[], 1).remove(0);
    let config = stage.installation.path("relay.toml");
    let commands: [&[&str]; 3] = [
        &["events", "show", &id, "--config", &config, "--output"],
        &["events", "export", "--config", &config, "--output"],
        &["store", "backup", "--config", &config],
    ];
    for command in commands {
        let trap = Trap::new();
        for kind in PLANTED {
            let at = trap.folder.path().join(kind);
            trap.plant(kind, &at);
            let before = fs::symlink_metadata(&at).unwrap();
            let said = generous(&[command, &[at.to_str().unwrap()]].concat()).exits(2);
            assert!(said.err.contains("there is such a file already") || said.err.contains("it is there already"));
            let after = fs::symlink_metadata(&at).unwrap();
            assert_eq!((before.ino(), before.len()), (after.ino(), after.len()), "{command:?} {kind}");
        }
        trap.is_untouched();
        // Names that files on the way could have.
        let at = trap.folder.path().join("new");
        for (suffix, kind) in
            [".part", ".part-journal", "-journal", "-wal", ".new", ".tmp"].into_iter().zip(PLANTED.iter().cycle())
        {
            trap.plant(kind, &trap.folder.path().join(format!("new{suffix}")));
        }
        generous(&[command, &[at.to_str().unwrap()]].concat()).exits(0);
        let made = fs::symlink_metadata(&at).unwrap();
        assert!(made.is_file() && made.nlink() == 1 && made.len() > 0, "{command:?}");
        assert_eq!(made.mode() & 0o7777, 0o600, "{command:?}");
        assert_eq!(fs::read_dir(trap.folder.path()).unwrap().count(), PLANTED.len() + 6 + 1, "nothing is left over");
        trap.is_untouched();
    }
}

#[test]
fn an_older_page_of_the_manual_is_replaced_and_what_a_link_there_leads_to_is_not() {
    let trap = Trap::new();
    let (dir, section) = (trap.folder.path(), trap.folder.path().join("man1"));
    fs::create_dir(&section).unwrap();
    for (page, kind) in
        ["dmz-relay.1", "dmz-relay-check.1", "dmz-relay-run.1", "dmz-relay-send.1"].into_iter().zip(PLANTED)
    {
        trap.plant(kind, &section.join(page));
    }
    relay(&["man", "--dir", dir.to_str().unwrap()]).exits(0);
    for page in fs::read_dir(section).unwrap() {
        let made = page.unwrap().metadata().unwrap();
        assert!(made.is_file() && made.nlink() == 1);
        assert_eq!(made.mode() & 0o7777, 0o644);
    }
    trap.is_untouched();
}

#[test]
fn a_first_configuration_follows_nothing_that_was_planted_among_its_files() {
    for name in ["secrets/github", "certs/ca.crt", "certs/relay.crt", "certs/relay.key", "relay.toml"] {
        for kind in PLANTED {
            let trap = Trap::new();
            let dir = trap.folder.path();
            for folder in ["secrets", "certs"] {
                fs::create_dir(dir.join(folder)).unwrap();
            }
            trap.plant(kind, &dir.join(name));
            let before = fs::symlink_metadata(dir.join(name)).unwrap().ino();
            let given = ["--upstream", "http://127.0.0.1:9", "--host", "localhost", "--provider", "github"];
            let more = ["--secret-stdin", "--private-certificate"];
            let arguments = [&["init", "--dir", dir.to_str().unwrap()][..], &given, &more].concat();
            let said = relay_reading(&arguments, CANARY.as_bytes()).exits(2);
            assert!(said.err.contains("is there already"), "{}", said.err);
            assert_eq!(fs::symlink_metadata(dir.join(name)).unwrap().ino(), before, "{name}: {kind}");
            trap.is_untouched();
        }
    }
}
