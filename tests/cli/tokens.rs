//! Signed tokens: what the real binary refuses, and what it says of each; keys as sets of JSON Web Keys, reloaded; `send`, `verify`
//! and `check`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use dmz_relay::config::recipe::builtin;
use serde_json::{Value, json};

use super::harness::{Application, Installation, Manner, Running, relay_reading};

const HOUR: i64 = 3600;

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// A private key, with its public halves.
struct Pair {
    private: RsaKeyPair,
    pem: String,
}

impl Pair {
    fn new(installation: &Installation, name: &str) -> Self {
        let (private, pem) = builtin("google-chat").unwrap().scheme.fresh_pair().unwrap();
        let text = std::str::from_utf8(private.expose()).unwrap().to_owned();
        installation.secret(&format!("{name}.key"), &text);
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let der = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
        Self { private: RsaKeyPair::from_pkcs8(&der).unwrap(), pem }
    }

    fn jwk(&self, kid: &str, more: &Value) -> Value {
        // Of a key of 2048 bits: two headers and a zero before the modulus, one header before the exponent.
        let der = self.private.public_key().as_ref();
        let (n, e) = (BASE64URL_NOPAD.encode(&der[9..265]), BASE64URL_NOPAD.encode(&der[267..]));
        let mut jwk = json!({ "kty": "RSA", "kid": kid, "n": n, "e": e });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    }

    fn sign(&self, input: &str) -> Vec<u8> {
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        signature
    }

    fn sign_with_sha512(&self, input: &str) -> Vec<u8> {
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        signature
    }
}

fn mac(key: &[u8], input: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes()).as_ref().to_vec()
}

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// A token, signed by whatever makes a signature of its two first parts.
fn token(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let input = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&sign(&input));
    format!("{input}.{signature}")
}

fn with(value: &Value, name: &str, member: Value) -> Value {
    let mut value = value.clone();
    value[name] = member;
    value
}

fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name);
    value
}

