//! "Answered success" means it survives. The real binary is killed, its disk fails, fills up and loses its power, and
//! whatever a sender was answered 200 for must reach the internal application all the same.
//!
//! What a test knows, it knows from the senders' side, the inside, and the folder of the store. Rounds are drawn from a
//! seed, which a failure prints; `CRASH_SEED` repeats it, as far as threads let it be repeated. `CRASH_ROUNDS` asks for
//! more rounds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail loudly, and a test binary has no outside"
)]

/// The disk that fails on command.
mod faults;
/// The internal application.
#[allow(dead_code, reason = "tests/story needs more of it")]
mod inside;
/// What a disk holds after a power loss.
mod power;
/// The binary under test.
#[allow(dead_code, reason = "tests/story needs more of it")]
mod relay;
/// An installation, its senders and its inside, over many rounds.
mod scene;
/// The three systems.
#[allow(dead_code, reason = "tests/story needs more of it")]
mod senders;
/// What must hold between what senders were told and what the inside got.
#[allow(dead_code, reason = "tests/story needs more of it")]
mod verdict;

/// SQLite alone under the layer.
mod baseline;
/// The disk fills up, and has room again.
mod full;
/// SIGKILL again and again in the middle of deliveries.
mod interrupted;
/// The layer itself, so that a green run means something.
mod layer;
/// What operators, clocks and tired disks do to a store.
mod mishaps;
/// Every n-th operation on the disk fails once, or from then on.
mod nth;
/// SIGKILL and power loss under load.
mod sigkill;
