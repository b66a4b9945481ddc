//! Requests that are not genuine, or come twice.

use super::*;

pub async fn signature_missing(refusal: Refusal) {
    let calls = [
        dastra().without("Dastra-Signature"),
        // A twin with an underscore, and a signature in a trailer, are no signatures.
        dastra().without("Dastra-Signature").field("Dastra_Signature", &base64_hmac("dastra-secret", "{\"event\":1}")),
        oktave(1).call("/hooks/oktave").without("Oktave-Signature"),
    ];
    both(refusal, &calls, &dastra()).await;
    let rig = Rig::start(setup()).await;
    let call = dastra().without("Dastra-Signature").chunked();
    let mut bytes = call.h1();
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(
        format!("Dastra-Signature: {}\r\n\r\n", base64_hmac("dastra-secret", &call.body)).as_bytes(),
    );
    rig.refused(refusal, rig.raw(&bytes)).await;
    rig.finish().await;
}

pub async fn signature_repeated(refusal: Refusal) {
    let signature = base64_hmac("dastra-secret", "{\"event\":1}");
    let other = base64_hmac("dastra-secret", "another body");
    let calls = [&signature, &other].map(|second| dastra().field("dastra-signature", second));
    both(refusal, &calls, &dastra()).await;
}

pub async fn signature_malformed(refusal: Refusal) {
    let good = base64_hmac("dastra-secret", "{\"event\":1}");
    let calls = ["", "!", &good[1..], &good[..40], &format!("{good}{good}"), &format!("{good}, {good}")]
        .map(|signature| dastra().set("Dastra-Signature", signature));
    both(refusal, &calls, &dastra()).await;
}

pub async fn signature_mismatch(refusal: Refusal) {
    let good = oktave(1).call("/hooks/oktave");
    let calls = [
        dastra().body("{\"event\":2}"),
        dastra().set("Dastra-Signature", &base64_hmac("another secret", "{\"event\":1}")),
        dastra().set("Dastra-Signature", &base64_hmac("dastra-secret", "")),
        oktave(1)
            .at(crate::harness::NOW - 1)
            .call("/hooks/oktave")
            .set("Oktave-Timestamp", &crate::harness::NOW.to_string()),
        good.clone().set("Oktave-Event-Id", &oktave(2).id),
    ];
    both(refusal, &calls, &good).await;
}

pub async fn key_unknown(refusal: Refusal) {
    let calls = [own("1").set("X-Own-Key", "k2"), own("1").without("X-Own-Key")];
    both(refusal, &calls, &own("1")).await;
}

const HEADER: &str = "{\"alg\":\"HS256\"}";
const CLAIMS: &str = "{\"iss\":\"sender\",\"aud\":\"here\",\"exp\":4102444800}";

pub async fn algorithm_refused(refusal: Refusal) {
    let calls =
        ["none", "None", "HS512", "RS256", "hs256", ""].map(|name| token(&HEADER.replace("HS256", name), CLAIMS));
    let unsaid = [token("{}", CLAIMS), token("{\"alg\":256}", CLAIMS)];
    both(refusal, &[&calls[..], &unsaid].concat(), &token(HEADER, CLAIMS)).await;
}

pub async fn token_header_refused(refusal: Refusal) {
    let with = |member: &str| token(&HEADER.replace('}', &format!(",{member}}}")), CLAIMS);
    let calls = [
        with("\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}"),
        with("\"jku\":\"https://keys.example/\""),
        with("\"x5u\":\"https://keys.example/\""),
        with("\"x5c\":[]"),
        with("\"crit\":[\"exp\"]"),
        with("\"crit\":[]"),
        with("\"b64\":false,\"crit\":[\"b64\"]"),
    ];
    both(refusal, &calls, &with("\"typ\":\"JWT\",\"kid\":\"any\",\"b64\":true")).await;
}

