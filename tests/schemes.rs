//! The scheme engine as a whole: what a sender signs is taken, whatever the grammar; nothing that arrives makes it panic.

#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "a test stops at what it did not expect")]

#[path = "fixtures/families.rs"]
mod families;
#[path = "schemes/identity.rs"]
mod identity;
#[path = "schemes/message_signatures.rs"]
mod message_signatures;
#[path = "fixtures/secrets.rs"]
mod secrets;

use std::sync::Arc;

use dmz_relay::base::{Secret, UnixMillis};
use dmz_relay::config::recipe::{
    CompiledVerify, RawRecipe, RawVerify, builtin, builtin_names, compile_recipe, compile_verify,
};
use dmz_relay::config::report::Problems;
use dmz_relay::domain::{Class, Head, Method, Place, Refusal, Version};
use dmz_relay::scheme::{
    Encoding, HashAlgorithm, Key, KeyFault, MAX_KEYS, Proof, PublicUrl, Scheme, SignDraft, SignProblem, Signed,
    Verifier,
};
use families::FAMILIES;
use proptest::prelude::*;
use secrets::{SHA1, secrets_for};

const NOW: UnixMillis = UnixMillis(1_700_000_000_250);
const ID: &str = "0191e2a4-7b1c-7c3e-9f00-0123456789ab";

#[derive(serde::Deserialize)]
struct Inline {
    verify: RawVerify,
}

fn inline(text: &str) -> Arc<Scheme> {
    let raw: Inline = toml::from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let mut problems = Problems::new("inline.toml", text);
    match compile_verify(&raw.verify, "verify", &mut problems) {
        Some(CompiledVerify::Scheme(scheme)) => scheme,
        _ => panic!("{text}\n{:?}", problems.into_sorted()),
    }
}

fn keys(secrets: &[&str]) -> Vec<Key> {
    let key = |(at, text): (usize, &&str)| Key {
        id: format!("key-{at}").into(),
        secret: Secret::new(text.as_bytes().to_vec()),
    };
    secrets.iter().enumerate().map(key).collect()
}

fn verifier(scheme: &Arc<Scheme>, secrets: &[&str]) -> Verifier {
    let url = PublicUrl::parse("https://hooks.example.com").unwrap();
    let claims = scheme.claims_of_route();
    let claims = claims.iter().map(|claim| (claim.as_str(), vec!["of-the-route".into()]));
    Verifier::sender(Arc::clone(scheme), keys(secrets), Some(url)).unwrap().with_claims(claims)
}

struct Request {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn verify(&self, verifier: &Verifier, now: UnixMillis) -> Result<Proof, Refusal> {
        let mut head = Head::builder(self.method, Version::Http11).target(&self.target).host("relay.example");
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        verifier.verify(&head.build(), &self.body, now)
    }
}

