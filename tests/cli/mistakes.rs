//! Mistakes that people make when they set a webhook up: `explain` and `verify` name each of them, in words.

use std::fmt::Write as _;

use aws_lc_rs::hmac;

use super::harness::{CANARY, Installation, Said, binary, said};

const NOW: u64 = 1_767_225_600;
const TYPE: &str = "Content-Type: application/json";
const BODY: &str = r#"{"id":"evt_1","n":[1.0,2],"name":"é"}"#;

/// Routes of many providers, each with a secret of its own.
fn installation() -> Installation {
    let installation = Installation::new("http://127.0.0.1:9");
    let mut text = installation.read("relay.toml");
    for (name, provider, more) in [
        ("twilio", "twilio", "public_url = \"https://hooks.example.com/hooks/twilio\"\n"),
        ("square", "square", "public_url = \"https://hooks.example.com/hooks/square\"\n"),
        ("gitlab", "gitlab", ""),
        ("standard", "standard-webhooks", ""),
        ("bitbucket", "bitbucket", ""),
        ("slack", "slack", ""),
        ("inside", "github", "host = \"inside.example.com\"\n"),
    ] {
        installation.secret(name, &secret(name));
        let _ = write!(
            text,
            "\n[routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"{provider}\"\n\
             secrets = [{{ file = \"{name}\" }}]\nupstream = \"application\"\n{more}"
        );
    }
    for name in ["github", "stripe"] {
        installation.secret(name, &secret(name));
    }
    installation.write("relay.toml", &text);
    installation
}

fn secret(name: &str) -> String {
    let text = format!("{CANARY}-{name}-secret");
    if name == "standard" { format!("whsec_{}", data_encoding::BASE64.encode(text.as_bytes())) } else { text }
}

fn tag(algorithm: hmac::Algorithm, name: &str, parts: &[&[u8]]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, format!("{CANARY}-{name}-secret").as_bytes());
    hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

fn hex(name: &str, parts: &[&[u8]]) -> String {
    data_encoding::HEXLOWER.encode(&tag(hmac::HMAC_SHA256, name, parts))
}

fn base64(algorithm: hmac::Algorithm, name: &str, parts: &[&[u8]]) -> String {
    data_encoding::BASE64.encode(&tag(algorithm, name, parts))
}

/// GitHub's header for a body.
fn github(body: &[u8]) -> String {
    format!("X-Hub-Signature-256: sha256={}", hex("github", &[body]))
}

/// A captured request to a route's own path.
struct Mistake<'m> {
    route: &'m str,
    query: &'m str,
    host: &'m str,
    headers: Vec<String>,
    body: Vec<u8>,
    at: u64,
}

impl<'m> Mistake<'m> {
    fn new(route: &'m str, headers: &[&str], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        Self { route, query: "", host: "localhost", headers, body: body.into(), at: NOW }
    }

