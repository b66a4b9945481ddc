//! The disk fills up: 503 and nothing acknowledged lost; then there is room again: 200, without a restart.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::faults::{Action, ENOSPC, Fault, Kind};
use crate::inside::Manner;
use crate::relay::Relay;
use crate::scene::Scene;

/// From room to none and back. What was acknowledged is found after a restart, too.
fn fills_and_empties(scene: &mut Scene, relay: &mut Relay, fill: impl FnOnce(), empty: impl FnOnce()) {
    let address = relay.address().unwrap();
    // Everything must be stored: nothing is taken inside.
    scene.inside.behave(Manner::DOWN);
    assert_eq!(scene.one_each(relay, &address), [200; 6]);
    fill();
    scene.all_answered(false, relay, &address);
    relay.tells(&["\"store_full\"", "\"store_failed\""]);
    empty();
    scene.all_answered(true, relay, &address);
    relay.kill();
    relay.did_not_panic();
    scene.inside.hung_up();
    scene.drain();
    scene.verdict();
}

#[test]
fn a_disk_that_says_it_is_full() {
    for times in [1, 2, 3, 10, u64::MAX] {
        let mut scene = Scene::new(times);
        let layer = scene.installation.layer();
        let mut relay = scene.installation.start(Some(&layer));
        let growth = &[Kind::Write, Kind::Truncate, Kind::Allocate];
        let full =
            || layer.arm(Fault { kinds: growth, at: times.min(7), times: u64::MAX, action: Action::Short(ENOSPC) });
        fills_and_empties(&mut scene, &mut relay, full, || layer.disarm());
        assert!(layer.hits() > 0);
    }
}

/// A file system of one's own, as long as this lives.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// `None` where this is not allowed.
    fn new(place: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output().ok()?;
        mounted.status.success().then(|| Self(place.to_owned()))
    }

    /// The folder with what is in it, as a file system that can be made read-only. `None` where this is not allowed.
    pub fn of(place: &Path) -> Option<Self> {
        let mounted = Command::new("mount").arg("--bind").args([place, place]).output().ok()?;
        mounted.status.success().then(|| Self(place.to_owned()))
    }

    /// Makes one of [`Mount::of`] read-only (`ro`), or writable again (`rw`).
    pub fn set(&self, mode: &str) {
        let options = format!("remount,bind,{mode}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }

    /// Takes all the room there is, but for `rest` bytes.
    fn fill(&self, rest: usize) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        let mut written = 0;
        while let Ok(more) = filler.write(&[0; 4096]) {
            written += more;
        }
        filler.set_len((written - rest) as u64).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full() {
    // With and without a reserve; with none, and with a little left beside it.
    for (reserve, rest) in [("0B", 0), ("0B", 40_960), ("8MiB", 4 << 20), ("8MiB", 0)] {
        let mut scene = Scene::with(1, crate::senders::ROUTES, &format!("disk_reserve = \"{reserve}\"\n"));
        let Some(mount) = Mount::new(&scene.installation.store(), 64 << 20) else {
            println!("skipped, needs mount");
            return;
        };
        let mut relay = scene.installation.start(None);
        fills_and_empties(&mut scene, &mut relay, || mount.fill(rest), || mount.empty());
    }
}

/// Nothing is dropped to make room for what is new: the quota says no, until something was delivered.
#[test]
fn a_quota_that_is_used_up() {
    let mut scene = Scene::with(1, crate::senders::ROUTES, "keep = { age = \"1h\", size = \"16MiB\" }\n");
    let mut relay = scene.installation.start(None);
    let address = relay.address().unwrap();
    scene.inside.behave(Manner::DOWN);
    scene.bulk(700_000);
    scene.all_answered(false, &mut relay, &address);
    relay.tells(&["\"store_full\""]);
    let metric = |name: &str| scene.installation.metric(&format!("dmz_relay_store_{name}"));
    assert_eq!((metric("up"), metric("limit_bytes")), (1.0, 16_777_216.0));
    assert!((8e6..=16_777_216.0).contains(&metric("used_bytes")) && metric("disk_free_bytes") > 0.0);
    assert!(scene.account.acknowledged() > 6, "{}", relay.log());
    scene.inside.behave(Manner::WELL);
    scene.all_answered(true, &mut relay, &address);
    relay.did_not_panic();
    relay.kill();
    scene.inside.hung_up();
    scene.drain();
    scene.verdict();
}
