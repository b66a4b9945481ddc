//! Whether a request is genuine cannot be told: a fault of ours, and nothing is forwarded.

use dmz_relay::base::UnixMillis;
use dmz_relay::domain::{Doubt, Refusal};

use crate::harness::{BOTH, Call, NOW, Oktave, Protocol, Rig, Setup, UNSET, base64_hmac};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
delivery = "direct"

[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ env = "SECRET" }]
upstream = "app"
delivery = "direct"
"#;

async fn rig() -> Rig {
    let rig = Rig::start(Setup::stored(ROUTES).variable("SECRET", SECRET)).await;
    rig.clock.set(UnixMillis::from_secs(UNSET));
    rig
}

fn oktave(number: u32) -> Call {
    Oktave::event(SECRET, number).call("/hooks/oktave")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_clock_is_not_set_no_time_is_judged() {
    let mut rig = rig().await;
    for (protocol, number) in BOTH.into_iter().zip(1..) {
        let answer = rig.refused(Doubt::ClockUnset, rig.send(protocol, &oktave(number))).await;
        assert_eq!(answer.field("retry-after"), Some("60"), "{protocol:?}");
        assert_eq!(rig.log.of(answer.id()).await["level"], "error");
        let row = rig.row(answer.id()).await;
        assert_eq!((row.entry.outcome.as_str(), &*row.reason, row.entry.key), ("undecided", "clock_unset", None));
        let (_, told) = rig.ask("GET", &format!("/api/v1/events/{}/explain", answer.id())).await;
        assert!(told.contains("\"clock_unset\"") && told.contains("nobody could tell"), "{told}");
    }
    // As old as the clock is: whoever kept a copy of a request from then would be taken.
    let old = Oktave::event(SECRET, 3).at(UNSET).call("/hooks/oktave");
    rig.refused(Doubt::ClockUnset, rig.send(Protocol::H1, &old)).await;
    let status = rig.status().await;
    let route = status["routes"].as_array().unwrap().iter().find(|route| route["name"] == "oktave").unwrap();
    assert_eq!(route["counts"]["undecided"], 3, "{route}");
    // The clock is set: the provider's second try is taken.
    rig.clock.set(UnixMillis::from_secs(NOW));
    rig.delivers(Protocol::H1, &oktave(1)).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_time_or_another_fault_is_judged_without_a_clock() {
    let mut rig = rig().await;
    let body = "{}";
    let dastra = |signature: &str| {
        let call = Call::post("/hooks/dastra").field("content-type", "application/json");
        call.field("dastra-signature", signature).body(body)
    };
    rig.delivers(Protocol::H1, &dastra(&base64_hmac(SECRET, body))).await;
    let forged = dastra(&base64_hmac("another secret", body));
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H2, &forged)).await;
    let forged = Oktave::event(SECRET, 4).at(UNSET).call("/hooks/oktave").set("Oktave-Signature", &"0".repeat(64));
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &forged)).await;
    rig.stop().await;
}
