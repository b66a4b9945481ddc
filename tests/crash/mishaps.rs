//! What operators, clocks and tired disks do to a store, to the real binary: nothing is lost, nothing is destroyed, what needs no
//! store goes on, and the log and `status` say what is the matter.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::faults::{Action, ENOSPC, Fault, Kind};
use crate::full::Mount;
use crate::inside::Manner;
use crate::relay::{LONG, Relay};
use crate::scene::Scene;
use crate::senders::{ROUTES, System, post};
use crate::verdict::{lost, missing};

const HOUR: i64 = 3600;
/// Of the store's file.
const PAGE: u64 = 8192;
const DIRECT: &str = r#"
[routes.direct]
path = "/hooks/direct"
provider = "octolis"
secrets = [{ file = "octolis" }]
upstream = "inside"
delivery = "direct"
"#;

fn scene() -> Scene {
    Scene::with(1, &format!("{ROUTES}{DIRECT}"), "").small()
}

fn file(scene: &Scene, name: &str) -> PathBuf {
    scene.installation.store().join(name)
}

fn one_each(scene: &mut Scene, relay: &mut Relay) -> Vec<u16> {
    let address = relay.address().unwrap();
    scene.one_each(relay, &address)
}

/// A request to the route that needs no store.
#[track_caller]
fn direct_is_served(scene: &Scene, address: &str) {
    let before = scene.inside.count();
    let message = System::Octolis.message(1, "direct-1", 0).replace("/hooks/octolis", "/hooks/direct");
    assert_eq!(post(address, &message), Some(200));
    assert_eq!(scene.inside.count(), before + 1);
}

#[track_caller]
fn status_says(scene: &Scene, words: &str) {
    let (_, said, error) = scene.installation.command(&["status"]);
    assert!(said.contains(words), "{said}{error}");
}

#[test]
fn what_waits_is_delivered_in_order_however_the_clock_is_set() {
    for step in [-HOUR, HOUR, -48 * HOUR, 48 * HOUR] {
        for restart in [false, true] {
            let mut scene = scene();
            let mut layer = scene.installation.layer();
            let mut relay = scene.installation.start(Some(&layer));
            scene.inside.behave(Manner::DOWN);
            for _ in 0..3 {
                assert_eq!(one_each(&mut scene, &mut relay), [200; 3]);
            }
            scene.inside.until(LONG, |arrivals| arrivals.len() >= 3);
            if restart {
                relay.kill();
                layer = scene.installation.layer();
                layer.set_clock(step);
                relay = scene.installation.start(Some(&layer));
            }
            layer.set_clock(step);
            scene.inside.behave(Manner::WELL);
            let lost = lost(&scene.account, &scene.inside, LONG);
            assert!(lost.is_empty(), "set by {step}, restart {restart}: {lost:?}\n{}", relay.log());
            scene.verdict();
            relay.did_not_panic();
        }
    }
}

#[test]
fn duplicates_stay_duplicates_when_the_clock_was_set_forward_and_back_before_a_restart() {
    let scene = scene();
    let layer = scene.installation.layer();
    let mut relay = scene.installation.start(Some(&layer));
    let messages: Vec<_> = (0..5).map(|number| System::Oktave.message(number, &format!("o-{number}"), 0)).collect();
    for message in &messages {
        assert_eq!(post(&relay.address().unwrap(), message), Some(200));
    }
    assert!(scene.inside.until(LONG, |arrivals| arrivals.len() == 5));
    layer.set_clock(48 * HOUR);
    // Some rounds of upkeep; there is nothing to wait for but time.
    relay.ends_within(Duration::from_secs(4));
    layer.set_clock(0);
    relay.stop();
    let mut relay = scene.installation.start(Some(&scene.installation.layer()));
    for message in &messages {
        assert_eq!(post(&relay.address().unwrap(), message), Some(200));
    }
    relay.tells(&["\"outcome\":\"duplicate\""]);
    relay.stop();
    scene.drain();
    assert_eq!(scene.inside.count(), 5);
}

