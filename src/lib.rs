//! `dmz-relay`: the gate for webhooks on a DMZ host.
//!
//! A provider's webhook arrives over TLS, is proven genuine, and only then reaches an internal application server, byte for
//! byte. Everything else is refused before one byte is forwarded.
//!
//! The rooms, from the ground up; imports go down only (`tests/tidy/floors.rs` checks it and prints the map into
//! `docs/architecture.md`):
//!
//! - [`base`]: clock, secret, short texts.
//! - [`domain`]: the words: head, refusal, fault, outcome, answer.
//! - [`scheme`]: signatures and tokens. [`guards`]: address lists, rates, dedupe memory, error budget, traffic baseline.
//!   [`upstream`]: internal servers. [`observe`]: events, log lines, metrics. [`store`]: what must survive. One mechanism
//!   each, blind to one another.
//! - [`runtime`]: what was configured, what outlives a reload, who may deliver now. [`config`] compiles `relay.toml` into it.
//! - [`gate`]: the request's way, top to bottom, in one file; and the explanation of each step's verdict.
//! - [`delivery`]: what was accepted, delivered asynchronously.
//! - [`edge`]: sockets, TLS, HTTP/1.1 and HTTP/2.
//! - [`control`]: the process: start and stop, reload, the private listener, the service manager.
//! - [`cli`]: the commands, the demo, and what a provider does, for both.
//!
//! To find your way: a request begins in [`edge`], is judged in [`gate::pipeline`], and leaves through [`upstream`]. Which
//! outcomes there are says [`domain::Outcome`]; what a key of `relay.toml` accepts says [`config`]; what is masked says
//! [`domain::Sensitive`].

pub mod base;
pub mod cli;
pub mod config;
pub mod control;
pub mod delivery;
pub mod domain;
pub mod edge;
pub mod gate;
pub mod guards;
pub mod observe;
pub mod runtime;
pub mod scheme;
pub mod store;
pub mod upstream;
