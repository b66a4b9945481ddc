//! Official provider SDKs and the real relay agree; `tests/interop/` does the work, in Python.
//!
//! The SDKs live in an environment that `.ci/interop-setup` makes in the target folder. `DMZ_RELAY_INTEROP_PYTHON` names
//! another interpreter that has them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter that has the SDKs, where there is one.
fn python() -> Option<PathBuf> {
    let set_up = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop").join("venv/bin/python");
    std::env::var_os("DMZ_RELAY_INTEROP_PYTHON").map(PathBuf::from).or_else(|| set_up.exists().then_some(set_up))
}

#[test]
fn official_sdks_and_the_relay_agree() {
    let Some(python) = python() else {
        let missing = "needs the Python SDKs (run .ci/interop-setup)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        println!("skipped, {missing}");
        return;
    };
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let run = Command::new(&python)
        // No __pycache__ in the source tree; output in order.
        .args(["-B", "-u"])
        .arg(suite)
        .arg("--relay")
        .arg(env!("CARGO_BIN_EXE_dmz-relay"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let report = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{report}{}", String::from_utf8_lossy(&run.stdout));
    println!("{}", report.lines().rev().take(3).collect::<Vec<_>>().join("\n"));
}
