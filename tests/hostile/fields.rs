//! G2: authority, path and fields.

use dmz_relay::domain::Refusal::{
    ConnectionOptionInvalid, HeadMalformed, HeadTooLarge, HostInvalid, HostMisdirected, SignatureMissing,
    SignatureRepeated,
};

use crate::harness::{BOTH, Call, Rig, Setup};
use crate::table::{Case, Ends, post, row, run, setup, signature, signed, target};

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, lines) in [
        ("no Host", ""),
        ("Host twice", "Host: relay.example\r\nHost: relay.example\r\n"),
        ("two Hosts", "Host: relay.example\r\nhost: other.example\r\n"),
        ("userinfo in Host", "Host: user@relay.example\r\n"),
        ("a path in Host", "Host: relay.example/path\r\n"),
        ("a space in Host", "Host: relay example\r\n"),
        ("a list in Host", "Host: relay.example, other.example\r\n"),
        ("an empty Host", "Host: \r\n"),
        ("a port without digits", "Host: relay.example:\r\n"),
        ("a port beyond all ports", "Host: relay.example:99999\r\n"),
        ("two ports", "Host: relay.example:80:80\r\n"),
        ("half an IPv6 literal", "Host: [::1\r\n"),
        ("a letter beyond ASCII in Host", "Host: rel\u{e4}y.example\r\n"),
    ] {
        let bytes = format!("POST /hooks/plain HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n");
        cases.push(row(21, what, bytes, HostInvalid));
    }
    for absolute in [
        "http://other.example/below/a",
        "https://relay.example:1/below/a",
        "https://user@relay.example/below/a",
        "https:///below/a",
    ] {
        cases.push(row(22, absolute, target(absolute), HostInvalid));
    }
    let elsewhere = |host: &str| format!("POST /hooks/plain HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}");
    cases.push(row(
        23,
        "Host of nobody whom the certificate speaks for",
        elsewhere("tenant-b.example"),
        HostMisdirected,
    ));
    for path in [
        "/below/..%2fplain",
        "/below/%2e%2e/hooks/plain",
        "/below/..;/hooks/plain",
        "/below\\..\\hooks",
        "/below//plain",
        "//below/plain",
        "/below/%252e%252e/plain",
        "/below/a%00b",
        "/below/%c0%ae%c0%ae/plain",
        "/below/%e0%80%ae%e0%80%ae/plain",
        "/below/%f0%80%80%ae/plain",
        "/below/../hooks/plain",
        "/below/./plain",
        "/below/%zz",
        "/below/%",
        "/below/a%0d%0ab",
        "/below/a%5cb",
        "/below/a#b",
    ] {
        cases.push(row(25, path, target(path), HeadMalformed));
    }
    for (what, path) in [
        ("a space in the target", "/below/a b"),
        ("a tab in the target", "/below/a\tb"),
        ("a control byte in the target", "/below/a\x01b"),
        ("DEL in the target", "/below/a\x7fb"),
        ("a letter beyond ASCII in the target", "/below/\u{e9}"),
        ("a quote in the target", "/below/\""),
        ("no target", ""),
    ] {
        cases.push(row(26, what, target(path), HeadMalformed));
    }
    for options in
        ["close, x-hub-signature-256", "keep-alive, Content-Length", "Host", ",Host,", "close;a", "transfer-encoding"]
    {
        let bytes = post(&format!("Connection: {options}\r\nContent-Length: 2\r\n"), "{}");
        cases.push(row(27, &format!("Connection: {options}"), bytes, ConnectionOptionInvalid));
    }
    let (good, bad) = (signature("{}"), signature("[]"));
    let line = |name: &str, value: &str| format!("{name}: {value}\r\n");
    let hub = "X-Hub-Signature-256";
    cases.extend([
        row(
            28,
            "the signature twice, equal",
            signed(&line(hub, &good).repeat(2), "{}"),
            Ends::Turned(SignatureRepeated),
        ),
        row(
            28,
            "good, then bad",
            signed(&(line(hub, &good) + &line(hub, &bad)), "{}"),
            Ends::Turned(SignatureRepeated),
        ),
        row(
            28,
            "bad, then good",
            signed(&(line(hub, &bad) + &line("x-hub-signature-256", &good)), "{}"),
            Ends::Turned(SignatureRepeated),
        ),
        row(
            29,
            "the twin with underscores",
            signed(&line("X_Hub_Signature_256", &good), "{}"),
            Ends::Turned(SignatureMissing),
        ),
        row(29, "a space behind the name", signed(&line("X-Hub-Signature-256 ", &good), "{}"), HeadMalformed),
        row(
            34,
            "CRLF spelled out in a value is text",
            post("X-A: a%0d%0aX-B: b\r\nContent-Length: 2\r\n", "{}"),
            Ends::Delivered,
        ),
        row(35, "300 fields", post(&"X-Many: a\r\n".repeat(300), ""), HeadTooLarge),
        row(35, "65 fields", post(&"X-Many: a\r\n".repeat(64), ""), HeadTooLarge),
        row(35, "a field of 900 KiB", post(&line("X-Large", &"a".repeat(900 * 1024)), ""), HeadTooLarge),
        row(35, "a target of 64 KiB", target(&format!("/below/{}", "a".repeat(64 * 1024))), HeadTooLarge),
        row(35, "a method of 40 KiB", format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(40 * 1024)), HeadTooLarge),
    ]);
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_g2() {
    run(&cases()).await;
}

/// 28 to 30, 33: a genuine request with everything beside it that a sender could forge. It is delivered, and none of that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_writes_never_passes_for_the_relays_word() {
    let rig = Rig::start(setup()).await;
    let forged = [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Forwarded",
        "Via",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Relay-Key",
        "Relay-Route",
        "Relay-Whatever",
        "X-Request-Id",
        "X_Hub_Signature_256",
        "X_Forwarded_For",
    ];
    for (protocol, body) in BOTH.into_iter().zip(["1", "2"]) {
        let call = forged
            .iter()
            .fold(Call::post("/hooks/signed").body(body), |call, name| {
                call.field(&name.to_lowercase(), "198.51.100.66")
            })
            .field("x-hub-signature-256", &signature(body));
        rig.delivers(protocol, &call).await;
        let seen = rig.app.last();
        assert!(!seen.head.contains("198.51.100.66"), "{}", seen.head);
        assert_eq!(seen.field("X-Forwarded-For"), Some("127.0.0.1"));
        assert_eq!(seen.field("Relay-Route"), Some("signed"));
    }
    rig.finish().await;
}

/// 30, 32: a list looks at the socket, whatever spelling of an admitted address the sender puts into a field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admitted_address_in_a_field_admits_nobody() {
    let routes = "[routes.listed]\npath = \"/hooks/listed\"\nallow = [\"192.0.2.0/24\"]\nverify.dangerously_none = true\n\
                  upstream = \"app\"\n[routes.open]\npath = \"/open\"\nverify.dangerously_none = true\nupstream = \"app\"\n";
    let rig = Rig::start(Setup::routes(routes)).await;
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        for value in ["192.0.2.1", "::ffff:192.0.2.1", "for=192.0.2.1", "127.0.0.1, 192.0.2.1", "0xc0.0.2.1"] {
            for protocol in BOTH {
                let call = Call::post("/hooks/listed").field(name, value);
                rig.refused(dmz_relay::domain::Refusal::AddressNotAllowed, rig.send(protocol, &call)).await;
            }
        }
    }
    rig.finish().await;
}
