//! Signatures of every shipped provider: no bytes are genuine under a secret that nobody signed with.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use dmz_relay::base::{Secret, UnixMillis};
use dmz_relay::config::recipe::{builtin, builtin_names};
use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::scheme::{Key, PublicUrl, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    kind: String,
    scheme: Option<String>,
    secrets: Vec<String>,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    public_url: Option<String>,
    #[serde(default)]
    at: i64,
}

struct Provider {
    /// With the secret that the corpus was signed with.
    known: Verifier,
    /// With another one, where a made-up one can be of the same form.
    unknown: Option<Verifier>,
    at: UnixMillis,
}

/// The provider's name, then a request: `POST /target`, fields, an empty line, the body. Lines end in a line feed.
pub fn check(data: &[u8]) {
    thread_local! {
        static PROVIDERS: OnceCell<BTreeMap<&'static str, Provider>> = const { OnceCell::new() };
    }
    let Some((name, rest)) = line(data) else { return };
    let Some((request, mut rest)) = line(rest) else { return };
    let Some((method, target)) = request.split_once(' ') else { return };
    PROVIDERS.with(|providers| {
        let providers = providers.get_or_init(all);
        let Some(provider) = providers.get(name) else { return };
        let mut head = Head::builder(Method::parse(method), Version::Http11).target(target).host("relay.example");
        while let Some((field, behind)) = line(rest) {
            rest = behind;
            let Some((name, value)) = field.split_once(": ") else { break };
            head = head.header(name, value);
        }
        let head = head.build();
        let judged = provider.known.verify(&head, rest, provider.at);
        assert_eq!(judged, provider.known.verify(&head, rest, provider.at), "a verdict is one verdict");
        if let Ok(proof) = judged {
            assert!(proof.dedupe.is_none_or(|dedupe| dedupe.len() < 1024));
        }
        if let Some(unknown) = &provider.unknown {
            assert!(unknown.verify(&head, rest, provider.at).is_err(), "genuine under a secret that signed nothing");
        }
    });
}

fn line(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = data.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

fn all() -> BTreeMap<&'static str, Provider> {
    builtin_names().iter().filter_map(|name| Some((*name, provider(name)?))).collect()
}

fn provider(name: &str) -> Option<Provider> {
    let path = format!("{}/providers/{name}/vectors.toml", root());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let vector = file.vector.into_iter().find(|vector| vector.kind == "genuine" && vector.scheme.is_none())?;
    let scheme = &builtin(name)?.scheme;
    let verifier = |secret: &str| {
        // Where requests name their key, the vectors call it so.
        let id = vector.ids.first().map_or("key-0", String::as_str);
        let key = Key { id: id.into(), secret: Secret::new(secret.as_bytes().to_vec()) };
        let url = vector.public_url.as_deref().and_then(|url| PublicUrl::parse(url).ok());
        let claims = vector.claims.iter().map(|(name, value)| (name.as_str(), vec![value.as_str().into()]));
        Verifier::new(Arc::clone(scheme), vec![key], url).ok().map(|verifier| verifier.with_claims(claims))
    };
    let secret = vector.secrets.first()?;
    Some(Provider {
        known: verifier(secret)?,
        unknown: verifier(&another(secret)),
        at: UnixMillis::from_secs(vector.at),
    })
}

/// Another secret of the same form, prefix and alphabet: every digit and every letter of its second half is its neighbour.
fn another(secret: &str) -> String {
    let half = secret.len() / 2;
    let turned = |(at, c): (usize, char)| if at >= half && c.is_ascii_alphanumeric() { neighbour(c) } else { c };
    secret.char_indices().map(turned).collect()
}

fn neighbour(c: char) -> char {
    match c {
        '9' => '8',
        'f' | 'z' | 'F' | 'Z' => char::from(c as u8 - 1),
        other => char::from(other as u8 + 1),
    }
}

/// The repository: this file is compiled in two packages.
fn root() -> &'static str {
    env!("CARGO_MANIFEST_DIR").trim_end_matches("/fuzz")
}
