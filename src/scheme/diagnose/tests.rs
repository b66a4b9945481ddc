//! Genuinely signed requests, changed in the way that a finding must name.
use std::sync::Arc;

use crate::base::{Secret, UnixMillis};
use crate::config::recipe::builtin;
use crate::domain::{Head, Method, Refusal, Version};
use crate::scheme::algorithm::{Algorithm, State};
use crate::scheme::{Key, PublicUrl, SignDraft, Verifier};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const ID: &str = "6f6c1a52-2f0b-4a52-8f5a-3d2f4c5b6a79";
/// In every secret; never in a finding.
const CANARY: &str = "canary7c1f9e";
const URL: &str = "https://hooks.example.com/hooks/x";
const SEVEN: [&str; 7] = ["github", "stripe", "standard-webhooks", "dastra", "oktave", "shopify", "twilio"];
/// Those whose signature covers the body.
const OF_BODY: [&str; 5] = ["github", "stripe", "standard-webhooks", "dastra", "shopify"];
const BODY: &str = r#"{"event_id":"6f6c1a52-2f0b-4a52-8f5a-3d2f4c5b6a79","b":{"é":"a/b <x>"},"a":[1,2.50,{}]}"#;

/// A secret of the recipe's form.
fn secret(recipe: &str, name: &str) -> String {
    let text = format!("{CANARY}-{name}-0123456789");
    if recipe == "standard-webhooks" {
        format!("whsec_{}", data_encoding::BASE64.encode(text.as_bytes()))
    } else {
        text
    }
}

fn verifier(recipe: &str, secrets: &[(&str, String)]) -> Verifier {
    at_url(recipe, secrets, URL)
}

fn at_url(recipe: &str, secrets: &[(&str, String)], url: &str) -> Verifier {
    let key = |(id, text): &(&str, String)| Key { id: (*id).into(), secret: Secret::new(text.clone().into_bytes()) };
    let scheme = Arc::clone(&builtin(recipe).unwrap().scheme);
    let url = scheme.needs_public_url().then(|| PublicUrl::parse(url).unwrap());
    Verifier::new(scheme, secrets.iter().map(key).collect(), url).unwrap()
}

fn ours(recipe: &str) -> Verifier {
    verifier(recipe, &[("current", secret(recipe, "ours"))])
}

