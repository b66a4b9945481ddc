//! What `explain` says of one of the refused requests: the command itself, run as an operator would run it.

use std::time::Duration;

use super::DemoError;
use super::process::this_program;
use super::stage::Stage;

/// The request was just answered, and may not be in the history yet.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// The exit code for a request that would be refused.
const REFUSED: i32 = 1;

/// Its lines up to the step that refused the request, hints included. None where it gave no answer.
pub(super) async fn explained(stage: &Stage, request_id: &str) -> Result<Vec<String>, DemoError> {
    let config = stage.file("relay.toml");
    let asking = async {
        loop {
            let mut command = this_program()?;
            command.args(["explain", request_id, "--config"]).arg(&config);
            // The screen's 80 columns, without the indent that the demo gives it.
            command.env("COLUMNS", "76").env("NO_COLOR", "1");
            let output = tokio::task::spawn_blocking(move || command.output()).await;
            let output = output.map_err(std::io::Error::other).and_then(|output| output);
            let output = output.map_err(|error| DemoError::Io("explain", error))?;
            if output.status.code() == Some(REFUSED) {
                return Ok(beginning(&String::from_utf8_lossy(&output.stdout)));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// What comes behind the refusal is left out: steps that the request never reached.
fn beginning(text: &str) -> Vec<String> {
    let mut refused = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let step = line.trim_start().starts_with(['✓', '✗', '?', '–']);
        if refused && step {
            break;
        }
        refused |= line.trim_start().starts_with('✗');
        // Checks that the route does not ask for say nothing to an audience.
        if !line.trim_start().starts_with('–') {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_behind_the_refusal_are_left_out() {
        let text = "refused\n  ✓ method     POST\n  – limits     none\n  ✗ signature  no\n    → because\n      of this\n  ? id  -\n";
        let lines = ["refused", "  ✓ method     POST", "  ✗ signature  no", "    → because", "      of this"];
        assert_eq!(beginning(text), lines);
    }
}
