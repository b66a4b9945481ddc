//! Senders that are asked for a certificate.

use std::sync::Arc;

use dmz_relay::control::app::ReloadOutcome;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::harness::{Authority, Call, Pair, Rig, Setup, Tls, Wire};

/// A listener that asks senders for a certificate of this authority.
pub fn asking(required: bool, senders: &Authority) -> Setup {
    Setup::default()
        .tls(&format!("client_auth = {{ ca = \"certs/senders.crt\", required = {required} }}"))
        .file("certs/senders.crt", senders.pem())
}

/// With TLS 1.3 the client's side of the handshake is over before the relay has judged its certificate.
async fn is_let_in(tls: &Tls, rig: &Rig) -> bool {
    let Ok(stream) = tls.try_connect(rig.address).await else { return false };
    let mut wire = Wire::new(stream);
    if wire.try_send(Call::post("/hooks/plain").h1()).await.is_err() {
        return false;
    }
    match wire.try_answer().await {
        Some(answer) => answer.status == 200,
        None => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_are_required() {
    let (senders, strangers) = (Authority::new(), Authority::new());
    let rig = Rig::start(asking(true, &senders)).await;
    for version in [&TLS12, &TLS13] {
        let tls = rig.tls().version(version);
        assert!(is_let_in(&tls.clone().showing(&senders.issue(&["sender"])), &rig).await);
        let seen = rig.app.seen().len();
        for stranger in [
            tls.clone(),
            tls.clone().showing(&strangers.issue(&["sender"])),
            tls.clone().showing(&senders.issue_until(&["sender"], 2021)),
        ] {
            let failed = || rig.metric("dmz_relay_connections_refused_total", &[("reason", "handshake_failed")]);
            let before = failed();
            assert!(!is_let_in(&stranger, &rig).await);
            crate::harness::eventually("it is counted", async || failed() == before + 1.0).await;
        }
        assert_eq!(rig.app.seen().len(), seen);
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_are_optional() {
    let (senders, strangers) = (Authority::new(), Authority::new());
    let rig = Rig::start(asking(false, &senders)).await;
    assert!(is_let_in(&rig.tls(), &rig).await);
    assert!(is_let_in(&rig.tls().showing(&senders.issue(&["sender"])), &rig).await);
    assert!(
        !is_let_in(&rig.tls().showing(&strangers.issue(&["sender"])), &rig).await,
        "a wrong one is worse than none"
    );
    rig.finish().await;
}

/// A certificate of an authority that nobody knows, and as many of that authority's own as are asked for. They all sign one
/// another, so that the paths from the first are without number.
fn tangled(count: u64) -> (Pair, Vec<CertificateDer<'static>>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "tangled");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = Issuer::from_params(&params, &key);
    let own = KeyPair::generate().unwrap();
    let first = CertificateParams::new(vec!["sender".into()]).unwrap().signed_by(&own, &authority).unwrap();
    let pair =
        Pair { chain: first.pem(), key: own.serialize_pem(), der: first.der().to_vec(), key_der: own.serialize_der() };
    let others = (0..count).map(|number| {
        let mut params = params.clone();
        params.serial_number = Some(number.into());
        params.self_signed(&key).unwrap().der().clone()
    });
    (pair, others.collect())
}

/// What it costs to judge a sender's certificates is bounded, however they are made: it ends with a verdict. The paths of these
/// would take longer than any deadline, the handshake's first, which is another reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_are_dear_to_judge() {
    let senders = Authority::new();
    let rig = Rig::start(asking(true, &senders)).await;
    // In TLS 1.2 the sender's side of the handshake ends with the relay's word.
    let tls = rig.tls().version(&TLS12);
    // A hundred go into the 64 KiB that a message may have, three hundred do not.
    for count in [100, 300] {
        let (pair, others) = tangled(count);
        let chain: Vec<_> = std::iter::once(pair.der).chain(others.iter().map(|der| der.to_vec())).collect();
        let tls = tls.clone().chain(&chain, &pair.key_der);
        rig.connection_refused("handshake_failed", async {
            assert!(tls.try_connect(rig.address).await.is_err(), "{count}");
        })
        .await;
    }
    // A large one is only large.
    let names: Vec<_> = (0..600).map(|number| format!("name-{number:04}.senders.example")).collect();
    let large = senders.issue(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(large.der.len() > 1 << 14);
    let mut wire = tls.showing(&large).connect(rig.address).await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

/// Asks for a certificate, and whether these lists revoke it.
fn asking_lists(required: bool, authorities: &str, keys: &str) -> Setup {
    let auth = format!("client_auth = {{ ca = \"certs/senders.crt\", required = {required}, {keys} }}");
    Setup::default().tls(&auth).file("certs/senders.crt", authorities)
}

const LIST: &str = "crls = [\"certs/senders.crl\"]";

/// A revoked certificate is refused, before and after a list that is replaced, and does not resume what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_were_revoked_are_refused() {
    let senders = Authority::new();
    let (good, bad) = (senders.issue(&["good"]), senders.issue(&["bad"]));
    for required in [true, false] {
        let setup =
            asking_lists(required, &senders.pem(), LIST).file("certs/senders.crl", senders.revoked(&[&bad], 2040));
        let rig = Rig::start(setup).await;
        for version in [&TLS12, &TLS13] {
            let tls = rig.tls().version(version);
            assert!(is_let_in(&tls.clone().showing(&good), &rig).await);
            let seen = rig.app.count();
            assert!(!is_let_in(&tls.clone().showing(&bad), &rig).await, "a wrong one is worse than none");
            assert_eq!(rig.app.count(), seen);
            // The other one is revoked as well: a ticket from before opens nothing.
            let resuming = tls.clone().showing(&good);
            let config = resuming.config(&[b"http/1.1"]);
            assert!(lets_in_over(&resuming, &config, &rig).await);
            rig.replace("certs/senders.crl", senders.revoked(&[&bad, &good], 2040));
            assert!(matches!(rig.reload().await, ReloadOutcome::Applied { .. }));
            assert!(!lets_in_over(&resuming, &config, &rig).await, "a session was resumed past the list");
            rig.replace("certs/senders.crl", senders.revoked(&[&bad], 2040));
            assert!(matches!(rig.reload().await, ReloadOutcome::Applied { .. }));
            assert!(lets_in_over(&resuming, &config, &rig).await);
        }
        rig.finish().await;
    }
}

async fn lets_in_over(tls: &Tls, config: &Arc<ClientConfig>, rig: &Rig) -> bool {
    let tcp = tls.tcp(rig.address).await;
    let name = ServerName::try_from("relay.example").unwrap();
    let Ok(stream) = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await else { return false };
    let mut wire = Wire::new(stream);
    if wire.try_send(Call::post("/hooks/plain").h1()).await.is_err() {
        return false;
    }
    wire.try_answer().await.is_some_and(|answer| answer.status == 200)
}

/// What has expired counts as configured, is said, and what cannot be used changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_no_list_can_judge_are_refused_unless_that_is_configured() {
    let (senders, others) = (Authority::new(), Authority::new());
    let (good, bad, other) = (senders.issue(&["good"]), senders.issue(&["bad"]), others.issue(&["other"]));
    let both = senders.pem() + &others.pem();
    for (keys, lets_good_in) in [(LIST.to_owned(), false), (format!("{LIST}, expired_crl = \"accept\""), true)] {
        let setup = asking_lists(true, &both, &keys).file("certs/senders.crl", senders.revoked(&[&bad], 2025));
        let rig = Rig::start(setup).await;
        for words in ["expired on 2025-01-01", "no list is of authority 2 of ca"] {
            rig.log.wait("config_warning", |line| line["warning"].as_str().unwrap().contains(words)).await;
        }
        assert_eq!(is_let_in(&rig.tls().showing(&good), &rig).await, lets_good_in, "{keys}");
        assert!(!is_let_in(&rig.tls().showing(&bad), &rig).await);
        assert!(!is_let_in(&rig.tls().showing(&other), &rig).await, "its authority has no list");
        for (broken, what) in [
            ("nothing".to_owned(), "holds no revocation list in PEM form"),
            (Authority::new().revoked(&[], 2040), "of an authority that ca does not name"),
        ] {
            rig.replace("certs/senders.crl", &broken);
            let ReloadOutcome::Kept(report) = rig.reload().await else { panic!("{what}: it was taken") };
            assert!(report.to_string().contains(what), "{report}");
            assert_eq!(is_let_in(&rig.tls().showing(&good), &rig).await, lets_good_in, "{keys}");
        }
        rig.finish().await;
    }
}