/// What a sender sees.
fn post(relay: &Running, path: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(&relay.public).unwrap();
    let body = "{}";
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn configured(installation: &Installation, application: &Application, set: &Value) {
    installation.write("set.json", &set.to_string());
    installation.secret("shared", "shared-secret-of-a-test");
    let text = format!(
        "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
         [log]\nformat = \"json\"\nrefusals_per_second = 1000\n\
         [admin]\naddress = \"unix:{}\"\n\
         [upstreams.application]\nservers = [\"{}\"]\n\
         [routes.public]\npath = \"/public\"\nupstream = \"application\"\npublic_keys = [{{ file = \"set.json\" }}]\n\
         claims = {{ aud = [\"here\"] }}\n\
         [routes.public.verify.jwt]\nalgorithms = [\"RS256\"]\ntoken = {{ header = \"Authorization\" }}\nkid = true\n\
         of_route = [\"aud\"]\nrequired = [\"exp\"]\ndedupe = [{{ claim = \"jti\" }}]\n\
         [routes.shared]\npath = \"/shared\"\nupstream = \"application\"\nsecrets = [{{ file = \"shared\" }}]\n\
         [routes.shared.verify.jwt]\nalgorithms = [\"HS256\"]\ntoken = {{ header = \"Authorization\" }}\nrequired = [\"exp\"]\n",
        installation.path("admin.sock"),
        application.url
    );
    installation.write("relay.toml", &text);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, with what it is made of")]
fn no_token_chooses_how_it_is_judged() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let (ours, theirs) = (Pair::new(&installation, "ours"), Pair::new(&installation, "theirs"));
    configured(&installation, &application, &json!({ "keys": [ours.jwk("k1", &json!({ "use": "sig" }))] }));
    installation.relay(&["check"]).exits(0);
    let relay = Running::start(&installation);
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" });
    let claims = json!({ "aud": "here", "exp": now() + HOUR, "jti": "1" });
    let by = |pair: &Pair, header: &Value, claims: &Value| token(header, claims, |input| pair.sign(input));
    let own = |header: &Value| by(&ours, header, &claims);
    let good = own(&header);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let public = ours.private.public_key().as_ref().to_vec();
    let hs = with(&header, "alg", "HS256".into());
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let deep: String = format!("{{\"aud\":\"here\",\"exp\":{},\"jti\":\"1\",\"x\":{deep}}}", now() + HOUR);
    let twice = format!("{{\"aud\":\"there\",\"aud\":\"here\",\"exp\":{},\"jti\":\"1\"}}", now() + HOUR);
    let signed_text = |payload: &str| {
        let input = format!("{}.{}", part(&header), BASE64URL_NOPAD.encode(payload.as_bytes()));
        format!("{input}.{}", BASE64URL_NOPAD.encode(&ours.sign(&input)))
    };
    let table: Vec<(&str, String, &str)> = vec![
        ("no signature", token(&with(&header, "alg", "none".into()), &claims, |_| Vec::new()), "algorithm_refused"),
        ("none in capitals", token(&with(&header, "alg", "NONE".into()), &claims, |_| Vec::new()), "algorithm_refused"),
        ("no signature under the right name", format!("{input}."), "signature_malformed"),
        ("no algorithm", own(&without(&header, "alg")), "algorithm_refused"),
        (
            "the PEM as a shared secret",
            token(&hs, &claims, |input| mac(ours.pem.as_bytes(), input)),
            "algorithm_refused",
        ),
        (
            "the PEM without its line end",
            token(&hs, &claims, |input| mac(ours.pem.trim().as_bytes(), input)),
            "algorithm_refused",
        ),
        ("the key's bytes as a shared secret", token(&hs, &claims, |input| mac(&public, input)), "algorithm_refused"),
        (
            "a MAC under the right name",
            token(&header, &claims, |input| mac(ours.pem.as_bytes(), input)),
            "signature_malformed",
        ),
        (
            "another algorithm of the same key",
            token(&with(&header, "alg", "RS512".into()), &claims, |input| ours.sign_with_sha512(input)),
            "algorithm_refused",
        ),
        (
            "another hash under the right name",
            token(&header, &claims, |input| ours.sign_with_sha512(input)),
            "signature_mismatch",
        ),
        ("another key", by(&theirs, &header, &claims), "signature_mismatch"),
        (
            "another key that it brings",
            by(&theirs, &with(&header, "jwk", theirs.jwk("k1", &json!({}))), &claims),
            "token_header_refused",
        ),
        (
            "a place where its key is",
            by(&theirs, &with(&header, "jku", "https://evil.example/keys".into()), &claims),
            "token_header_refused",
        ),
        (
            "a certificate's address",
            by(&theirs, &with(&header, "x5u", "https://evil.example/c".into()), &claims),
            "token_header_refused",
        ),
        ("a certificate", by(&theirs, &with(&header, "x5c", json!(["AAAA"])), &claims), "token_header_refused"),
        ("the right key in it", own(&with(&header, "jwk", ours.jwk("k1", &json!({})))), "token_header_refused"),
        ("a rule that must be known", own(&with(&header, "crit", json!(["exp"]))), "token_header_refused"),
        (
            "a payload that is not encoded",
            own(&with(&with(&header, "b64", false.into()), "crit", json!(["b64"]))),
            "token_header_refused",
        ),
        ("a key that nobody has", own(&with(&header, "kid", "k9".into())), "key_unknown"),
        ("no name of a key", own(&without(&header, "kid")), "key_unknown"),
        ("a path as the name of a key", own(&with(&header, "kid", "../../etc/passwd".into())), "key_unknown"),
        ("another receiver", by(&ours, &header, &with(&claims, "aud", "there".into())), "claim_mismatch"),
        ("other receivers", by(&ours, &header, &with(&claims, "aud", json!(["there", "elsewhere"]))), "claim_mismatch"),
        (
            "a ninth receiver",
            by(&ours, &header, &with(&claims, "aud", json!(["0", "1", "2", "3", "4", "5", "6", "7", "here"]))),
            "claim_mismatch",
        ),
        ("no receiver", by(&ours, &header, &without(&claims, "aud")), "claim_mismatch"),
        ("no end", by(&ours, &header, &without(&claims, "exp")), "claim_mismatch"),
        ("an end that has passed", by(&ours, &header, &with(&claims, "exp", (now() - HOUR).into())), "timestamp_stale"),
        (
            "an end that is no number",
            by(&ours, &header, &with(&claims, "exp", "tomorrow".into())),
            "signature_malformed",
        ),
        (
            "a beginning that has not come",
            by(&ours, &header, &with(&claims, "nbf", (now() + HOUR).into())),
            "timestamp_ahead",
        ),
        ("nothing to know it by", by(&ours, &header, &without(&claims, "jti")), "id_missing"),
        ("a claim twice", signed_text(&twice), "message_incomplete"),
        ("deep claims", signed_text(&deep), "message_incomplete"),
        ("claims that are no JSON", signed_text("{"), "signature_malformed"),
        ("claims that are a list", signed_text("[]"), "signature_malformed"),
        (
            "another payload",
            format!("{}.{}.{signature}", part(&header), part(&with(&claims, "jti", "2".into()))),
            "signature_mismatch",
        ),
        ("padding", format!("{input}.{signature}=="), "signature_malformed"),
        (
            "base64 of the other alphabet",
            format!("{input}.{}", signature.replace('_', "/").replace('-', "+")),
            "signature_malformed",
        ),
        ("four parts", format!("{good}.x"), "signature_malformed"),
        ("two parts", input.to_owned(), "signature_malformed"),
        ("nothing", String::new(), "signature_malformed"),
        ("an encrypted token", "a.b.c.d.e".to_owned(), "signature_malformed"),
        ("a long header", own(&with(&header, "x", "x".repeat(4096).into())), "signature_malformed"),
        ("a long token", by(&ours, &header, &with(&claims, "x", "x".repeat(17_000).into())), "signature_malformed"),
    ];
    let rows = table.len();
    for (what, text, reason) in table {
        assert_eq!(post(&relay, "/public", &text), 401, "{what}");
        let event = relay.event("request");
        assert_eq!((&event["outcome"], &event["reason"]), (&"refused".into(), &reason.into()), "{what}: {event}");
        assert!(!event.to_string().contains(signature), "{what}: a signature is in the log");
    }
    assert_eq!(application.arrived().len(), 0);
    for claims in [claims.clone(), with(&with(&claims, "aud", json!(["there", "here"])), "jti", "2".into())] {
        assert_eq!(post(&relay, "/public", &by(&ours, &header, &claims)), 200);
        assert_eq!(relay.event("request")["outcome"], "delivered");
    }
    // A route with a shared secret takes no token of a private key, and none by the name of another hash.
    let hs = json!({ "alg": "HS256" });
    let shared = |header: &Value| token(header, &claims, |input| mac(b"shared-secret-of-a-test", input));
    for (header, reason) in [
        (json!({ "alg": "RS256" }), "algorithm_refused"),
        (json!({ "alg": "HS512" }), "algorithm_refused"),
        (json!({ "alg": "HS256", "jku": "https://evil.example/" }), "token_header_refused"),
    ] {
        assert_eq!(post(&relay, "/shared", &shared(&header)), 401);
        assert_eq!(relay.event("request")["reason"], reason);
    }
    assert_eq!(post(&relay, "/shared", &shared(&hs)), 200);
    assert_eq!(application.arrived().len(), 3);
    assert!(rows > 40, "{rows}");
}

/// A set of keys as a provider has it: with keys for something else, and other keys after a while.
#[test]
fn a_set_of_keys_is_read_and_read_again() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let (old, new) = (Pair::new(&installation, "old"), Pair::new(&installation, "new"));
    let others = [
        json!({ "kty": "EC", "crv": "P-256", "kid": "e", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
        new.jwk("enc", &json!({ "use": "enc" })),
        new.jwk("ps", &json!({ "alg": "PS256" })),
    ];
    let set = |keys: &[Value]| {
        let keys: Vec<Value> = others.iter().chain(keys).cloned().collect();
        json!({ "keys": keys })
    };
    configured(&installation, &application, &set(&[old.jwk("k1", &json!({ "alg": "RS256" }))]));
    installation.relay(&["check"]).exits(0);
    let relay = Running::start(&installation);
    let send = |pair: &Pair, kid: &str, jti: &str| {
        let header = json!({ "alg": "RS256", "kid": kid });
        let claims = json!({ "aud": "here", "exp": now() + HOUR, "jti": jti });
        let status = post(&relay, "/public", &token(&header, &claims, |input| pair.sign(input)));
        (status, relay.event("request"))
    };
    let (status, event) = send(&old, "k1", "1");
    assert_eq!((status, &event["key"]), (200, &"k1".into()), "{event}");
    for kid in ["k2", "enc", "ps", "e"] {
        let (status, event) = send(&new, kid, "2");
        assert_eq!((status, &event["reason"]), (401, &"key_unknown".into()), "{kid}: {event}");
    }
    installation.write("set.json", &set(&[old.jwk("k1", &json!({})), new.jwk("k2", &json!({}))]).to_string());
    installation.relay(&["reload"]).exits(0);
    for (pair, kid) in [(&old, "k1"), (&new, "k2")] {
        let (status, event) = send(pair, kid, &format!("again-{kid}"));
        assert_eq!((status, &event["key"]), (200, &Value::from(kid)), "{event}");
    }
    // A set that cannot serve keeps the one that is in force.
    for (text, wanted) in [
        (json!({ "keys": [] }), "is a set without a key"),
        (json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }), "is a shared secret"),
        (json!({ "keys": [new.jwk("k2", &json!({ "d": "AAAA" }))] }), "is a private key"),
        (json!({ "keys": [others[0]] }), "is a key for ECDSA on P-256, and this scheme has RSA"),
        (json!({ "keys": [new.jwk("k2", &json!({})), new.jwk("k3", &json!({}))] }), ""),
        (
            json!({ "keys": [new.jwk("k2", &json!({})), old.jwk("k2", &json!({}))] }),
            "two public keys have the id \"k2\"",
        ),
        (json!({ "k1": "-----BEGIN CERTIFICATE-----" }), "neither a JSON Web Key nor a set"),
    ] {
        installation.write("set.json", &text.to_string());
        let said = installation.relay(&["check"]);
        let told = (said.out + &said.err).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.code, i32::from(!wanted.is_empty()), "{text}: {told}");
        assert!(told.contains(wanted), "{text}: {told}");
    }
    assert_eq!(application.arrived().len(), 3);
}

