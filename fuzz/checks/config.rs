//! Configuration text: taken, or refused with a place for each problem. Never a panic, and twice the same.

use std::cell::OnceCell;
use std::fs;

use dmz_relay::base::UnixMillis;
use dmz_relay::config::{Environment, load};
use dmz_relay::runtime::state::State;
use tempfile::TempDir;

/// 2026-11-22T10:00:00Z: certificates are judged by it.
const NOW: i64 = 1_795_341_600;

pub fn check(data: &[u8]) {
    thread_local! {
        // With the state: a pool for upstreams reads the system's certificates, which takes longer than all the rest.
        static PLACE: OnceCell<(TempDir, State)> = const { OnceCell::new() };
    }
    PLACE.with(|place| {
        let (folder, state) = place.get_or_init(|| (TempDir::new().expect("a folder"), State::default()));
        let path = folder.path().join("relay.toml");
        fs::write(&path, data).expect("a file");
        let told = || {
            let environment = Environment::new([], None);
            let loaded = load(&path, &environment, state, UnixMillis::from_secs(NOW));
            loaded.map(|loaded| loaded.warnings.len()).map_err(|report| {
                assert!(!report.problems.is_empty(), "refused without a reason");
                let lines = data.split(|byte| *byte == b'\n').count();
                for problem in report.problems.iter().filter(|problem| problem.file == path) {
                    assert!(problem.at.is_none_or(|(line, column)| line >= 1 && line <= lines && column >= 1));
                }
                report.to_string()
            })
        };
        assert_eq!(told(), told());
    });
}
