//! The corpora of the fuzz targets (`fuzz/corpus`), replayed through the same checks at every `cargo test`: seeds taken from
//! real requests, and whatever a fuzzer once broke something with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz"]
mod fuzz {
    pub mod checks;
}
pub use fuzz::checks;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn replay(target: &str, check: fn(&[u8])) {
    // `tests/config/torn.rs` has configurations cut and changed at every byte.
    let tries = if target == "config" { 4 } else { 64 };
    let corpus = folder("corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        // Shown only when a check fails: the last one is it.
        println!("{}", path.display());
        check(&data);
        // What a fuzzer tries first: less of it, and a byte of it changed.
        for at in (0..data.len()).step_by(data.len() / 64 + 1).take(tries) {
            check(&data[..at]);
            let mut changed = data.clone();
            changed[at] ^= 0x20;
            check(&changed);
        }
        seeds += 1;
    }
    assert!(seeds >= 5, "{target} has {seeds} seeds");
}

macro_rules! replays {
    ($($target:ident),+ $(,)?) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), checks::$target::check);
        })+

        /// Every target has a corpus and a replay, and every corpus a target.
        #[test]
        fn nothing_is_left_out() {
            let here = BTreeSet::from([$(stringify!($target).to_owned()),+]);
            assert_eq!(names(&folder("fuzz_targets")), here);
            assert_eq!(names(&folder("corpus")), here);
            assert_eq!(names(&folder("checks")), here);
        }
    };
}

replays!(addresses, chunks, config, forwarded, frames, head, paths, proxy_header, signature);
