//! How far a long job is.

use std::io::{self, IsTerminal as _};

use super::draw;

/// A progress line on standard error, drawn only where a terminal shows it.
#[derive(Debug)]
pub struct Progress {
    /// Steps in all, or what is counted where nobody knows how many there will be.
    goal: Result<u64, &'static str>,
    shown: bool,
    /// Thousandths, or hundreds of steps: a line that did not change is not drawn again.
    drawn: u64,
}

impl Progress {
    /// For this number of steps.
    pub fn new(total: u64) -> Self {
        Self { goal: Ok(total), shown: total > 1 && io::stderr().is_terminal(), drawn: u64::MAX }
    }

    /// For steps that nobody has counted yet.
    pub fn counting(what: &'static str) -> Self {
        Self { goal: Err(what), shown: io::stderr().is_terminal(), drawn: u64::MAX }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// This many are done.
    pub fn at(&mut self, done: u64) {
        let step = match self.goal {
            Ok(total) => done.saturating_mul(1000) / total.max(1),
            Err(_) => done / 100,
        };
        if !self.shown || step == self.drawn {
            return;
        }
        self.drawn = step;
        draw(&self.line(done));
    }

    fn line(&self, done: u64) -> String {
        const WIDTH: u64 = 40;
        match self.goal {
            Ok(total) => {
                let thousandths = (done.saturating_mul(1000) / total.max(1)).min(1000);
                let full = usize::try_from(thousandths * WIDTH / 1000).unwrap_or(0);
                let empty = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(full);
                let bar = format!("{}{}", "█".repeat(full), "░".repeat(empty));
                format!("\r  {bar} {:>3} %  {done}/{total}", thousandths / 10)
            }
            Err(what) => format!("\r  {done} {what}"),
        }
    }
}

/// The line is wiped, whatever ended the work.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            draw("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_runs_over() {
        let bar = Progress { goal: Ok(4), shown: false, drawn: 0 };
        assert_eq!(bar.line(1).matches('█').count(), 10);
        assert!(bar.line(9).contains("100 %  9/4"));
        assert_eq!(Progress::counting("rows").line(7), "\r  7 rows");
    }
}