pub async fn claim_mismatch(refusal: Refusal) {
    let calls = [
        token(HEADER, &CLAIMS.replace("here", "elsewhere")),
        token(HEADER, &CLAIMS.replace("\"here\"", "[\"elsewhere\",\"nowhere\"]")),
        token(HEADER, &CLAIMS.replace("\"here\"", "[]")),
        token(HEADER, &CLAIMS.replace("\"here\"", "\"here,elsewhere\"")),
        token(HEADER, &CLAIMS.replace("aud", "audience")),
        token(HEADER, &CLAIMS.replace("sender", "another")),
        token(HEADER, &CLAIMS.replace("exp", "ends")),
    ];
    both(refusal, &calls, &token(HEADER, &CLAIMS.replace("\"here\"", "[\"elsewhere\",\"there\"]"))).await;
}

pub async fn message_incomplete(refusal: Refusal) {
    let calls = [own("1").without("X-Own-Event"), oktave(1).call("/hooks/oktave").without("Oktave-Event-Id")];
    both(refusal, &calls, &own("1")).await;
}

pub async fn timestamp_missing(refusal: Refusal) {
    let good = oktave(1).call("/hooks/oktave");
    both(refusal, &[good.clone().without("Oktave-Timestamp")], &good).await;
}

pub async fn timestamp_malformed(refusal: Refusal) {
    let good = oktave(1).call("/hooks/oktave");
    let calls = ["", "-1", "1.5", "1e9", "now", "17953416000000000000", " 1795341600x", "0x6b"]
        .map(|time| good.clone().set("Oktave-Timestamp", time));
    both(refusal, &calls, &good).await;
}

pub async fn timestamp_stale(refusal: Refusal) {
    let at = |back: i64| oktave(1).at(crate::harness::NOW - back).call("/hooks/oktave");
    both(refusal, &[at(3601), at(86_400), at(crate::harness::NOW)], &at(3600)).await;
}

pub async fn timestamp_ahead(refusal: Refusal) {
    let at = |ahead: i64| oktave(1).at(crate::harness::NOW + ahead).call("/hooks/oktave");
    both(refusal, &[at(301), at(3600), at(90_000_000_000)], &at(300)).await;
}

pub async fn id_missing(refusal: Refusal) {
    both(refusal, &[own("1").without("X-Own-Id")], &own("1")).await;
}

pub async fn shape_invalid(refusal: Refusal) {
    let good = oktave(1);
    // Digits that slide from the time into the id leave the signed message as it was.
    let slid = format!("{}{}", good.id, &good.at.to_string()[..1]);
    let calls = [
        good.call("/hooks/oktave").set("Oktave-Event-Id", &slid).set("Oktave-Timestamp", &good.at.to_string()[1..]),
        good.call("/hooks/oktave").set("Oktave-Event-Id", "not-a-uuid"),
        own(&"x".repeat(300)),
    ];
    both(refusal, &calls, &good.call("/hooks/oktave")).await;
}

pub async fn binding_mismatch(refusal: Refusal) {
    let good = oktave(1).call("/hooks/oktave");
    let calls = [
        good.clone().body(oktave(2).body()),
        good.clone().body("{}"),
        good.clone().body("not json"),
        good.clone().body(format!("{{\"event_id\":\"{0}\",\"event_id\":\"{0}\"}}", oktave(1).id)),
        good.clone().body(""),
    ];
    both(refusal, &calls, &good).await;
}

pub async fn body_digest_mismatch(refusal: Refusal) {
    both(refusal, &[own("1").body("another body"), own("1").body("")], &own("1")).await;
}

pub async fn duplicate_in_flight(refusal: Refusal) {
    let (app, gate) = held::held().await;
    let rig = Rig::with_app(setup(), app).await;
    let call = oktave(1).call("/hooks/oktave");
    let mut first = rig.connect().await;
    first.send(call.h1()).await;
    eventually("the first is inside", async || rig.app.seen().len() == 1).await;
    for protocol in BOTH {
        let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
        assert_eq!(answer.field("retry-after"), Some("2"));
    }
    gate.release(1);
    assert_eq!(first.answer().await.status, 200);
    let answer = rig.send(Protocol::H1, &call).await;
    assert_eq!((answer.status, rig.app.seen().len()), (200, 1), "a duplicate is a success that goes nowhere");
    rig.finish().await;
}
