//! The n-th operation on the disk fails, for every n, wherever the relay can be at that moment: no false success, no
//! panic, no hang; a single fault is got over without a restart, and the next start finds everything that was
//! acknowledged, even if the power fails in between.

use std::io::Write;

use crate::faults::{Action, EIO, ENOSPC, Fault, Kind, Layer};
use crate::inside::Manner;
use crate::power::Unsynced;
use crate::relay::Relay;
use crate::scene::Scene;
use crate::senders::ROUTES;

/// Everything but the mapping of SQLite's index, which is memory and not disk.
const DISK: &[Kind] =
    &[Kind::Open, Kind::Write, Kind::Sync, Kind::Truncate, Kind::Rename, Kind::Unlink, Kind::Allocate];

/// More operations than any of these runs has.
const ENDLESS: u64 = 5_000;

/// What fails, and how often.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    action: Action,
    /// From then on, until the disk is repaired.
    lasts: bool,
}

const TROUBLES: [Trouble; 4] = [
    Trouble { action: Action::Fail(EIO), lasts: false },
    Trouble { action: Action::Short(ENOSPC), lasts: false },
    Trouble { action: Action::Fail(ENOSPC), lasts: true },
    Trouble { action: Action::Fail(EIO), lasts: true },
];

impl Trouble {
    fn at(self, n: u64) -> Fault {
        if self.lasts { Fault::from(DISK, n, self.action) } else { Fault::once(DISK, n, self.action) }
    }
}