/// Signs a body and puts the whole request together, as `send` does.
fn signed(verifier: &Verifier, content_type: &str, body: &[u8]) -> Request {
    let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
    let target = "/hooks/x?a=1";
    let draft = SignDraft { method: Method::Post, path_query: target, headers: &headers, body, id: ID };
    let added: Signed = verifier.sign(&draft, NOW).unwrap_or_else(|problem| panic!("{problem}"));
    let target = added.target(target);
    Request {
        method: Method::Post,
        target,
        headers: headers.into_iter().chain(added.headers).collect(),
        body: added.body,
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One of each thing that the grammar can say, with a content type and a body that suit it.
const INLINE: &[(&str, &str, &str)] = &[
    ("verify.hmac = { algorithm = 'sha1', signature = { header = 'X' }, message = '{body}' }", JSON, "{}"),
    (
        "verify.hmac = { algorithm = 'sha384', signature = { header = 'X', encoding = 'hex-upper' }, message = '{body}' }",
        JSON,
        "",
    ),
    (
        "verify.hmac = { algorithm = 'sha512', signature = { header = 'X', encoding = 'base64url-unpadded' },
         message = '{method} {path}?{query:a}{{}}{body}' }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X', encoding = 'base64-of-hex', prefix = 'a b=' },
         message = '{url}{hex(sha256(body))}{base64(sha512(body))}' }",
        JSON,
        "x",
    ),
    (
        "verify.digest = { algorithm = 'sha256', signature = { query = 'sig', encoding = 'hex-any' },
         message = '{secret}{body}{secret}' }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X', list = { separator = ',', from = 1 } },
         message = '{timestamp}.{body}', timestamp = { position = 0, format = 'unix-ms' } }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256',
         signature = { headers = ['A', 'B'], encoding = 'base64',
                       list = { separator = '&', assign = '|', names = ['sig', 'sig2'] } },
         message = '{timestamp}.{id}.{body}', id = { query = 'id' }, timestamp = { item = 'at', format = 'rfc3339' } }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X-S-{n}', numbered = 3 },
         message = '{header:Date}{body}', timestamp = { header = 'date', format = 'http-date', tolerance = '1m' } }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { json = 'signature.value' },
         message = '{timestamp}{json:signature.token}', key_id = { header = 'X-Key' },
         timestamp = { json = 'signature.timestamp', tolerance = '2m' }, dedupe = [{ json = 'signature.token' }] }",
        JSON,
        "{\"signature\":{}}",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { form = 'sig' }, message = '{form:token}{timestamp}',
         timestamp = { form = 'at' } }",
        FORM,
        "a=1",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X' }, message = '{header:Digest}',
         key = { encoding = 'hex', suffix = '&', hash = 'sha256' },
         body_digests = [{ header = 'Digest', prefix = 'SHA-256=', algorithm = 'sha256', encoding = 'base64' }] }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X' }, message = '{header:N}{timestamp}',
         timestamp = { query = 't' }, shapes = { N = 'digits' }, bindings = [{ json = 'a.b', header = 'M' }],
         dedupe = [{ query = 'nonce' }, 'body'] }",
        JSON,
        "{}",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { json = 'sig' }, each = 'a.items',
         message = '{json:x?}:{json:y.z?}' }",
        JSON,
        "{\"a\":{\"items\":[{\"x\":1},{\"y\":{\"z\":\"2\"}}]}}",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', hashed = 'sha512',
         signature = { header = 'X', list = { separator = ',', assign = '=', names = ['s'], quoted = true,
                                              fixed = { alg = 'hs256' } } },
         key_id = { item = 'kid' },
         message = '{lower(method)} {url:target} {url:host} {[{query:b}]}{key_id} {crc32(body)} {json-string(body)}' }",
        JSON,
        "x",
    ),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { form = 'sig' }, message = '{pairs(form,b)}.{php(form)}' }",
        FORM,
        "b=1&a=2",
    ),
    ("verify.hmac = { algorithm = 'sha256', signature = { header = 'X' }, message = '{url:form}' }", FORM, "b=1&a=2"),
    (
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X' }, message = '{sorted-json(body)}{raw:b}' }",
        JSON,
        "{\"b\":[1, 2],\"a\":{}}",
    ),
    (
        "verify.digest = { algorithm = 'sha512', signature = { query = 'sig' },
         message = '{sorted(query:n,secret,query:t)}.{body}' }",
        JSON,
        "x",
    ),
    (
        "verify.message_signature = { algorithm = 'hmac-sha256', named_keys = true, tolerance = '1m',
         components = ['@method', '@target-uri', '@authority', '@query', '@path', 'content-type', 'content-digest'] }",
        JSON,
        "x",
    ),
    ("verify.token = { bearer = true, dedupe = ['body'] }", JSON, "x"),
    ("verify.token = { basic = true }", JSON, "x"),
    ("verify.token = { query = 'k', forward = true }", JSON, "x"),
    ("verify.token = { header = 'X', prefix = 'Token ' }", JSON, "x"),
    ("verify.token = { json = 'token' }", JSON, "{}"),
    ("verify.token = { form = 'token' }", FORM, "a=1"),
    ("verify.jwt = { algorithms = ['HS384'], token = { query = 'jwt' }, required = ['exp', 'a.b'] }", JSON, "x"),
    (
        "verify.jwt = { algorithms = ['HS256'], token = { header = 'X' }, payload = '{method} {path} {listed:fields}{body}',
         listed = ['X-One', 'X-Two'], unencoded = true, jose = { v = ['2'] } }",
        JSON,
        "x",
    ),
    (
        "verify.jwt = { algorithms = ['HS256'], token = { header = 'X' }, payload = '{header:N}.{base64url(body)}', kid = true,
         timestamp = { header = 'N' } }",
        JSON,
        "body",
    ),
    (
        "verify.jwt = { algorithms = ['HS512'], token = { json = 'auth.token' }, timestamp = { claim = 'iat' },
         claims = { iss = ['a', 'b'] }, of_route = ['aud'], dedupe = [{ claim = 'jti' }] }",
        JSON,
        "{}",
    ),
    ("verify.jwt = { algorithms = ['HS256'], token = { form = 't' }, required = ['exp'] }", FORM, "a=1"),
    (
        "verify.jwt = { algorithms = ['HS256'], token = { header = 'Authorization' }, key = { suffix = '&', hash = 'sha256' },
         hashes = [{ claim = 'h', of = '{url}{body}', algorithm = 'sha512', encoding = 'base64url-unpadded' }] }",
        JSON,
        "x",
    ),
    ("verify.jwt = { algorithms = ['HS256'], token = { body = true }, dedupe = [{ claim = 'jti' }] }", JSON, "{\"a\":1}"),
];

