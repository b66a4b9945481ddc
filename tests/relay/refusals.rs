//! Every reason code has a test: the tables below do not compile without one for each variant.
//!
//! [`Rig::refused`] asserts the same of each: the status, the fixed body, the fields, one log line and one count with the
//! reason, and that the inside saw nothing, not even a connection.

use bytes::Bytes;
use dmz_relay::domain::{Fault, Refusal};
use dmz_relay::pipeline::answer as table;

use crate::harness::peers::{held, honest, lying, nobody, resetting, silent};
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
    header_required: HeaderRequired = 403,
    client_certificate_required: ClientCertificateRequired = 403,
    content_type_unsupported: ContentTypeUnsupported = 415,
    body_too_large: BodyTooLarge = 413,
    route_rate_limited: RouteRateLimited = 429,
    source_rate_limited: SourceRateLimited = 429,
    route_busy: RouteBusy = 503,
    body_timeout: BodyTimeout = 408,
    body_malformed: BodyMalformed = 400,
    body_incomplete: BodyIncomplete = 400,
    signature_missing: SignatureMissing = 401,
    signature_repeated: SignatureRepeated = 401,
    signature_malformed: SignatureMalformed = 401,
    signature_mismatch: SignatureMismatch = 401,
    key_unknown: KeyUnknown = 401,
    message_incomplete: MessageIncomplete = 401,
    timestamp_missing: TimestampMissing = 401,
    timestamp_malformed: TimestampMalformed = 401,
    timestamp_stale: TimestampStale = 401,
    timestamp_ahead: TimestampAhead = 401,
    id_missing: IdMissing = 401,
    shape_invalid: ShapeInvalid = 401,
    binding_mismatch: BindingMismatch = 401,
    body_digest_mismatch: BodyDigestMismatch = 401,
    twin_in_flight: TwinInFlight = 409,
}

