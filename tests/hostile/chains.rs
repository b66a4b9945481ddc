//! 54: certificate chains of senders that no authority would issue. Each ends with a
//! verdict. A search without bounds would not: the paths of some of them outlast the handshake's deadline, which is another reason.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::version::{TLS12, TLS13};

use crate::harness::{Authority, Call, Protocol, Rig, Setup, Tls, Wire};
use crate::table::ROUTES;

fn params(name: &str, authority: bool) -> CertificateParams {
    let mut params = CertificateParams::new([format!("{name}.example")]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

/// A certificate of a subject, by an issuer of this name. One key serves all, so that every signature is right and has to be
/// checked.
fn issued(key: &KeyPair, subject: &CertificateParams, issuer: &CertificateParams) -> Vec<u8> {
    subject.signed_by(key, &Issuer::from_params(issuer, key)).unwrap().der().to_vec()
}

/// Leaf first, then this many authorities, each issued by the next; the last one by whoever the name belongs to.
fn deep(key: &KeyPair, length: usize, root: &CertificateParams) -> Vec<Vec<u8>> {
    let authorities: Vec<_> = (0..length).map(|number| params(&format!("authority {number}"), true)).collect();
    let issuers = authorities.iter().chain([root]);
    let subjects = [params("sender", false)];
    subjects.iter().chain(&authorities).zip(issuers).map(|(subject, issuer)| issued(key, subject, issuer)).collect()
}

async fn is_let_in(tls: &Tls, rig: &Rig) -> bool {
    let Ok(stream) = tls.try_connect(rig.address).await else { return false };
    let mut wire = Wire::new(stream);
    wire.try_send(Call::post("/hooks/plain").h1()).await.is_ok()
        && wire.try_answer().await.is_some_and(|answer| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_that_no_authority_issues() {
    let key = KeyPair::generate().unwrap();
    let root = params("root", true);
    let trusted = root.self_signed(&key).unwrap();
    let setup = Setup::routes(ROUTES)
        .file("secrets/signed", "canary-of-the-table-of-cases")
        .tls("client_auth = { ca = \"certs/senders.crt\", required = true }")
        .file("certs/senders.crt", trusted.pem());
    let rig = Rig::start(setup).await;
    let leaf = |issuer: &CertificateParams| issued(&key, &params("sender", false), issuer);
    let (a, b) = (params("a", true), params("b", true));
    let circle = [issued(&key, &a, &b), issued(&key, &b, &a)];
    // Each of these may stand above each, so there are more paths than anybody could walk.
    let twin = params("twin", true);
    let maze: Vec<_> = (0..100)
        .map(|number| {
            let mut twin = twin.clone();
            twin.serial_number = Some(u64::from(number as u8).into());
            issued(&key, &twin, &twin)
        })
        .collect();
    let mut heavy = params("sender", false);
    heavy.subject_alt_names =
        CertificateParams::new((0..1000).map(|number| format!("{number:05}.sender.example")).collect::<Vec<_>>())
            .unwrap()
            .subject_alt_names;
    let heavy_of = |issuer: &CertificateParams| issued(&key, &heavy, issuer);
    let mut expired = params("expired", true);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut plain = params("no authority", false);
    plain.is_ca = IsCa::ExplicitNoCa;
    let stranger = Authority::new();
    assert!(heavy_of(&root).len() > 16 * 1024);

    let good = [("a short one", deep(&key, 2, &root)), ("a heavy leaf of the right authority", vec![heavy_of(&root)])];
    let bad = [
        ("a hundred authorities, to the right root", deep(&key, 100, &root)),
        ("a hundred authorities, to nobody", deep(&key, 100, &params("nobody", true))),
        ("10 000 certificates", [vec![leaf(&a)], vec![circle[0].clone(); 10_000]].concat()),
        ("a circle", [vec![leaf(&a)], vec![circle.to_vec(); 50].concat()].concat()),
        ("a circle of one", vec![leaf(&twin), maze[0].clone()]),
        ("a maze", [vec![leaf(&twin)], maze].concat()),
        ("a heavy leaf of nobody", vec![heavy_of(&a)]),
        ("an authority that has expired", vec![leaf(&expired), issued(&key, &expired, &root)]),
        ("an authority that is none", vec![leaf(&plain), issued(&key, &plain, &root)]),
        ("an authority alone", vec![issued(&key, &a, &root)]),
        ("a leaf that is no certificate", vec![vec![0x30; 400]]),
        ("another key's certificate", vec![stranger.issue(&["sender"]).der]),
    ];
    for version in [&TLS12, &TLS13] {
        let showing = |chain: &[Vec<u8>]| rig.tls().version(version).chain(chain, &key.serialize_der());
        for (what, chain) in &good {
            assert!(is_let_in(&showing(chain), &rig).await, "{what}");
        }
        for (what, chain) in &bad {
            let before = rig.app.connections();
            rig.connection_refused("handshake_failed", async {
                assert!(!is_let_in(&showing(chain), &rig).await, "{what}");
            })
            .await;
            assert_eq!(rig.app.connections(), before, "{what}");
        }
    }
    let tls = rig.tls().chain(&good[0].1, &key.serialize_der());
    let mut h2 = tls.h2(rig.address).await;
    assert_eq!(h2.send(&Call::post("/hooks/plain")).await.status, 200, "{:?}", Protocol::H2);
    rig.finish().await;
}
