//! Every shipped recipe: what is new arrives, and what was there before does not arrive twice.

use std::fmt::Write as _;
use std::time::Duration;

use dmz_relay::base::UnixMillis;

use super::{Dice, seed};
use crate::harness::{Call, NOW, Rig, Setup};
use crate::recipes::{Sender, Sent};

/// For each recipe.
const SENDS: usize = 16;

/// One send, and what it was made of.
#[derive(Clone, Debug)]
struct Made {
    key: usize,
    id: usize,
    content: usize,
    sent: Sent,
}

/// What a send is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another id and another content: it arrives.
    New,
    /// The same bytes, sent again: it is known.
    Again,
    /// The same event to the provider's other hook: it arrives there.
    OtherHook,
    /// The same delivery, signed anew a second later: what is signed decides.
    Anew,
    /// Another content under the same id, or the same content under another id: what is signed decides.
    Shares,
}

const KINDS: [Kind; 5] = [Kind::New, Kind::Again, Kind::OtherHook, Kind::Anew, Kind::Shares];

fn call(sent: &Sent) -> Call {
    let call = Call::post(&sent.target).method(sent.method.as_str()).body(&sent.body);
    sent.fields.iter().fold(call, |call, (name, value)| call.field(name, value))
}

fn setup(senders: &[Sender]) -> Setup {
    let mut routes = String::new();
    for sender in senders {
        let _ = writeln!(routes, "{}", sender.route(""));
    }
    let files = senders.iter().flat_map(Sender::files);
    files.fold(Setup::routes(&routes), |setup, (name, content)| setup.file(&name, content))
}

/// The parts that a send of this kind is made of, beside one that was there; `serial` was never there.
fn parts(kind: Kind, earlier: Option<&Made>, serial: usize, dice: &mut Dice) -> (usize, usize, usize) {
    let Some(&Made { key, id, content, .. }) = earlier else {
        return (usize::try_from(dice.roll(2)).unwrap(), serial, serial);
    };
    match kind {
        Kind::New => (usize::try_from(dice.roll(2)).unwrap(), serial, serial),
        Kind::Again | Kind::Anew => (key, id, content),
        Kind::OtherHook => (1 - key, id, content),
        Kind::Shares if dice.roll(2) == 0 => (key, serial, content),
        Kind::Shares => (key, id, serial),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_recipe_loses_what_is_new_or_takes_the_same_bytes_twice() {
    let seed = seed();
    eprintln!("RELAY_SEED={seed}");
    let mut dice = Dice(seed);
    let senders = Sender::all();
    let rig = Rig::start(setup(&senders)).await;
    let mut wire = rig.connect().await;
    let (mut seconds, mut serial, mut deaf) = (0, 0, 0);
    for sender in &senders {
        let mut before: Vec<Made> = Vec::new();
        for turn in 0..SENDS {
            // Each kind comes up, whatever the dice say.
            let kind = if turn == 0 { Kind::New } else { KINDS[turn % KINDS.len()] };
            serial += 1;
            let earlier = dice.pick(&before).cloned();
            let (key, id, content) = parts(kind, earlier.as_ref(), serial, &mut dice);
            // Two events may happen in one moment.
            if kind == Kind::Anew || dice.roll(4) == 0 {
                rig.clock.advance(Duration::from_secs(1));
                seconds += 1;
            }
            let uuid = format!("0191e2a4-7b1c-7c3e-9f00-{id:012x}");
            let sent = match (kind, earlier) {
                (Kind::Again, Some(earlier)) => earlier.sent,
                _ => sender.send(key, &sender.path(), &uuid, content, UnixMillis::from_secs(NOW + seconds)),
            };
            let made = Made { key, id, content, sent };
            let shares = |other: &Made| other.key == key && (other.id == id || other.content == content);
            let known = before.iter().any(shares);
            let inside = rig.app.count();
            wire.send(&call(&made.sent).h1()).await;
            let answer = wire.answer().await;
            let what = format!("RELAY_SEED={seed} {} {kind:?}: {made:?} after {before:#?}", sender.name());
            assert!(
                (200..300).contains(&answer.status),
                "{what}\n{}",
                rig.log.text().lines().last().unwrap_or_default()
            );
            let arrived = rig.app.count() - inside;
            match kind {
                Kind::New => assert_eq!(arrived, 1, "lost: {what}"),
                Kind::OtherHook if !known => assert_eq!(arrived, 1, "lost: {what}"),
                // A recipe without anything to know a request by says so, and each one counts.
                Kind::Again => {
                    let deafness = usize::from(!sender.recipe.scheme.has_dedupe());
                    assert_eq!(arrived, deafness, "twice: {what}");
                    deaf += deafness;
                }
                Kind::OtherHook | Kind::Anew | Kind::Shares => assert!(arrived < 2, "{what}"),
            }
            before.push(made);
        }
    }
    assert!(senders.len() > 300 && deaf < senders.len() / 2 * 3, "{deaf} of {}", senders.len());
    drop(wire);
    rig.finish().await;
}
