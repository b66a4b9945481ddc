//! The genuine senders who must be served whatever strangers do: one on a connection that it keeps, one that opens a new one each
//! time, and one that comes from an address that nobody has seen before.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{Call, Rig, Tls, Wire};

/// Two genuine events are never alike.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A source address that nobody has used.
pub fn first_time() -> String {
    let number = number();
    format!("127.{}.{}.{}", 64 + (number >> 16) % 64, (number >> 8) % 256, number % 256)
}

/// The three.
pub struct Senders {
    kept: Wire,
    tls: Tls,
    address: SocketAddr,
    call: fn() -> Call,
}

impl Senders {
    /// Of a relay, with this call, which is another one each time.
    pub async fn of(rig: &Rig, call: fn() -> Call) -> Self {
        Self::at(rig.tls(), rig.address, call).await
    }

    /// The same where there is no rig.
    pub async fn at(tls: Tls, address: SocketAddr, call: fn() -> Call) -> Self {
        let kept = tls.clone().from("127.0.0.50").connect(address).await;
        let mut senders = Self { kept, tls, address, call };
        senders.are_served().await;
        senders
    }

    /// One request of each; gives their ids.
    pub async fn are_served(&mut self) -> [String; 3] {
        self.kept.send((self.call)().h1()).await;
        let kept = self.kept.answer().await;
        assert_eq!(kept.status, 200, "who keeps a connection");
        let new = self.comes_from("127.0.0.51", "who opens a new one").await;
        [kept.id().to_owned(), new, self.comes_from(&first_time(), "who comes for the first time").await]
    }

    async fn comes_from(&self, source: &str, who: &str) -> String {
        let mut wire = self.tls.clone().from(source).connect(self.address).await;
        wire.send((self.call)().h1()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200, "{who}");
        answer.id().to_owned()
    }
}
