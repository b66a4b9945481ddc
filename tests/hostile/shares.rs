//! G9: what strangers share with first-time senders: memory for bodies, and cores for large ones. They take all that they can,
//! and genuine senders are served, every request of theirs.

use std::sync::Arc;

use dmz_relay::runtime::state::{Place, State};
use tokio::io::split;
use tokio::task::JoinSet;

use crate::genuine::{Senders, first_time, number};
use crate::harness::frames::*;
use crate::harness::{Call, Io, Protocol, Rig, Setup, base64_hmac, eventually};

const MIB: u64 = 1 << 20;
const SECRET: &str = "canary-of-shares-0123456789";
/// One address may hold 2 MiB of it before it has proven anything, and all such addresses 24.
const MEMORY: &str = "body_memory = \"32MiB\"\nbody_timeout = \"2m\"\nbody_grace = \"2m\"";

fn setup(keys: &str) -> Setup {
    Setup::routes(&format!(
        "[routes.signed]\npath = \"/hooks/signed\"\nupstream = \"app\"\n\
         secrets = [{{ file = \"secrets/signed\" }}]\n{keys}\n[routes.signed.verify.hmac]\nalgorithm = \"sha256\"\n\
         signature = {{ header = \"X-Signature\", encoding = \"base64\" }}\nmessage = \"{{body}}\"\n"
    ))
    .file("secrets/signed", SECRET)
}

fn signed(body: &str, secret: &str) -> Call {
    Call::post("/hooks/signed").field("X-Signature", &base64_hmac(secret, body)).body(body)
}

fn small() -> Call {
    signed(&format!("{{\"number\":{}}}", number()), SECRET)
}

fn large() -> Call {
    signed(&format!("{{\"number\":{},\"padding\":\"{}\"}}", number(), "x".repeat(200_000)), SECRET)
}

/// `POST /hooks/signed` with a body that never comes. The first one puts an entry of 4 KB into the table of header
/// compression; all others name it seven times.
fn silent(stream: u32) -> Vec<u8> {
    let literal = |name: &[u8], value: &str| [name, &[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let mut block = [vec![0x83, 0x87], literal(&[0x04], "/hooks/signed"), literal(&[0x01], "relay.example")].concat();
    if stream == 1 {
        block.extend([&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat());
    } else {
        block.extend([0xbe; 7]);
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A connection with a hundred such streams.
async fn attacker(rig: &Rig, source: &str) -> Frames {
    let tls = rig.tls().from(source);
    let stream = tls.over(tls.tcp(rig.address).await, tls.config(&[b"h2"])).await.unwrap();
    let (read, write) = split(Box::new(stream) as Box<dyn Io>);
    let mut frames = Frames { write, read };
    let streams: Vec<u8> = (0..100).flat_map(|number| silent(number * 2 + 1)).collect();
    frames.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &streams].concat()).await.unwrap();
    frames
}

/// Genuine requests whose bodies have to be waited for, from addresses that are used for the first time and from one that is known.
async fn waited_for_ones_are_served(rig: &Rig) {
    for source in [first_time(), "127.0.0.51".to_owned()] {
        for call in [small(), large()] {
            let tls = rig.tls().from(&source);
            let mut wire = tls.connect(rig.address).await;
            let (head, body) = (call.h1_head(), &call.body);
            wire.send(&head).await;
            wire.send(&body[..10]).await;
            // The first part is in memory before the rest comes.
            tokio::task::yield_now().await;
            wire.send(&body[10..]).await;
            assert_eq!(wire.answer().await.status, 200, "HTTP/1.1 from {source}");
            drop(wire);
            let call = if body.len() > 1000 { large() } else { small() };
            assert_eq!(tls.h2(rig.address).await.send(&call).await.status, 200, "HTTP/2 from {source}");
        }
    }
}

fn used(rig: &Rig) -> u64 {
    rig.running().state().bodies.used()
}

/// Everything is given back, and nobody inside has seen anything but `genuine` requests.
async fn ends(rig: Rig, genuine: usize) {
    eventually("memory is given back", async || used(&rig) == 0).await;
    assert_eq!(rig.app.seen().len(), genuine);
    rig.finish().await;
}

/// 129: heads without bodies from one address, of nine times as much as it may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_holds_its_share_of_body_memory_and_no_more() {
    let rig = Rig::start(setup("").limits(MEMORY)).await;
    let mut senders = Senders::of(&rig, small).await;
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(attacker(&rig, "127.0.0.66").await);
    }
    eventually("it has what it may have", async || used(&rig) >= MIB * 15 / 8).await;
    assert!(used(&rig) <= 2 * MIB, "{}", used(&rig));
    for _ in 0..3 {
        senders.are_served().await;
    }
    waited_for_ones_are_served(&rig).await;
    // Its own new requests take the place of its oldest.
    let answer = rig.tls().from("127.0.0.66").h2(rig.address).await.send(&large()).await;
    assert_eq!(answer.status, 200);
    assert!(rig.counted("failed", "body_memory") > 0.0);
    drop((senders, held));
    ends(rig, 3 + 9 + 8 + 1).await;
}

/// 129: the same from so many addresses that their shares together are more than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_first_finds_memory_when_strangers_hold_all_they_can() {
    let rig = Rig::start(setup("").limits(MEMORY)).await;
    let mut senders = Senders::of(&rig, small).await;
    let mut held = Vec::new();
    for last in 0..20 {
        held.push(attacker(&rig, &format!("127.0.2.{}", last + 1)).await);
    }
    eventually("they have what they may have", async || used(&rig) >= 23 * MIB).await;
    assert!(used(&rig) <= 24 * MIB, "{}", used(&rig));
    for round in 0..3 {
        senders.are_served().await;
        waited_for_ones_are_served(&rig).await;
        held.push(attacker(&rig, &format!("127.0.3.{}", round + 1)).await);
    }
    // What an evicted sender reads, and what log and metric say.
    let line = rig.log.wait("request", |line| line["reason"] == "body_memory").await;
    assert_eq!((&line["outcome"], &line["status"]), (&"failed".into(), &503.into()));
    assert!(rig.counted("failed", "body_memory") > 0.0);
    drop((senders, held));
    ends(rig, 3 + 9 + 24).await;
}

