//! The whole relay, started in-process from a real `relay.toml`, between real senders and real internal servers.
//!
//! Nothing here reaches into the relay: what a test knows, it knows from the wire, the log, the metrics and the internal
//! servers. The one wait is [`harness::eventually`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::large_futures,
    unreachable_pub,
    reason = "tests fail loudly, and a test binary has no outside"
)]

mod harness;

mod addresses; // who counts as the source
mod admin; // the private listener
mod answers; // what an application may say
mod bodies; // what arrives inside
mod budget; // what a provider sees fail
mod change_control; // a saved file, and the configurations before it
mod changed; // what waits while its route is changed
mod client_certificates; // that senders are asked for
mod connections; // what ends before there is a request
mod delivery; // internal servers, honest and otherwise
mod document; // docs/openapi.json
mod events; // the history, and what an operator does with it
mod explained; // why it was taken or refused
mod failover; // when the inside does not take it in time
mod feeds; // providers' own files of addresses
mod floods; // senders that mean harm over HTTP/2
mod framing; // bytes that are not a request
mod genuine; // every recipe, beside a naive reference
mod history; // a row for every request
mod identity; // which requests are one
mod inactivity; // a provider that stops calling
mod lists; // denials, and lists that are only observed
mod observed; // what a route is going to ask for
mod queue; // accepted first, delivered after
#[path = "../fixtures/recipes.rs"]
mod recipes; // each of them as a route
mod recovery; // an upstream that was away is back
mod redeliveries; // what an operator asks for
mod refusals; // every reason code, once
mod reload; // changes under way
mod retries; // when, how often, and in which order
#[path = "../fixtures/secrets.rs"]
mod secrets; // what recipes take
mod senders; // what clients may write
mod shutdown; // the end
mod three_systems; // Oktave, Dastra, Octolis
mod tls; // certificates, versions, resumption
mod undecided; // nobody can tell
mod unlisted; // genuine, from an address that no list holds
