//! `verify`: every published vector, and what cannot be used.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use dmz_relay::config::recipe::{builtin, builtin_names};
use serde::Deserialize;
use serde_json::json;

use super::harness::{CANARY, Installation, Said, relay, relay_reading};

#[derive(Deserialize)]
struct File {
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    expect: String,
    scheme: Option<String>,
    secrets: Vec<String>,
    method: String,
    target: String,
    public_url: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    at: i64,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

impl Vector {
    fn raw(&self) -> String {
        let mut raw = format!("{} {} HTTP/1.1\r\nHost: relay.example\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(raw, "{name}: {value}\r\n");
        }
        raw + "\r\n" + &self.body
    }
}

/// The whole way of each: secret files, a captured request, an exit code and a reason.
#[test]
fn every_published_vector_comes_out_as_published() {
    let installation = Installation::new("http://127.0.0.1:9");
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    for name in builtin_names() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("providers/{name}/vectors.toml"));
        let file: File = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for vector in file.vector.iter().filter(|vector| vector.scheme.is_none()) {
            let mut arguments: Vec<String> =
                ["verify", "--provider", name, "--request", "-", "--format", "json", "--at"]
                    .map(str::to_owned)
                    .to_vec();
            arguments.push(vector.at.to_string());
            for (index, secret) in vector.secrets.iter().enumerate() {
                installation.secret(&format!("secret-{index}"), secret);
                let public = builtin(name).unwrap().scheme.takes_public_keys();
                let option = if public { "--public-key" } else { "--secret-file" };
                let file = installation.path(&format!("secret-{index}"));
                let named = public && vector.headers.iter().any(|(_, value)| value.starts_with("key-"));
                let id = vector.ids.get(index).cloned().or_else(|| named.then(|| format!("key-{index}")));
                arguments.extend([option.to_owned(), id.map_or(file.clone(), |id| format!("{id}={file}"))]);
            }
            for (name, value) in &vector.claims {
                arguments.extend(["--claim".to_owned(), format!("{name}={value}")]);
            }
            arguments.extend(vector.public_url.iter().flat_map(|url| ["--url".to_owned(), url.clone()]));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = relay_reading(&arguments, vector.raw().as_bytes());
            let genuine = vector.expect == "genuine";
            let context = format!("{name}: {}\n{}{}", vector.name, said.out, said.err);
            assert_eq!(said.code, i32::from(!genuine), "{context}");
            let verdict = said.json();
            assert_eq!(verdict["genuine"], json!(genuine), "{context}");
            let reason = if genuine { json!(null) } else { json!(vector.expect) };
            assert_eq!(verdict["reason"], reason, "{context}");
            *ran.entry((*name).to_owned()).or_default() += 1;
        }
    }
    assert!(ran.values().all(|count| *count > 0) && ran.len() >= 18, "{ran:?}");
}

const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// GitHub's documented example.
fn github(installation: &Installation, body: &str, arguments: &[&str]) -> Said {
    installation.secret("documented", "It's a Secret to Everybody");
    let request = format!("POST /hooks/github HTTP/2\nHost: h\nX-Hub-Signature-256: sha256={SIGNATURE}\n\n{body}");
    installation.write("request", &request);
    let (secret, request) = (installation.path("documented"), installation.path("request"));
    let fixed = ["verify", "--provider", "github", "--secret-file", &secret, "--request", &request];
    relay(&[&fixed[..], arguments].concat())
}

#[test]
fn a_verdict_is_told_with_its_reason() {
    let installation = Installation::new("http://127.0.0.1:9");
    let said = github(&installation, "Hello, World!", &[]).exits(0);
    assert!(said.out.starts_with("genuine\n") && said.out.contains("documented"), "{}", said.out);
    let said = github(&installation, "Hello, World?", &[]).exits(1);
    assert!(said.out.starts_with("refused: signature_mismatch\n"), "{}", said.out);
}

#[test]
fn a_route_has_its_own_secrets() {
    let installation = Installation::new("http://127.0.0.1:9");
    installation.secret("github", "It's a Secret to Everybody");
    let _ = github(&installation, "Hello, World!", &[]);
    let request = installation.path("request");
    let said = installation.relay(&["verify", "--route", "github", "--request", &request]).exits(0);
    assert!(said.out.starts_with("genuine"), "{}", said.out);
    let said = installation.relay(&["verify", "--route", "githib", "--request", &request]).exits(2);
    assert!(said.err.contains("did you mean github?"), "{}", said.err);
}

/// Neither the secret (the harness looks for it) nor what would have been right.
#[test]
fn nothing_that_could_forge_a_request_is_printed() {
    let installation = Installation::new("http://127.0.0.1:9");
    for format in ["human", "json"] {
        let said = github(&installation, "Hello, World!", &["--format", format]);
        assert!(!said.out.contains(&SIGNATURE[..16]), "{}", said.out);
        installation.write("token", &format!("POST /x?api-key={CANARY}-octolis-key HTTP/1.1\nHost: h\n\n{{}}"));
        let request = installation.path("token");
        installation.relay(&["verify", "--route", "octolis", "--request", &request, "--format", format]).exits(0);
        installation.relay(&["verify", "--route", "github", "--request", &request, "--format", format]).exits(1);
    }
}

#[test]
fn what_cannot_be_judged_is_no_refusal() {
    let installation = Installation::new("http://127.0.0.1:9");
    let _ = github(&installation, "Hello, World!", &[]);
    let (request, secret) = (installation.path("request"), installation.path("documented"));
    installation.write("open", "a secret that everybody can read");
    let open = installation.path("open");
    installation.write("cut", "POST /x HTTP/1.1\nContent-Length: 9\n\nshort");
    let cut = installation.path("cut");
    for (arguments, why) in [
        (&["--provider", "github", "--request", &request][..], "--secret-file"),
        (&["--provider", "gthub", "--secret-file", &secret, "--request", &request], "did you mean \"github\"?"),
        (&["--provider", "github", "--secret-file", &open, "--request", &request], "open"),
        (&["--provider", "github", "--secret-file", &secret, "--request", "/nonexistent"], "/nonexistent"),
        (&["--provider", "github", "--secret-file", &secret, "--request", &cut], "not complete"),
        (&["--provider", "twilio", "--secret-file", &secret, "--request", &request], "--url"),
    ] {
        let said = relay(&[&["verify"], arguments].concat()).exits(2);
        assert!(said.err.contains(why), "{why} in {}", said.err);
    }
}
