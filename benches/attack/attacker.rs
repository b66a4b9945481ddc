//! One attack, in a process of its own: so many connections from so many addresses, for so long. Then what came of it, as one
//! line of JSON.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::floods::{self, Requests};
use super::{slow, streams, wire};

/// How long after its end an attack waits for its connections to be ended by the other side, where that is what is looked at.
pub const PATIENCE: Duration = Duration::from_secs(12);
const TIMED: &[&str] = &["silent", "half-open", "slowloris", "slowloris-one", "slow-body", "slow-read"];

/// Size of a body that is hashed once for each of sixteen secrets, and what a head has beside the usual.
const LARGE: usize = 8 * 1024 * 1024;
const PADDING: usize = 30_000;
/// Requests a second of each connection that does not send as fast as it can.
const PACE: u32 = 150;

/// What an attack saw.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Saw {
    /// Connections that did their harm.
    pub opened: u64,
    /// Connections that came to nothing.
    pub refused: u64,
    /// Requests or frames.
    pub sent: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Seconds that the longest lived.
    pub longest: f64,
    /// Still there when all patience was over.
    pub left: u64,
}

/// What all connections of an attack share.
#[derive(Debug)]
pub struct Attack {
    pub port: u16,
    /// Of the request that was captured.
    pub signature: String,
    pub over: AtomicBool,
    pub opened: AtomicU64,
    pub refused: AtomicU64,
    pub sent: AtomicU64,
    pub answered: AtomicU64,
    pub lived: Mutex<f64>,
}

impl Attack {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// One more.
    pub fn count(&self, what: &AtomicU64) {
        what.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was ended by the other side.
    pub fn lived(&self, long: Duration) {
        let mut longest = self.lived.lock().unwrap();
        *longest = longest.max(long.as_secs_f64());
    }
}

pub fn run(phase: &str, port: u16, during: Duration, connections: usize, addresses: usize, signature: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let saw = runtime.block_on(attack(phase, port, during, connections, addresses, signature));
    println!("{}", serde_json::to_string(&saw).unwrap());
    // What still holds a connection is not waited for.
    runtime.shutdown_background();
}

async fn attack(
    phase: &str,
    port: u16,
    during: Duration,
    connections: usize,
    addresses: usize,
    signature: &str,
) -> Saw {
    let attack = Arc::new(Attack {
        port,
        signature: signature.to_owned(),
        over: AtomicBool::new(false),
        opened: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        lived: Mutex::new(0.0),
    });
    let protocol: &[u8] = if ["resets", "pings", "settings", "streams"].contains(&phase) { b"h2" } else { b"http/1.1" };
    let tls = wire::blind(protocol);
    let mut attackers = JoinSet::new();
    for number in 0..connections {
        let from: Ipv4Addr = wire::address(number % addresses);
        let (attack, tls, phase) = (Arc::clone(&attack), Arc::clone(&tls), phase.to_owned());
        attackers.spawn(async move {
            while !attack.is_over() {
                let seen = match phase.as_str() {
                    "silent" => slow::silent(&attack, from).await,
                    "half-open" => slow::half_open(&attack, from, &tls).await,
                    "slowloris" | "slowloris-one" => slow::head(&attack, from, &tls).await,
                    "slow-body" => slow::body(&attack, from, &tls).await,
                    "slow-read" => slow::read(&attack, from, &tls).await,
                    "handshakes" => floods::handshake(&attack, from, &tls).await,
                    "resets" => floods::frames(&attack, from, &tls, &floods::reset).await,
                    "pings" => floods::frames(&attack, from, &tls, &floods::ping).await,
                    "settings" => floods::frames(&attack, from, &tls, &floods::settings).await,
                    "junk" => floods::requests(&attack, from, &tls, &Requests::FORGED).await,
                    "forged-rate" => {
                        let paced = Requests { pause: Some(Duration::from_secs(1) / PACE), ..Requests::FORGED };
                        floods::requests(&attack, from, &tls, &paced).await
                    }
                    "ids" => {
                        let ids = Requests { path: "/hooks/other", ids: true, ..Requests::CAPTURED };
                        floods::requests(&attack, from, &tls, &ids).await
                    }
                    "spool" => {
                        let large =
                            Requests { path: "/hooks/other", ids: true, padding: PADDING, ..Requests::CAPTURED };
                        floods::requests(&attack, from, &tls, &large).await
                    }
                    "history" => {
                        let large = Requests { padding: PADDING, ..Requests::CAPTURED };
                        floods::requests(&attack, from, &tls, &large).await
                    }
                    "large" => {
                        let large = Requests { path: "/hooks/many", body: LARGE, ..Requests::FORGED };
                        floods::requests(&attack, from, &tls, &large).await
                    }
                    "streams" => streams::hold(&attack, from, &tls).await,
                    "silent-bodies" => slow::silent_body(&attack, from, &tls).await,
                    "replayers" => slow::replay(&attack, from, &tls).await,
                    "admin" => slow::admin(&attack, from).await,
                    "idle" => slow::idle(&attack, from, &tls).await,
                    _ => panic!("no such attack: {phase}"),
                };
                if seen.is_err() {
                    attack.count(&attack.refused);
                    sleep(Duration::from_millis(500)).await;
                }
            }
        });
        // All at once would be a storm of the attacker's own, in which most of his packets are lost.
        if number % 64 == 63 {
            tokio::task::yield_now().await;
        }
    }
    sleep(during).await;
    attack.over.store(true, Ordering::Relaxed);
    let all = async { while attackers.join_next().await.is_some() {} };
    let patience = if TIMED.contains(&phase) { PATIENCE } else { Duration::from_secs(1) };
    let _ = timeout(patience, all).await;
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Saw {
        opened: get(&attack.opened),
        refused: get(&attack.refused),
        sent: get(&attack.sent),
        answered: get(&attack.answered),
        longest: *attack.lived.lock().unwrap(),
        left: attackers.len() as u64,
    }
}
