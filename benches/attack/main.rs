//! The relay, nginx or HAProxy under attack, beside a fixed stream of genuine webhooks: see "Under attack" in
//! docs/performance.md, and `run` beside this file, which starts it.
//!
//! ```text
//! attack run relay,nginx,haproxy SECONDS ROUNDS [PHASE…]   everything against each of them; the parent of the others
//! attack as PHASE PORT SECONDS CONNECTIONS ADDRESSES SIGNATURE   one attacker, in a process of its own
//! ```
//!
//! Without arguments, as `cargo test --bench attack` starts it: the same in small, to see that it works.
//!
//! One core has what is attacked, the other the genuine senders, the internal server and, at the lowest priority, the attacker.
//! So what the attacker computes delays nobody but himself. The stream is open: a request is due when it is due, whatever became of
//! the one before, and its time counts from then; so a stall shows in every request that fell into it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a bench that cannot be set up should say so and stop, and it has no outside"
)]

#[path = "../subjects/any_certificate.rs"]
mod any_certificate;
mod attacker; // one attack, in its own process
mod floods; // attacks that are fast
mod genuine; // the stream that must not suffer
mod health; // who watches the relay
mod inside; // the internal server
mod phases; // what each attack is
mod scene; // phases, one after the other, and what came of them
mod slow; // attacks that hold
mod streams; // an attack that holds by HTTP/2
mod table; // the figures
mod target; // what is attacked, started and weighed
mod wire; // connections and messages

use std::time::Duration;

fn main() {
    // Cargo adds `--bench` or nothing; what follows `--` is ours.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", names, seconds, rounds, ref phases @ ..] => {
            let seconds = Duration::from_secs(seconds.parse().unwrap());
            let names: Vec<&str> = names.split(',').collect();
            scene::run(&names, &scene::Size::whole(seconds, rounds.parse().unwrap()), phases);
        }
        ["as", phase, port, seconds, connections, addresses, signature] => attacker::run(
            phase,
            port.parse().unwrap(),
            Duration::from_secs_f64(seconds.parse().unwrap()),
            connections.parse().unwrap(),
            addresses.parse().unwrap(),
            signature,
        ),
        _ => scene::run(&["relay"], &scene::Size::small(), &[]),
    }
}
