use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::base::UnixMillis;
use crate::domain::{Head, Method, Version};
use crate::scheme::check::Check;
use crate::scheme::compiled::Scheme;
use crate::scheme::identity::{Bodies, Combination, Dedupe};
use crate::scheme::{Key, Proof};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const SECRET: &str = "secret-of-a-test";

fn spec(algorithms: &[JwtAlgorithm]) -> JwtSpec {
    JwtSpec {
        algorithms: algorithms.to_vec(),
        place: Place::Source(Source::Header("X".into())),
        detached: None,
        kid: false,
        jose: Vec::new(),
        claims: Vec::new(),
        hashes: Vec::new(),
        leeway: Duration::from_secs(60),
        key: KeyMaterial::default(),
        form: KeyForm::default(),
    }
}

fn scheme(spec: JwtSpec) -> Arc<Scheme> {
    let by = Combination { when: None, parts: vec![Dedupe::Signature] };
    Scheme::new(Check::Jwt(spec), None, None, Vec::new(), Vec::new(), vec![by], Bodies::default())
}

fn shared() -> Verifier {
    let key = Key { id: "a".into(), secret: Secret::new(SECRET.into()) };
    Verifier::new(scheme(spec(&[JwtAlgorithm::Shared(Algorithm::Sha256)])), vec![key], None).unwrap()
}