/// Text, hexadecimal, base64 and `user:password` at once would be too much to ask of one secret.
fn secret_for(text: &str) -> &'static str {
    if text.contains("encoding = 'hex', suffix") {
        "00ff10"
    } else if text.contains("basic") {
        "user:pass"
    } else {
        "whsec_AAECAwQFBgcICQoLDA0ODw=="
    }
}

/// The whole circle of each: what `send` signs is taken, under another secret it is not, nor with another body or a time outside
/// the window, where these are signed.
#[test]
fn what_a_sender_signs_is_taken_by_every_shipped_recipe_and_nothing_else_is() {
    let (mut bodies, mut windows, mut legacy) = (0, 0, Vec::new());
    for name in builtin_names() {
        let scheme = &builtin(name).unwrap().scheme;
        let [secret, other] = secrets_for(scheme);
        let (right, wrong) = (verifier(scheme, &[&secret, &other]), verifier(scheme, &[&other]));
        let mut taken = 0;
        for (content_type, body) in [(JSON, "{\"note\":\"é\"}"), (FORM, "b=2&a=1&a=%20"), (FORM, "b=2&a=%20")] {
            let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
            let (target, body) = ("/hooks/x?a=1", body.as_bytes());
            let draft = SignDraft { method: Method::Post, path_query: target, headers: &headers, body, id: ID };
            // Some schemes read JSON, and some a form. Over SHA-1 nothing is signed here.
            let added = match right.sign(&draft, NOW) {
                Ok(added) => added,
                Err(SignProblem::Sha1) => {
                    legacy.push(name.to_owned());
                    break;
                }
                Err(_) => continue,
            };
            let request = Request {
                method: Method::Post,
                target: added.target(target),
                headers: headers.into_iter().chain(added.headers).collect(),
                body: added.body,
            };
            let proof = request.verify(&right, NOW).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert_eq!(&*proof.key, "key-0", "{name}");
            assert_eq!(proof.dedupe.is_some(), scheme.has_dedupe(), "{name}");
            assert!(request.verify(&wrong, NOW).is_err(), "{name} takes another secret");
            taken += 1;
            if let Some((back, ahead)) = scheme.window() {
                let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap();
                for at in [NOW.0 + millis(back) + 2_000, NOW.0 - millis(ahead) - 2_000] {
                    assert!(request.verify(&right, UnixMillis(at)).is_err(), "{name} takes another time");
                }
                windows += 1;
            }
            if scheme.signs_body() {
                let mut request = request;
                let last = request.body.len() - 2;
                request.body[last] ^= 1;
                assert!(request.verify(&right, NOW).is_err(), "{name} takes another body");
                bodies += 1;
            }
        }
        assert!(taken > 0 || legacy.iter().any(|known| known == name), "{name} signs nothing");
    }
    assert!(builtin_names().len() >= 250 && bodies > 300 && windows > 100, "{bodies} bodies, {windows} windows");
    assert_eq!(legacy, SHA1);
}

