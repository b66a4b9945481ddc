//! SQLite alone under the layer: with `synchronous=FULL` it keeps what it committed through every power loss that
//! [`crate::power`] can think of, and with `synchronous=OFF` it does not. So what the other tests find is the relay's doing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use crate::faults::{Action, Fault, Kind, Layer};
use crate::power::{Disk, Unsynced};

const FOLDER: &str = "CRASH_BASELINE_FOLDER";
const SYNCHRONOUS: &str = "CRASH_BASELINE_SYNCHRONOUS";
const ROWS: i64 = 60;

/// The child: says of each row that it is committed.
#[test]
#[ignore = "a child process of the tests below"]
fn child_commits_rows() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let connection = Connection::open(Path::new(&folder).join("rows.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", std::env::var(SYNCHRONOUS).unwrap()).unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 20).unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, bulk BLOB)").unwrap();
    for _ in 0..ROWS {
        connection.execute("INSERT INTO rows (bulk) VALUES (zeroblob(3000))", []).unwrap();
        println!("committed {}", connection.last_insert_rowid());
    }
}

/// The last row that a child said was committed before it was killed at the n-th operation; `None`: it was not killed.
fn run(layer: &Layer, folder: &Path, synchronous: &str, n: u64) -> (i64, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "baseline::child_commits_rows"]);
    command.env(FOLDER, folder).env(SYNCHRONOUS, synchronous).stderr(Stdio::null());
    layer.wrap(&mut command);
    let kinds = &[Kind::Open, Kind::Write, Kind::Sync, Kind::Truncate, Kind::Unlink];
    layer.arm(Fault::once(kinds, n, if n.is_multiple_of(2) { Action::KillBefore } else { Action::KillAfter }));
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let last = said.lines().filter_map(|line| line.split_once("committed ")?.1.parse().ok()).max();
    (last.unwrap_or(0), layer.hits() > 0)
}

/// How many rows a power loss took although they were committed.
fn lost(synchronous: &str, step: usize) -> usize {
    let mut random = fastrand::Rng::with_seed(1);
    let mut lost = 0;
    for n in (1..).step_by(step) {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("store");
        fs::create_dir(&folder).unwrap();
        let layer = Layer::new(&folder, place.path()).with_journal(&place.path().join("journal"));
        let mut disk = Disk::of(&folder);
        let (committed, killed) = run(&layer, &folder, synchronous, n);
        if !killed {
            assert!(n > 100, "the layer counts nothing: {n}");
            break;
        }
        disk.follow(&place.path().join("journal"));
        for unsynced in [Unsynced::Lost, Unsynced::Any, Unsynced::Any, Unsynced::Any] {
            disk.lose_power(&folder, unsynced, &mut random);
            let connection = Connection::open(folder.join("rows.db")).unwrap();
            let found = connection.query_row("SELECT max(id) FROM rows", [], |row| row.get(0));
            lost += usize::from(found.unwrap_or(0) < committed);
        }
    }
    lost
}

#[test]
fn sqlite_keeps_what_it_synced() {
    assert_eq!(lost("FULL", 11), 0);
}

#[test]
fn and_loses_what_it_did_not() {
    assert!(lost("OFF", 41) > 0);
}
