//! Every reason code has a test: the tables below do not compile without one for each variant.
//!
//! [`Rig::refused`] asserts the same of each: the status, the fixed body, the fields, one log line and one count with the
//! reason, and that the inside saw nothing, not even a connection.

mod bodies;
mod faults;
mod heads;
mod signatures;

use bytes::Bytes;
use dmz_relay::domain::{Fault, Refusal};
use dmz_relay::gate::pipeline::answer as table;

use crate::harness::peers::{held, honest, lying, moody, nobody, resetting, silent};
use crate::harness::{
    Answer, BOTH, Call, Oktave, PLAIN, Peer, Protocol, Rig, Setup, base64_hmac, eventually, hex_hmac,
};

/// One test for each variant, named after it; the status stands here once more, apart from the relay's own table.
macro_rules! every {
    ($kind:ident, $status:ident; $($name:ident: $variant:ident = $code:literal),+ $(,)?) => {
        const _: fn($kind) = |code| match code { $($kind::$variant => {}),+ };
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let code = $kind::$variant;
            assert_eq!(table::$status(code), $code);
            cases::$name(code).await;
        })+
    };
}

every! { Refusal, refusal_status;
    head_malformed: HeadMalformed = 400,
    framing_ambiguous: FramingAmbiguous = 400,
    host_invalid: HostInvalid = 400,
    connection_option_invalid: ConnectionOptionInvalid = 400,
    head_timeout: HeadTimeout = 408,
    head_too_large: HeadTooLarge = 431,
    version_unsupported: VersionUnsupported = 505,
    expectation_unsupported: ExpectationUnsupported = 417,
    upgrade_unsupported: UpgradeUnsupported = 400,
    route_unknown: RouteUnknown = 404,
    host_misdirected: HostMisdirected = 421,
    method_not_allowed: MethodNotAllowed = 405,
    address_not_allowed: AddressNotAllowed = 403,
    address_denied: AddressDenied = 403,
    address_unknown: AddressUnknown = 403,
    header_required: HeaderRequired = 403,
    client_certificate_required: ClientCertificateRequired = 403,
    content_type_unsupported: ContentTypeUnsupported = 415,
    loop_detected: LoopDetected = 508,
    body_too_large: BodyTooLarge = 413,
    route_rate_limited: RouteRateLimited = 429,
    source_rate_limited: SourceRateLimited = 429,
    route_busy: RouteBusy = 503,
    body_timeout: BodyTimeout = 408,
    body_too_slow: BodyTooSlow = 408,
    body_malformed: BodyMalformed = 400,
    body_incomplete: BodyIncomplete = 400,
    signature_missing: SignatureMissing = 401,
    signature_repeated: SignatureRepeated = 401,
    signature_malformed: SignatureMalformed = 401,
    signature_mismatch: SignatureMismatch = 401,
    key_unknown: KeyUnknown = 401,
    algorithm_refused: AlgorithmRefused = 401,
    token_header_refused: TokenHeaderRefused = 401,
    claim_mismatch: ClaimMismatch = 401,
    message_incomplete: MessageIncomplete = 401,
    timestamp_missing: TimestampMissing = 401,
    timestamp_malformed: TimestampMalformed = 401,
    timestamp_stale: TimestampStale = 401,
    timestamp_ahead: TimestampAhead = 401,
    id_missing: IdMissing = 401,
    shape_invalid: ShapeInvalid = 401,
    binding_mismatch: BindingMismatch = 401,
    body_digest_mismatch: BodyDigestMismatch = 401,
    duplicate_in_flight: DuplicateInFlight = 409,
}

every! { Fault, fault_status;
    upstream_connect: UpstreamConnect = 502,
    upstream_tls: UpstreamTls = 502,
    upstream_reset: UpstreamReset = 502,
    upstream_malformed: UpstreamMalformed = 502,
    upstream_too_large: UpstreamTooLarge = 502,
    upstream_status: UpstreamStatus = 502,
    upstream_timeout: UpstreamTimeout = 504,
    upstream_unavailable: UpstreamUnavailable = 503,
    body_memory: BodyMemory = 503,
    verification_busy: VerificationBusy = 503,
    dedupe_memory: DedupeMemory = 503,
    store_full: StoreFull = 503,
    store_failed: StoreFailed = 503,
    internal: Internal = 500,
}

const ROUTES: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"

[routes.listed]
path = "/hooks/listed"
verify.dangerously_none = true
allow = ["192.0.2.0/24", "127.0.0.9"]
upstream = "app"

[routes.nobody]
path = "/hooks/nobody"
verify.dangerously_none = true
allow = []
upstream = "app"

[routes.headed]
path = "/hooks/headed"
verify.dangerously_none = true
headers = { "X-Tenant" = ["a", "b"], "X-Any" = true }
upstream = "app"

[routes.typed]
path = "/hooks/typed"
verify.dangerously_none = true
content_types = ["application/json"]
upstream = "app"

[routes.small]
path = "/hooks/small"
verify.dangerously_none = true
max_body = "1000B"
upstream = "app"

[routes.many]
path = "/hooks/many"
methods = ["POST", "PUT", "PATCH"]
verify.dangerously_none = true
upstream = "app"

[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/oktave" }]
upstream = "app"

[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "secrets/dastra" }]
upstream = "app"

[routes.own]
path = "/hooks/own"
secrets = [{ file = "secrets/own", id = "k1" }]
upstream = "app"
[routes.own.verify.hmac]
algorithm = "sha256"
signature = { header = "X-Own-Signature", encoding = "hex" }
message = "{header:X-Own-Event}.{header:X-Own-Digest}"
key_id = { header = "X-Own-Key" }
body_digests = [{ header = "X-Own-Digest", algorithm = "sha256", encoding = "hex" }]
dedupe = [{ header = "X-Own-Id" }]