#[test]
fn a_sync_that_hangs_is_said_while_it_hangs() {
    let mut scene = scene();
    let layer = scene.installation.layer();
    let mut relay = scene.installation.start(Some(&layer));
    let address = relay.address().unwrap();
    assert_eq!(scene.one_each(&mut relay, &address), [200; 3]);
    layer.slow(12_000_000);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| post(&address, &System::Oktave.message(9, "hang-9", 0)));
        relay.tells(&["store_stalled"]);
        status_says(&scene, "the disk has not answered");
        assert_eq!(scene.installation.metric("dmz_relay_store_up"), 0.0);
        assert_eq!(scene.installation.metric("dmz_relay_store_changes_total{state=\"stalled\"}"), 1.0);
        direct_is_served(&scene, &address);
        layer.slow(0);
        let _ = sent.join();
    });
    relay.tells(&["store_resumed"]);
    assert_eq!(scene.installation.metric("dmz_relay_store_up"), 1.0);
    relay.did_not_panic();
}

/// The relay goes on without its store, serves what needs none, says why, and takes up what was left as soon as it can.
fn is_closed(scene: &mut Scene, relay: &mut Relay, why: &str, end: impl FnOnce()) {
    let address = relay.address().unwrap_or_else(|| panic!("it does not start:\n{}", relay.log()));
    relay.tells(&[why]);
    direct_is_served(scene, &address);
    assert_eq!(post(&address, &System::Oktave.message(77, "closed-77", 0)), Some(503));
    status_says(scene, why);
    assert_eq!(scene.installation.metric("dmz_relay_store_up"), 0.0);
    end();
    relay.tells(&["store_recovered"]);
    assert_eq!(scene.installation.metric("dmz_relay_store_up"), 1.0);
    assert!(scene.installation.metric("dmz_relay_store_changes_total{state=\"recovered\"}") >= 1.0);
    scene.all_answered(true, relay, &address);
    let lost = lost(&scene.account, &scene.inside, LONG);
    assert!(lost.is_empty(), "{lost:?}\n{}", relay.log());
    relay.did_not_panic();
}

/// With what a killed relay leaves.
fn left_behind() -> Scene {
    let mut scene = scene();
    let mut relay = scene.installation.start(None);
    scene.inside.behave(Manner::DOWN);
    assert_eq!(one_each(&mut scene, &mut relay), [200; 3]);
    relay.kill();
    scene.inside.hung_up();
    scene.inside.behave(Manner::WELL);
    scene
}

