//! Senders that mean harm over HTTP/2, frame by frame, and senders that do not read. Each loses its connection or its
//! stream, nothing of it reaches the inside, and a good sender beside it is served.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::frames::*;
use crate::harness::peers::honest;
use crate::harness::{Call, LONG, PLAIN, Protocol, Rig, Setup, eventually};

/// After the flood: a good sender is served, nothing is held, and the relay's connections are only those in use.
async fn unharmed(rig: Rig) {
    rig.send(Protocol::H2, &Call::post("/hooks/plain").body("good")).await;
    assert_eq!(rig.app.last().body, b"good");
    eventually("nothing is held", async || {
        rig.running().state().bodies.used() == 0 && rig.running().connections() == 0
    })
    .await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets() {
    let rig = Rig::plain().await;
    let said = Frames::open(&rig)
        .await
        .flood(20_000, |number| {
            let stream = number * 2 + 1;
            [frame(HEADERS, END_HEADERS, stream, &head()), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .await;
    assert!(goes_away(&said));
    assert_eq!(rig.app.connections(), 0);
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_broken_so_that_the_relay_resets_them() {
    let rig = Rig::plain().await;
    let said = Frames::open(&rig)
        .await
        .flood(20_000, |number| {
            let stream = number * 2 + 1;
            // A window update of nothing is the stream's error, which the relay must answer with a reset.
            [frame(HEADERS, END_HEADERS, stream, &head()), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
        })
        .await;
    assert!(goes_away(&said));
    assert_eq!(rig.app.connections(), 0);
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends() {
    let rig = Rig::plain().await;
    let field = [&[0x00, 0x01, b'x', 0x7f, 0x80, 0x07][..], &[b'a'; 1023]].concat();
    let said = Frames::open(&rig)
        .await
        .flood(20_000, |number| match number {
            0 => frame(HEADERS, 0, 1, &head()),
            _ => frame(CONTINUATION, 0, 1, &field),
        })
        .await;
    assert!(goes_away(&said));
    assert_eq!(rig.app.connections(), 0);
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_frames_without_end() {
    let rig = Rig::plain().await;
    let said = Frames::open(&rig)
        .await
        .flood(200_000, |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &head()),
            _ => frame(DATA, 0, 1, &[]),
        })
        .await;
    assert!(goes_away(&said));
    assert_eq!(rig.app.connections(), 0);
    unharmed(rig).await;
}

/// Whoever pings without reading the answers is cut off once they pile up; whoever reads them costs no more than he sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_hold_no_memory_and_harm_nobody() {
    let rig = Rig::start(Setup::default().limits("idle_timeout = \"500ms\"")).await;
    for kind in [PING, SETTINGS] {
        let payload: &[u8] = if kind == PING { &[7; 8] } else { &[0, 3, 0, 0, 0, 9] };
        let mut frames = Frames::open(&rig).await;
        let burst: Vec<u8> = (0..1000).flat_map(|_| frame(kind, 0, 0, payload)).collect();
        let writes = async {
            for _ in 0..200 {
                frames.send(&burst).await?;
            }
            std::io::Result::Ok(())
        };
        // Nothing is read: the relay must stop reading too, or end the connection. Both are seen as no progress.
        let unread = timeout(Duration::from_secs(3), writes).await;
        rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
        drop(frames);
        drop(unread);
    }
    unharmed(rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_place_of_frames() {
    let rig = Rig::plain().await;
    for bytes in [
        frame(DATA, 0, 0, &[1]),
        frame(HEADERS, END_HEADERS, 2, &head()),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 40]),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 1, 0, &[0; 6]),
        frame(PING, 0, 0, &[0; 7]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(CONTINUATION, END_HEADERS, 1, &head()),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x83]),
        vec![0xff; 9 + 20_000],
    ] {
        let said = Frames::open(&rig).await.flood(1, |_| bytes.clone()).await;
        assert!(goes_away(&said), "{bytes:?}");
    }
    assert_eq!(rig.app.connections(), 0);
    unharmed(rig).await;
}

/// Every stream of a connection holds a part of a body: what they hold together has a bound, and ends with a deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_half_sent_bodies() {
    let limits = "body_memory = \"1MiB\"\nmax_body = \"1MiB\"\nbody_timeout = \"5s\"\nmax_h2_streams = 100";
    let rig = Rig::start(Setup::default().limits(limits)).await;
    let mut h2 = rig.h2().await;
    let mut held = Vec::new();
    for _ in 0..60 {
        let (response, mut stream) = h2.open(&Call::post("/hooks/plain").chunked()).await;
        let _ = stream.send_data(vec![b'a'; 30_000].into(), false);
        held.push((response, stream));
        assert!(rig.running().state().bodies.used() <= 1 << 20);
    }
    let mut statuses = Vec::new();
    for (response, _stream) in held {
        if let Ok(answer) = timeout(LONG, crate::harness::read_h2(response)).await.unwrap() {
            statuses.push(answer.status);
        }
    }
    assert!(statuses.iter().all(|status| [408, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "the budget holds: {statuses:?}");
    assert_eq!(rig.app.connections(), 0);
    drop(h2);
    unharmed(rig).await;
}

/// An answer of a mebibyte for a sender that does not read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_does_not_read_loses_its_connection() {
    let app = honest::answers(|_| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n{}", "a".repeat(1 << 20))
    })
    .await;
    let setup = Setup::routes(&format!("{PLAIN}answer = \"upstream\"\n")).limits("write_timeout = \"300ms\"");
    let rig = Rig::with_app(setup, app).await;
    let mut wire = rig.connect().await;
    // More answers than the sockets between the two can hold.
    let calls: Vec<u8> = (0..40).flat_map(|_| Call::post("/hooks/plain").h1()).collect();
    wire.send(&calls).await;
    eventually("the connection is given up", async || rig.running().connections() == 0).await;
    assert!(rig.app.seen().len() < 40, "requests behind an unread answer wait");
    // Over HTTP/2: a window of nothing, and the answer waits in vain.
    let mut frames = Frames::open(&rig).await;
    let stream =
        [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head())].concat();
    frames.send(&stream).await.unwrap();
    let mut said = Vec::new();
    eventually("the stream is reset", async || {
        let _ = timeout(Duration::from_millis(50), frames.read.read_buf(&mut said)).await;
        said.windows(4).any(|window| window == [0, 4, RESET, 0])
    })
    .await;
    drop((frames, wire));
    eventually("nothing is held", async || rig.running().connections() == 0).await;
    rig.finish().await;
}