[routes.token]
path = "/hooks/token"
secrets = [{ file = "secrets/token" }]
claims = { aud = ["here", "there"] }
upstream = "app"
[routes.token.verify.jwt]
algorithms = ["HS256"]
token = { header = "Authorization" }
of_route = ["aud"]
claims = { iss = ["sender"] }
required = ["exp"]
"#;

fn setup() -> Setup {
    Setup::routes(ROUTES)
        .file("secrets/oktave", "oktave-secret")
        .file("secrets/dastra", "dastra-secret")
        .file("secrets/own", "own-secret")
        .file("secrets/token", "token-secret")
}

/// A signed token with this header and these claims.
fn token(header: &str, claims: &str) -> Call {
    use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = HEXLOWER.decode(hex_hmac("token-secret", &signed).as_bytes()).unwrap();
    let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
    Call::post("/hooks/token").field("Authorization", &format!("Bearer {token}")).body("token body")
}

fn oktave(number: u32) -> Oktave {
    Oktave::event("oktave-secret", number)
}

fn dastra() -> Call {
    let body = "{\"event\":1}";
    Call::post("/hooks/dastra")
        .field("Content-Type", "application/json")
        .field("Dastra-Signature", &base64_hmac("dastra-secret", body))
        .body(body)
}

fn own(id: &str) -> Call {
    use data_encoding::HEXLOWER;
    use sha2::Digest;
    let body = "own body";
    let digest = HEXLOWER.encode(&sha2::Sha256::digest(body));
    Call::post("/hooks/own")
        .field("X-Own-Event", "e")
        .field("X-Own-Digest", &digest)
        .field("X-Own-Key", "k1")
        .field("X-Own-Id", id)
        .field("X-Own-Signature", &hex_hmac("own-secret", format!("e.{digest}")))
        .body(body)
}

/// Both protocols refuse each of these; and what they were made from is delivered, so nothing else was wrong with them.
async fn both(refusal: Refusal, calls: &[Call], genuine: &Call) {
    let rig = Rig::start(setup()).await;
    for protocol in BOTH {
        for call in calls {
            rig.refused(refusal, rig.send(protocol, call)).await;
        }
    }
    rig.delivers(Protocol::H1, genuine).await;
    rig.finish().await;
}

/// Refused before it is a request: the connection ends, and what was sent behind is never looked at.
async fn edge(refusal: Refusal, heads: &[&str]) {
    let rig = Rig::start(setup()).await;
    for head in heads {
        rig.refused(refusal, pipelined(&rig, head)).await;
    }
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// Sends the bytes with a good request right behind.
pub async fn pipelined(rig: &Rig, bytes: impl AsRef<[u8]>) -> Answer {
    let mut wire = rig.connect().await;
    wire.send([bytes.as_ref(), &Call::post("/hooks/plain").h1()].concat()).await;
    let answer = wire.answer().await;
    assert!(answer.closes(), "{answer:?}");
    wire.ended().await;
    answer
}

/// A relay before this internal server: the fault, over both protocols, inside the deadline.
async fn fails(fault: Fault, app: Peer, more: &str) {
    let mut setup = setup();
    setup.app = more.into();
    let rig = Rig::with_app(setup, app).await;
    let call = Call::post("/hooks/plain");
    for protocol in BOTH {
        rig.ends(fault, rig.send(protocol, &call)).await;
    }
    rig.finish().await;
}

/// One case for each name above.
mod cases {
    pub use super::{bodies::*, faults::*, heads::*, signatures::*};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_may_be_retried_and_a_delivered_one_is_not_delivered_again() {
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let app = honest::answers({
        let well = std::sync::Arc::clone(&well);
        move |_| match well.load(std::sync::atomic::Ordering::SeqCst) {
            true => honest::OK.to_owned(),
            false => "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
        }
    })
    .await;
    let rig = Rig::with_app(setup(), app).await;
    let call = oktave(1).call("/hooks/oktave");
    rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &call)).await;
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    rig.delivers(Protocol::H2, &call).await;
    for protocol in BOTH {
        let answer = rig.send(protocol, &call).await;
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(rig.log.of(answer.id()).await["outcome"], "duplicate");
    }
    assert_eq!(rig.app.seen().len(), 2);
    assert_eq!(rig.counted("duplicate", ""), 2.0);
    rig.finish().await;
}

/// GitHub's ping is answered here once it is verified, and goes nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_challenge_is_answered_here() {
    let routes = "[routes.github]\npath = \"/hooks/github\"\nprovider = \"github\"\n\
                  secrets = [{ file = \"secrets/github\" }]\nupstream = \"app\"\n";
    let rig = Rig::start(Setup::routes(routes).file("secrets/github", "github-secret")).await;
    let body = "{\"zen\":\"Design for failure.\"}";
    let ping = Call::post("/hooks/github")
        .field("content-type", "application/json")
        .field("x-github-event", "ping")
        .field("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .field("x-hub-signature-256", &format!("sha256={}", hex_hmac("github-secret", body)))
        .body(body);
    for protocol in BOTH {
        let answer = rig.send(protocol, &ping).await;
        assert_eq!((answer.status, &rig.log.of(answer.id()).await["outcome"]), (200, &"challenge".into()));
        let forged = ping.clone().body("{}");
        rig.refused(Refusal::SignatureMismatch, rig.send(protocol, &forged)).await;
        let text = ping.clone().set("content-type", "text/plain");
        rig.refused(Refusal::ContentTypeUnsupported, rig.send(protocol, &text)).await;
    }
    assert_eq!((rig.app.connections(), rig.counted("challenge", "")), (0, 2.0));
    rig.delivers(Protocol::H1, &ping.set("x-github-event", "push")).await;
    rig.finish().await;
}
