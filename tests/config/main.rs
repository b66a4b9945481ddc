//! The configuration, from file to snapshot: every rule with its report, the shipped file, and that no secret is shown.
//!
//! `UPDATE_GOLDEN=1` writes the golden reports anew; read the difference before it is committed.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    unreachable_pub,
    reason = "a test stops where something is not as it should be"
)]

#[path = "../../benches/subjects/any_certificate.rs"]
mod any_certificate; // for clients that take every one
mod canary; // no secret in any report or Debug
mod compiled; // what a good file becomes
mod golden; // every bad file and its report
mod handshake; // the TLS settings in real handshakes
mod keys; // docs, relay.toml and code have the same keys
mod material; // a folder with certificates, secrets and lists
mod torn; // half-written files
