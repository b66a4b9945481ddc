//! How many instructions the hot path takes: counted by callgrind, so noise and other jobs on the machine do not matter.
//!
//! ```text
//! cargo run --release -p instructions              compare with expected.toml; more than 3 % over fails
//! cargo run --release -p instructions -- --update  write the counts of now into expected.toml
//! cargo run --release -p instructions -- verify    only the cases whose name contains "verify"
//! ```
//!
//! The counts hold for one release of rustc and valgrind, and for every x86-64 CPU with AVX2: callgrind runs the program on a CPU of
//! its own, without SHA extensions or AVX-512. So the portable SHA-256 is what is counted, 54 instructions for each byte: a body of
//! 1.8 KiB weighs far more in these counts than in time. The allocator is the relay's, the profile that of `cargo build --release`.

#![expect(clippy::expect_used, clippy::panic, reason = "a bench fails loudly")]

#[path = "../subjects/addresses.rs"]
mod addresses;
mod cases;
#[path = "../subjects/pipeline.rs"]
mod pipeline;
#[path = "../subjects/routing.rs"]
mod routing;
#[path = "../subjects/verify.rs"]
mod verify;

mod expected;
mod valgrind;

use std::process::ExitCode;

use expected::Expected;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let wanted = arguments.iter().find(|argument| !argument.starts_with("--"));
    if has("--case") {
        let name = wanted.expect("--case NAME");
        cases::all().into_iter().find(|case| case.name == name).expect("a case of this name").run();
        return ExitCode::SUCCESS;
    }
    let cases: Vec<cases::Case> =
        cases::all().into_iter().filter(|case| wanted.is_none_or(|part| case.name.contains(part.as_str()))).collect();
    if option_env!("CARGO_INCREMENTAL") == Some("1") {
        eprintln!("built incrementally, which splits the program otherwise: CARGO_INCREMENTAL=0 is missing");
        return ExitCode::FAILURE;
    }
    if cfg!(debug_assertions) {
        eprintln!("not optimised: --release is missing");
        return ExitCode::FAILURE;
    }
    if !valgrind::is_here() {
        eprintln!("skipped, needs valgrind");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let counts = valgrind::count(&cases);
    if has("--update") {
        Expected::load().with(&counts).save();
    }
    if Expected::load().judge(&counts) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
