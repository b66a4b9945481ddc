//! Every vector of `providers/<name>/vectors.toml` through the public interface, as it is and with bits flipped.
//!
//! The vectors were published by the providers or computed with another implementation; the relay's own signing is tested
//! beside the code.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test stops at what it did not expect"
)]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use dmz_relay::base::{Secret, UnixMillis};
use dmz_relay::config::recipe::{CompiledVerify, Evidence, RawVerify, builtin, builtin_names, compile_verify};
use dmz_relay::config::report::Problems;
use dmz_relay::config::{self, Environment};
use dmz_relay::domain::{Head, Method, Refusal, Version};
use dmz_relay::gate::explain::{Subject, Verdict, explain};
use dmz_relay::runtime::snapshot::Snapshot;
use dmz_relay::runtime::state::State;
use dmz_relay::scheme::{Encoding, Key, Proof, PublicUrl, Scheme, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Schemes other than the shipped one, with the reason in the file.
    #[serde(default)]
    schemes: BTreeMap<String, RawVerify>,
    vector: Vec<Vector>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    source: String,
    #[expect(dead_code, reason = "for readers")]
    note: Option<String>,
    /// `genuine`, `tampered` or `stale`.
    kind: String,
    /// `genuine`, or the code of a refusal.
    expect: String,
    /// The secret that matches, when it is not the first.
    #[serde(default)]
    key: usize,
    scheme: Option<String>,
    secrets: Vec<String>,
    /// What their keys are called; `key-0` and so on where nothing is said.
    #[serde(default)]
    ids: Vec<String>,
    /// What the route says of claims.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    method: String,
    target: String,
    public_url: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    at: i64,
    /// The signature's text, somewhere in the request.
    signature: Option<String>,
    /// How it is encoded; `token` when it is no signature.
    encoding: Option<String>,
    /// Parts of which every change must be noticed.
    #[serde(default)]
    signed: Vec<String>,
}

struct Request {
    method: Method,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Vector {
    fn request(&self) -> Request {
        Request {
            method: Method::parse(&self.method),
            target: self.target.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
            body: self.body.clone().into_bytes(),
        }
    }

    fn verifier(&self, scheme: Arc<Scheme>) -> Verifier {
        let key = |(at, text): (usize, &String)| Key {
            id: self.id(at).into(),
            secret: Secret::new(text.clone().into_bytes()),
        };
        let claims = self.claims.iter().map(|(name, value)| (name.as_str(), vec![value.as_str().into()]));
        let url = self.public_url.as_deref().map(|url| PublicUrl::parse(url).unwrap());
        Verifier::new(scheme, self.secrets.iter().enumerate().map(key).collect(), url)
            .unwrap_or_else(|problem| panic!("{}: {problem:?}", self.name))
            .with_claims(claims)
    }

    fn id(&self, at: usize) -> String {
        self.ids.get(at).cloned().unwrap_or_else(|| format!("key-{at}"))
    }

    fn verify(&self, verifier: &Verifier, request: &Request) -> Result<Proof, Refusal> {
        let mut head = Head::builder(request.method, Version::Http11).target(&request.target).host("relay.example");
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        verifier.verify(&head.build(), &request.body, UnixMillis::from_secs(self.at))
    }

    /// The same request with another text in place of the signature.
    fn with_signature(&self, text: &str) -> Request {
        let signature = self.signature.as_deref().unwrap();
        let mut changed = self.clone();
        changed.target = changed.target.replace(signature, text);
        for (_, value) in &mut changed.headers {
            *value = value.replace(signature, text);
        }
        changed.body = changed.body.replace(signature, text);
        let elsewhere = changed.target != self.target || changed.headers != self.headers;
        assert!(elsewhere || changed.body != self.body, "{}: no signature there", self.name);
        changed.request()
    }
}

fn load(name: &str) -> (File, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("providers/{name}/vectors.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    (toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")), text)
}

/// Calls `check` with every vector of every shipped recipe.
fn each(mut check: impl FnMut(&str, &Vector, Arc<Scheme>)) {
    for name in builtin_names() {
        let (file, text) = load(name);
        let shipped = &builtin(name).unwrap().scheme;
        for vector in &file.vector {
            let scheme = vector.scheme.as_ref().map_or_else(
                || Arc::clone(shipped),
                |other| match compile_verify(&file.schemes[other], other, &mut Problems::new("vectors", &text)) {
                    Some(CompiledVerify::Scheme(scheme)) => scheme,
                    _ => panic!("{name}: {other} does not compile"),
                },
            );
            check(&format!("{name}: {}", vector.name), vector, scheme);
        }
    }
}

