//! What the relay says: its log lines, and its metrics.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use dmz_relay::observe::Sink;
use serde_json::Value;

use super::eventually;

/// Every line that was written so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn new() -> (Self, Sink) {
        let log = Self::default();
        (log.clone(), Sink::to(log))
    }

    /// Where another relay may write to as well.
    pub fn sink(&self) -> Sink {
        Sink::to(self.clone())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Lines of one event.
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// The line of one request.
    pub async fn of(&self, request_id: &str) -> Value {
        let find = || self.events("request").into_iter().find(|line| line["request_id"] == request_id);
        eventually("a line for the request", async || find().is_some()).await;
        find().unwrap()
    }

    /// Waits for a line.
    pub async fn wait(&self, event: &str, matching: impl Fn(&Value) -> bool) -> Value {
        let find = || self.events(event).into_iter().find(|line| matching(line));
        eventually(event, async || find().is_some()).await;
        find().unwrap()
    }
}

/// The sum over every series of a metric in Prometheus's text that has these labels.
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| wanted.iter().all(|label| line.contains(label.as_str())))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}
