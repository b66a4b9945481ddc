//! 28 and 62, to the end: what a sender writes in place of an id, and what becomes of it in dedupe memory, history, filter and
//! log. Genuine requests all of them, because an attacker may well know one route's secret.

use std::collections::BTreeSet;

use crate::harness::{BOTH, Call, Protocol, Rig, Setup, hex_hmac};
use crate::table::SECRET;
use dmz_relay::domain::Refusal;

/// A route for each place that an id may stand in: its name, and what the scheme says of the id.
const PLACES: [(&str, &str); 3] =
    [("header", "header = \"X-Id\""), ("query", "query = \"id\""), ("member", "json = \"id\"")];

fn route((name, place): (&str, &str)) -> String {
    format!(
        r#"
[routes.{name}]
path = "/hooks/{name}"
secrets = [{{ file = "secrets/signed" }}]
upstream = "app"
delivery = "direct"
dedupe = {{ window = "1h" }}
[routes.{name}.verify.hmac]
algorithm = "sha256"
signature = {{ header = "X-Signature", encoding = "hex" }}
message = "{{body}}"
dedupe = [{{ {place} }}]
"#
    )
}

async fn rig() -> Rig {
    Rig::start(Setup::stored(&PLACES.map(route).concat()).file("secrets/signed", SECRET)).await
}

fn escaped(text: &[u8]) -> String {
    text.iter().map(|byte| format!("%{byte:02X}")).collect()
}

fn signed(target: &str, body: &str) -> Call {
    Call::post(target).field("X-Signature", &hex_hmac(SECRET, body)).body(body)
}

/// The same id in each place that a scheme can read one from, with the letter that keeps the places apart.
fn everywhere(id: &str) -> [(char, Call); 3] {
    let body = serde_json::json!({ "id": id }).to_string();
    [
        ('h', signed("/hooks/header", "{}").field("X-Id", id)),
        ('q', signed(&format!("/hooks/query?id={}", escaped(id.as_bytes())), "{}")),
        ('j', signed("/hooks/member", &body)),
    ]
}

/// Whatever is visible ASCII is an id, and means nothing to anybody: it is delivered once, is a duplicate from then on, is found
/// under exactly its name, and one line of the log has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_would_mean_something_elsewhere() {
    let rig = rig().await;
    let longest = "i".repeat(256);
    let odd = [
        ".",
        "../../etc/passwd",
        "/var/lib/dmz-relay/relay.db",
        "'OR'1'='1",
        "';DROP/**/TABLE/**/events;--",
        "%",
        "_%_",
        "%00%0d%0a",
        "\"}{\"event\":\"request\"",
        "\\u0000\\n\\",
        "$(reboot)`reboot`${IFS}",
        "{{7*7}}%s%n{header:X-Id}",
        "<script>alert(1)</script>",
        "a&b=c#d?e;f",
        "null",
        "-1",
        "1e999",
        &longest,
    ];
    for id in odd {
        for (place, call) in everywhere(id) {
            let answer = rig.delivers(Protocol::H1, &call).await;
            let (delivered, inside) = (answer.id().to_owned(), rig.app.seen().len());
            let row = rig.row(&delivered).await;
            let known = format!("{place}:{id}");
            // Beside an id that nobody signs stands the signature, which is the body's.
            let whole = row.entry.dedupe.as_deref().unwrap().to_owned();
            let rest = whole.strip_prefix(&known).unwrap_or_else(|| panic!("{whole}"));
            assert!(if place == 'j' { rest.is_empty() } else { rest.starts_with(" s:") }, "{whole}");
            let mut all = vec![delivered];
            for protocol in BOTH {
                let answer = rig.send(protocol, &call).await;
                assert_eq!((answer.status, rig.app.seen().len()), (200, inside), "{known}");
                rig.row(answer.id()).await;
                all.push(answer.id().to_owned());
            }
            for id in &all {
                // A long value is cut there, and says so.
                let line = rig.log.of(id).await;
                let told = line["dedupe"].as_str().unwrap();
                assert!(whole.starts_with(told.trim_end_matches('…')) && told.len() >= whole.len().min(250), "{told}");
            }
            let fetched = rig.fetch("GET", &format!("/api/v1/events?dedupe={}", escaped(known.as_bytes()))).await;
            let page = fetched.json();
            let found = page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap());
            assert_eq!(found.collect::<BTreeSet<_>>(), all.iter().map(String::as_str).collect(), "{known}");
        }
    }
    // A signed id has a place of its own. Those that nobody signs came with one body: the first of them has one, and the body.
    assert_eq!(rig.running().state().dedupe.len(), odd.len() + 2 * 2);
    // Each line of the log is one JSON value: nobody wrote a line of his own.
    assert_eq!(rig.log.text().lines().count(), rig.log.lines().len());
    rig.finish().await;
}