/// 129: strangers and genuine senders over one connection of a proxy, which says for whom it speaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_each_address_has_its_share_of_body_memory() {
    let setup = setup("").limits(MEMORY).listener("trust_forwarded_from = [\"127.0.0.1\"]");
    let rig = Rig::start(setup).await;
    let mut h2 = rig.h2().await;
    let mut held = Vec::new();
    for _ in 0..70 {
        let call = small().chunked().field("x-forwarded-for", "198.51.100.66").field("x-long", &"a".repeat(28_000));
        held.push(h2.open(&call).await);
    }
    eventually("it has what it may have", async || used(&rig) >= MIB * 15 / 8).await;
    assert!(used(&rig) <= 2 * MIB, "{}", used(&rig));
    for source in ["198.51.100.7", "198.51.100.7", "198.51.100.8"] {
        let answer = h2.send(&large().field("x-forwarded-for", source)).await;
        assert_eq!(answer.status, 200, "{source}");
    }
    drop((h2, held));
    ends(rig, 3).await;
}

fn state(rig: &Rig) -> Arc<State> {
    Arc::clone(rig.running().state())
}

/// All places for large bodies.
async fn taken(state: &State) -> Vec<Place<'_>> {
    let mut taken = Vec::new();
    for _ in 0..state.verify_places.count() {
        taken.push(state.verify_places.enter(&state.bodies.share()).await);
    }
    taken
}

/// The route's secrets: as many as there can be, and the last one is in use.
fn sixteen_keys(keys: &str) -> Setup {
    let mut setup = setup(keys);
    let files: Vec<String> = (0..15).map(|number| format!("{{ file = \"secrets/other-{number}\" }}")).collect();
    for number in 0..15 {
        setup = setup.file(&format!("secrets/other-{number}"), format!("another-secret-{number:02}-0123456789"));
    }
    let all = format!("[{}, {{ file = \"secrets/signed\" }}]", files.join(", "));
    setup.rest = setup.rest.replace("[{ file = \"secrets/signed\" }]", &all);
    setup
}

