//! Sends every scene's request and compares what came of it with what should: at the sender, in the log, and inside.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::DemoError;
use super::act::Played;
use super::inside::{Arrived, Inside};
use super::scenes::{Reaches, Scene, scenes};
use super::screen::Screen;
use super::show;
use super::stage::Stage;
use crate::cli::sender::{Place, Reply, Sender, Trust};

/// For one answer; the relay's own deadlines are shorter.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came of one request.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) system: &'static str,
    pub(super) sent: &'static str,
    /// What a reader may ask about it.
    #[serde(skip)]
    pub(super) note: &'static str,
    pub(super) expected: Seen,
    pub(super) seen: Seen,
    /// Of what arrived inside.
    pub(super) byte_for_byte: Option<bool>,
    pub(super) request_id: String,
    pub(super) took_ms: f64,
    /// Whether the sender read anything but a fixed text, or the upstream a secret of the sender's.
    pub(super) leaked: bool,
    pub(super) as_expected: bool,
}

/// What can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    pub(super) status: u16,
    /// The outcome, or the reason of a refusal.
    pub(super) verdict: String,
    /// Requests that arrived at the application.
    pub(super) application: u64,
    /// Requests that arrived at the endpoint of Octolis.
    pub(super) octolis_endpoint: u64,
}

/// The whole show.
#[derive(Debug, Default, Serialize)]
pub(super) struct Performance {
    pub(super) relay: String,
    pub(super) as_expected: bool,
    pub(super) requests: Vec<Shown>,
    /// What `explain` says of one that was refused, line by line.
    pub(super) explained: Vec<String>,
    pub(super) outage: Played,
    pub(super) crash: Played,
    pub(super) full: Played,
    pub(super) seconds: f64,
}

impl Performance {
    /// The acts after the first.
    pub(super) fn acts(&self) -> [&Played; 3] {
        [&self.outage, &self.crash, &self.full]
    }
}

/// Where every system sends to.
pub(super) fn sender(stage: &Stage) -> Result<Sender, DemoError> {
    sender_to(stage.relay, &stage.trust)
}

pub(super) fn sender_to(relay: SocketAddr, trust: &Trust) -> Result<Sender, DemoError> {
    let place = Place::tls(relay, &host(relay), trust).map_err(DemoError::Send)?;
    Ok(Sender::new(place, TIMEOUT))
}

fn host(relay: SocketAddr) -> String {
    format!("localhost:{}", relay.port())
}

/// The first act.
pub(super) async fn play(stage: &mut Stage, sender: &mut Sender, screen: &Screen) -> Result<Performance, DemoError> {
    let mut requests: Vec<Shown> = Vec::new();
    for scene in scenes(&stage.secrets, stage.clock.now()) {
        if requests.last().is_none_or(|last| last.system != scene.system) {
            screen.show(&show::system(scene.system, screen.palette)).await;
        }
        let shown = shown(stage, sender, scene).await?;
        screen.show(&show::request(&shown, screen.palette)).await;
        requests.push(shown);
    }
    // Once more at the end: nothing may have arrived late, behind an answer that refused it.
    let sum = |of: fn(&Seen) -> u64| requests.iter().map(|shown| of(&shown.expected)).sum::<u64>();
    let nothing_late = stage.application.count() == sum(|seen| seen.application)
        && stage.endpoint.count() == sum(|seen| seen.octolis_endpoint);
    let as_expected = nothing_late && requests.iter().all(|shown| shown.as_expected);
    let relay = format!("https://{}", host(stage.relay));
    Ok(Performance { relay, as_expected, requests, ..Performance::default() })
}

