//! How to go on by oneself: the commands are in a file, because they are longer than a screen is wide.

use std::fs;
use std::os::unix::fs::symlink;

use super::DemoError;
use super::stage::Stage;
use crate::cli::terminal::{Palette, Tone, harmless, shell_word};

/// The file that a shell reads.
const FILE: &str = "try.sh";

/// Writes it, with this program as `dmz-relay` beside it.
pub(super) fn write(stage: &Stage) -> Result<(), DemoError> {
    let program = std::env::current_exe().map_err(|error| DemoError::Io("this program's file", error))?;
    let write = || {
        fs::create_dir(stage.file("bin"))?;
        symlink(program, stage.file("bin/dmz-relay"))?;
        fs::write(stage.file(FILE), text(stage))
    };
    write().map_err(|error| DemoError::Io("temporary folder", error))
}

fn text(stage: &Stage) -> String {
    let folder = shell_word(stage.file("").to_string_lossy().trim_end_matches('/'));
    let relay = format!("https://localhost:{}", stage.relay.port());
    format!(
        r#"# Written by `dmz-relay demo`, for as long as it runs. Read it into a shell: . {folder}/try.sh
D={folder}
export DMZ_RELAY_CONFIG="$D/relay.toml" PATH="$D/bin:$PATH"

# Requests with curl, signed by openssl. The first argument is the body or the id; there is one to begin with.

try_github() {{
  body=${{1:-'{{"ref":"refs/heads/main","id":"1"}}'}}
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat "$D/secrets/github")" -r | cut -d ' ' -f 1)
  curl -i --cacert "$D/ca.crt" {relay}/hooks/github -H 'Content-Type: application/json' \
    -H 'X-GitHub-Event: push' -H "X-GitHub-Delivery: $(cat /proc/sys/kernel/random/uuid)" \
    -H "X-Hub-Signature-256: sha256=$signature" --data-raw "$body"
}}

try_stripe() {{
  body=${{1:-'{{"id":"evt_1","object":"event"}}'}}
  now=$(date +%s)
  signature=$(printf %s "$now.$body" | openssl dgst -sha256 -hmac "$(cat "$D/secrets/stripe")" -r | cut -d ' ' -f 1)
  curl -i --cacert "$D/ca.crt" {relay}/hooks/stripe -H 'Content-Type: application/json' \
    -H "Stripe-Signature: t=$now,v1=$signature" --data-raw "$body"
}}

try_oktave() {{
  id=${{1:-$(cat /proc/sys/kernel/random/uuid)}}
  now=$(date +%s)
  signature=$(printf %s "$id$now" | openssl dgst -sha256 -hmac "$(cat "$D/secrets/oktave")" -r | cut -d ' ' -f 1)
  curl -i --cacert "$D/ca.crt" {relay}/hooks/oktave -H 'Content-Type: application/json' \
    -H "Oktave-Event-Id: $id" -H "Oktave-Timestamp: $now" -H "Oktave-Signature: $signature" -d "{{\"event_id\":\"$id\"}}"
}}

try_dastra() {{
  body=${{1:-'{{"event":"hello","id":"1"}}'}}
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat "$D/secrets/dastra")" -binary | base64)
  curl -i --cacert "$D/ca.crt" {relay}/hooks/dastra -H 'Content-Type: application/json' \
    -H "Dastra-Signature: $signature" --data-raw "$body"
}}

try_octolis() {{
  curl -i --cacert "$D/ca.crt" -X PUT "{relay}/hooks/octolis?api-key=$(cat "$D/secrets/octolis")" \
    -H 'Content-Type: application/json' -H 'X-Tenant: north' -d "${{1:-{{}}}}"
}}
"#
    )
}

/// How to go on, on the screen.
pub(super) fn invitation(stage: &Stage, palette: Palette) -> String {
    let heading = |text: &str| palette.paint(Tone::Strong, text);
    let file = harmless(&stage.file(FILE).display().to_string());
    format!(
        "\n{title}\n\n  \
         The relay goes on until Ctrl-C; then its folder is removed. The commands are\n  \
         in a file. In another terminal:\n\n    \
         . {file}\n\n    \
         dmz-relay send github             a genuine request, signed by the relay's tool\n    \
         dmz-relay send stripe --tamper    changed after signing\n    \
         dmz-relay send oktave --stale     signed too long ago\n    \
         dmz-relay events list             what was received\n    \
         dmz-relay explain ID              why one was taken or refused\n    \
         dmz-relay status                  what the relay does\n    \
         try_github                        the same with curl and openssl; also\n                                      \
         try_stripe, try_oktave, try_dastra, try_octolis\n\n  \
         relay.toml, certificates and secrets are in the same folder. Edit relay.toml:\n  \
         the relay notices.\n\n{log}\n",
        title = heading("Try it yourself"),
        log = heading("What comes in from now on"),
    )
}
