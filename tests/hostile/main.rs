//! The table of hostile cases: every one by its number, against the whole relay over real sockets, with a recording internal
//! server behind it. `docs/threat-model.md` says for each attack which step answers it and which test shows that.
//!
//! A row is the bytes and what must come of them. The default is: the status is sent once, the connection is closed, no byte
//! reaches an internal server, and one log line has the reason.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    unreachable_pub,
    reason = "tests fail loudly, and a test binary has no outside"
)]

/// The harness of `tests/relay`, of which this binary uses a part.
#[path = "../relay"]
#[expect(dead_code, unused_imports, reason = "the other part serves tests/relay")]
mod relay {
    pub mod harness;
}
use relay::harness;

mod canary; // G8: secrets in whatever can be asked for afterwards
mod chains; // G4: senders' certificates
mod clocks; // G5: a clock that is set
mod corpora; // what the fuzzers start from, as ordinary tests
mod documents; // docs/threat-model.md names tests that exist
mod evicted; // G6: whose connection gives way
mod exhaustion; // G6: memory, time and descriptors
mod fields; // G2: authority, path, fields
mod framing; // G1: where a message ends
mod generated; // resolvers and parsers against naive references
mod genuine; // who must be served whatever strangers do
mod handshakes; // G4: TLS
mod ids; // G2 and G5: ids and signatures, odd and twice
mod invented_ids; // G9: a captured request under other ids
mod loops; // G8: relays that lead to relays, names that lead home
mod memory; // the formula, and a relay driven toward it
mod misplaced; // G8: credentials where they do not belong
mod passing; // G2: what of a head goes to the upstream, behind every recipe
mod peers; // the same bytes at nginx and HAProxy, when asked
mod proofs; // G5: signatures
#[path = "../fixtures/recipes.rs"]
mod recipes; // each of them as a route
#[path = "../fixtures/secrets.rs"]
mod secrets; // what recipes take
mod servers; // G2: application servers of the field
mod shares; // G9: memory and cores that strangers share
mod strangers; // G9: what strangers can spend
mod streams; // G3: HTTP/2
mod table; // what a row is
mod told; // G9: what is told of strangers