#[test]
fn what_a_sender_signs_is_taken_by_every_inline_grammar_and_nothing_else_is() {
    for (text, content_type, body) in INLINE {
        let (scheme, secret) = (inline(text), secret_for(text));
        let right = verifier(&scheme, &[secret]);
        let request = signed(&right, content_type, body.as_bytes());
        let proof = request.verify(&right, NOW).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert_eq!(&*proof.key, "key-0");
        let other = if text.contains("basic") { "user:past" } else { "00ff11" };
        let wrong = verifier(&scheme, &[other]);
        let refusal = request.verify(&wrong, NOW).unwrap_err();
        assert_eq!(refusal, Refusal::SignatureMismatch, "{text}");
        if let Some((back, ahead)) = scheme.window() {
            let late = NOW.plus(back + std::time::Duration::from_secs(1));
            assert_eq!(request.verify(&right, late), Err(Refusal::TimestampStale), "{text}");
            let early = NOW.minus(ahead + std::time::Duration::from_secs(1));
            assert_eq!(request.verify(&right, early), Err(Refusal::TimestampAhead), "{text}");
        }
        if scheme.signs_body() {
            let mut changed = signed(&right, content_type, body.as_bytes());
            changed.body.push(b'x');
            assert!(changed.verify(&right, NOW).is_err(), "{text}");
        }
    }
}

#[test]
fn secrets_rotate() {
    let scheme = &builtin("dastra").unwrap().scheme;
    let (old, both, new) = (verifier(scheme, &["old"]), verifier(scheme, &["new", "old"]), verifier(scheme, &["new"]));
    let request = signed(&old, JSON, b"{}");
    assert_eq!(&*request.verify(&both, NOW).unwrap().key, "key-1");
    assert_eq!(request.verify(&new, NOW), Err(Refusal::SignatureMismatch));
}

#[test]
fn a_key_that_the_request_names_is_the_only_one_tried() {
    let scheme = inline(
        "verify.hmac = { algorithm = 'sha256', signature = { header = 'X' }, message = '{body}',
         key_id = { header = 'X-Key' } }",
    );
    let verifier = verifier(&scheme, &["a", "b"]);
    let mut request = signed(&verifier, JSON, b"x");
    assert!(request.verify(&verifier, NOW).is_ok());
    let mut rename = |id: &str| {
        request.headers.iter_mut().filter(|(name, _)| name == "X-Key").for_each(|(_, value)| *value = id.to_owned());
        request.verify(&verifier, NOW).unwrap_err()
    };
    assert_eq!(rename("key-1"), Refusal::SignatureMismatch);
    assert_eq!(rename("key-2"), Refusal::KeyUnknown);
}

