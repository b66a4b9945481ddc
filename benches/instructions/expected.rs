//! The committed counts, and the verdict on those of now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How far a count may be from the committed one, in percent.
const TOLERANCE: f64 = 3.0;

const HEAD: &str = "\
# Instructions on the hot path, for doing each thing once: see main.rs beside this file. Written by
# cargo run --release -p instructions -- --update

";

/// `expected.toml`.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(crate) struct Expected {
    /// The compiler that the counts are of.
    rustc: String,
    counts: BTreeMap<String, u64>,
}

impl Expected {
    fn file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("expected.toml")
    }

    /// Nothing is expected while there is no file.
    pub(crate) fn load() -> Self {
        let text = std::fs::read_to_string(Self::file()).unwrap_or_default();
        if text.is_empty() { Self::default() } else { toml::from_str(&text).expect("expected.toml can be read") }
    }

    /// The same with these counts in place of those of the same name.
    pub(crate) fn with(mut self, counts: &BTreeMap<String, u64>) -> Self {
        self.rustc = rustc();
        self.counts.extend(counts.iter().map(|(name, count)| (name.clone(), *count)));
        self
    }

    pub(crate) fn save(&self) {
        let text = toml::to_string(self).expect("counts can be written");
        std::fs::write(Self::file(), format!("{HEAD}{text}")).expect("expected.toml can be written");
    }

    /// Prints the table. `false` when something takes more instructions than it may.
    pub(crate) fn judge(&self, counts: &BTreeMap<String, u64>) -> bool {
        let mut table = String::new();
        let _ = writeln!(table, "{:54} {:>10} {:>10} {:>8}", "instructions", "committed", "now", "");
        let (mut over, mut under) = (0, 0);
        for (name, now) in counts {
            let Some(committed) = self.counts.get(name) else {
                let _ = writeln!(table, "{name:54} {:>10} {now:>10}           commit it", "none");
                over += 1;
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            let change = (*now as f64 / *committed as f64 - 1.0) * 100.0;
            let verdict = if change > TOLERANCE {
                over += 1;
                "  TOO MANY"
            } else if change < -TOLERANCE {
                under += 1;
                "  commit the new figure"
            } else {
                ""
            };
            let _ = writeln!(table, "{name:54} {committed:>10} {now:>10} {change:>+7.2}%{verdict}");
        }
        println!("{table}");
        if self.rustc != rustc() {
            println!("The committed counts are of rustc {}, this is {}.", self.rustc, rustc());
        }
        if over + under > 0 {
            println!("To commit the counts of now: cargo run --release -p instructions -- --update");
        }
        over == 0
    }
}

/// Number of the compiler's release.
fn rustc() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = std::process::Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    String::from_utf8_lossy(&said).split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}