#[test]
fn send_makes_tokens_and_verify_says_what_is_wrong_with_them() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let ours = Pair::new(&installation, "ours");
    Pair::new(&installation, "theirs");
    configured(&installation, &application, &json!({ "keys": [ours.jwk("k1", &json!({}))] }));
    let relay = Running::start(&installation);
    let send = |arguments: &[&str]| installation.relay(&[arguments, &["--connect", &relay.public]].concat());
    let (key, other) = (installation.path("ours.key"), installation.path("theirs.key"));
    send(&["send", "public", "--private-key", &key]).exits(0);
    assert_eq!(relay.event("request")["key"], "k1");
    send(&["send", "public", "--private-key", &other]).exits(1);
    assert_eq!(relay.event("request")["reason"], "signature_mismatch");
    send(&["send", "shared"]).exits(0);
    assert_eq!(application.arrived().len(), 2);
    installation.write("set.json", &json!({ "keys": [ours.jwk("k1", &json!({}))] }).to_string());
    let ask = |key: &str, header: &Value, claims: &Value, claim: &str| {
        let text = token(header, claims, |input| ours.sign(input));
        let raw = format!(
            "POST /hooks/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {text}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let key = installation.path(key);
        let arguments =
            ["verify", "--provider", "google-chat", "--public-key", &key, "--claim", claim, "--request", "-"];
        let said = relay_reading(&arguments, raw.as_bytes());
        (said.code, (said.out + &said.err).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let header = json!({ "alg": "RS256", "kid": "k1" });
    let claims = json!({ "iss": "chat@system.gserviceaccount.com", "aud": "1234", "exp": now() + HOUR });
    let (code, told) = ask("set.json", &header, &claims, "aud=1234");
    assert_eq!(code, 0, "{told}");
    for (header, claims, claim, wanted) in [
        (header.clone(), claims.clone(), "aud=5678", "claim aud is `1234`, and must be `5678`"),
        (with(&header, "kid", "k2".into()), claims.clone(), "aud=1234", "fetch the set of keys again"),
        (
            with(&header, "alg", "RS512".into()),
            claims.clone(),
            "aud=1234",
            "algorithm is `RS512`, and the scheme takes RS256 alone",
        ),
        (
            with(&header, "alg", "HS256".into()),
            claims.clone(),
            "aud=1234",
            "must never be taken for one of the other kind",
        ),
        (with(&header, "jku", "https://a/".into()), claims.clone(), "aud=1234", "no key is taken from a token"),
        (header.clone(), with(&claims, "exp", (now() - HOUR).into()), "aud=1234", "the token expired 1 h"),
        (header.clone(), with(&claims, "nbf", (now() + HOUR).into()), "aud=1234", "(`nbf`)"),
        (header.clone(), without(&claims, "iss"), "aud=1234", "the token has no claim iss"),
        (with(&header, "alg", "PS256".into()), claims.clone(), "sub=1234", "leaves to the route: aud"),
    ] {
        let (code, told) = ask("set.json", &header, &claims, claim);
        assert_ne!(code, 0, "{wanted}: {told}");
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    installation.write("other.json", &Pair::new(&installation, "third").jwk("k1", &json!({})).to_string());
    let (code, told) = ask("other.json", &header, &claims, "aud=1234");
    assert!(code == 1 && told.contains("no key of any route verifies this token"), "{told}");
}

/// The body is told by a digest in the token: which body it is for, where something on the way wrote it anew.
#[test]
fn a_body_that_was_changed_is_told_from_a_wrong_key() {
    let installation = Installation::new("http://127.0.0.1:9");
    installation.secret("shared", "shared-secret-of-a-test");
    let (sent, came) = ("{\"a\":1,\"b\":2}", "{\"a\": 1, \"b\": 2}");
    let digest =
        data_encoding::HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sent.as_bytes()).as_ref());
    let claims = json!({ "iss": "netlify", "sha256": digest });
    let ask = |key: &[u8], body: &str| {
        let text = token(&json!({ "alg": "HS256" }), &claims, |input| mac(key, input));
        let raw = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX-Webhook-Signature: {text}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let key = installation.path("shared");
        let said = relay_reading(
            &["verify", "--provider", "netlify", "--secret-file", &key, "--request", "-"],
            raw.as_bytes(),
        );
        (said.code, (said.out + &said.err).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(ask(b"shared-secret-of-a-test", sent).0, 0);
    let (code, told) = ask(b"shared-secret-of-a-test", came);
    assert!(
        code == 1 && told.contains("claim sha256 is the digest of another body: the same JSON without blanks"),
        "{told}"
    );
    let (code, told) = ask(b"shared-secret-of-a-test", "{}");
    assert!(
        code == 1 && told.contains("the token is genuine, but claim sha256 is the digest of another body"),
        "{told}"
    );
    let (code, told) = ask(b"another-secret-of-a-test", sent);
    assert!(code == 1 && told.contains("no key of any route verifies this token"), "{told}");
    let (code, told) = ask(b"shared-secret-of-a-test\n", sent);
    assert!(code == 1 && told.contains("with a line feed behind it"), "{told}");
}
