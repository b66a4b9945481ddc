//! Connections of addresses that have proven nothing yet: they make room when there is none.
//!
//! Caps alone would serve whoever came first: with enough addresses somebody could take every place, say nothing until a deadline,
//! and come again, while genuine senders find no place. So when every place is taken, a connection is evicted for the one that comes:
//! the oldest connection of the address (of IPv6: the /64) that has most of them, and the oldest of all where many have as many. An
//! address from which a genuine request came keeps its connections; the cap by address is enough for it.
//!
//! Asked once for each connection, and never for a request.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::AbortHandle;

use crate::domain::source::network;
use crate::gate::pipeline::Proven;

/// All of them. Bounded by the number of connections.
#[derive(Debug, Default)]
pub(super) struct Unproven(Mutex<Room>);

#[derive(Debug, Default)]
struct Room {
    next: u64,
    /// By address, each by age.
    of: HashMap<IpAddr, BTreeMap<u64, Arc<UnprovenConnection>>>,
    /// The last one is the first to be evicted from.
    ranks: BTreeSet<Rank>,
}

/// How many an address has, the oldest of them, and the address. Of two that have as many, age decides: if the address did, strangers
/// below it would always be kept and a genuine sender above them never.
type Rank = (usize, Reverse<u64>, IpAddr);

fn rank(source: IpAddr, of: &BTreeMap<u64, Arc<UnprovenConnection>>) -> Option<Rank> {
    let (oldest, _) = of.first_key_value()?;
    Some((of.len(), Reverse(*oldest), source))
}

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct UnprovenConnection {
    proven: Proven,
    task: OnceLock<AbortHandle>,
}

impl UnprovenConnection {
    /// What serves it; ends when it is evicted.
    pub(super) fn served_by(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }
}

impl Unproven {
    /// One more, until the guard is dropped.
    pub(super) fn add<N: AsRef<Self>>(
        all: N,
        source: IpAddr,
        proven: Proven,
    ) -> (Arc<UnprovenConnection>, Registered<N>) {
        let source = network(source);
        let connection = Arc::new(UnprovenConnection { proven, task: OnceLock::new() });
        let mut room = all.as_ref().room();
        let number = room.next;
        room.next += 1;
        room.change(source, |of| drop(of.insert(number, Arc::clone(&connection))));
        drop(room);
        (connection, Registered(all, source, number))
    }

    /// Ends the oldest of the address that has most, and says which address that is; `None` where nobody is left. One that was proven meanwhile is passed over
    /// and forgotten here: it is never evicted.
    pub(super) fn evict(&self) -> Option<IpAddr> {
        let mut room = self.room();
        loop {
            let (_, _, source) = *room.ranks.last()?;
            let oldest = room.change(source, BTreeMap::pop_first);
            let (_, connection) = oldest?;
            if let Some(task) = connection.task.get().filter(|_| !connection.proven.is()) {
                task.abort();
                return Some(source);
            }
        }
    }

    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Changes what an address has, and keeps its rank.
    fn change<T>(
        &mut self,
        source: IpAddr,
        change: impl FnOnce(&mut BTreeMap<u64, Arc<UnprovenConnection>>) -> T,
    ) -> T {
        let of = self.of.entry(source).or_default();
        if let Some(rank) = rank(source, of) {
            self.ranks.remove(&rank);
        }
        let changed = change(of);
        if let Some(rank) = rank(source, of) {
            self.ranks.insert(rank);
        } else {
            self.of.remove(&source);
        }
        changed
    }
}

/// A connection that is there.
#[derive(Debug)]
pub(super) struct Registered<N: AsRef<Unproven>>(N, IpAddr, u64);

impl<N: AsRef<Unproven>> Registered<N> {
    /// A balancer says for whom it speaks: from now on the connection is one of that address, and as old as it is. One that was evicted
    /// meanwhile stays so.
    pub(super) fn is_of(&mut self, source: IpAddr) {
        let (before, source, number) = (self.1, network(source), self.2);
        self.1 = source;
        let mut room = self.0.as_ref().room();
        if let Some(connection) = room.change(before, |of| of.remove(&number)) {
            room.change(source, |of| drop(of.insert(number, connection)));
        }
    }
}

impl<N: AsRef<Unproven>> Drop for Registered<N> {
    fn drop(&mut self) {
        let number = self.2;
        self.0.as_ref().room().change(self.1, |of| drop(of.remove(&number)));
    }
}

impl AsRef<Self> for Unproven {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Unproven> for super::connections::Of {
    fn as_ref(&self) -> &Unproven {
        &self.0.unproven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn behind_a_balancer_a_connection_counts_for_the_address_that_it_names() {
        let (all, balancer) = (Unproven::default(), IpAddr::from([10, 0, 0, 1]));
        let mut guests = Vec::new();
        for last in [1, 2, 2, 2] {
            let (connection, mut registered) = Unproven::add(&all, balancer, Proven::default());
            let task = tokio::spawn(std::future::pending::<()>());
            connection.served_by(task.abort_handle());
            registered.is_of(IpAddr::from([192, 0, 2, last]));
            guests.push(registered);
        }
        let evicted: Vec<_> = (0..4).map(|_| all.evict().unwrap().to_string()).collect();
        assert_eq!(evicted, ["192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.2"]);
        drop(guests);
        let room = all.room();
        assert!(room.of.is_empty() && room.ranks.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_of_whoever_has_most_is_evicted() {
        let all = Unproven::default();
        let mut guests = Vec::new();
        for last in [1, 2, 2, 2, 3, 3] {
            let proven = Proven::default();
            let (connection, registered) = Unproven::add(&all, IpAddr::from([192, 0, 2, last]), proven.clone());
            let task = tokio::spawn(std::future::pending::<()>());
            connection.served_by(task.abort_handle());
            guests.push((proven, Some(registered), task));
        }
        // Of the second address the oldest is proven meanwhile, and of the third one has left.
        guests[1].0.set();
        guests[5].1 = None;
        assert_eq!(all.evict().unwrap(), IpAddr::from([192, 0, 2, 2]));
        assert!((&mut guests[2].2).await.unwrap_err().is_cancelled());
        let rest: Vec<_> = (0..3).map(|_| all.evict().unwrap().to_string()).collect();
        assert_eq!(rest, ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "of those that have as many, the oldest");
        assert!(all.evict().is_none(), "who has proven something stays");
        guests[0].1.as_mut().unwrap().is_of(IpAddr::from([192, 0, 2, 9]));
        assert!(all.evict().is_none(), "who was evicted is not there again under another address");
        assert!(!guests[1].2.is_finished());
        drop(guests);
        let room = all.room();
        assert!(room.of.is_empty() && room.ranks.is_empty());
    }
}