    fn capture(&self) -> Vec<u8> {
        let mut head = format!("POST /hooks/{}{} HTTP/1.1\r\nHost: {}\r\n", self.route, self.query, self.host);
        for header in &self.headers {
            let _ = write!(head, "{header}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    fn run(&self, installation: &Installation, arguments: &[&str], columns: Option<&str>) -> Said {
        std::fs::write(installation.path("captured"), self.capture()).unwrap();
        let mut command = binary();
        command.args(arguments).args(["--request", &installation.path("captured"), "--at", &self.at.to_string()]);
        command.args(["--config", &installation.config()]).envs(columns.map(|columns| ("COLUMNS", columns)));
        said(command.output().unwrap())
    }

    /// Both commands refuse it, name the mistake, say nothing misleading, show no signature, and fit the terminal.
    #[track_caller]
    fn named(&self, installation: &Installation, words: &[&str], never: &[&str]) {
        for arguments in [&["explain"][..], &["verify", "--route", self.route]] {
            let said = self.run(installation, arguments, None).exits(1);
            for words in words {
                assert!(said.out.contains(words), "{arguments:?}: {words} in\n{}{}", said.out, said.err);
            }
            for words in never {
                assert!(!said.out.contains(words), "{arguments:?}: {words} in\n{}", said.out);
            }
            self.discreet(&said);
            for line in self.run(installation, arguments, Some("80")).exits(1).out.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {} columns: {line}", line.chars().count());
            }
        }
    }

    /// No value of a header that could be a signature or a token is repeated.
    #[track_caller]
    fn discreet(&self, said: &Said) {
        let values = self
            .headers
            .iter()
            .filter(|header| !header.starts_with("Content-"))
            .filter_map(|header| header.split_once(": "));
        for piece in values.flat_map(|(_, value)| value.split([',', '=', ' '])).filter(|piece| piece.len() >= 16) {
            assert!(!said.out.contains(piece), "{piece} in\n{}", said.out);
        }
    }
}

/// E1.
#[test]
fn a_header_with_another_version_of_the_signature_is_there() {
    let installation = installation();
    let signature = hex("stripe", &[b"1767225600.", BODY.as_bytes()]);
    for version in ["v1a", "v0"] {
        let header = format!("Stripe-Signature: t={NOW},{version}=00{}", &signature[2..]);
        Mistake::new("stripe", &[TYPE, &header], BODY).named(
            &installation,
            &["header Stripe-Signature is there, but holds only ", version, "the scheme takes v1 alone"],
            &["there is no header"],
        );
    }
    let header = format!("Stripe-Signature: t={NOW},v1a={signature}");
    let said = Mistake::new("stripe", &[TYPE, &header], BODY).run(&installation, &["explain"], None);
    assert!(said.out.contains("holds only v1a;"), "the time is no signature: {}", said.out);
    let value = base64(hmac::HMAC_SHA256, "strange", &[BODY.as_bytes()]);
    let headers = ["webhook-id: msg_1", "webhook-timestamp: 1767225600", &format!("webhook-signature: v1a,{value}")];
    Mistake::new("standard", &headers, BODY).named(
        &installation,
        &["holds only v1a; the scheme takes v1 alone", "v1a is made with a private key (Ed25519)"],
        &["there is no header"],
    );
}

/// E2.
#[test]
fn a_signature_over_another_url_shows_the_url_that_was_used_and_the_key_to_set() {
    let installation = installation();
    let form = "Body=x&From=%2B1";
    let twilio = |url: &str| {
        let value = base64(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, "twilio", &[url.as_bytes(), b"BodyxFrom+1"]);
        format!("X-Twilio-Signature: {value}")
    };
    let square = |url: &str| {
        let value = base64(hmac::HMAC_SHA256, "square", &[url.as_bytes(), BODY.as_bytes()]);
        format!("x-square-hmacsha256-signature: {value}")
    };
    let form_type = "Content-Type: application/x-www-form-urlencoded";
    for (signed, query, words) in [
        ("https://localhost/hooks/twilio?a=1&b=2", "?a=1&b=2", "with the host that the request names"),
        ("https://hooks.example.com/hooks/twilio?b=2&a=1", "?a=1&b=2", "with its query in another order"),
        ("https://hooks.example.com/hooks/twilio", "?a=1&b=2", "without its query"),
        ("http://hooks.example.com/hooks/twilio/", "", "with a slash at its end"),
        ("https://elsewhere.example/rewritten", "?a=1&b=2", "the commonest causes"),
    ] {
        let mistake = Mistake { query, ..Mistake::new("twilio", &[form_type, &twilio(signed)], form) };
        let used = "https://hooks.example.com/hooks/twilio";
        mistake.named(&installation, &[words, used, "`public_url`"], &[]);
        let mistake = Mistake { query, ..Mistake::new("square", &[TYPE], BODY) };
        let signed = signed.replace("twilio", "square");
        let mistake = Mistake { headers: vec![TYPE.to_owned(), square(&signed)], ..mistake };
        mistake.named(&installation, &[words, "https://hooks.example.com/hooks/square", "`public_url`"], &[]);
    }
}

/// E3.
#[test]
fn a_wrong_host_names_the_route_that_has_the_path() {
    let installation = installation();
    let header = format!("X-Hub-Signature-256: sha256={}", hex("inside", &[BODY.as_bytes()]));
    let mistake = Mistake::new("inside", &[TYPE, &header], BODY);
    let said = mistake.run(&installation, &["explain"], None).exits(1);
    let words = "→ route `inside` has this path, for host inside.example.com only: the host differs; the request names \
                 localhost";
    assert!(said.out.contains(words), "{}", said.out);
    assert!(!said.out.contains("the nearest routes"), "{}", said.out);
    let mistake = Mistake { host: "inside.example.com", ..mistake };
    mistake.run(&installation, &["verify", "--route", "inside"], None).exits(0);
}

/// E4.
#[test]
fn a_signing_token_at_a_route_for_secret_tokens_is_named() {
    let installation = installation();
    let value = base64(hmac::HMAC_SHA256, "gitlab", &[b"id.1767225600.", BODY.as_bytes()]);
    let signed = format!("webhook-signature: v1,{value}");
    let headers = [TYPE, "X-Gitlab-Event: Push Hook", "webhook-id: f5a1-1", "webhook-timestamp: 1767225600", &signed];
    Mistake::new("gitlab", &headers, BODY).named(
        &installation,
        &["header webhook-signature holds", "signing token", "the route reads header X-Gitlab-Token"],
        &["calls the wrong URL"],
    );
}

/// E5.
#[test]
fn a_sha_1_signature_alone_is_not_taken_and_nobody_is_sent_to_another_provider() {
    let installation = installation();
    let value = data_encoding::HEXLOWER.encode(&tag(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, "github", &[BODY.as_bytes()]));
    let headers = [TYPE, "X-GitHub-Event: push", &format!("X-Hub-Signature: sha1={value}")];
    Mistake::new("github", &headers, BODY).named(
        &installation,
        &[
            "header X-Hub-Signature holds a SHA-1 signature, which alone is not taken",
            "key `file:github` gives it, so the secret is right",
        ],
        &["bitbucket", "calls the wrong URL"],
    );
}

/// E6.
#[test]
fn an_hour_old_retry_is_first_of_all_a_retry() {
    let installation = installation();
    let signature = hex("stripe", &[b"1767225600.", BODY.as_bytes()]);
    let header = format!("Stripe-Signature: t={NOW},v1={signature}");
    let mistake = Mistake { at: NOW + 3600, ..Mistake::new("stripe", &[TYPE, &header], BODY) };
    mistake.named(
        &installation,
        &[
            "it is 55 min too old: a retry that says the time of its first attempt",
            "Stripe sends a request again for up to 3 d",
        ],
        &[],
    );
    let said = mistake.run(&installation, &["explain"], None).exits(1);
    let at = |words: &str| said.out.find(words).unwrap_or_else(|| panic!("{words} in {}", said.out));
    assert!(at("a retry that says") < at("it may send a local time as UTC"), "{}", said.out);
}

/// E7.
#[test]
fn a_body_that_was_recoded_cut_or_compressed_is_named() {
    let installation = installation();
    let latin: Vec<u8> = BODY.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
    let gzip = [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"[..], b"binary"].concat();
    for (sent, came, words) in [
        (BODY.as_bytes().to_vec(), latin.clone(), "the same text in UTF-8 instead of ISO-8859-1 or Windows-1252"),
        (latin, BODY.as_bytes().to_vec(), "the same text in ISO-8859-1 or Windows-1252 instead of UTF-8"),
        (BODY.into(), BODY.replace('é', "Ã©").into(), "before it was encoded in UTF-8 a second time"),
        (BODY.into(), BODY.replace("1.0", "1").into(), "with its numbers written otherwise, as 1.0 for 1"),
        (BODY.replace("1.0", "1").into(), BODY.into(), "with its numbers written otherwise, as 1.0 for 1"),
        (BODY.into(), BODY.replace('é', "\u{fffd}").into(), "the character U+FFFD"),
        (BODY.into(), gzip, "the body is compressed (gzip)"),
        (BODY.into(), BODY[..20].into(), "its end was cut off"),
        ("a=x%20y".into(), "a=x+y".into(), "with blanks written as %20 instead of +"),
        ("a=x+y".into(), "a=x%20y".into(), "with blanks written as + instead of %20"),
    ] {
        Mistake::new("github", &[TYPE, &github(&sent)], came).named(&installation, &[words], &[]);
    }
    for (header, words) in [
        ("Content-Encoding: gzip", "Content-Encoding says gzip, and the body here is not compressed"),
        ("Content-Encoding: br", "Content-Encoding says br, and the body here is not compressed"),
    ] {
        Mistake::new("github", &[TYPE, header, &github(b"other")], BODY).named(&installation, &[words], &[]);
    }
    let charset = "Content-Type: application/json; charset=iso-8859-15";
    Mistake::new("github", &[charset, &github("{\"id\":\"\u{a4}\"}".as_bytes())], BODY).named(
        &installation,
        &["Content-Type says the character set iso-8859-15"],
        &[],
    );
}

/// E7, of the secret.
#[test]
fn a_secret_file_with_more_in_it_than_the_secret_is_named() {
    let installation = installation();
    let plain = secret("github");
    let wide: Vec<u8> = [0xfeff].into_iter().chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (written, words) in [
        (format!("\u{feff}{plain}").into_bytes(), "without the byte order mark before it"),
        (wide, "read as UTF-16, which its file is written in"),
        (format!("GITHUB_SECRET={plain}").into_bytes(), "without the NAME= before it"),
        (
            format!("export GITHUB_SECRET=\"{plain}\"").into_bytes(),
            "without the NAME= before it and its quotation marks",
        ),
        (format!("\"{plain}\"").into_bytes(), "without the quotation marks around it"),
        (format!("'{plain}'").into_bytes(), "without the quotation marks around it"),
        (format!("  {plain}").into_bytes(), "without the blanks or line ends around it"),
    ] {
        std::fs::write(installation.path("github"), &written).unwrap();
        Mistake::new("github", &[TYPE, &github(BODY.as_bytes())], BODY).named(&installation, &[words], &[]);
        let token = secret("gitlab").replace("gitlab", "github");
        std::fs::write(installation.path("gitlab"), &written).unwrap();
        Mistake::new("gitlab", &[TYPE, &format!("X-Gitlab-Token: {token}")], BODY).named(&installation, &[words], &[]);
    }
}

/// E8.
#[test]
fn an_id_of_another_shape_is_described_in_words() {
    let installation = installation();
    let value = base64(hmac::HMAC_SHA256, "standard", &[b"evt:1.1767225600.", BODY.as_bytes()]);
    let headers = ["webhook-id: evt:1", "webhook-timestamp: 1767225600", &format!("webhook-signature: v1,{value}")];
    Mistake::new("standard", &headers, BODY).named(
        &installation,
        &[
            "header webhook-id must be 1 to 256 letters, digits, hyphens and underscores",
            "the character `:` at position 4",
        ],
        &["header:webhook-id", "is token"],
    );
}

/// E9.
#[test]
fn two_signatures_in_one_field_are_said_to_be_two() {
    let installation = installation();
    let signature = format!("sha256={}", hex("github", &[BODY.as_bytes()]));
    for between in [", ", ","] {
        let header = format!("X-Hub-Signature-256: {signature}{between}{signature}");
        Mistake::new("github", &[TYPE, &header], BODY).named(
            &installation,
            &["header X-Hub-Signature-256 has 2 values in one field", "joined by commas"],
            &["its prefix"],
        );
    }
    let token = secret("gitlab");
    Mistake::new("gitlab", &[TYPE, &format!("X-Gitlab-Token: {token}, {token}")], BODY).named(
        &installation,
        &["in one field", "joined by commas"],
        &[],
    );
}

/// E10.
#[test]
fn a_token_that_does_not_match_is_not_blamed_on_the_body() {
    let installation = installation();
    Mistake::new("gitlab", &[TYPE, "X-Gitlab-Token: something-entirely-else"], BODY).named(
        &installation,
        &["nothing of the request is signed, so its body is not the cause"],
        &["re-encoded", "rewritten", "re-written"],
    );
}
