//! What came of the phases, as one line each and as the rows of a table.

use std::fmt;

use super::genuine::Went;

/// One phase against one target.
pub struct Row {
    pub alone: [Went; 3],
    pub went: [Went; 3],
    pub cpu_alone: f64,
    pub cpu: f64,
    /// MiB.
    pub peak: f64,
    pub notes: Vec<String>,
}

impl Row {
    /// Of each kind, how many times what it was alone.
    fn times(&self, share: usize) -> [f64; 3] {
        let of = |kind: usize| self.went[kind].at(share).as_secs_f64() / self.alone[kind].at(share).as_secs_f64();
        [of(0), of(1), of(2)]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |went: &Went, share| went.at(share).as_secs_f64() * 1e3;
        let [p99, p50] = [990, 500].map(|share| self.times(share));
        for (kind, name) in ["kept", "new", "first"].into_iter().enumerate() {
            let (went, alone) = (&self.went[kind], &self.alone[kind]);
            write!(
                f,
                "{name} {:.2} % p99 {:.1} ms ×{:.1} p50 {:.2} ms ×{:.1}; ",
                went.success(),
                ms(went, 990),
                p99[kind],
                ms(went, 500),
                p50[kind]
            )?;
            write!(f, "alone {:.1}, {:.2}  ", ms(alone, 990), ms(alone, 500))?;
        }
        write!(f, "CPU {:.0} % (alone {:.0})  peak {:.0} MiB", self.cpu * 100.0, self.cpu_alone * 100.0, self.peak)?;
        self.notes.iter().try_for_each(|note| write!(f, "  {note}"))
    }
}

/// All rounds of all phases.
#[derive(Default)]
pub struct Table(Vec<(&'static str, Vec<Target>)>);

/// The rounds of one phase against one target.
struct Target {
    name: String,
    rows: Vec<Row>,
}

impl Table {
    pub fn add(&mut self, phase: &'static str, target: &str, row: Row) {
        if self.0.last().is_none_or(|(last, _)| *last != phase) {
            self.0.push((phase, Vec::new()));
        }
        let Some((_, targets)) = self.0.last_mut() else { return };
        match targets.iter_mut().find(|known| known.name == target) {
            Some(known) => known.rows.push(row),
            None => targets.push(Target { name: target.to_owned(), rows: vec![row] }),
        }
    }

    /// Success: the least of all rounds. p99: the median of its multiples, and the most.
    pub fn markdown(&self, names: &[&str]) -> String {
        let mut text = String::from("| attack |");
        names.iter().for_each(|name| text += &format!(" {name}: succeeded | p99 × alone | CPU |"));
        text += &format!("\n|---|{}", "---|---|---|".repeat(names.len()));
        for (phase, targets) in &self.0 {
            text += &format!("\n| {phase} |");
            for name in names {
                let target = targets.iter().find(|target| target.name == *name);
                text += &target.map_or(" — | — | — |".to_owned(), |target| cells(&target.rows));
            }
        }
        text
    }
}

fn cells(rows: &[Row]) -> String {
    let [mut success, mut p99] = [Vec::new(), Vec::new()];
    for kind in 0..3 {
        let least = rows.iter().map(|row| row.went[kind].success()).fold(100.0, f64::min);
        success.push(if least == 100.0 { "100".to_owned() } else { format!("{least:.1}") });
        let times = sorted(rows.iter().map(|row| row.times(990)[kind]));
        p99.push(format!("{:.1} ({:.1})", times[times.len() / 2], times[times.len() - 1]));
    }
    let cpu = sorted(rows.iter().map(|row| row.cpu * 100.0));
    format!(" {} % | {} | {:.0} % |", success.join(" / "), p99.join(" / "), cpu[cpu.len() / 2])
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}
