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
    /// Compiler and counter that the counts are of: another release of either may count otherwise.
    tools: String,
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
        self.tools = tools();
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
        if self.tools != tools() {
            println!("The committed counts are of {}, these are of {}.", self.tools, tools());
        }
        if over + under > 0 {
            println!("To commit the counts of now: cargo run --release -p instructions -- --update");
        }
        over == 0
    }
}

fn tools() -> String {
    let version = |program: &str| {
        let said = std::process::Command::new(program).arg("--version").output().map(|output| output.stdout);
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        said.split(" (").next().unwrap_or_default().trim().to_owned()
    };
    format!("{}, {}", version("rustc"), version("valgrind"))
}