/// 130: while a body of 8 MiB is hashed once for each of 16 keys, the only worker there is serves others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_body_is_hashed_where_it_holds_up_nobody() {
    let setup = sixteen_keys("max_body = \"8MiB\"\ndeadline = \"1m\"").limits("body_memory = \"64MiB\"");
    let rig = Rig::start(setup).await;
    let mut senders = Senders::of(&rig, small).await;
    let (state, forged) = (state(&rig), signed("{}", "canary-of-nobody").body(vec![b'x'; 8 << 20]));
    let mut kept = rig.tls().from("127.0.0.50").connect(rig.address).await;
    let mut rounds = 0;
    eventually("others are served while it is hashed", async || {
        rounds += 1;
        let (tls, address, call) = (rig.tls().from("127.0.0.66"), rig.address, forged.clone());
        let attack = tokio::spawn(async move { tls.h2(address).await.send(&call).await.status });
        eventually("it is hashed", async || state.verify_places.free() < state.verify_places.count()).await;
        kept.send(small().h1()).await;
        assert_eq!(kept.answer().await.status, 200);
        let is_hashed = state.verify_places.free() < state.verify_places.count();
        senders.are_served().await;
        assert_eq!(attack.await.unwrap(), 401);
        is_hashed
    })
    .await;
    drop((senders, kept));
    ends(rig, 3 + 4 * rounds).await;
}

/// 130: bodies that wait for their hash, many from one address: who comes behind them waits for one of them, not for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_of_one_address_stand_in_one_place_of_the_line() {
    let rig = Rig::start(sixteen_keys("deadline = \"1m\"").limits("body_memory = \"64MiB\"")).await;
    let mut senders = Senders::of(&rig, large).await;
    let state = state(&rig);
    let places = taken(&state).await;
    let mut attack = JoinSet::new();
    for _ in 0..24 {
        let (tls, address) = (rig.tls().from("127.0.0.66"), rig.address);
        let call = signed("{}", "canary-of-nobody").body(vec![b'x'; 100_000]);
        attack.spawn(async move { tls.h2(address).await.send(&call).await.status });
    }
    eventually("their bodies are there", async || used(&rig) >= 24 * 100_000).await;
    let (tls, address, call) = (rig.tls().from(&first_time()), rig.address, large());
    let genuine = tokio::spawn(async move { tls.h2(address).await.send(&call).await.status });
    eventually("its body is there", async || used(&rig) >= 26 * 100_000).await;
    drop(places);
    assert_eq!(genuine.await.unwrap(), 200);
    let before = rig.counted("refused", "signature_mismatch");
    assert!(before < 20.0, "{before} of 24 went before it");
    senders.are_served().await;
    assert!(attack.join_all().await.iter().all(|status| *status == 401));
    drop(senders);
    ends(rig, 3 + 1 + 3).await;
}

/// 130: who waits for a place can be evicted like anybody who is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_wait_for_a_place_are_evicted_for_who_needs_the_memory() {
    let limits = "body_memory = \"4MiB\"\nmax_body = \"256KiB\"";
    let rig = Rig::start(setup("deadline = \"1m\"").limits(limits)).await;
    let state = state(&rig);
    let places = taken(&state).await;
    let mut attack = JoinSet::new();
    for last in 0..20 {
        let (tls, address) = (rig.tls().from(&format!("127.0.2.{}", last + 1)), rig.address);
        let call = signed("{}", "canary-of-nobody").body(vec![b'x'; 200_000]);
        attack.spawn(async move { tls.h2(address).await.send(&call).await.status });
    }
    assert_eq!(attack.join_next().await.unwrap().unwrap(), 503);
    let answer = rig.tls().from(&first_time()).h2(rig.address).await.send(&small()).await;
    assert_eq!(answer.status, 200, "a small body needs no place");
    drop(places);
    let rest = attack.join_all().await;
    assert!(rest.contains(&401) && rest.iter().all(|status| [401, 503].contains(status)), "{rest:?}");
    assert_eq!(rig.send(Protocol::H2, &large()).await.status, 200);
    ends(rig, 2).await;
}
