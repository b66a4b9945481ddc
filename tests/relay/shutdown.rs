//! The end: what is in flight is answered, what is idle is closed, what is new is refused.

use tokio::time::timeout;

use crate::harness::peers::{held, silent};
use crate::harness::{Call, LONG, Rig, Setup, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_nothing() {
    let (app, gate) = held::held().await;
    let mut rig = Rig::with_app(Setup::default(), app).await;
    let (mut idle, mut busy) = (rig.connect().await, rig.connect().await);
    let (mut quiet, mut h2) = (rig.h2().await, rig.h2().await);
    let call = Call::post("/hooks/plain");
    // What is kept between two requests is closed at once.
    gate.release(2);
    idle.send(call.h1()).await;
    assert_eq!(idle.answer().await.status, 200);
    assert_eq!(quiet.send(&call).await.status, 200);
    busy.send(call.h1()).await;
    let stream = h2.start(&call).await.unwrap();
    eventually("both are inside", async || rig.app.seen().len() == 4).await;
    assert_eq!(rig.ask("GET", "/readyz").await.0, 200);

    let stopping = tokio::spawn(rig.take_running().stop());
    idle.ended().await;
    eventually("the idle one goes away", async || quiet.is_going_away().await).await;
    assert!(quiet.try_send(&call).await.is_err(), "GOAWAY was sent");
    eventually("nobody listens", async || tokio::net::TcpStream::connect(rig.address).await.is_err()).await;
    assert_eq!(rig.ask("GET", "/readyz").await.0, 503);
    assert!(!stopping.is_finished());

    gate.release(2);
    let answer = busy.answer().await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    busy.ended().await;
    assert_eq!(timeout(LONG, stream).await.unwrap().unwrap().status, 200);
    for connection in [h2, quiet] {
        connection.ended().await;
    }
    assert_eq!(timeout(LONG, stopping).await.unwrap().unwrap(), 0, "nothing was cut");
    assert_eq!(rig.log.events("stopped")[0]["unfinished"], 0);
    assert_eq!(rig.log.events("request").len(), 4);
}

/// A request whose body is still coming when the drain begins is taken to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_sent_request_is_finished() {
    let mut rig = Rig::plain().await;
    let call = Call::post("/hooks/plain").body("a body");
    let mut wire = rig.connect().await;
    wire.send(&call.h1()[..call.h1_head().len() + 3]).await;
    let state = std::sync::Arc::clone(rig.running().state());
    eventually("half of it is in memory", async || state.bodies.used() > 0).await;
    let stopping = tokio::spawn(rig.take_running().stop());
    rig.log.wait("draining", |line| line["in_flight"] == 1).await;
    wire.send(&call.body[3..]).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.ended().await;
    assert_eq!(timeout(LONG, stopping).await.unwrap().unwrap(), 0);
    assert_eq!(rig.app.last().body, b"a body");
}

/// Who does not end in time is cut, counted and told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends() {
    let setup = Setup { drain: "300ms".into(), ..Setup::default() };
    let mut rig = Rig::with_app(setup, silent::silent().await).await;
    let mut wire = rig.connect().await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    eventually("it is inside", async || rig.app.seen().len() == 1).await;
    let cut = timeout(LONG, rig.take_running().stop()).await.unwrap();
    assert_eq!(cut, 1);
    assert_eq!(rig.log.events("stopped")[0]["unfinished"], 1);
}

/// Who was let in and stays silent is not waited for as long as a request is: nothing is cut when the drain ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_do_not_hold_up_a_stop() {
    let setup = Setup { drain: "30s".into(), ..Setup::default() };
    let mut rig = Rig::start(setup.limits("handshake_timeout = \"1m\"\nhead_timeout = \"1m\"")).await;
    let mut wire = rig.connect().await;
    let h2 = rig.h2().await;
    let tcp = rig.tls().tcp(rig.address).await;
    eventually("all are let in", async || rig.running().connections() == 3).await;
    let stopping = tokio::spawn(rig.take_running().stop());
    wire.ended().await;
    h2.ended().await;
    assert_eq!(timeout(LONG, stopping).await.unwrap().unwrap(), 0);
    drop(tcp);
}