#[test]
fn every_vector_comes_out_as_published() {
    let mut wrong = Vec::new();
    each(|name, vector, scheme| {
        assert!(!vector.source.is_empty());
        let verifier = vector.verifier(scheme);
        let outcome = vector.verify(&verifier, &vector.request());
        let came = outcome.as_ref().map_or_else(|refusal| refusal.code(), |_| "genuine");
        if came != vector.expect {
            wrong.push(format!("{name}: expected {}, came {came}", vector.expect));
        }
        if let Ok(proof) = outcome {
            assert_eq!(*proof.key, *vector.id(vector.key), "{name}");
            let signature = vector.signature.as_deref().unwrap();
            assert!(!format!("{proof:?}").contains(signature), "{name}: the proof shows the signature");
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recipe_has_genuine_tampered_and_stale_vectors() {
    for name in builtin_names() {
        let (file, _) = load(name);
        let has = |kind: &str| file.vector.iter().any(|vector| vector.kind == kind && vector.scheme.is_none());
        assert!(has("genuine") && has("tampered"), "{name}");
        let windowed = builtin(name).unwrap().scheme.window().is_some();
        assert_eq!(has("stale"), windowed, "{name}: stale vectors exactly where there is a window");
        for vector in &file.vector {
            assert!(["genuine", "tampered", "stale"].contains(&vector.kind.as_str()), "{name}: {}", vector.name);
            let refused = Refusal::ALL.iter().any(|refusal| refusal.code() == vector.expect);
            assert_ne!(refused, vector.expect == "genuine", "{name}: {}", vector.name);
        }
    }
}

#[test]
fn a_recipe_that_claims_published_vectors_has_one() {
    let ours = ["computed", "derived", "generated", "from memory"];
    for name in builtin_names() {
        let published = |vector: &&Vector| !ours.iter().any(|word| vector.source.starts_with(word));
        let genuine = |vector: &&Vector| vector.kind == "genuine" && vector.scheme.is_none();
        let has = load(name).0.vector.iter().filter(genuine).any(|vector| published(&vector));
        let says = builtin(name).unwrap().evidence == Some(Evidence::PublishedVectors);
        assert!(has || !says, "{name} has no vector that somebody published");
    }
}

#[test]
fn every_bit_of_a_signature_counts() {
    let mut flips = 0;
    each(|name, vector, scheme| {
        let (Some(signature), Some(encoding)) = (&vector.signature, &vector.encoding) else { return };
        let Some(encoding) = Encoding::parse(encoding) else { return };
        let verifier = vector.verifier(scheme);
        let codec = match encoding {
            Encoding::Hex => data_encoding::HEXLOWER,
            Encoding::HexUpper => data_encoding::HEXUPPER,
            Encoding::Base64 => data_encoding::BASE64,
            Encoding::Base64UrlUnpadded => data_encoding::BASE64URL_NOPAD,
            other => panic!("{name}: no codec for {other:?}"),
        };
        let bytes = codec.decode(signature.as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let request = vector.with_signature(&codec.encode(&changed));
            assert_eq!(vector.verify(&verifier, &request), Err(Refusal::SignatureMismatch), "{name}: bit {bit}");
            flips += 1;
        }
    });
    assert!(flips > 5000, "{flips}");
}

#[test]
fn every_character_of_a_signature_counts() {
    each(|name, vector, scheme| {
        let Some(signature) = &vector.signature else { return };
        let verifier = vector.verifier(scheme);
        for (at, old) in signature.char_indices() {
            let other_case = if old.is_ascii_uppercase() { old.to_ascii_lowercase() } else { old.to_ascii_uppercase() };
            for new in [if old == '0' { '1' } else { '0' }, other_case, ' ', 'é'] {
                if new == old {
                    continue;
                }
                let text = format!("{}{new}{}", &signature[..at], &signature[at + old.len_utf8()..]);
                let request = vector.with_signature(&text);
                // The target of a request is ASCII, as the edge has it.
                if request.target.is_ascii() {
                    assert!(vector.verify(&verifier, &request).is_err(), "{name}: {text}");
                }
            }
        }
        for text in ["", &signature[1..], &signature[..signature.len() - 1], &format!("{signature}{signature}")] {
            assert!(vector.verify(&verifier, &vector.with_signature(text)).is_err(), "{name}: {text}");
        }
    });
}

#[test]
fn sampled_bits_of_the_signed_bytes_count() {
    let mut flips = 0;
    each(|name, vector, scheme| {
        let verifier = vector.verifier(scheme);
        let mut refused = |request: Request, what: &str| {
            flips += 1;
            assert!(vector.verify(&verifier, &request).is_err(), "{name}: {what}");
        };
        for part in &vector.signed {
            match part.split_once(':') {
                None if part == "body" => {
                    for bit in (0..vector.body.len() * 8).step_by(5) {
                        let mut request = vector.request();
                        request.body[bit / 8] ^= 1 << (bit % 8);
                        refused(request, &format!("body bit {bit}"));
                    }
                }
                // Two spellings of one form are one form: only bits that change the meaning of every character.
                None if part == "form" || part == "target" => {
                    let length = if part == "form" { vector.body.len() } else { vector.target.len() };
                    for at in 0..length {
                        let mut request = vector.request();
                        let flip = 1 << (at % 3);
                        if part == "form" {
                            request.body[at] ^= flip;
                        } else {
                            let mut bytes = request.target.into_bytes();
                            bytes[at] ^= flip;
                            request.target = String::from_utf8(bytes).unwrap();
                        }
                        refused(request, &format!("{part} byte {at}"));
                    }
                }
                Some(("header", header)) => {
                    let at = vector.headers.iter().position(|(name, _)| name == header).unwrap();
                    for bit in 0..vector.headers[at].1.len() * 8 {
                        let mut request = vector.request();
                        request.headers[at].1[bit / 8] ^= 1 << (bit % 8);
                        refused(request, &format!("{header} bit {bit}"));
                    }
                }
                _ => panic!("{name}: no part called {part}"),
            }
        }
    });
    assert!(flips > 3000, "{flips}");
}

/// For each header that a scheme wants signed or reads its proof from: without it nothing is genuine, nor with any character of it
/// replaced. What stands in the body or the query is taken out of these.
#[test]
fn no_request_is_genuine_without_a_header_that_is_signed_or_with_another_one() {
    let (mut absent, mut changed, mut seen) = (0, 0, HashSet::new());
    each(|name, vector, scheme| {
        // The first of each recipe has one signature; beside it others may stand that do not count.
        let recipe = name.split(':').next().unwrap().to_owned();
        if vector.kind != "genuine" || vector.scheme.is_some() || !seen.insert(recipe) {
            return;
        }
        let verifier = vector.verifier(Arc::clone(&scheme));
        for header in scheme.proven_headers() {
            let Some(at) = vector.headers.iter().position(|(known, _)| known.eq_ignore_ascii_case(header)) else {
                continue;
            };
            // One of several places of a proof is enough.
            let mut request = vector.request();
            request.headers.remove(at);
            assert!(vector.verify(&verifier, &request).is_err(), "{name}: without {header}");
            absent += 1;
            let value = vector.headers[at].1.as_bytes();
            for (place, byte) in value.iter().enumerate() {
                let mut request = vector.request();
                request.headers[at].1[place] = if *byte == b'0' { b'1' } else { b'0' };
                assert!(vector.verify(&verifier, &request).is_err(), "{name}: {header} at {place}");
                changed += 1;
            }
        }
    });
    assert!(absent > 300 && changed > 15_000, "{absent} {changed}");
}

/// A request with nothing of a proof in it, whatever its body.
#[test]
fn every_recipe_refuses_a_request_without_proof() {
    let mut seen = HashSet::new();
    each(|name, vector, scheme| {
        let recipe = name.split(':').next().unwrap().to_owned();
        if vector.kind != "genuine" || vector.scheme.is_some() || !seen.insert(recipe) {
            return;
        }
        let verifier = vector.verifier(scheme);
        for body in ["", "{}", "[]", "a=1"] {
            let request = Request {
                method: Method::parse(&vector.method),
                target: "/hooks/x".to_owned(),
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            };
            let refusal = vector.verify(&verifier, &request).expect_err(name);
            // Where the body is the token, one of these is a token that is none.
            let expected = ["signature_missing", "signature_malformed", "timestamp_missing", "message_incomplete"];
            assert!(expected.contains(&refusal.code()), "{name}: {body} is {}", refusal.code());
        }
    });
    assert_eq!(seen.len(), builtin_names().len());
}

/// The text of a vector file is public; the proof and every `Debug` still show no secret and no signature.
#[test]
fn nothing_prints_a_secret() {
    each(|name, vector, scheme| {
        let verifier = vector.verifier(Arc::clone(&scheme));
        let shown = format!("{verifier:?} {:?}", scheme.describe());
        for secret in vector.secrets.iter().filter(|secret| secret.len() > 6) {
            assert!(!shown.contains(secret.as_str()), "{name}");
        }
    });
}

/// Every vector as a captured request: what the explanation says of the proof is what the gate says, with and without the
/// body, and it shows neither secret nor signature.
#[test]
fn an_explanation_says_what_the_gate_says() {
    let mut explained = 0;
    let state = State::default();
    each(|name, vector, scheme| {
        let by = vector.verify(&vector.verifier(scheme), &vector.request());
        let snapshot = configured(name, vector, &state);
        let request = vector.request();
        let mut head = Head::builder(request.method, Version::Http11).target(&request.target).host("relay.example");
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let head = head.build();
        for body in [Some(&*request.body), None] {
            let at = UnixMillis::from_secs(vector.at);
            let subject = Subject { head: &head, body, source: None, at, listener: None, recorded: None };
            let explanation = explain(&snapshot, &subject);
            let parts = explanation.steps.iter().filter(|step| step.step == "verify");
            let refusal = parts.clone().find(|step| step.verdict == Verdict::Refused).map(|step| &*step.reason);
            match (&by, body) {
                (Ok(_), _) => assert_eq!(refusal, None, "{name}"),
                (Err(wanted), Some(_)) => assert_eq!(refusal, Some(wanted.code()), "{name}: {explanation:#?}"),
                // What is left may refuse for a reason that comes later, or for none.
                (Err(_), None) => {}
            }
            if let (Ok(proof), Some(_)) = (&by, body) {
                let signature = parts.clone().find(|step| step.check == "signature").unwrap();
                assert_eq!(signature.verdict, Verdict::Passed, "{name}");
                let public = takes_public_keys(name.split(':').next().unwrap(), vector);
                let id = match proof.key.strip_prefix("key-") {
                    Some(at) if !public => format!("env:S{at}"),
                    _ => proof.key.to_string(),
                };
                assert!(signature.because.contains(&format!("`{id}`")), "{name}: {}", signature.because);
            }
            let said = format!("{explanation:?}");
            let token = vector.encoding.as_deref() == Some("token");
            for hidden in vector.secrets.iter().chain(&vector.signature).filter(|hidden| hidden.len() > 6) {
                assert!(!said.contains(hidden.as_str()), "{name}, token {token}: {said}");
            }
            explained += 1;
        }
    });
    assert!(explained >= 2 * 172, "{explained}");
}

/// Whether the vector's own scheme does, or its recipe's.
fn takes_public_keys(recipe: &str, vector: &Vector) -> bool {
    let Some(other) = &vector.scheme else { return builtin(recipe).unwrap().scheme.takes_public_keys() };
    let (file, text) = load(recipe);
    match compile_verify(&file.schemes[other], other, &mut Problems::new("vectors", &text)) {
        Some(CompiledVerify::Scheme(scheme)) => scheme.takes_public_keys(),
        _ => panic!("{recipe}: {other} does not compile"),
    }
}

/// A relay with one route that verifies as the vector wants it.
fn configured(name: &str, vector: &Vector, state: &State) -> Snapshot {
    let recipe = name.split(':').next().unwrap();
    let mut route = toml::Table::new();
    route.insert("path".into(), "/*".into());
    route.insert("upstream".into(), "inside".into());
    route.extend(vector.public_url.iter().map(|url| ("public_url".to_owned(), url.as_str().into())));
    let env = |at: usize| {
        let mut entry: toml::Table = [("env".to_owned(), format!("S{at}").into())].into_iter().collect();
        entry.extend(vector.ids.get(at).map(|id| ("id".to_owned(), id.as_str().into())));
        toml::Value::Table(entry)
    };
    if takes_public_keys(recipe, vector) {
        let key = |(at, text): (usize, &String)| {
            let pairs = [("key".to_owned(), text.as_str().into()), ("id".to_owned(), vector.id(at).into())];
            toml::Value::Table(pairs.into_iter().collect())
        };
        route.insert("public_keys".into(), vector.secrets.iter().enumerate().map(key).collect::<Vec<_>>().into());
    } else {
        route.insert("secrets".into(), (0..vector.secrets.len()).map(env).collect::<Vec<_>>().into());
    }
    if !vector.claims.is_empty() {
        let list = |(name, value): (&String, &String)| (name.clone(), vec![value.as_str()].into());
        route.insert("claims".into(), toml::Value::Table(vector.claims.iter().map(list).collect()));
    }
    match &vector.scheme {
        None => route.insert("provider".into(), recipe.into()),
        Some(scheme) => {
            let file: toml::Table = load(recipe).1.parse().unwrap();
            route.insert("verify".into(), file["schemes"][scheme.as_str()].clone())
        }
    };
    let table = |key: &str, value: toml::Value| toml::Value::Table([(key.to_owned(), value)].into_iter().collect());
    let mut text = "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
                    [upstreams.inside]\nservers = [\"http://127.0.0.1:9\"]\n"
        .to_owned();
    text += &toml::to_string(&table("routes", table("x", route.into()))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, &text).unwrap();
    let secrets = vector.secrets.iter().enumerate();
    let environment = Environment::new(secrets.map(|(at, text)| (format!("S{at}"), text.clone().into_bytes())), None);
    let loaded = config::load(&file, &environment, state, UnixMillis(0));
    loaded.unwrap_or_else(|report| panic!("{name}: {report}\n{text}")).snapshot
}
