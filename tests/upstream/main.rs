//! The upstream side against real servers on kernel-chosen ports, honest and otherwise.
#![expect(clippy::unwrap_used, reason = "tests and their servers fail loudly")]

mod forwarding; // bodies, answers, reuse
mod health; // active checks
mod http2; // streams that break, connections that die
mod lying; // servers that break HTTP
mod peers; // the servers
mod pki; // certificates, made at run time
mod retry; // what moves on and what does not
mod rig; // specs, requests, deadlines
mod selection; // distribution, ejection, reload
mod tls; // who is trusted