async fn shown(stage: &mut Stage, sender: &mut Sender, scene: Scene) -> Result<Shown, DemoError> {
    let before = (stage.application.count(), stage.endpoint.count());
    let reply = sender.send(&scene.request).await.map_err(DemoError::Send)?;
    let request_id = reply.request_id.clone().unwrap_or_default();
    let line = stage.journal.of_request(&request_id).await;
    let line = line.ok_or_else(|| DemoError::NoLogLine(request_id.clone()))?;
    let reason = line.get("reason");
    let seen = Seen {
        status: reply.status,
        verdict: if reason.is_empty() { line.get("outcome") } else { reason }.to_owned(),
        application: stage.application.count() - before.0,
        octolis_endpoint: stage.endpoint.count() - before.1,
    };
    let (reaches, status) = (scene.expected.reaches, scene.expected.status);
    let expected = Seen {
        status,
        verdict: scene.expected.verdict.to_owned(),
        application: u64::from(reaches == Reaches::Application),
        octolis_endpoint: u64::from(reaches == Reaches::Endpoint),
    };
    let arrived = match reaches {
        Reaches::Nobody => None,
        Reaches::Application => newest(&stage.application, &request_id),
        Reaches::Endpoint => newest(&stage.endpoint, &request_id),
    };
    let byte_for_byte = arrived.as_ref().map(|arrived| arrived.body == scene.request.body);
    let leaked = tells_inside(&reply) || arrived.is_some_and(|arrived| holds_sender_key(stage, &arrived));
    let whole = reaches == Reaches::Nobody || byte_for_byte == Some(true);
    Ok(Shown {
        system: scene.system,
        sent: scene.sent,
        note: scene.note,
        as_expected: seen == expected && whole && !leaked,
        expected,
        seen,
        byte_for_byte,
        request_id,
        took_ms: (reply.took.as_secs_f64() * 1e6).round() / 1e3,
        leaked,
    })
}

fn newest(inside: &Inside, request_id: &str) -> Option<Arrived> {
    inside.last().filter(|arrived| arrived.request_id == request_id)
}

/// The applications answer 202 with words of their own, of which a sender must see nothing.
fn tells_inside(reply: &Reply) -> bool {
    reply.status == 202 || memchr::memmem::find(&reply.body, b"shard").is_some()
}

fn holds_sender_key(stage: &Stage, arrived: &Arrived) -> bool {
    memchr::memmem::find(arrived.target.as_bytes(), stage.secrets.octolis.expose()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::Settings;
    use crate::cli::terminal::Palette;

    async fn stage() -> Stage {
        Stage::set(&Settings { once: true, port: None, slow: false, json: false }).await.unwrap()
    }

    /// A demo that could not fail would show nothing: a gate that stands open must differ from one that works.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_gate_is_noticed() {
        let mut stage = stage().await;
        let signed = "provider = \"dastra\"\nsecrets = [{ file = \"secrets/dastra\" }]";
        stage.rewrite(|text| text.replacen(signed, "verify.dangerously_none = true", 1)).await;
        let mut sender = sender(&stage).unwrap();
        let performance = play(&mut stage, &mut sender, &Screen::mute()).await.unwrap();
        assert!(!performance.as_expected);
        let wrong: Vec<_> = performance.requests.iter().filter(|shown| !shown.as_expected).collect();
        assert!(wrong.iter().all(|shown| shown.system == "Dastra") && wrong.len() >= 3, "{wrong:?}");
        assert!(wrong.iter().all(|shown| show::request(shown, Palette::plain()).contains('✗')), "{wrong:?}");
        assert!(show::summary(&performance, Palette::plain()).contains("Not as expected:"));
        stage.strike().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sender_that_hears_the_inside_is_noticed() {
        let mut stage = stage().await;
        let path = "path = \"/hooks/octolis\"";
        stage.rewrite(|text| text.replace(path, &format!("{path}\nanswer = \"upstream\""))).await;
        let mut sender = sender(&stage).unwrap();
        let performance = play(&mut stage, &mut sender, &Screen::mute()).await.unwrap();
        let leaked = performance.requests.iter().filter(|shown| shown.leaked);
        assert_eq!(leaked.map(|shown| shown.system).collect::<Vec<_>>(), ["Octolis", "Octolis"]);
        assert!(!performance.as_expected);
        stage.strike().await;
    }
}
