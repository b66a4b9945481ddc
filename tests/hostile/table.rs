//! A row of the table, and how it is run.

use std::fmt::Write as _;

use dmz_relay::domain::Refusal;
use dmz_relay::gate::pipeline::answer;

use crate::harness::{Call, Rig, Setup, hex_hmac};

/// Open to all methods that a route can have, so that it is the edge that refuses; and one that verifies.
pub const ROUTES: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
[routes.below]
path = "/below/*"
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
verify.dangerously_none = true
upstream = "app"
[routes.signed]
path = "/hooks/signed"
secrets = [{ file = "secrets/signed" }]
upstream = "app"
[routes.signed.verify.hmac]
algorithm = "sha256"
signature = { header = "X-Hub-Signature-256", prefix = "sha256=", encoding = "hex" }
message = "{body}"
"#;
pub const SECRET: &str = "canary-of-the-table-of-cases";

pub fn setup() -> Setup {
    Setup::routes(ROUTES).file("secrets/signed", SECRET)
}

/// What must come of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Answered with the reason's status, closed, nothing inward; what stood behind was never parsed.
    Refused(Refusal),
    /// Read to its end, then answered with the reason's status: nothing of it goes inward. What stands behind is a request of
    /// its own: there is no doubt where this one ended, and a handshake for each forgery would cost the relay more.
    Turned(Refusal),
    /// Delivered as it is, and what stands behind is a request of its own.
    Delivered,
}

#[derive(Clone)]
pub struct Case {
    /// Of `docs/threat-model.md`.
    pub number: u16,
    pub what: String,
    pub bytes: Vec<u8>,
    pub ends: Ends,
}

/// One row.
pub fn row(number: u16, what: &str, bytes: impl AsRef<[u8]>, ends: impl Into<Ends>) -> Case {
    Case { number, what: what.into(), bytes: bytes.as_ref().to_vec(), ends: ends.into() }
}

impl From<Refusal> for Ends {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A POST to a good route with these field lines and this body.
pub fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n{fields}\r\n{body}").into_bytes()
}

/// A POST of two bytes to this target, which a route below takes.
pub fn target(target: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes()
}

/// A POST to the route that verifies, with these field lines beside the length.
pub fn signed(fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /hooks/signed HTTP/1.1\r\nHost: relay.example\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
        .into_bytes()
}

/// The right signature of a body.
pub fn signature(body: &str) -> String {
    format!("sha256={}", hex_hmac(SECRET, body))
}

/// The request that stands behind each row: a good one, which nobody may look at when the row was refused.
pub fn behind() -> Vec<u8> {
    Call::post("/hooks/plain").field("X-Behind", "yes").body("behind").h1()
}

/// Every row of every group.
pub fn all() -> Vec<Case> {
    [crate::framing::cases(), crate::fields::cases(), crate::proofs::cases(), crate::exhaustion::cases()].concat()
}

/// Runs every row and tells of all that came out otherwise.
pub async fn run(cases: &[Case]) {
    let rig = Rig::start(setup()).await;
    let mut wrong = String::new();
    for case in cases {
        // Shown only when a row hangs or panics: the last one is it.
        println!("{} {}", case.number, case.what);
        let expected = match case.ends {
            Ends::Refused(refusal) => {
                let status = answer::refusal_status(refusal);
                format!("{status} {}, closed, 0 inward", refusal.code())
            }
            Ends::Turned(refusal) => {
                let status = answer::refusal_status(refusal);
                format!("{status} {}, open, 0 inward", refusal.code())
            }
            Ends::Delivered => "200 delivered, 2 inward".to_owned(),
        };
        let seen = outcome(&rig, case).await;
        if seen != expected {
            let _ = writeln!(wrong, "{} {}\n   expected {expected}\n   came     {seen}", case.number, case.what);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    // After all of that, a good sender is served and nothing is held.
    assert_eq!(rig.raw(&Call::post("/hooks/plain").h1()).await.status, 200);
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

async fn outcome(rig: &Rig, case: &Case) -> String {
    let inside = (rig.app.connections(), rig.app.seen().len());
    let mut wire = rig.connect().await;
    // A relay that has refused may stop reading before all of it was sent.
    let _ = wire.try_send([&case.bytes[..], &behind()].concat()).await;
    let Some(answer) = wire.try_answer().await else { return "closed without an answer".into() };
    let line = rig.log.of(answer.id()).await;
    let reason = line["reason"].as_str().unwrap_or_default();
    if answer.status < 300 {
        // Ends by itself: the connection stays open for more.
        let second = wire.try_answer().await.map(|answer| answer.status);
        assert_eq!(second, Some(200), "{}", case.what);
        let inward = rig.app.seen().len() - inside.1;
        return format!("{} {}, {inward} inward", answer.status, line["outcome"].as_str().unwrap());
    }
    assert_eq!(answer.text(), answer::text(answer.status), "{}", case.what);
    if !answer.closes() {
        let second = wire.try_answer().await.map(|answer| answer.status);
        let behind = rig.app.seen().len() - inside.1;
        assert_eq!((second, behind, &rig.app.last().body[..]), (Some(200), 1, &b"behind"[..]), "{}", case.what);
        return format!("{} {reason}, open, 0 inward", answer.status);
    }
    wire.ended().await;
    let inward = rig.app.seen().len() - inside.1 + (rig.app.connections() - inside.0);
    format!("{} {reason}, closed, {inward} inward", answer.status)
}
