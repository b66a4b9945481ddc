//! A log that nobody reads, and then one that cannot be written: lines are lost, and no request is.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::harness::{Application, Installation, Manner, binary};

/// Their lines fill the pipe several times over.
const REQUESTS: &str = "600";

#[test]
fn a_log_that_nobody_reads_costs_no_request() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let mut relay = binary()
        .args(["run", "--threads", "2", "--config", &installation.config()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(relay.stderr.take().unwrap()).lines();
    let listening = log
        .find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["event"] == "listening").then_some(line)
        })
        .unwrap();
    let address = listening["address"].as_str().unwrap();
    let mut log = Some(log);
    for reader in ["asleep", "gone"] {
        let arguments = ["send", "github", "--count", REQUESTS, "--connect", address, "--format", "json"];
        let summary = installation.relay(&arguments).exits(0).json();
        assert_eq!((&summary["sent"], &summary["unexpected"]), (&json!(600), &json!(0)), "{reader}");
        // From now on a write fails at once.
        log = None;
    }
    assert!(log.is_none() && relay.try_wait().unwrap().is_none(), "it goes on");
    assert_eq!(application.arrived().len(), 1200);
    relay.kill().unwrap();
    relay.wait().unwrap();
}
