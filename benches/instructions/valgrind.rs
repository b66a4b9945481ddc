//! One run of callgrind per case: what one leaves behind in memory must not show in the next.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::cases::Case;

pub(crate) fn is_here() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Instructions of each case, for doing it once. As many at a time as there are cores.
pub(crate) fn count(cases: &[Case]) -> BTreeMap<String, u64> {
    let waiting: Mutex<Vec<(&str, u32)>> = Mutex::new(cases.iter().map(|case| (case.name, case.times)).collect());
    let counts = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no panic").pop();
                    let Some((name, times)) = next else { break };
                    let count = callgrind(name) / u64::from(times);
                    counts.lock().expect("no panic").insert(name.to_owned(), count);
                }
            });
        }
    });
    counts.into_inner().expect("no panic")
}

fn callgrind(case: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a temp folder");
    let out = folder.path().join("out");
    let program = std::env::current_exe().expect("the path of this program");
    // The environment lies on the stack, so its size would move what is measured.
    let run = Command::new("valgrind")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*cases*counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--case", case])
        .output()
        .expect("valgrind runs");
    let text = std::fs::read_to_string(&out).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).and_then(|total| total.trim().parse().ok());
    match total {
        Some(total) if run.status.success() && total > 0 => total,
        _ => panic!("{case}: {}, {total:?} instructions\n{}", run.status, String::from_utf8_lossy(&run.stderr)),
    }
}
