//! One installation with its senders and its inside, over many rounds.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::faults::Layer;
use crate::inside::{Inside, Manner};
use crate::power::{Disk, Unsynced};
use crate::relay::{Installation, LONG, Relay};
use crate::senders::{Account, ROUTES, Sender, System};
use crate::verdict::{Verdict, judge, lost};

#[derive(Debug)]
pub struct Scene {
    pub installation: Installation,
    pub inside: Inside,
    pub account: Arc<Account>,
    pub senders: Vec<Sender>,
    routes: String,
    more: String,
}

/// `[store]` with its file in `folder`.
pub fn store(folder: &Path, more: &str) -> String {
    format!("[store]\nsqlite = {{ path = \"{}\" }}\n{more}", folder.join("relay.db").display())
}

fn senders(account: &Arc<Account>, count: usize) -> Vec<Sender> {
    let systems = [System::Oktave, System::Dastra, System::Octolis];
    systems.iter().cycle().take(count).enumerate().map(|(at, system)| Sender::new(*system, at, account)).collect()
}

impl Scene {
    /// Two senders of each system.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, ROUTES, "")
    }

    /// With more in `[store]`.
    pub fn with(seed: u64, routes: &str, more: &str) -> Self {
        let inside = Inside::start(seed);
        let installation = Installation::new();
        installation.configure(&inside.address, routes, &store(&installation.store(), more));
        let account = Arc::new(Account::default());
        let senders = senders(&account, 6);
        Self { installation, inside, account, senders, routes: routes.to_owned(), more: more.to_owned() }
    }

    /// One sender of each system.
    pub fn small(mut self) -> Self {
        self.senders.truncate(3);
        self
    }

    /// Another scene that begins with what one left behind: its configuration, its store, and everybody's knowledge.
    pub fn heir(before: &Self, seed: u64) -> Self {
        let mut scene = Self::with(seed, &before.routes, &before.more);
        for entry in fs::read_dir(before.installation.store()).unwrap() {
            let entry = entry.unwrap();
            // The versions of the configuration are no part of the store.
            if entry.file_type().unwrap().is_dir() {
                continue;
            }
            fs::copy(entry.path(), scene.installation.store().join(entry.file_name())).unwrap();
        }
        scene.inside.remember(before.inside.arrivals());
        scene.account = Arc::new(Account::continuing(before.account.told()));
        scene.senders = senders(&scene.account, before.senders.len());
        scene
    }

    /// Bodies have so many bytes more.
    pub fn bulk(&mut self, bytes: usize) {
        for sender in &mut self.senders {
            sender.bulk = bytes;
        }
    }

    /// All senders send at once, each until its relay is gone; `during` runs beside them and may end it.
    pub fn under_load(&mut self, address: &str, during: impl FnOnce(&Account)) {
        let over = AtomicBool::new(false);
        let over = &over;
        std::thread::scope(|scope| {
            for sender in &mut self.senders {
                scope.spawn(move || sender.keep_sending(address, || over.load(Ordering::SeqCst)));
            }
            during(&self.account);
            over.store(true, Ordering::SeqCst);
        });
    }

    /// Every sender once, in turn. Gives the statuses, 200 or a fault of ours; no answer at all is a failure.
    #[track_caller]
    pub fn one_each(&mut self, relay: &mut Relay, address: &str) -> Vec<u16> {
        let mut statuses = Vec::new();
        for sender in &mut self.senders {
            // The relay may have closed a connection that it had answered a fault on.
            let status = sender.send(address).or_else(|| sender.send(address));
            let status = status.unwrap_or_else(|| panic!("no answer:\n{}", relay.log()));
            // With failover the fault that is told may be the inside's: 502.
            assert!([200, 502, 503].contains(&status), "{status}:\n{}", relay.log());
            statuses.push(status);
        }
        assert!(relay.lives(), "it ended under way:\n{}", relay.log());
        statuses
    }

    /// Sends until all senders are answered 200, or none of them, without a restart.
    #[track_caller]
    pub fn all_answered(&mut self, success: bool, relay: &mut Relay, address: &str) {
        let began = Instant::now();
        while self.one_each(relay, address).iter().any(|status| (*status == 200) != success) {
            assert!(began.elapsed() < LONG, "not every answer is success = {success}:\n{}", relay.log());
            // The store looks again after a pause of its own; there is nothing to wait for but time.
            relay.ends_within(Duration::from_millis(20));
        }
    }

    /// A relay without faults, before an upstream that takes everything, delivers what was acknowledged; and ends cleanly.
    #[track_caller]
    pub fn drain(&self) {
        self.inside.behave(Manner::WELL);
        let mut relay = self.installation.start(None);
        let lost = lost(&self.account, &self.inside, LONG);
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}\n{}", relay.log());
        relay.did_not_panic();
        relay.stop();
        self.inside.hung_up();
    }

    /// What must hold now.
    #[track_caller]
    pub fn verdict(&self) -> Verdict {
        let verdict = judge(&self.account, &self.inside);
        assert!(verdict.lost.is_empty(), "acknowledged and lost: {:?}", verdict.lost);
        verdict
    }

    /// A layer that writes everything down, and the disk as it is before.
    pub fn journalled(&self) -> (Layer, Disk) {
        (self.installation.layer().with_journal(&self.installation.journal()), Disk::of(&self.installation.store()))
    }

    /// The power fails under a relay.
    pub fn lose_power(&self, relay: &mut Relay, mut disk: Disk, unsynced: Unsynced, random: &mut fastrand::Rng) {
        relay.kill();
        self.inside.hung_up();
        disk.follow(&self.installation.journal());
        disk.lose_power(&self.installation.store(), unsynced, random);
    }
}

/// Rounds of a test: `CRASH_ROUNDS` of 200 as asked for, in proportion.
pub fn rounds(usual: u32) -> u32 {
    let asked = std::env::var("CRASH_ROUNDS").ok().map(|text| text.parse::<u32>().expect("CRASH_ROUNDS is a number"));
    asked.map_or(usual, |asked| (usual * asked).div_ceil(200))
}

/// `CRASH_SEED`, or another one each time.
pub fn seed() -> u64 {
    let asked = std::env::var("CRASH_SEED").ok().map(|text| text.parse().expect("CRASH_SEED is a number"));
    let seed = asked.unwrap_or_else(|| fastrand::u64(..));
    // Shown only when the test fails.
    println!("CRASH_SEED={seed}");
    seed
}
