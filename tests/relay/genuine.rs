//! A differential test: random genuine deliveries of recipes of each family through the whole relay, beside a reference that compares each
//! send with all before it. What the reference calls new arrives; what it calls a duplicate does not.

mod every;
mod senders;

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use self::senders::{ALL, Known, Provider, Send};
use crate::harness::{NOW, Rig, Setup};

/// For each provider.
const SENDS: usize = 48;

/// splitmix64: all that is needed here.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(from.len()).unwrap();
        (sides > 0).then(|| &from[usize::try_from(self.roll(sides)).unwrap()])
    }
}

/// `RELAY_SEED=1234` repeats a run.
fn seed() -> u64 {
    let given = std::env::var("RELAY_SEED").ok();
    given.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().expect("RELAY_SEED is a number"))
}

fn setup() -> Setup {
    let mut routes = String::new();
    let mut setup = Setup::routes("");
    for provider in ALL {
        let Provider { name, recipe, .. } = provider;
        let _ = writeln!(
            routes,
            "[routes.{name}]\npath = \"{}\"\nprovider = \"{recipe}\"\nupstream = \"app\"\n\
             secrets = [{{ file = \"secrets/{name}.0\" }}, {{ file = \"secrets/{name}.1\" }}]",
            provider.path()
        );
        if ["square", "twilio"].contains(recipe) {
            let _ = writeln!(routes, "public_url = \"https://relay.example\"");
        }
        for key in [0, 1] {
            setup = setup.file(&format!("secrets/{name}.{key}"), provider.secret(key));
        }
    }
    Setup { rest: routes, ..setup }
}

/// The next send of a provider: something new, an attempt more, or one that shares a part with an earlier one.
fn next(provider: &Provider, dice: &mut Dice, serial: &mut u64, before: &[Send], now: i64) -> Send {
    let mut fresh = |dice: &mut Dice| {
        *serial += 1;
        // The same few contents again and again, where that is what its events are like.
        let content = if provider.known == Known::Body { *serial } else { 1 + dice.roll(2) };
        (format!("0191e2a4-7b1c-7c3e-9f00-{serial:012x}"), content)
    };
    let (id, content) = fresh(dice);
    let new = Send { key: usize::try_from(dice.roll(2)).unwrap(), id, content, at: now, now, attempt: 0 };
    let Some(earlier) = dice.pick(before).cloned() else { return new };
    match dice.roll(5) {
        0 => new,
        // A retry, or a redelivery by hand.
        1 => Send { now, attempt: earlier.attempt + 1, ..earlier },
        // The same event to another hook.
        2 => Send { key: 1 - earlier.key, now, ..earlier },
        // The same body under another id.
        3 => Send { id: new.id, now, attempt: 0, ..earlier },
        // Another body under the same id.
        _ => Send { content: new.content, now, ..earlier },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_genuine_is_lost_and_no_duplicate_passes() {
    let seed = seed();
    eprintln!("RELAY_SEED={seed}");
    let (mut dice, mut serial, mut seconds) = (Dice(seed), 0, 0);
    let rig = Rig::start(setup()).await;
    let mut wire = rig.connect().await;
    for provider in ALL {
        let mut sent: Vec<Send> = Vec::new();
        let (mut new, mut inside) = (0, rig.app.count());
        for _ in 0..SENDS {
            if dice.roll(3) == 0 {
                rig.clock.advance(Duration::from_secs(1));
                seconds += 1;
            }
            let send = next(provider, &mut dice, &mut serial, &sent, NOW + seconds);
            let duplicate = sent.iter().any(|earlier| provider.same(earlier, &send));
            let call = provider.call(&send);
            wire.send(&call.h1()).await;
            let answer = wire.answer().await;
            let what = format!("RELAY_SEED={seed} {}: {send:?} after {sent:#?}", provider.name);
            assert_eq!(answer.status, 200, "{what}\n{}", rig.log.text().lines().last().unwrap_or_default());
            let arrived = rig.app.count() - inside;
            assert_eq!(arrived, usize::from(!duplicate), "{what}");
            (new, inside) = (new + arrived, inside + arrived);
            sent.push(send);
        }
        // Both kinds are among them, whatever the dice said.
        assert!(new > 4 && (new < SENDS || provider.known == Known::Nothing), "RELAY_SEED={seed} {}", provider.name);
    }
    drop(wire);
    rig.finish().await;
}
