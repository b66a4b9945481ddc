//! The real binary from outside: arguments in, text and exit code out.
//!
//! Everything runs in folders and on ports of its own. Nothing sleeps: what a test waits for is a line of the log, an exit,
//! or an answer. Every output that passes through [`harness`] is searched for secrets.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests and their harness fail loudly"
)]

/// Configurations, certificates, an application behind the relay, and the binary itself.
mod harness;

/// Who did what over the admin socket: lines and rows.
mod actions;
/// Secrets in command lines, temporary files and files that commands write.
mod canary;
/// Challenges of providers.
mod challenges;
/// `check`: codes, problems with their places, no secret quoted.
mod check;
mod config;
/// `demo`: everything as expected, and nothing left behind.
mod demo;
/// `docs/cli.md` against the grammar; completions and manual pages.
mod documents;
/// `events`: the history, over a running relay with a store.
mod events;
/// `examples`: each starts and takes a request.
mod examples;
/// `explain`: captures in every form, and what a running relay stored.
mod explain;
/// `firewall`: rules, tables, drifts.
mod firewall;
/// A terminal of 80 columns, and what the status says is to be done.
mod fits;
/// `init`: a first configuration that `check` takes.
mod init;
/// Public keys: `check`, `run`, `send`, `verify`.
mod keys;
/// What a crash leaves behind.
mod memory;
/// What `explain` and `verify` say of common mistakes.
mod mistakes;
/// Links and files that somebody planted where a command will write.
mod planted;
/// `providers`: list and details.
mod providers;
/// A pseudo-terminal.
mod pty;
/// `run`, `send`, `status` and `reload` against one another; signals.
mod run;
/// `send`: whether the application took what was stored.
mod send;
/// A stop while senders come.
mod stop;
/// `docs/tasks`: every block is run, or read by the program that it is for.
mod tasks;
/// Signed tokens: what is refused, sets of keys, `send`, `verify`.
mod tokens;
/// A log that nobody reads.
mod unread;
/// `verify`: every published vector, and what cannot be used.
mod verify;