#[test]
fn an_operators_open_transaction_keeps_the_store_closed_and_nothing_else() {
    let mut scene = left_behind();
    let operator = Connection::open_with_flags(file(&scene, "relay.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    operator.execute_batch("BEGIN").unwrap();
    let _: i64 = operator.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    let mut relay = scene.installation.spawn(None);
    let end = move || operator.execute_batch("COMMIT").unwrap();
    is_closed(&mut scene, &mut relay, "another program has a transaction open", end);
}

#[test]
fn a_disk_that_is_full_at_the_start_keeps_the_store_closed_and_nothing_else() {
    let mut scene = left_behind();
    let layer = scene.installation.layer();
    let growth = &[Kind::Write, Kind::Truncate, Kind::Allocate];
    layer.arm(Fault::from(growth, 1, Action::Fail(ENOSPC)));
    let mut relay = scene.installation.spawn(Some(&layer));
    is_closed(&mut scene, &mut relay, "disk I/O error", || layer.disarm());
}

/// As the kernel remounts it after an error: with what a killed relay left on it, and empty.
#[test]
fn a_disk_that_is_read_only_at_the_start_keeps_the_store_closed_and_nothing_else() {
    for mut scene in [left_behind(), scene()] {
        let Some(mount) = Mount::of(&scene.installation.store()) else {
            println!("skipped, needs mount");
            return;
        };
        mount.set("ro");
        let mut relay = scene.installation.spawn(None);
        is_closed(&mut scene, &mut relay, "Read-only file system", || mount.set("rw"));
        relay.stop();
    }
}

#[test]
fn a_restore_that_forgets_the_log_is_refused_and_the_documented_one_works() {
    let mut scene = left_behind();
    let copy = scene.installation.path("backup.db");
    let mut relay = scene.installation.start(None);
    let arguments = ["store", "backup", copy.to_str().unwrap(), "--format", "json"];
    let (exit, said, error) = scene.installation.command(&arguments);
    assert_eq!(exit, 0, "{said}{error}");
    assert_eq!(one_each(&mut scene, &mut relay), [200; 3]);
    let (exit, said, _) = scene.installation.command(&arguments);
    assert!(exit == 2 && said.contains("it is there already"), "{exit} {said}");
    assert!(lost(&scene.account, &scene.inside, LONG).is_empty());
    relay.kill();
    let sound = fs::read(&copy).unwrap();
    fs::write(file(&scene, "relay.db"), &sound).unwrap();
    let mut relay = scene.installation.spawn(None);
    let (path, wal) = (file(&scene, "relay.db"), file(&scene, "relay.db-wal"));
    is_closed(&mut scene, &mut relay, "belongs to another file", move || {
        assert!(fs::read(path).unwrap() == sound, "the backup was written to");
        fs::remove_file(wal).unwrap();
    });
}

#[test]
fn a_backup_that_is_moved_over_the_running_store_closes_it_until_the_right_one_is_back() {
    let mut scene = left_behind();
    let mut relay = scene.installation.start(None);
    let (path, copy, ours) = (file(&scene, "relay.db"), file(&scene, "backup.db"), file(&scene, "ours.db"));
    assert_eq!(one_each(&mut scene, &mut relay), [200; 3]);
    let (exit, said, error) = scene.installation.command(&["store", "backup", copy.to_str().unwrap()]);
    assert_eq!(exit, 0, "{said}{error}");
    let sound = fs::read(&copy).unwrap();
    assert_eq!(one_each(&mut scene, &mut relay), [200; 3]);
    fs::rename(&path, &ours).unwrap();
    fs::rename(&copy, &path).unwrap();
    is_closed(&mut scene, &mut relay, "another file has its place", move || {
        assert!(fs::read(&path).unwrap() == sound, "the backup was written to");
        fs::rename(&path, &copy).unwrap();
        fs::rename(&ours, &path).unwrap();
    });
}

#[test]
fn a_backup_ends_while_requests_come_and_holds_what_was_acknowledged_before() {
    let mut scene = scene();
    scene.bulk(20_000);
    scene.inside.behave(Manner::DOWN);
    let mut relay = scene.installation.start(None);
    let copy = scene.installation.path("backup.db");
    let (place, address) = (copy.clone(), relay.address().unwrap());
    let config = scene.installation.config();
    scene.under_load(&address, |account| {
        assert!(account.until(100, LONG));
        let mut command = crate::relay::binary();
        let made = command.args(["store", "backup"]).arg(&place).arg("--config").arg(&config).status().unwrap();
        assert!(made.success());
    });
    relay.kill();
    let waiting: i64 = {
        let copy = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        copy.query_row("SELECT count(*) FROM spool", [], |row| row.get(0)).unwrap()
    };
    assert!(waiting >= 100, "{waiting}");
    scene.inside.hung_up();
    scene.drain();
    scene.verdict();
}

#[test]
fn another_programs_database_and_a_second_process_are_refused_at_the_start() {
    let mut scene = scene();
    let path = file(&scene, "relay.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    let mut relay = scene.installation.spawn(None);
    assert_eq!(relay.ended().code(), Some(3));
    relay.tells(&["it is another program's database"]);
    assert!(fs::read(&path).unwrap() == before && fs::read_dir(scene.installation.store()).unwrap().count() == 1);

    fs::remove_file(&path).unwrap();
    let mut first = scene.installation.start(None);
    let address = first.address().unwrap();
    assert_eq!(scene.one_each(&mut first, &address), [200; 3]);
    let mut second = scene.installation.spawn(None);
    assert_eq!(second.ended().code(), Some(3));
    second.tells(&["another process has it open"]);
    assert_eq!(scene.one_each(&mut first, &address), [200; 3]);
}

/// Pages of the running store, of the parts that everything goes through.
#[test]
fn a_damaged_page_is_set_aside_once_and_everything_else_goes_on() {
    let mut scene = left_behind();
    for seed in [3_u64, 4, 5] {
        let length = file(&scene, "relay.db").metadata().unwrap().len() / PAGE;
        // Behind the first two pages, which name the file.
        let page = 2 + seed % length.saturating_sub(2).max(1);
        let mut relay = scene.installation.start(None);
        let address = relay.address().unwrap();
        scene.all_answered(true, &mut relay, &address);
        relay.stop();
        let damaged = fs::File::options().write(true).open(file(&scene, "relay.db")).unwrap();
        damaged.write_all_at(&[0x5a; PAGE as usize], page * PAGE).unwrap();
        drop(damaged);
        let mut relay = scene.installation.start(None);
        let address = relay.address().unwrap();
        scene.all_answered(true, &mut relay, &address);
        scene.all_answered(true, &mut relay, &address);
        let told = relay.log().matches("store_set_aside").count();
        assert!(told <= 1, "it flaps:\n{}", relay.log());
        if told == 1 {
            status_says(&scene, "set aside");
            assert!(scene.installation.metric("dmz_relay_store_set_aside") >= 1.0);
        }
        relay.did_not_panic();
        relay.stop();
    }
}

/// Pages in the middle of what waits: what lay on them is a dead letter, and everything else is delivered.
#[test]
fn what_waits_beside_a_damaged_page_is_delivered() {
    let set_aside: usize = [3, 4, 5, 6].map(delivered_beside_a_damaged_page).iter().sum();
    assert!(set_aside > 0, "no page was one that is read");
}

/// How often the file was set aside: the page is so many eighths behind its beginning.
fn delivered_beside_a_damaged_page(eighths: u64) -> usize {
    let mut scene = scene();
    scene.inside.behave(Manner::DOWN);
    let mut relay = scene.installation.start(None);
    let address = relay.address().unwrap();
    scene.under_load(&address, |account| assert!(account.until(300, LONG)));
    relay.stop();
    scene.inside.hung_up();
    scene.inside.behave(Manner::WELL);
    let path = file(&scene, "relay.db");
    let page = path.metadata().unwrap().len() / PAGE * eighths / 8;
    fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0x5a; PAGE as usize], page * PAGE).unwrap();

    let mut relay = scene.installation.start(None);
    let address = relay.address().unwrap();
    let began = Instant::now();
    let dead = loop {
        let (_, said, _) = scene.installation.command(&["status", "--format", "json"]);
        let status: Value = serde_json::from_str(&said).unwrap_or_default();
        let spool = &status["store"]["spool"];
        if spool["waiting"] == 0 && status["store"]["open"] == true {
            break spool["dead"].as_u64().unwrap();
        }
        assert!(began.elapsed() < LONG, "{said}\n{}", relay.log());
    };
    let missing = missing(&scene.account.told(), &scene.inside.arrivals());
    assert_eq!(missing.len() as u64, dead, "lost without a word: {missing:?}\n{}", relay.log());
    assert!(missing.len() <= 60, "a page holds some dozens at most: {missing:?}");
    let set_aside = relay.log().matches("store_set_aside").count();
    assert!(set_aside <= 1, "it flaps:\n{}", relay.log());
    scene.all_answered(true, &mut relay, &address);
    relay.did_not_panic();
    relay.stop();
    println!("{eighths}/8: {} dead letters, set aside {set_aside} times", dead);
    set_aside
}