/// A request on the wire.
#[derive(Clone)]
struct Wire {
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Wire {
    fn head(&self) -> Head {
        let mut head = Head::builder(Method::Post, Version::Http11).target(&self.target).host("hooks.example.com");
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        head.build()
    }

    /// Changes the value of the header that holds the signature.
    fn signature(mut self, change: impl Fn(&str) -> String) -> Self {
        let place = self
            .headers
            .iter_mut()
            .find(|(name, _)| name.to_ascii_lowercase().contains("signature") || name.contains("Hmac"));
        let (_, value) = place.unwrap();
        *value = change(value);
        self
    }

    fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

fn signed(by: &Verifier, recipe: &str, body: &str) -> Wire {
    let form = recipe == "twilio";
    let content_type = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
    let body = if form { "Body=x&From=%2B1" } else { body };
    let draft = SignDraft {
        method: Method::Post,
        path_query: "/hooks/x?a=1",
        headers: &headers,
        body: body.as_bytes(),
        id: ID,
    };
    let signed = by.sign(&draft, NOW).unwrap();
    let target = signed.target("/hooks/x?a=1");
    Wire { target, headers: [headers, signed.headers].concat(), body: signed.body }
}

/// Refused, and the first finding says these words; no finding says anything of a secret or a signature.
#[track_caller]
fn finds(by: &Verifier, wire: &Wire, others: &[(&str, &Verifier)], words: &str) {
    let head = wire.head();
    let Err(refusal) = by.verify(&head, &wire.body, NOW) else { panic!("it is genuine: {words}") };
    let found = by.diagnose(&head, Some(&wire.body), refusal, NOW, others);
    assert!(found.first().is_some_and(|first| first.contains(words)), "{refusal:?}, {words}: {found:?}");
    discreet(by, wire, &found);
}

#[track_caller]
fn discreet(by: &Verifier, wire: &Wire, found: &[String]) {
    let said = found.join("\n");
    assert!(!said.contains(CANARY) && !said.contains("whsec_Y"), "{said}");
    let right = by.sign(
        &SignDraft { method: Method::Post, path_query: &wire.target, headers: &[], body: &wire.body, id: ID },
        NOW,
    );
    let right = right.map(|signed| signed.headers).unwrap_or_default();
    for (name, value) in wire.headers.iter().chain(&right).filter(|(name, _)| name != "Content-Type") {
        for piece in value.split([',', '=', ' ']).filter(|piece| piece.len() >= 16) {
            assert!(!said.contains(piece), "{name} is shown: {said}");
        }
    }
}

#[test]
fn a_genuine_request_needs_no_diagnosis() {
    for recipe in SEVEN {
        let wire = signed(&ours(recipe), recipe, BODY);
        assert!(ours(recipe).verify(&wire.head(), &wire.body, NOW).is_ok(), "{recipe}");
    }
}

#[test]
fn the_secret_of_another_route_is_named() {
    for recipe in SEVEN {
        let theirs = verifier(recipe, &[("first", secret(recipe, "first")), ("second", secret(recipe, "theirs"))]);
        let sender = verifier(recipe, &[("x", secret(recipe, "theirs"))]);
        let wire = signed(&sender, recipe, BODY);
        let github = ours("github");
        finds(&ours(recipe), &wire, &[("alpha", &github), ("beta", &theirs)], "secret of route `beta` (key `second`)");
    }
}

#[test]
fn a_wrong_secret_is_said_to_be_one() {
    for recipe in SEVEN {
        let sender = verifier(recipe, &[("x", secret(recipe, "strange"))]);
        let (by, wire) = (ours(recipe), signed(&sender, recipe, BODY));
        let found = by.diagnose(&wire.head(), Some(&wire.body), Refusal::SignatureMismatch, NOW, &[]);
        assert!(found.iter().any(|line| line.contains("no secret of any route, in any form")), "{recipe}: {found:?}");
        discreet(&by, &wire, &found);
    }
}

#[test]
fn blanks_around_a_secret_are_seen() {
    for recipe in SEVEN.into_iter().filter(|recipe| *recipe != "standard-webhooks") {
        let wire = signed(&ours(recipe), recipe, BODY);
        for (written, words) in [
            (format!("{}\n", secret(recipe, "ours")), "without the blanks or line ends around it"),
            (format!(" {}\r", secret(recipe, "ours")), "without the blanks or line ends around it"),
            (format!("\"{}\"", secret(recipe, "ours")), "without the quotation marks around it"),
        ] {
            finds(&verifier(recipe, &[("current", written)]), &wire, &[], words);
        }
        let sender = verifier(recipe, &[("x", format!("{}\n", secret(recipe, "ours")))]);
        finds(&ours(recipe), &signed(&sender, recipe, BODY), &[], "with a line feed behind it");
    }
}

#[test]
fn a_secret_that_should_or_should_not_be_decoded_is_seen() {
    let text = format!("{CANARY}-ours-0123456789");
    let plain = |text: &str| vec![("current", text.to_owned())];
    for recipe in ["github", "stripe", "dastra", "oktave", "shopify", "twilio"] {
        let wire = signed(&verifier(recipe, &plain(&text)), recipe, BODY);
        for (encoded, words) in [
            (data_encoding::BASE64.encode(text.as_bytes()), "decoded from base64"),
            (data_encoding::HEXUPPER.encode(text.as_bytes()), "decoded from hex"),
            (format!("whsec_{text}"), "without its prefix `whsec_`"),
            (
                format!("whsec_{}", data_encoding::BASE64.encode(text.as_bytes())),
                "without its prefix `whsec_` and decoded from base64",
            ),
        ] {
            finds(&verifier(recipe, &plain(&encoded)), &wire, &[], words);
        }
    }
    // The other way round: a sender that keys its hash with the text.
    let recipe = "standard-webhooks";
    let bare = data_encoding::BASE64.encode(text.as_bytes());
    for (key, words) in [
        (format!("whsec_{bare}"), "with its prefix left on and taken as text and not decoded from base64"),
        (bare.clone(), "taken as text and not decoded from base64"),
    ] {
        let sender = verifier(recipe, &plain(&data_encoding::BASE64.encode(key.as_bytes())));
        finds(&verifier(recipe, &plain(&format!("whsec_{bare}"))), &signed(&sender, recipe, BODY), &[], words);
    }
}

#[test]
fn a_body_that_was_written_anew_is_recognised() {
    // Arrays, because the signer puts the id that Stripe's events have into an object.
    let compact = r#"[{"b":{"é":"a/b <x>"},"a":[1,2.50,{}]}]"#;
    let python = r#"[{"b": {"\u00e9": "a/b <x>"}, "a": [1, 2.50, {}]}]"#;
    let sorted = r#"[{"a":[1,2.50,{}],"b":{"é":"a/b <x>"}}]"#;
    let two = "[\n  {\n    \"b\": {\n      \"é\": \"a/b <x>\"\n    },\n    \"a\": [\n      1,\n      2.50,\n      {}\n    ]\n  }\n]";
    let four = two.replace("  ", "    ");
    for recipe in OF_BODY {
        let by = ours(recipe);
        for (sent, came, words) in [
            (
                python,
                compact,
                "behind each comma and colon, as Python writes it, with other than ASCII characters escaped",
            ),
            (compact, python, "the same JSON without blanks, with every character written as itself"),
            (two, compact, "indented by two blanks"),
            (&format!("{two}\n"), compact, "indented by two blanks, with a line feed at its end"),
            (&four, compact, "indented by four blanks"),
            (sorted, two, "without blanks, with its keys sorted"),
            (r#"["a\/b"]"#, r#"["a/b"]"#, "with slashes escaped, as PHP writes them"),
            (r#"["a/b"]"#, r#"["a\/b"]"#, "with slashes not escaped"),
            (r#"["\u00e9"]"#, r#"["é"]"#, "characters escaped, as in \\u00e9"),
            (r#"["é"]"#, r#"["\u00E9"]"#, "with every character written as itself"),
            (r#"["\u003cx\u003e"]"#, r#"["<x>"]"#, "with <, > and & escaped"),
        ] {
            finds(&by, &signed(&by, recipe, sent).with_body(came), &[], words);
        }
    }
}

#[test]
fn the_ends_of_a_body_and_its_lines_are_looked_at() {
    for recipe in OF_BODY {
        let by = ours(recipe);
        for (sent, came, words) in [
            ("[]", "[]\n", "without the line end behind it"),
            ("[]", "[]\r\n", "without the line end behind it"),
            ("[]\n", "[]", "with a line feed at its end"),
            ("[]\r\n", "[]", "with a carriage return and a line feed at its end"),
            ("[]", "\u{feff}[]", "without the byte order mark before it"),
            ("\u{feff}[]", "[]", "with a byte order mark before it"),
            ("[\r\n]", "[\n]", "with CRLF line ends instead of LF"),
            ("[\n]", "[\r\n]", "with LF line ends instead of CRLF"),
            ("a=1\nb", "a=1\r\nb", "with LF line ends instead of CRLF"),
            ("", "[]", "empty"),
        ] {
            finds(&by, &signed(&by, recipe, sent).with_body(came), &[], words);
        }
    }
}

#[test]
fn a_length_that_the_body_has_not_is_told() {
    for recipe in OF_BODY {
        let by = ours(recipe);
        let mut wire = signed(&by, recipe, "[\"a\",1]");
        wire.headers.push(("Content-Length".to_owned(), "7".to_owned()));
        finds(&by, &wire.clone().with_body("[\"a\",1]tail"), &[], "only its first 7 bytes");
        let cut = wire.with_body("[\"a\"");
        let found = by.diagnose(&cut.head(), Some(&cut.body), Refusal::SignatureMismatch, NOW, &[]);
        assert!(found.iter().any(|line| line.contains("says 7 bytes and the body here has 4")), "{found:?}");
    }
}

#[test]
fn a_digest_of_another_body_is_recognised() {
    let by = ours("twilio");
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let draft =
        SignDraft { method: Method::Post, path_query: "/hooks/x", headers: &headers, body: b"{\"a\": 1}", id: ID };
    let signed = by.sign(&draft, NOW).unwrap();
    let wire = Wire {
        target: signed.target("/hooks/x"),
        headers: [headers, signed.headers].concat(),
        body: b"{\"a\":1}".to_vec(),
    };
    finds(&by, &wire, &[], "with a blank behind each comma and colon");
}

#[test]
fn a_signature_in_another_writing_is_read() {
    let upper = |value: &str| {
        let (start, hex) = value.split_at(value.rfind('=').unwrap() + 1);
        format!("{start}{}", hex.to_ascii_uppercase())
    };
    for recipe in ["github", "stripe"] {
        let by = ours(recipe);
        let wire = signed(&by, recipe, BODY);
        finds(&by, &wire.clone().signature(upper), &[], "written in hex-upper where the scheme has hex");
    }
    let by = ours("oktave");
    let wire = signed(&by, "oktave", BODY);
    finds(&by, &wire.clone().signature(str::to_ascii_uppercase), &[], "written in hex-upper where the scheme has hex");
    finds(
        &by,
        &wire.signature(|value| format!("sha256={value}")),
        &[],
        "prefix `sha256=` where the scheme has no prefix",
    );
    let by = ours("github");
    let wire = signed(&by, "github", BODY);
    finds(&by, &wire.clone().signature(|value| value.replace("sha256=", "")), &[], "its prefix `sha256=` is missing");
    finds(&by, &wire.signature(|value| format!("\"{value}\"")), &[], "quotation marks around it");
    for recipe in ["dastra", "shopify", "twilio"] {
        let by = ours(recipe);
        let wire = signed(&by, recipe, BODY);
        let bytes = |value: &str| data_encoding::BASE64.decode(value.as_bytes()).unwrap();
        finds(
            &by,
            &wire.clone().signature(|value| data_encoding::HEXLOWER.encode(&bytes(value))),
            &[],
            "written in hex where the scheme has base64",
        );
        finds(
            &by,
            &wire.clone().signature(|value| data_encoding::BASE64URL_NOPAD.encode(&bytes(value))),
            &[],
            "where the scheme has base64",
        );
        finds(&by, &wire.signature(|value| format!("sha1={value}")), &[], "prefix `sha1=`");
    }
    let by = ours("standard-webhooks");
    let wire = signed(&by, "standard-webhooks", BODY);
    finds(&by, &wire.clone().signature(|value| value.replace("v1,", "")), &[], "stands alone instead of in a list");
    let by = ours("stripe");
    let wire = signed(&by, "stripe", BODY);
    finds(&by, &wire.signature(|value| value.replace("v1=", "v0=")), &[], "it is not the item v1 of its list");
}

/// The sender's library hashes with another function.
#[test]
fn another_algorithm_is_recognised() {
    for (recipe, algorithm, words) in [
        ("github", Algorithm::Sha1, "with sha1 where the scheme has sha256"),
        ("github", Algorithm::Sha512, "with sha512 where the scheme has sha256"),
        ("dastra", Algorithm::Sha512, "with sha512 where the scheme has sha256"),
        ("shopify", Algorithm::Sha1, "with sha1 where the scheme has sha256"),
    ] {
        let by = ours(recipe);
        let wire = signed(&by, recipe, BODY);
        let mut state = State::keyed(algorithm, secret(recipe, "ours").as_bytes()).unwrap();
        state.update(&wire.body);
        let tag = state.finish();
        let text = match recipe {
            "github" => format!("sha256={}", data_encoding::HEXLOWER.encode(tag.as_bytes())),
            _ => data_encoding::BASE64.encode(tag.as_bytes()),
        };
        finds(&by, &wire.signature(|_| text.clone()), &[], words);
    }
}

#[test]
fn another_public_url_is_recognised() {
    for recipe in ["twilio", "square"] {
        for (registered, words) in [
            ("http://hooks.example.com/hooks/x", "with http://"),
            ("https://hooks.example.com/hooks/x/", "with a slash at its end"),
            ("http://hooks.example.com/hooks/x/", "with http://, with a slash at its end"),
        ] {
            let sender = at_url(recipe, &[("x", secret(recipe, "ours"))], registered);
            finds(&ours(recipe), &signed(&sender, recipe, BODY), &[], words);
        }
    }
    // Twilio's port is forgiven, Square's is not.
    let sender = at_url("square", &[("x", secret("square", "ours"))], "https://hooks.example.com:443/hooks/x");
    finds(&ours("square"), &signed(&sender, "square", BODY), &[], "with the port :443");
    let portly = at_url("square", &[("current", secret("square", "ours"))], "https://hooks.example.com:8443/hooks/x");
    let wire = signed(&ours("square"), "square", BODY);
    finds(&portly, &wire, &[], "without its port");
    let bare = Wire { target: "/hooks/x".to_owned(), ..wire.clone() };
    let queried = Wire { target: "/hooks/x?b=2".to_owned(), ..signed_without_query() };
    assert!(ours("square").verify(&bare.head(), &bare.body, NOW).is_err());
    finds(&ours("square"), &queried, &[], "without its query");
}

fn signed_without_query() -> Wire {
    let draft = SignDraft { method: Method::Post, path_query: "/hooks/x", headers: &[], body: BODY.as_bytes(), id: ID };
    let signed = ours("square").sign(&draft, NOW).unwrap();
    Wire { target: "/hooks/x".to_owned(), headers: signed.headers, body: signed.body }
}

#[test]
fn a_time_that_is_wrong_is_measured() {
    for (recipe, header) in [("stripe", ""), ("standard-webhooks", "webhook-timestamp"), ("oktave", "Oktave-Timestamp")]
    {
        let by = ours(recipe);
        let at = |now: UnixMillis| {
            let wire = signed(&by, recipe, BODY);
            let head = wire.head();
            let refusal = by.verify(&head, &wire.body, now).unwrap_err();
            (refusal, by.diagnose(&head, Some(&wire.body), refusal, now, &[]))
        };
        let (refusal, found) = at(UnixMillis(NOW.0 + 2 * 3_600_000 + 7_000));
        assert_eq!(refusal, Refusal::TimestampStale);
        assert!(
            found[0].contains("clock that is 2 h behind ours") && found[1].contains("may send a local time as UTC"),
            "{found:?}"
        );
        let (refusal, found) = at(UnixMillis(NOW.0 - 1_000_000));
        assert_eq!(refusal, Refusal::TimestampAhead);
        assert!(found[0].contains("wrong by about 16 min 40 s") && found.len() == 1, "{found:?}");
        let mut millis = signed(&by, recipe, BODY);
        for (name, value) in &mut millis.headers {
            if name == header {
                value.push_str("000");
            } else if header.is_empty() {
                *value = value.replace(",v1", "000,v1");
            }
        }
        finds(&by, &millis, &[], "written as unix-ms where the scheme has unix");
    }
}

#[test]
fn a_signature_that_is_not_there_is_looked_for() {
    let by = ours("github");
    let stripe = ours("stripe");
    let wire = signed(&stripe, "stripe", BODY);
    finds(
        &by,
        &wire,
        &[("payments", &stripe)],
        "route `payments` would take it as genuine: the sender calls the wrong URL",
    );
    finds(&by, &wire, &[], "`Stripe-Signature`, which this scheme does not read");
    let bare = Wire { headers: vec![("Content-Type".into(), "application/json".into())], ..wire };
    finds(&by, &bare, &[], "no header looks like a signature");
    let mut partial = signed(&ours("standard-webhooks"), "standard-webhooks", BODY);
    partial.headers.retain(|(name, _)| name != "webhook-id");
    let by = ours("standard-webhooks");
    let refusal = by.verify(&partial.head(), &partial.body, NOW).unwrap_err();
    discreet(&by, &partial, &by.diagnose(&partial.head(), Some(&partial.body), refusal, NOW, &[]));
}

#[test]
fn tokens_have_findings_of_their_own() {
    let key = format!("{CANARY}+token/0123456789");
    let by = verifier("octolis", &[("current", key.clone())]);
    let wire = |target: &str, headers: &[(&str, &str)]| Wire {
        target: target.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: b"{}".to_vec(),
    };
    let encoded = key.replace('+', "%2B");
    assert!(by.verify(&wire(&format!("/?api-key={encoded}"), &[]).head(), b"{}", NOW).is_ok());
    finds(&by, &wire(&format!("/?api-key={key}"), &[]), &[], "plus signs became blanks");
    finds(&by, &wire(&format!("/?api-key={encoded}%20"), &[]), &[], "with blanks around it");
    finds(&by, &wire(&format!("/?api-key={}", encoded.replace('%', "%25")), &[]), &[], "percent-encoded once more");
    finds(&by, &wire("/", &[("X-Api-Key", &key)]), &[], "`X-Api-Key`, which this scheme does not read");
    let found = by.diagnose(
        &wire("/", &[("Authorization", &format!("Bearer {key}"))]).head(),
        Some(b"{}"),
        Refusal::SignatureMissing,
        NOW,
        &[],
    );
    assert!(
        found.iter().any(|line| line.contains("in the header Authorization; the route reads query parameter api-key")),
        "{found:?}"
    );
    let found =
        by.diagnose(&wire(&format!("/?key={encoded}"), &[]).head(), Some(b"{}"), Refusal::SignatureMissing, NOW, &[]);
    assert!(found.iter().any(|line| line.contains("in the query parameter key")), "{found:?}");
    let blank = verifier("octolis", &[("current", format!("{key}\n"))]);
    finds(&blank, &wire(&format!("/?api-key={encoded}"), &[]), &[], "write our secret without that");
    let other = verifier("octolis", &[("theirs", format!("{CANARY}-other"))]);
    finds(
        &by,
        &wire(&format!("/?api-key={CANARY}-other"), &[]),
        &[("b", &other)],
        "secret of route `b` (key `theirs`)",
    );
    finds(&by, &wire("/?api-key=nothing-known-0123456789", &[]), &[], "no secret of any route is this token");
}

/// The work for a large body stays within its bounds, and says so.
#[test]
fn a_large_body_costs_a_bounded_diagnosis() {
    let by =
        verifier("github", &[("a", secret("github", "a")), ("b", secret("github", "b")), ("c", secret("github", "c"))]);
    let mut wire = signed(&by, "github", "{}");
    wire.body = format!("[{}1]", "\"é/\",".repeat(120_000)).into_bytes();
    let found = by.diagnose(&wire.head(), Some(&wire.body), Refusal::SignatureMismatch, NOW, &[]);
    assert!(found[0].contains("more to try than one diagnosis may cost"), "{found:?}");
    wire.body = vec![b'x'; super::MAX_BODY + 1];
    let found = by.diagnose(&wire.head(), Some(&wire.body), Refusal::SignatureMismatch, NOW, &[]);
    assert!(found[0].contains("larger than 1 MiB"), "{found:?}");
    wire.headers = vec![("X-Hub-Signature-256".into(), "sha256=".repeat(2000))];
    let found = by.diagnose(&wire.head(), Some(&wire.body), Refusal::SignatureMalformed, NOW, &[]);
    assert!(found[0].contains("not the length of any signature"), "{found:?}");
}
