//! What must hold for any bytes at all: one function for each fuzz target. The targets in `fuzz_targets` call them with what
//! the fuzzer makes up, `tests/hostile/corpora.rs` with the corpora, at every `cargo test`.
#![allow(dead_code, reason = "each fuzz target calls one of these")]

pub mod addresses;
pub mod chunks;
pub mod config;
pub mod forwarded;
pub mod frames;
pub mod head;
pub mod paths;
pub mod proxy_header;
pub mod signature;
