//! The layer does what it says, seen with a program as small as `dd`.

use std::fs;
use std::process::{Command, Output};

use crate::faults::{Action, EIO, ENOSPC, Fault, Kind, Layer};
use crate::power::{Disk, Unsynced};

/// Writes `blocks` of 512 bytes one by one, then syncs.
fn dd(layer: &Layer, folder: &std::path::Path, name: &str, blocks: usize) -> Output {
    let mut command = Command::new("dd");
    layer.wrap(&mut command);
    let (target, count) = (format!("of={}", folder.join(name).display()), format!("count={blocks}"));
    command.args(["if=/dev/zero", "bs=512", &count, &target, "conv=fsync"]).output().unwrap()
}

#[test]
fn the_n_th_operation_fails_and_no_other() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    fs::create_dir(&folder).unwrap();
    let layer = Layer::new(&folder, place.path());

    let said = dd(&layer, &folder, "a", 4);
    assert!(said.status.success() && layer.loaded(), "{said:?}");
    assert_eq!((layer.count(Kind::Open), layer.count(Kind::Write), layer.count(Kind::Sync)), (1, 4, 1));

    layer.arm(Fault::once(&[Kind::Write], 3, Action::Fail(ENOSPC)));
    let said = dd(&layer, &folder, "b", 4);
    assert!(String::from_utf8_lossy(&said.stderr).contains("No space left"), "{said:?}");
    assert_eq!((fs::metadata(folder.join("b")).unwrap().len(), layer.hits()), (1024, 1));

    layer.arm(Fault::once(&[Kind::Sync], 1, Action::Fail(EIO)));
    let said = dd(&layer, &folder, "c", 1);
    assert!(String::from_utf8_lossy(&said.stderr).contains("Input/output error"), "{said:?}");

    layer.arm(Fault::once(&[Kind::Write], 2, Action::KillAfter));
    assert_eq!(dd(&layer, &folder, "d", 4).status.code(), None);
    assert_eq!(fs::metadata(folder.join("d")).unwrap().len(), 1024);

    layer.arm(Fault::once(&[Kind::Write], 9, Action::Fail(EIO)));
    assert!(dd(&layer, &folder, "e", 4).status.success());
    assert_eq!(layer.hits(), 0);

    // Elsewhere nothing is touched.
    layer.arm(Fault::from(&Kind::ALL, 1, Action::Fail(EIO)));
    assert!(dd(&layer, place.path(), "elsewhere", 4).status.success());
}

#[test]
fn a_power_loss_takes_what_was_not_synced_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    let journal = place.path().join("journal");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("old"), [7; 100]).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut disk = Disk::of(&folder);
    let layer = Layer::new(&folder, place.path()).with_journal(&journal);
    // Its content was synced; its name was not, because nobody synced the folder.
    assert!(dd(&layer, &folder, "new", 4).status.success());
    // Over the old file, without a sync.
    let mut command = Command::new("dd");
    layer.wrap(&mut command);
    let target = format!("of={}", folder.join("old").display());
    let done = command.args(["if=/dev/zero", "bs=512", "count=4", "conv=notrunc", &target]).output().unwrap();
    assert!(done.status.success());
    assert_eq!(fs::metadata(folder.join("old")).unwrap().len(), 2048);

    disk.follow(&journal);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        disk.lose_power(&folder, Unsynced::Any, &mut random);
        seen.insert((folder.join("new").exists(), fs::read(folder.join("old")).unwrap().len()));
    }
    assert!(seen.len() > 4, "{seen:?}");
    disk.lose_power(&folder, Unsynced::Lost, &mut random);
    assert!(!folder.join("new").exists());
    assert_eq!(fs::read(folder.join("old")).unwrap(), [7; 100]);
}