#[test]
fn a_request_is_known_by_its_signed_id_and_never_by_a_whole_signature() {
    let stripe = verifier(&builtin("stripe").unwrap().scheme, &["s"]);
    let proof = signed(&stripe, JSON, b"{\"id\":\"evt_1\"}").verify(&stripe, NOW).unwrap();
    assert_eq!(proof.dedupe.as_deref(), Some("j:evt_1"));
    assert_eq!(proof.timestamp, Some(UnixMillis::from_secs(NOW.secs())));
    let dastra = verifier(&builtin("dastra").unwrap().scheme, &["s"]);
    let request = signed(&dastra, JSON, b"{}");
    let dedupe = request.verify(&dastra, NOW).unwrap().dedupe.unwrap();
    assert!(dedupe.starts_with("s:") && dedupe.len() == 34);
    let mac = &request.headers.iter().find(|(name, _)| name == "Dastra-Signature").unwrap().1;
    let mac = data_encoding::BASE64.decode(mac.as_bytes()).unwrap();
    // It tells requests apart, proves nothing, and has no piece of the signature in it.
    let folded: Vec<u8> = mac[..16].iter().zip(&mac[16..]).map(|(left, right)| left ^ right).collect();
    assert_eq!(dedupe[2..], data_encoding::HEXLOWER.encode(&folded));
}

#[test]
fn an_id_that_would_harm_a_log_or_a_store_is_refused() {
    let shopify = verifier(&builtin("shopify").unwrap().scheme, &["s"]);
    for id in ["", "a b", "a\tb", "é", &"a".repeat(257)] {
        let mut request = signed(&shopify, JSON, b"{}");
        request.headers.iter_mut().filter(|(name, _)| name == "X-Shopify-Webhook-Id").for_each(|(_, v)| *v = id.into());
        assert_eq!(request.verify(&shopify, NOW), Err(Refusal::ShapeInvalid), "{id:?}");
    }
}

#[test]
fn secrets_that_cannot_serve_are_named_and_not_shown() {
    let problem = |name: &str, secrets: &[&str]| {
        let url = Some(PublicUrl::parse("https://a.example").unwrap());
        Verifier::new(Arc::clone(&builtin(name).unwrap().scheme), keys(secrets), url).unwrap_err()
    };
    assert_eq!(problem("github", &[]).fault, KeyFault::NoKey);
    assert_eq!(problem("github", &["a", ""]).fault, KeyFault::Empty);
    assert_eq!(problem("github", &["a"; MAX_KEYS + 1]).fault, KeyFault::TooManyKeys);
    let undecodable = problem("svix", &["whsec_not base64"]);
    assert_eq!(undecodable.to_string(), "secret `key-0`: is not valid base64");
    let square = Verifier::new(Arc::clone(&builtin("square").unwrap().scheme), keys(&["a"]), None);
    assert_eq!(square.unwrap_err().fault, KeyFault::NoPublicUrl);
    let basic = inline("verify.token = { basic = true }");
    assert_eq!(Verifier::new(basic, keys(&["user"]), None).unwrap_err().fault, KeyFault::NoColon);
}

#[test]
fn schemes_say_what_to_hide_and_what_to_strip() {
    let octolis = &builtin("octolis").unwrap().scheme;
    let oktave = &builtin("oktave").unwrap().scheme;
    assert_eq!(oktave.bindings(), [("event_id".to_owned(), "Oktave-Event-Id")]);
    assert_eq!(octolis.secret_query_parameters(), ["api-key"]);
    assert_eq!(octolis.places(), [(Class::Secret, Place::Member("api-key"))]);
    assert!(!octolis.forwards_secret());
    assert!(inline("verify.token = { query = 'k', forward = true }").forwards_secret());
    let github = &builtin("github").unwrap().scheme;
    let places = github.places();
    assert!(places.contains(&(Class::Signature, Place::Field("X-Hub-Signature-256"))), "{places:?}");
    assert!(places.contains(&(Class::Plain, Place::Field("X-GitHub-Delivery"))), "{places:?}");
    let own = inline("verify.token = { headers = ['A', 'B'], form = 'c', json = 'd' }");
    assert_eq!(
        own.places(),
        [Place::Field("A"), Place::Field("B"), Place::Member("c")].map(|place| (Class::Secret, place))
    );
    let body_signed = |name: &str| builtin(name).unwrap().scheme.signs_body();
    assert!(body_signed("twilio") && body_signed("dastra") && !body_signed("oktave") && !body_signed("gitlab"));
    assert!(builtin("twilio").unwrap().scheme.needs_public_url());
}