/// One relay that meets one fault. True: the fault came.
fn meets(scene: &mut Scene, fault: Fault, armed_from: ArmedFrom, random: &mut fastrand::Rng) -> bool {
    let (layer, disk) = scene.journalled();
    if armed_from == ArmedFrom::TheStart {
        layer.arm(fault);
    }
    scene.inside.behave(Manner::WELL);
    let mut relay = scene.installation.spawn(Some(&layer));
    match relay.address() {
        // It started, and the fault would come under requests: that is another test's.
        Some(_) if armed_from == ArmedFrom::TheStart && layer.hits() == 0 => return false,
        Some(address) => {
            let fault = (armed_from == ArmedFrom::TheFirstRequest).then_some(fault);
            serves(scene, &mut relay, &address, &layer, fault);
        }
        None => {
            let status = relay.ended();
            let log = relay.log();
            assert!(status.code().is_some_and(|code| code > 0), "{status:?}:\n{log}");
            assert!(log.contains("dmz-relay: store "), "it does not say what is wrong:\n{log}");
            assert!(layer.hits() > 0, "{log}");
        }
    }
    relay.did_not_panic();
    let came = layer.hits() > 0;
    let unsynced = if random.bool() { Unsynced::Lost } else { Unsynced::Any };
    scene.lose_power(&mut relay, disk, unsynced, random);
    scene.drain();
    scene.verdict();
    came
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArmedFrom {
    TheStart,
    TheFirstRequest,
}

/// The fixed workload: with an upstream that takes everything and with one that takes nothing.
fn serves(scene: &mut Scene, relay: &mut Relay, address: &str, layer: &Layer, fault: Option<Fault>) {
    if let Some(fault) = fault {
        layer.arm(fault);
    }
    for manner in [Manner::WELL, Manner::DOWN] {
        scene.inside.behave(manner);
        scene.one_each(relay, address);
    }
    // A fault that lasts is over when the disk is repaired.
    layer.disarm();
    scene.all_answered(true, relay, address);
}

/// Every n until a run has fewer operations than that. Of troubles beyond the first, one n of five times `apart` in an
/// ordinary run, and others each time; `CRASH_EVERY=1` has them all.
fn every_n(what: &str, apart: u64, mut meets: impl FnMut(Trouble, u64, &mut fastrand::Rng) -> bool) {
    let seed = crate::scene::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let all = std::env::var_os("CRASH_EVERY").is_some();
    for (place, trouble) in TROUBLES.into_iter().enumerate() {
        let step = if all {
            1
        } else if place == 0 {
            apart
        } else {
            5 * apart
        };
        let mut n = random.u64(1..=step);
        println!("{what}: {trouble:?}, from {n} in steps of {step}");
        while n < ENDLESS && meets(trouble, n, &mut random) {
            n += step;
            println!("at {n}");
        }
        assert!(n < ENDLESS, "it does not end");
        let _ = writeln!(std::io::stderr(), "{what}: {trouble:?}: every {step}. of {n} operations");
    }
}

#[test]
fn while_the_store_is_made() {
    every_n("first start", 1, |trouble, n, random| {
        let mut scene = Scene::new(n).small();
        meets(&mut scene, trouble.at(n), ArmedFrom::TheStart, random)
    });
}

#[test]
fn under_requests() {
    every_n("requests", 1, |trouble, n, random| {
        let mut scene = Scene::new(n).small();
        meets(&mut scene, trouble.at(n), ArmedFrom::TheFirstRequest, random)
    });
}

/// What a relay leaves behind that was killed with requests waiting, some of them delivered.
#[test]
fn while_a_crash_is_recovered_from() {
    let mut before = Scene::new(0).small();
    let mut relay = before.installation.start(None);
    let address = relay.address().unwrap();
    for manner in [Manner::WELL, Manner::DOWN, Manner::DOWN] {
        before.inside.behave(manner);
        assert_eq!(before.one_each(&mut relay, &address), [200; 3]);
    }
    relay.kill();
    before.inside.hung_up();
    every_n("recovery", 1, |trouble, n, random| {
        let mut scene = Scene::heir(&before, n);
        meets(&mut scene, trouble.at(n), ArmedFrom::TheStart, random)
    });
}

/// With a history as long as it may be, every request pushes an older one out.
#[test]
fn while_old_history_goes() {
    let routes = ROUTES.replace("upstream =", "keep_body = true\nupstream =");
    let mut before = Scene::with(0, &routes, "keep = { age = \"1h\", size = \"16MiB\" }\n").small();
    let mut relay = before.installation.start(None);
    let address = relay.address().unwrap();
    before.bulk(300_000);
    while before.account.acknowledged() < 75 {
        assert_eq!(before.one_each(&mut relay, &address), [200; 3]);
    }
    relay.stop();
    before.inside.hung_up();
    let size = before.installation.store().join("relay.db").metadata().unwrap().len();
    assert!(size < 20 << 20, "nothing was removed: {size}");
    // Most of its operations are pages of the same bodies.
    every_n("retention", 6, |trouble, n, random| {
        let mut scene = Scene::heir(&before, n);
        scene.bulk(300_000);
        meets(&mut scene, trouble.at(n), ArmedFrom::TheFirstRequest, random)
    });
}

/// The disk fails, the process is killed before it can put anything right, the next one finds in the page cache what never
/// reached the disk, and goes on; then the power fails. What was acknowledged in between must not stand on that ground.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_not_built_upon() {
    let mut random = fastrand::Rng::with_seed(crate::scene::seed());
    for n in 1..ENDLESS {
        let mut scene = Scene::new(n).small();
        scene.inside.behave(Manner::DOWN);
        let (layer, disk) = scene.journalled();
        let mut relay = scene.installation.start(Some(&layer));
        let address = relay.address().unwrap();
        assert_eq!(scene.one_each(&mut relay, &address), [200; 3]);
        layer.arm(Fault::from(DISK, n, Action::Fail(EIO)));
        scene.one_each(&mut relay, &address);
        relay.kill();
        let came = layer.hits() > 0;
        layer.disarm();
        let mut relay = scene.installation.start(Some(&layer));
        let address = relay.address().unwrap();
        assert_eq!(scene.one_each(&mut relay, &address), [200; 3], "{}", relay.log());
        scene.lose_power(&mut relay, disk, Unsynced::Lost, &mut random);
        scene.drain();
        scene.verdict();
        if !came {
            assert!(n > 10, "it has hardly any operations: {n}");
            return;
        }
    }
}