fn part(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn token(header: &str, claims: &str) -> String {
    let input = format!("{}.{}", part(header), part(claims));
    let mut state = State::keyed(Algorithm::Sha256, SECRET.as_bytes()).unwrap();
    state.update(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(state.finish().as_bytes()))
}

fn verify(verifier: &Verifier, text: &str) -> Result<Proof, Refusal> {
    verify_at(verifier, text, NOW)
}

fn verify_at(verifier: &Verifier, text: &str, now: UnixMillis) -> Result<Proof, Refusal> {
    let head = Head::builder(Method::Post, Version::Http11).target("/").host("a").header("X", text).build();
    verifier.verify(&head, b"body", now)
}

const HEADER: &str = r#"{"alg":"HS256"}"#;

/// RFC 7515, appendix A.1: with its key in base64url, blanks in its JSON, and an end in 2011.
#[test]
fn the_example_of_the_specification_is_genuine_in_its_time() {
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let material = KeyMaterial { encoding: Some(Encoding::Base64UrlUnpadded), ..KeyMaterial::default() };
    let spec = JwtSpec { key: material, ..spec(&[JwtAlgorithm::Shared(Algorithm::Sha256)]) };
    let key = Key { id: "a".into(), secret: Secret::new(key.into()) };
    let verifier = Verifier::new(scheme(spec), vec![key], None).unwrap();
    assert!(verify_at(&verifier, text, UnixMillis::from_secs(1_300_819_379)).is_ok());
    assert_eq!(verify_at(&verifier, text, UnixMillis::from_secs(1_300_819_440)), Err(Refusal::TimestampStale));
}

/// RFC 8037, appendix A.4, and RFC 7515, appendix A.3 and A.4: keys and tokens of the specifications.
#[test]
fn the_examples_with_public_keys_are_genuine() {
    for (algorithm, key, text) in [
        (
            "EdDSA",
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
        (
            "ES256",
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "ES512",
            r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#,
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        ),
    ] {
        let found = JwtAlgorithm::ALL.into_iter().find(|one| one.as_str() == algorithm).unwrap();
        let spec = spec(&[found]);
        let key = Key { id: "a".into(), secret: Secret::new(key.into()) };
        let verifier = Verifier::new(scheme(spec), vec![key], None).unwrap();
        // Two of the payloads are no claims: their signatures are looked at alone.
        let (first, last) = (text.find('.').unwrap(), text.rfind('.').unwrap());
        let signature = BASE64URL_NOPAD.decode(&text.as_bytes()[last + 1..]).unwrap();
        let Some(Usable::Public(key)) = material(&verifier.keys[0], found) else { panic!("{algorithm}") };
        let JwtAlgorithm::Public(public) = found else { panic!("{algorithm}") };
        let signed = |text: &str| match public.digest() {
            Some(hash) => Signed::Digest(aws_lc_rs::digest::digest(hash, text.as_bytes())),
            None => Signed::Whole(Cow::Owned(text.as_bytes().to_vec())),
        };
        assert!(signed(text.get(..last).unwrap()).is_signed_by(key, &signature), "{algorithm}");
        assert!(!signed(text.get(..first).unwrap()).is_signed_by(key, &signature), "{algorithm}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let verifier = shared();
    let good = token(HEADER, "{}");
    assert!(verify(&verifier, &good).is_ok());
    for word in ["Bearer ", "bearer ", "BEARER "] {
        assert!(verify(&verifier, &format!("{word}{good}")).is_ok(), "{word}");
    }
    let (input, signature) = good.rsplit_once('.').unwrap();
    let deep = format!("{{\"alg\":\"HS256\",\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let padded = data_encoding::BASE64URL.encode(format!("{HEADER} ").as_bytes());
    assert!(padded.ends_with('='), "else it says nothing");
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        input.to_owned(),
        format!("{good}.x"),
        format!("{good} "),
        format!(" {good}"),
        format!("Bearer  {good}"),
        format!("Basic {good}"),
        format!("{input}."),
        format!("{input}.{}", signature.get(1..).unwrap()),
        format!("{input}.{signature}AA"),
        format!("{input}.{signature}="),
        format!("{padded}.{}.{signature}", part("{}")),
        token(&deep, "{}"),
        token("[]", "{}"),
        token("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "{}"),
        token("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", "{}"),
        token(HEADER, "{"),
        token(HEADER, "{\"exp\":\"never\"}"),
        token(HEADER, "{\"exp\":4102444800,\"exp\":1}"),
        token(HEADER, &format!("{{\"a\":\"{}\"}}", "x".repeat(token::MAX_TOKEN))),
        token(&format!("{{\"alg\":\"HS256\",\"a\":\"{}\"}}", "x".repeat(4096)), "{}"),
    ] {
        let refusal = verify(&verifier, &text).unwrap_err();
        let expected = [Refusal::SignatureMalformed, Refusal::MessageIncomplete];
        assert!(expected.contains(&refusal), "{refusal:?}: {text}");
    }
}

/// Nothing that a token says chooses how it is judged.
#[test]
fn a_token_chooses_nothing() {
    use crate::scheme::check::public_key::{fresh, public_of};
    let rsa = JwtAlgorithm::Public(super::super::public_key::KeyAlgorithm::RsaSha256);
    let private = fresh(super::super::public_key::KeyAlgorithm::RsaSha256).unwrap();
    let public = public_of(super::super::public_key::KeyAlgorithm::RsaSha256, private.expose()).unwrap();
    let key = Key { id: "a".into(), secret: Secret::new(public.clone().into_bytes()) };
    let verifier = Verifier::new(scheme(spec(&[rsa])), vec![key], None).unwrap();
    for text in [public.as_str(), public.trim()] {
        let input = format!("{}.{}", part(HEADER), part("{}"));
        let mut state = State::keyed(Algorithm::Sha256, text.as_bytes()).unwrap();
        state.update(input.as_bytes());
        let token = format!("{input}.{}", BASE64URL_NOPAD.encode(state.finish().as_bytes()));
        assert_eq!(verify(&verifier, &token), Err(Refusal::AlgorithmRefused));
        // The same under the name of the algorithm that the key is for.
        let input = format!("{}.{}", part(r#"{"alg":"RS256"}"#), part("{}"));
        let token = format!("{input}.{}", BASE64URL_NOPAD.encode(&[7; 32]));
        assert_eq!(verify(&verifier, &token), Err(Refusal::SignatureMalformed));
    }
    for name in ["none", "NONE", "", "HS256 ", "RS512", "PS256"] {
        let header = format!("{{\"alg\":\"{name}\"}}");
        assert_eq!(verify(&verifier, &token(&header, "{}")), Err(Refusal::AlgorithmRefused), "{name}");
    }
    for member in ["\"jwk\":{}", "\"jku\":\"\"", "\"x5u\":1", "\"x5c\":null", "\"crit\":[\"a\"]", "\"b64\":false"] {
        let header = format!("{{\"alg\":\"HS256\",{member}}}");
        assert_eq!(verify(&shared(), &token(&header, "{}")), Err(Refusal::TokenHeaderRefused), "{member}");
    }
}

#[test]
fn a_token_is_good_between_its_two_times() {
    let verifier = shared();
    let at = |claims: &str| verify(&verifier, &token(HEADER, claims)).map(|_| ());
    let now = NOW.secs();
    assert_eq!(at(&format!("{{\"exp\":{}}}", now - 59)), Ok(()));
    assert_eq!(at(&format!("{{\"exp\":{}}}", now - 60)), Err(Refusal::TimestampStale));
    assert_eq!(at(&format!("{{\"nbf\":{}}}", now + 60)), Ok(()));
    assert_eq!(at(&format!("{{\"nbf\":{}}}", now + 61)), Err(Refusal::TimestampAhead));
    // A fraction is a time as well, and a number that no clock has is no end.
    assert_eq!(at(&format!("{{\"exp\":{}.5}}", now - 61)), Err(Refusal::TimestampStale));
    assert_eq!(at("{\"exp\":1e300}"), Ok(()));
    assert_eq!(at("{\"exp\":-1e300}"), Err(Refusal::TimestampStale));
    assert_eq!(at("{\"nbf\":1e300}"), Err(Refusal::TimestampAhead));
}

/// Whoever can make a second token of the first one would have a second request.
#[test]
fn a_request_is_known_by_what_was_signed() {
    let verifier = shared();
    let name = |claims: &str| verify(&verifier, &token(HEADER, claims)).unwrap().dedupe;
    assert_eq!(name("{\"a\":1}"), name("{\"a\":1}"));
    assert_ne!(name("{\"a\":1}"), name("{\"a\":2}"));
    let bearer = verify(&verifier, &format!("Bearer {}", token(HEADER, "{\"a\":1}"))).unwrap().dedupe;
    assert_eq!(bearer, name("{\"a\":1}"));
}

#[test]
fn a_claim_that_the_route_leaves_open_is_refused() {
    let path = JsonPath::parse("aud").unwrap();
    let claim = || Claim { path: path.clone(), elements: Vec::new(), wanted: Wanted::OfRoute };
    let spec = JwtSpec { claims: vec![claim()], ..spec(&[JwtAlgorithm::Shared(Algorithm::Sha256)]) };
    let key = Key { id: "a".into(), secret: Secret::new(SECRET.into()) };
    let open = Verifier::new(scheme(spec), vec![key], None).unwrap();
    let text = token(HEADER, "{\"aud\":\"here\"}");
    assert_eq!(verify(&open, &text), Err(Refusal::ClaimMismatch));
    let said = open.with_claims([("aud", vec!["there".into(), "here".into()])]);
    assert!(verify(&said, &text).is_ok());
    assert_eq!(verify(&said, &token(HEADER, "{\"aud\":\"\"}")), Err(Refusal::ClaimMismatch));
}