/// Every word of the grammar has its place in the documentation.
#[test]
fn the_documentation_names_every_word() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemes.md")).unwrap();
    let words = Encoding::ALL.iter().map(|encoding| encoding.as_str());
    for word in words.chain(HashAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str())) {
        assert!(docs.contains(&format!("`{word}`")) || docs.contains(&format!("`\"{word}\"`")), "{word}");
    }
}

/// The TOML of the documentation is a configuration: what it shows compiles.
#[test]
fn the_documented_provider_compiles() {
    #[derive(serde::Deserialize)]
    struct Relay {
        providers: std::collections::BTreeMap<String, RawRecipe>,
    }
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemes.md")).unwrap();
    let block = docs.split("```toml\n").find(|block| block.starts_with("[providers.acme]")).unwrap();
    let text = block.split("```").next().unwrap();
    let relay: Relay = toml::from_str(text).unwrap();
    let mut problems = Problems::new("docs/schemes.md", text);
    let recipe = compile_recipe("acme", &relay.providers["acme"], "providers.acme", &mut problems);
    assert!(recipe.is_some(), "{:?}", problems.into_sorted());
}

fn all_schemes() -> Vec<Verifier> {
    let shipped = FAMILIES.iter().map(|name| verifier(&builtin(name).unwrap().scheme, &["whsec_AAEC"]));
    let others = INLINE.iter().map(|(text, ..)| verifier(&inline(text), &[secret_for(text)]));
    shipped.chain(others).collect()
}

/// Header names that some scheme reads, so that arbitrary values reach its parsers.
const NAMES: &[&str] = &[
    "Oktave-Event-Id",
    "Oktave-Timestamp",
    "Oktave-Signature",
    "Stripe-Signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "X-Twilio-Signature",
    "Paddle-Signature",
    "Content-Type",
    "Authorization",
    "X",
    "A",
    "X-S-1",
    "Date",
    "Digest",
    "N",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_arrives_makes_it_panic(
        target in "/[ -~é]{0,40}(\\?(api-key|k|sig|id|t|nonce|bodySHA256)=[ -~]{0,20}(&[ -~]{0,20})?)?",
        fields in proptest::collection::vec(
            (0..NAMES.len(), prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "(t|ts|v1|h1|sig|at)?[=,|]?[0-9a-f]{0,64}[,;& ]?(t|v1|h1)?[=,]?[0-9]{0,20}".prop_map(String::into_bytes),
                Just(FORM.as_bytes().to_vec()),
                Just(JSON.as_bytes().to_vec()),
            ]), 0..12),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\{(\"(id|event_id|a|signature)\":[\\[{]?(\"[ -~]{0,9}\"|[0-9.e-]{1,9})[\\]}]?,?){0,4}\\}".prop_map(String::into_bytes),
        ],
        now in any::<i64>(),
    ) {
        let fields = fields.into_iter().map(|(at, value)| (NAMES[at], value)).collect::<Vec<_>>();
        for verifier in all_schemes() {
            let mut head = Head::builder(Method::Post, Version::Http2).target(&target).host("relay.example");
            for (name, value) in &fields {
                head = head.header(name, value);
            }
            prop_assert!(verifier.verify(&head.build(), &body, UnixMillis(now)).is_err());
        }
    }

    #[test]
    fn any_body_signed_is_taken(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for name in ["dastra", "github", "stripe", "slack", "svix", "square", "zoom", "paddle"] {
            let verifier = verifier(&builtin(name).unwrap().scheme, &["whsec_AAEC"]);
            let headers = vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())];
            let draft = SignDraft { method: Method::Post, path_query: "/", headers: &headers, body: &body, id: ID };
            let added = verifier.sign(&draft, NOW).unwrap();
            let request = Request {
                method: Method::Post,
                target: "/".into(),
                headers: headers.into_iter().chain(added.headers).collect(),
                body: added.body,
            };
            prop_assert!(request.verify(&verifier, NOW).is_ok());
        }
    }
}