every! { Fault, fault_status;
    upstream_connect: UpstreamConnect = 502,
    upstream_tls: UpstreamTls = 502,
    upstream_reset: UpstreamReset = 502,
    upstream_malformed: UpstreamMalformed = 502,
    upstream_status: UpstreamStatus = 502,
    upstream_timeout: UpstreamTimeout = 504,
    upstream_unavailable: UpstreamUnavailable = 503,
    body_memory: BodyMemory = 503,
    replay_memory: ReplayMemory = 503,
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
"#;

fn setup() -> Setup {
    Setup::routes(ROUTES)
        .file("secrets/oktave", "oktave-secret")
        .file("secrets/dastra", "dastra-secret")
        .file("secrets/own", "own-secret")
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

mod cases {
    use super::*;

    pub async fn head_malformed(refusal: Refusal) {
        edge(refusal, &["garbage\r\n\r\n", "POST //hooks/plain HTTP/1.1\r\nHost: relay.example\r\n\r\n"]).await;
        let calls = ["/hooks//plain", "/hooks/../hooks/plain", "/hooks/%2e%2e/plain"].map(Call::post);
        both(refusal, &calls, &Call::post("/hooks/plain")).await;
    }

    pub async fn framing_ambiguous(refusal: Refusal) {
        edge(
            refusal,
            &["POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
        )
        .await;
        let rig = Rig::start(setup()).await;
        let call = Call::post("/hooks/plain").field("content-length", "2").field("content-length", "2").chunked();
        rig.refused(refusal, rig.send(Protocol::H2, &call)).await;
        rig.finish().await;
    }

    pub async fn host_invalid(refusal: Refusal) {
        edge(refusal, &["POST /hooks/plain HTTP/1.1\r\nContent-Length: 0\r\n\r\n"]).await;
        let rig = Rig::start(setup()).await;
        let call = Call::post("/hooks/plain").field("host", "other.example");
        rig.refused(refusal, rig.send(Protocol::H2, &call)).await;
        rig.finish().await;
    }

    pub async fn connection_option_invalid(refusal: Refusal) {
        edge(
            refusal,
            &["POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nConnection: close, X-Hub-Signature-256\r\n\r\n"],
        )
        .await;
    }

    pub async fn head_timeout(refusal: Refusal) {
        let rig = Rig::start(setup().limits("head_timeout = \"100ms\"")).await;
        for part in ["P", "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n"] {
            let mut wire = rig.connect().await;
            rig.refused(refusal, async {
                wire.send(part).await;
                wire.answer().await
            })
            .await;
            wire.ended().await;
        }
        rig.finish().await;
    }

    pub async fn head_too_large(refusal: Refusal) {
        let many = "X-Many: 1\r\n".repeat(101);
        let one = format!("X-One: {}\r\n", "a".repeat(40_000));
        let start = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n";
        edge(refusal, &[&format!("{start}{many}\r\n"), &format!("{start}{one}\r\n")]).await;
        let rig = Rig::start(setup()).await;
        let many = (0..101).fold(Call::post("/hooks/plain"), |call, _| call.field("x-many", "1"));
        rig.refused(refusal, rig.send(Protocol::H2, &many)).await;
        let one = |bytes| Call::post("/hooks/plain").field("x-one", &"a".repeat(bytes));
        rig.refused(refusal, rig.send(Protocol::H2, &one(40_000))).await;
        rig.delivers(Protocol::H2, &one(30_000)).await;
        rig.finish().await;
    }

    pub async fn version_unsupported(refusal: Refusal) {
        edge(refusal, &["POST /hooks/plain HTTP/2.0\r\nHost: relay.example\r\n\r\n"]).await;
    }

    pub async fn expectation_unsupported(refusal: Refusal) {
        let call = Call::post("/hooks/plain").field("expect", "100-continuee");
        both(refusal, &[call], &Call::post("/hooks/plain")).await;
    }

    pub async fn upgrade_unsupported(refusal: Refusal) {
        let start = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n";
        edge(refusal, &["websocket", "h2c"].map(|to| format!("{start}Upgrade: {to}\r\n\r\n")).each_ref().map(|s| &**s))
            .await;
    }

    pub async fn route_unknown(refusal: Refusal) {
        let calls = ["/", "/hooks/plain/", "/hooks/Plain", "/hooks/plain2", "/hooks/%70lain"].map(Call::post);
        both(refusal, &calls, &Call::post("/hooks/plain?x=1")).await;
    }

    pub async fn host_misdirected(refusal: Refusal) {
        let calls =
            ["unknown.example", "127.0.0.1", "a.b.wild.example"].map(|host| Call::post("/hooks/plain").host(host));
        both(refusal, &calls, &Call::post("/hooks/plain").host("RELAY.example:8443")).await;
    }

    pub async fn method_not_allowed(refusal: Refusal) {
        let rig = Rig::start(setup()).await;
        for protocol in BOTH {
            for method in ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
                let call = Call::post("/hooks/plain").method(method);
                let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
                let allow = answer.field("allow").unwrap();
                if ["TRACE", "BREW"].contains(&method) {
                    assert!(!allow.contains(method), "{allow}");
                } else {
                    assert_eq!(allow, "POST");
                }
            }
            let answer = rig.send(protocol, &Call::post("/hooks/many").method("GET")).await;
            assert_eq!((answer.status, answer.field("allow")), (405, Some("POST, PUT, PATCH")));
            rig.delivers(protocol, &Call::post("/hooks/many").method("PATCH")).await;
        }
        rig.finish().await;
    }

    pub async fn address_not_allowed(refusal: Refusal) {
        let rig = Rig::start(setup()).await;
        for protocol in BOTH {
            for target in ["/hooks/listed", "/hooks/nobody"] {
                rig.refused(refusal, rig.send(protocol, &Call::post(target))).await;
            }
        }
        let mut wire = rig.tls().from("127.0.0.9").connect(rig.address).await;
        wire.send(Call::post("/hooks/listed").h1()).await;
        assert_eq!(wire.answer().await.status, 200);
        rig.finish().await;
    }

    pub async fn header_required(refusal: Refusal) {
        let good = Call::post("/hooks/headed").field("X-Tenant", "a").field("X-Any", "thing");
        let calls = [
            good.clone().without("X-Tenant"),
            good.clone().without("X-Any"),
            good.clone().set("X-Tenant", "c"),
            good.clone().set("X-Tenant", "A"),
            good.clone().set("X-Tenant", "a, b"),
            good.clone().field("X-Tenant", "c"),
        ];
        both(refusal, &calls, &good.clone().field("x-tenant", "b")).await;
    }

    pub async fn client_certificate_required(refusal: Refusal) {
        let routes = format!("{PLAIN}client_certificate = true\n");
        let senders = crate::harness::Authority::new();
        let setup = Setup::routes(&routes)
            .tls("client_auth = { ca = \"certs/senders.crt\", required = false }")
            .file("certs/senders.crt", senders.pem());
        let rig = Rig::start(setup).await;
        let call = Call::post("/hooks/plain");
        for protocol in BOTH {
            rig.refused(refusal, rig.send(protocol, &call)).await;
        }
        let mut wire = rig.tls().showing(&senders.issue(&["sender"])).connect(rig.address).await;
        wire.send(call.h1()).await;
        assert_eq!(wire.answer().await.status, 200);
        rig.finish().await;
    }

    pub async fn content_type_unsupported(refusal: Refusal) {
        let good = Call::post("/hooks/typed").field("Content-Type", "Application/JSON; charset=utf-8");
        let calls = [
            good.clone().without("Content-Type"),
            good.clone().set("Content-Type", "text/plain"),
            good.clone().set("Content-Type", "application/json5"),
            good.clone().field("Content-Type", "application/json"),
        ];
        both(refusal, &calls, &good).await;
    }

    pub async fn body_too_large(refusal: Refusal) {
        let rig = Rig::start(setup()).await;
        let call = |bytes: usize| Call::post("/hooks/small").body(vec![b'a'; bytes]);
        for protocol in BOTH {
            rig.delivers(protocol, &call(1000)).await;
            rig.delivers(protocol, &call(1000).chunked()).await;
            rig.refused(refusal, rig.send(protocol, &call(1001))).await;
            rig.refused(refusal, rig.send(protocol, &call(1001).chunked())).await;
            rig.refused(refusal, rig.send(protocol, &call(100_000).chunked())).await;
        }
        // What a head declares costs nothing: ten tebibytes, and not a byte of them is waited for or made room for.
        let head = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 10995116277760\r\n\r\n";
        rig.refused(refusal, rig.raw(head.as_bytes())).await;
        let chunk =
            "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n";
        rig.refused(refusal, rig.raw(chunk.as_bytes())).await;
        assert_eq!(rig.running().state().bodies.used(), 0);
        rig.finish().await;
    }

    pub async fn route_rate_limited(refusal: Refusal) {
        let routes = format!("{PLAIN}rate = {{ per_second = 0.01, burst = 2 }}\n");
        let rig = Rig::start(Setup::routes(&routes)).await;
        let call = Call::post("/hooks/plain");
        for _ in 0..2 {
            rig.delivers(Protocol::H1, &call).await;
        }
        for protocol in BOTH {
            let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
            let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((90..=100).contains(&wait), "{wait}");
        }
        let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
        other.send(call.h1()).await;
        assert_eq!(other.answer().await.status, 429);
        rig.finish().await;
    }

    pub async fn source_rate_limited(refusal: Refusal) {
        let routes = format!("{PLAIN}rate_per_source = {{ per_second = 0.01, burst = 1 }}\n");
        let rig = Rig::start(Setup::routes(&routes)).await;
        let call = Call::post("/hooks/plain");
        rig.delivers(Protocol::H1, &call).await;
        for protocol in BOTH {
            let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
            assert!(answer.field("retry-after").unwrap().parse::<u64>().unwrap() > 90);
        }
        let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
        other.send(call.h1()).await;
        assert_eq!(other.answer().await.status, 200);
        rig.finish().await;
    }

    pub async fn route_busy(refusal: Refusal) {
        let (app, gate) = held::held().await;
        let rig = Rig::with_app(Setup::routes(&format!("{PLAIN}max_in_flight = 1\n")), app).await;
        let call = Call::post("/hooks/plain");
        let mut first = rig.connect().await;
        first.send(call.h1()).await;
        eventually("the first is inside", async || rig.app.seen().len() == 1).await;
        for protocol in BOTH {
            let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
            assert_eq!(answer.field("retry-after"), Some("1"));
        }
        gate.release(2);
        assert_eq!(first.answer().await.status, 200);
        rig.delivers(Protocol::H1, &call).await;
        rig.finish().await;
    }

    pub async fn body_timeout(refusal: Refusal) {
        let rig = Rig::start(setup().limits("body_timeout = \"100ms\"")).await;
        let call = Call::post("/hooks/plain").body("a body");
        for chunked in [false, true] {
            let call = if chunked { call.clone().chunked() } else { call.clone() };
            let mut wire = rig.connect().await;
            rig.refused(refusal, async {
                wire.send([&call.h1_head()[..], b"3"].concat()).await;
                wire.answer().await
            })
            .await;
            wire.ended().await;
        }
        let mut h2 = rig.h2().await;
        let (response, mut stream) = h2.open(&call).await;
        stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        rig.refused(refusal, async { crate::harness::read_h2(response).await.unwrap() }).await;
        rig.finish().await;
    }

    pub async fn body_malformed(refusal: Refusal) {
        let rig = Rig::start(setup()).await;
        let head = Call::post("/hooks/plain").chunked().h1_head();
        for body in [
            "zz\r\n",
            "2\r\n{}x\r\n0\r\n\r\n",
            "2\n{}\r\n",
            "0x2\r\n{}\r\n",
            "2;a\rb\r\n{}\r\n",
            "0\r\nX: a\nb\r\n\r\n",
        ] {
            rig.refused(refusal, pipelined(&rig, [&head[..], body.as_bytes()].concat())).await;
        }
        rig.finish().await;
    }

    pub async fn body_incomplete(refusal: Refusal) {
        let rig = Rig::start(setup()).await;
        for call in [Call::post("/hooks/plain").body("a body"), Call::post("/hooks/plain").body("a body").chunked()] {
            let mut wire = rig.connect().await;
            rig.refused(refusal, async {
                wire.send([&call.h1_head()[..], b"5\r\na"].concat()).await;
                wire.half_close().await;
                wire.answer().await
            })
            .await;
            wire.ended().await;
        }
        rig.finish().await;
    }

    pub async fn signature_missing(refusal: Refusal) {
        let calls = [
            dastra().without("Dastra-Signature"),
            // A twin with an underscore, and a signature in a trailer, are no signatures.
            dastra()
                .without("Dastra-Signature")
                .field("Dastra_Signature", &base64_hmac("dastra-secret", "{\"event\":1}")),
            oktave(1).call("/hooks/oktave").without("Oktave-Signature"),
        ];
        both(refusal, &calls, &dastra()).await;
        let rig = Rig::start(setup()).await;
        let call = dastra().without("Dastra-Signature").chunked();
        let mut bytes = call.h1();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(
            format!("Dastra-Signature: {}\r\n\r\n", base64_hmac("dastra-secret", &call.body)).as_bytes(),
        );
        rig.refused(refusal, rig.raw(&bytes)).await;
        rig.finish().await;
    }

    pub async fn signature_repeated(refusal: Refusal) {
        let signature = base64_hmac("dastra-secret", "{\"event\":1}");
        let other = base64_hmac("dastra-secret", "another body");
        let calls = [&signature, &other].map(|second| dastra().field("dastra-signature", second));
        both(refusal, &calls, &dastra()).await;
    }

    pub async fn signature_malformed(refusal: Refusal) {
        let good = base64_hmac("dastra-secret", "{\"event\":1}");
        let calls = ["", "!", &good[1..], &good[..40], &format!("{good}{good}"), &format!("{good}, {good}")]
            .map(|signature| dastra().set("Dastra-Signature", signature));
        both(refusal, &calls, &dastra()).await;
    }

    pub async fn signature_mismatch(refusal: Refusal) {
        let good = oktave(1).call("/hooks/oktave");
        let calls = [
            dastra().body("{\"event\":2}"),
            dastra().set("Dastra-Signature", &base64_hmac("another secret", "{\"event\":1}")),
            dastra().set("Dastra-Signature", &base64_hmac("dastra-secret", "")),
            oktave(1)
                .at(crate::harness::NOW - 1)
                .call("/hooks/oktave")
                .set("Oktave-Timestamp", &crate::harness::NOW.to_string()),
            good.clone().set("Oktave-Event-Id", &oktave(2).id),
        ];
        both(refusal, &calls, &good).await;
    }

    pub async fn key_unknown(refusal: Refusal) {
        let calls = [own("1").set("X-Own-Key", "k2"), own("1").without("X-Own-Key")];
        both(refusal, &calls, &own("1")).await;
    }

    pub async fn message_incomplete(refusal: Refusal) {
        let calls = [own("1").without("X-Own-Event"), oktave(1).call("/hooks/oktave").without("Oktave-Event-Id")];
        both(refusal, &calls, &own("1")).await;
    }

    pub async fn timestamp_missing(refusal: Refusal) {
        let good = oktave(1).call("/hooks/oktave");
        both(refusal, &[good.clone().without("Oktave-Timestamp")], &good).await;
    }

    pub async fn timestamp_malformed(refusal: Refusal) {
        let good = oktave(1).call("/hooks/oktave");
        let calls = ["", "-1", "1.5", "1e9", "now", "17953416000000000000", " 1795341600x", "0x6b"]
            .map(|time| good.clone().set("Oktave-Timestamp", time));
        both(refusal, &calls, &good).await;
    }

    pub async fn timestamp_stale(refusal: Refusal) {
        let at = |back: i64| oktave(1).at(crate::harness::NOW - back).call("/hooks/oktave");
        both(refusal, &[at(3601), at(86_400), at(crate::harness::NOW)], &at(3600)).await;
    }

    pub async fn timestamp_ahead(refusal: Refusal) {
        let at = |ahead: i64| oktave(1).at(crate::harness::NOW + ahead).call("/hooks/oktave");
        both(refusal, &[at(301), at(3600), at(90_000_000_000)], &at(300)).await;
    }

    pub async fn id_missing(refusal: Refusal) {
        both(refusal, &[own("1").without("X-Own-Id")], &own("1")).await;
    }

    pub async fn shape_invalid(refusal: Refusal) {
        let good = oktave(1);
        // Digits that slide from the time into the id leave the signed message as it was.
        let slid = format!("{}{}", good.id, &good.at.to_string()[..1]);
        let calls = [
            good.call("/hooks/oktave").set("Oktave-Event-Id", &slid).set("Oktave-Timestamp", &good.at.to_string()[1..]),
            good.call("/hooks/oktave").set("Oktave-Event-Id", "not-a-uuid"),
            own(&"x".repeat(300)),
        ];
        both(refusal, &calls, &good.call("/hooks/oktave")).await;
    }

    pub async fn binding_mismatch(refusal: Refusal) {
        let good = oktave(1).call("/hooks/oktave");
        let calls = [
            good.clone().body(oktave(2).body()),
            good.clone().body("{}"),
            good.clone().body("not json"),
            good.clone().body(format!("{{\"event_id\":\"{0}\",\"event_id\":\"{0}\"}}", oktave(1).id)),
            good.clone().body(""),
        ];
        both(refusal, &calls, &good).await;
    }

    pub async fn body_digest_mismatch(refusal: Refusal) {
        both(refusal, &[own("1").body("another body"), own("1").body("")], &own("1")).await;
    }

    pub async fn twin_in_flight(refusal: Refusal) {
        let (app, gate) = held::held().await;
        let rig = Rig::with_app(setup(), app).await;
        let call = oktave(1).call("/hooks/oktave");
        let mut first = rig.connect().await;
        first.send(call.h1()).await;
        eventually("the first is inside", async || rig.app.seen().len() == 1).await;
        for protocol in BOTH {
            let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
            assert_eq!(answer.field("retry-after"), Some("2"));
        }
        gate.release(1);
        assert_eq!(first.answer().await.status, 200);
        let answer = rig.send(Protocol::H1, &call).await;
        assert_eq!((answer.status, rig.app.seen().len()), (200, 1), "a duplicate is a success that goes nowhere");
        rig.finish().await;
    }

    pub async fn upstream_connect(fault: Fault) {
        fails(fault, nobody().await, "").await;
    }

    pub async fn upstream_tls(fault: Fault) {
        let plaintext = lying::says("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let more = format!(
            "[upstreams.tls]\nservers = [\"https://{}\"]\n[routes.tls]\npath = \"/hooks/tls\"\n\
             verify.dangerously_none = true\nupstream = \"tls\"\n",
            plaintext.address
        );
        let rig = Rig::start(Setup::routes(&format!("{PLAIN}{more}"))).await;
        rig.refused(fault, rig.send(Protocol::H1, &Call::post("/hooks/tls"))).await;
        rig.finish().await;
    }

    pub async fn upstream_reset(fault: Fault) {
        fails(fault, resetting::resetting().await, "").await;
    }

    pub async fn upstream_malformed(fault: Fault) {
        fails(fault, lying::says("SSH-2.0-inside\r\n\r\n").await, "").await;
    }

    pub async fn upstream_status(fault: Fault) {
        fails(fault, honest::status(418).await, "").await;
    }

    pub async fn upstream_timeout(fault: Fault) {
        let setup = Setup::routes(&format!("{PLAIN}deadline = \"200ms\"\n"));
        let rig = Rig::with_app(setup, silent::silent().await).await;
        for protocol in BOTH {
            rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        }
        rig.finish().await;
    }

    pub async fn upstream_unavailable(fault: Fault) {
        let app = honest::answers(|seen| match seen.target() {
            "/healthz" => "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => honest::OK.to_owned(),
        })
        .await;
        let mut setup = Setup::default();
        setup.app = "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 1 }".into();
        let rig = Rig::with_app(setup, app).await;
        rig.log.wait("server_health", |line| line["healthy"] == false).await;
        for protocol in BOTH {
            rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        }
        assert!(rig.app.seen().iter().all(|seen| seen.target() == "/healthz"));
        rig.finish().await;
    }

    pub async fn body_memory(fault: Fault) {
        let limits = "body_memory = \"1MiB\"\nmax_body = \"1MiB\"";
        let rig = Rig::start(setup().limits(limits)).await;
        let call = Call::post("/hooks/plain").body(vec![b'a'; 700_000]);
        let mut first = rig.connect().await;
        first.send(call.h1_head()).await;
        first.send(&call.body[..600_000]).await;
        eventually("the first is in memory", async || rig.running().state().bodies.used() >= 600_000).await;
        for protocol in BOTH {
            rig.refused(fault, rig.send(protocol, &call)).await;
        }
        first.send(&call.body[600_000..]).await;
        assert_eq!(first.answer().await.status, 200, "who has memory keeps it");
        eventually("memory is given back", async || rig.running().state().bodies.used() == 0).await;
        rig.delivers(Protocol::H1, &call).await;
        rig.finish().await;
    }

    pub async fn replay_memory(fault: Fault) {
        let rig = Rig::start(setup().limits("replay_entries = 1000")).await;
        let mut wire = rig.connect().await;
        for number in 0..1000 {
            wire.send(oktave(number).call("/hooks/oktave").h1()).await;
            assert_eq!(wire.answer().await.status, 200);
        }
        for protocol in BOTH {
            rig.refused(fault, rig.send(protocol, &oktave(1000).call("/hooks/oktave"))).await;
        }
        let old = rig.send(Protocol::H1, &oktave(0).call("/hooks/oktave")).await;
        assert_eq!((old.status, rig.app.seen().len()), (200, 1000), "nothing was forgotten");
        rig.clock.advance(std::time::Duration::from_secs(3 * 3600));
        let late = oktave(1000).at(rig.clock.now().secs());
        rig.delivers(Protocol::H1, &late.call("/hooks/oktave")).await;
        rig.finish().await;
    }

    /// Nothing in the relay ends a request so: a draining relay finishes what it has and takes nothing new. Whoever makes
    /// something end so must put a real test here.
    pub async fn draining(_: Fault) {
        assert_eq!(makers("Fault::Draining"), Vec::<String>::new());
    }

    /// A panic of the relay, or a request that pingora would not write. Neither can be had from outside; the places that
    /// turn them into this fault are these, and `edge::catch` has the test of its own.
    pub async fn internal(_: Fault) {
        let expected = ["src/edge/h1.rs", "src/edge/h2.rs", "src/pipeline/record.rs", "src/upstream/exchange.rs"];
        assert_eq!(makers("Fault::Internal"), expected);
    }

    /// The files that make a fault; the table of statuses and reactions to it are none.
    fn makers(fault: &str) -> Vec<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        let mut folders = vec![root.join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read_to_string(&path).unwrap().contains(fault) {
                    found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.retain(|path| !["src/pipeline/answer.rs", "src/upstream.rs"].contains(&path.as_str()));
        found.sort();
        found
    }
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
