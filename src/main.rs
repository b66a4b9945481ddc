//! The binary: arguments in, exit code out.

use std::process::ExitCode;

/// Chosen by measurement: a sixth less CPU per request than the system's (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First, while there is one thread: taking what systemd passed changes the environment.
    let sockets = dmz_relay::control::service::inherited_sockets();
    dmz_relay::cli::main(sockets)
}
