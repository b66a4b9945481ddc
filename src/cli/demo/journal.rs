//! The relay's own log, read line by line while it is written.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Lines that may wait for the demo to look at them.
const WAITING: usize = 4096;
/// For a line that the relay writes at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line(Value);

impl Line {
    /// A member of the line; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    pub(super) fn is_request(&self) -> bool {
        self.get("event") == "request"
    }

    pub(super) fn json(&self) -> String {
        format!("{}\n", self.0)
    }
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Journal(Receiver<Line>);

/// The writing end, for the relay's log thread.
pub(super) struct Tap {
    lines: Sender<Line>,
    partial: Vec<u8>,
}

/// A log with a reader.
pub(super) fn journal() -> (Tap, Journal) {
    let (lines, read) = channel(WAITING);
    (Tap { lines, partial: Vec::new() }, Journal(read))
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.partial) {
            let rest = self.partial.split_off(end + 1);
            let line = std::mem::replace(&mut self.partial, rest);
            if let Ok(value) = serde_json::from_slice(&line) {
                // A demo that does not keep up loses lines, and the relay does not wait for it.
                let _ = self.lines.try_send(Line(value));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Journal {
    /// The next line; `None` when the relay is gone.
    pub(super) async fn next(&mut self) -> Option<Line> {
        self.0.recv().await
    }

    /// What the log says of one request.
    pub(super) async fn of_request(&mut self, id: &str) -> Option<Line> {
        self.find(|line| line.is_request() && line.get("request_id") == id).await
    }

    /// The next line that fits; what comes before it is passed over.
    pub(super) async fn find(&mut self, fits: impl Fn(&Line) -> bool) -> Option<Line> {
        let search = async {
            loop {
                let line = self.next().await?;
                if fits(&line) {
                    return Some(line);
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_may_come_in_pieces() {
        let (mut tap, mut journal) = journal();
        tap.write_all(b"{\"event\":\"request\",\"request_id\":\"a\"}\n{\"event\":\"requ").unwrap();
        tap.write_all(b"est\",\"request_id\":\"b\",\"status\":200}\n").unwrap();
        let line = journal.of_request("b").await.unwrap();
        assert_eq!((line.get("request_id"), line.number("status")), ("b", 200));
        drop(tap);
        assert!(journal.of_request("c").await.is_none());
    }
}
