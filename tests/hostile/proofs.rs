//! G5: what passes for a signature, and what a signature is over.

use dmz_relay::domain::Refusal;
use dmz_relay::domain::Refusal::{SignatureMalformed, SignatureMismatch, SignatureMissing};

use crate::harness::{BOTH, Call, Oktave, Rig, Setup, base64_hmac, hex_hmac};
use crate::table::{Case, Ends, SECRET, row, run, setup, signature, signed};

pub fn cases() -> Vec<Case> {
    let good = hex_hmac(SECRET, "{}");
    let sha1 = "sha1=a3bd8f0c1c8e1f8fbb7d4b4b3f3b9e2f0a1b2c3d";
    let base64 = base64_hmac(SECRET, "{}");
    let other = hex_hmac("another secret", "{}");
    let empty = hex_hmac("", "{}");
    let zeros = "0".repeat(64);
    [
        ("of another secret", format!("sha256={other}"), SignatureMismatch),
        ("of the empty secret", format!("sha256={empty}"), SignatureMismatch),
        ("of another body", signature("[]"), SignatureMismatch),
        ("zeros", format!("sha256={zeros}"), SignatureMismatch),
        ("one digit short", format!("sha256={}", &good[1..]), SignatureMalformed),
        ("one byte short", format!("sha256={}", &good[2..]), SignatureMalformed),
        ("one byte long", format!("sha256={good}00"), SignatureMalformed),
        ("empty behind its prefix", "sha256=".into(), SignatureMalformed),
        ("empty", String::new(), SignatureMalformed),
        ("without its prefix", good.clone(), SignatureMalformed),
        ("with its prefix twice", format!("sha256=sha256={good}"), SignatureMalformed),
        ("with its prefix in capitals", format!("SHA256={good}"), SignatureMalformed),
        ("in base64", format!("sha256={base64}"), SignatureMalformed),
        ("with a letter that is no digit", format!("sha256={}g", &good[1..]), SignatureMalformed),
        ("with a space inside", format!("sha256={} {}", &good[..32], &good[33..]), SignatureMalformed),
        ("of a weaker algorithm", sha1.into(), SignatureMalformed),
        ("in a list with a wrong one", format!("sha256={other}, sha256={good}"), SignatureMalformed),
        ("of 8 KiB", format!("sha256={}", good.repeat(128)), SignatureMalformed),
    ]
    .into_iter()
    .map(|(what, value, refusal)| {
        let bytes = signed(&format!("X-Hub-Signature-256: {value}\r\n"), "{}");
        row(56, &format!("a signature {what}"), bytes, Ends::Turned(refusal))
    })
    .chain([row(56, "no signature", signed("", "{}"), Ends::Turned(SignatureMissing))])
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_g5() {
    run(&cases()).await;
}

/// 62: an id is of its provider's shape, or the request is none of that provider's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_odd_shape() {
    let routes = "[routes.oktave]\npath = \"/hooks/oktave\"\nprovider = \"oktave\"\n\
                  secrets = [{ file = \"secrets/oktave\" }]\nupstream = \"app\"\n";
    let rig = Rig::start(Setup::routes(routes).file("secrets/oktave", SECRET)).await;
    let id = Oktave::event(SECRET, 1).id;
    for odd in [
        String::new(),
        ".".into(),
        format!("{id}."),
        format!("{id}.1"),
        format!("{id} "),
        format!("{id},{id}"),
        id.replace('-', ""),
        "a".repeat(10 * 1024),
        "../../etc/passwd".into(),
        "' OR 1=1 --".into(),
    ] {
        for protocol in BOTH {
            let event = Oktave { id: odd.clone(), ..Oktave::event(SECRET, 1) };
            // A space at an end is no part of a field's value, so the id is the good one and what was signed is another.
            let before = rig.app.connections();
            let answer = rig.send(protocol, &event.call("/hooks/oktave")).await;
            assert_eq!((answer.status, rig.app.connections()), (401, before), "{odd:?}");
        }
    }
    rig.finish().await;
}

/// 63 to 65: the relay parses no body that it need not. What was signed goes on, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bytes() {
    let rig = Rig::start(setup()).await;
    // The head of a gzip stream that says it holds 4 GiB.
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1][..], &[0; 40], &[0xff; 4]].concat();
    let bodies: [(&str, Vec<u8>); 11] = [
        ("application/json", br#"{"a":1,"a":2}"#.to_vec()),
        ("application/json", [b"[".repeat(10_000), b"]".repeat(10_000)].concat()),
        ("application/json", b"[1e400,-0,00]".to_vec()),
        ("application/json", b"\xef\xbb\xbf{}".to_vec()),
        ("application/json", b"\xff\xfe{\0}\0".to_vec()),
        ("application/json", b"{\"a\":\"\xc0\xae\xed\xa0\x80\"}".to_vec()),
        ("application/json; charset=utf-16", b"{ } \r\n".to_vec()),
        ("application/x-www-form-urlencoded", b"payload=%7B%7D&payload=%7b%7d".to_vec()),
        ("multipart/form-data; boundary=\"a", b"--a\r\n\r\n--a--".to_vec()),
        ("text/html", b"0\r\n\r\nPOST /hooks/plain HTTP/1.1\r\n\r\n".to_vec()),
        ("application/gzip", gzip),
    ];
    for protocol in BOTH {
        for (content_type, body) in &bodies {
            // Different over the two protocols, or the second would be a duplicate of the first.
            let body = [&body[..], format!("{protocol:?}").as_bytes()].concat();
            let tag = data_encoding::HEXLOWER.encode(&{
                use hmac::{KeyInit, Mac};
                let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
                mac.update(&body);
                mac.finalize().into_bytes()
            });
            let mut call = Call::post("/hooks/signed")
                .field("content-type", content_type)
                .field("x-hub-signature-256", &format!("sha256={tag}"))
                .body(&body);
            if *content_type == "application/gzip" {
                call = call.field("content-encoding", "gzip");
            }
            rig.delivers(protocol, &call).await;
            assert_eq!(rig.app.last().body, body);
            assert_eq!(rig.app.last().field("content-type"), Some(*content_type));
        }
    }
    rig.finish().await;
}

/// 103: the secret of the table's route, and every signature that it gives, stand in no line, metric, answer or status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_ever_said() {
    let rig = Rig::start(setup()).await;
    let mut said = String::new();
    for protocol in BOTH {
        let body = format!("canary-of-a-body {protocol:?}");
        for value in [signature(&body), signature("another"), "sha256=canary-of-a-signature".into()] {
            let call = Call::post("/hooks/signed").field("x-hub-signature-256", &value).body(&body);
            said += &format!("{:?}", rig.send(protocol, &call).await);
        }
    }
    let refused = |code: Refusal| rig.counted("refused", code.code());
    assert_eq!((refused(SignatureMismatch), refused(SignatureMalformed)), (2.0, 2.0));
    said += &rig.log.text();
    said += &rig.metrics();
    said += &rig.status().await.to_string();
    said += &format!("{:?}", rig.running().state());
    let tag = signature("canary-of-a-body H1");
    for canary in ["canary", &tag["sha256=".len()..], &hex_hmac(SECRET, "another")] {
        assert!(!said.contains(canary), "{canary}");
    }
    rig.finish().await;
}