/// What is no id takes no room in memory, and stands in no line and no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_none() {
    let rig = rig().await;
    let (longer, huge) = ("canary".repeat(43), "canary".repeat(11_000));
    let odd = [
        "",
        " ",
        "canary canary",
        "canary\u{0}",
        "canary\r\n\r\ncanary",
        "\u{1b}[31mcanary",
        "canary\u{7f}",
        "c\u{e4}nary-canary",
        "canary\u{202e}yranac",
        "\u{1f980}canary",
        &longer,
        &huge,
    ];
    for id in odd {
        for (place, call) in everywhere(id) {
            // What HTTP itself refuses in a field, or in all of its size, never comes this far: tests/hostile/fields.rs.
            let is_field = id.len() < 10_000 && !id.chars().any(char::is_control);
            if place == 'h' && !(is_field && id.is_ascii()) || place == 'q' && id.len() > 10_000 {
                continue;
            }
            // An empty field is no id, and neither is one of spaces, which are no part of a field's value.
            let refusal = Refusal::ShapeInvalid;
            for protocol in BOTH {
                let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
                assert_eq!(rig.row(answer.id()).await.entry.dedupe, None);
            }
        }
    }
    for body in ["{}", r#"{"di":"canary"}"#, r#"{"id":null}"#, r#"["id","canary"]"#, "canary"] {
        rig.refused(Refusal::IdMissing, rig.send(Protocol::H1, &signed("/hooks/member", body))).await;
    }
    assert!(rig.running().state().dedupe.is_empty());
    assert!(!rig.log.text().contains("canary"));
    rig.finish().await;
}

/// Two ids in one request are none, in whatever place: the application might read the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ids_or_two_signatures() {
    let rig = rig().await;
    let tag = hex_hmac(SECRET, "{}");
    let header = || signed("/hooks/header", "{}").field("X-Id", "1");
    let wrong = hex_hmac("another", "{}");
    let twice = [
        (header().field("X-Id", "1"), Refusal::SignatureRepeated),
        (header().field("x-id", "2"), Refusal::SignatureRepeated),
        (signed("/hooks/query?id=1&id=1", "{}"), Refusal::SignatureRepeated),
        (signed("/hooks/query?id=1&%69d=2", "{}"), Refusal::SignatureRepeated),
        (signed("/hooks/member", r#"{"id":"1","id":"1"}"#), Refusal::MessageIncomplete),
        (signed("/hooks/member", r#"{"id":"1","\u0069d":"2"}"#), Refusal::MessageIncomplete),
        (header().field("X-Signature", &tag), Refusal::SignatureRepeated),
        (header().field("x-signature", &wrong), Refusal::SignatureRepeated),
        (header().set("X-Signature", &wrong).field("X-SIGNATURE", &tag), Refusal::SignatureRepeated),
        (header().set("X-Signature", "").field("X-Signature", &tag), Refusal::SignatureRepeated),
        (header().set("X-Signature", &format!("{tag},{tag}")), Refusal::SignatureMalformed),
        (header().set("X-Signature", &format!("{tag} {wrong}")), Refusal::SignatureMalformed),
    ];
    for (call, refusal) in twice {
        for protocol in BOTH {
            rig.refused(refusal, rig.send(protocol, &call)).await;
        }
    }
    assert!(rig.running().state().dedupe.is_empty());
    rig.delivers(Protocol::H1, &header()).await;
    rig.finish().await;
}
