//! Connections that have proven nothing yet, the oldest first: they make room when there is none.
//!
//! Caps alone would serve whoever came first: with enough addresses somebody could take every place, say nothing until a deadline,
//! and come again, while genuine senders find the door shut. So when every place is taken, the connection that has been here longest
//! without one genuine request gives way to the one that comes. A sender that was proven keeps its place.
//!
//! Asked once for each connection, and never for a request.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::AbortHandle;

use crate::pipeline::Proven;

/// All of them. Bounded by the number of connections.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Mutex<Row>);

#[derive(Debug, Default)]
struct Row {
    next: u64,
    by_age: BTreeMap<u64, Arc<Newcomer>>,
}

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) source: IpAddr,
    proven: Proven,
    task: OnceLock<AbortHandle>,
}

impl Newcomer {
    /// What serves it; ends when it has to give way.
    pub(super) fn served_by(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }
}

impl Newcomers {
    /// One more, until the guard is dropped.
    pub(super) fn add<N: AsRef<Self>>(all: N, source: IpAddr, proven: Proven) -> (Arc<Newcomer>, Standing<N>) {
        let newcomer = Arc::new(Newcomer { source, proven, task: OnceLock::new() });
        let mut row = all.as_ref().row();
        let number = row.next;
        row.next += 1;
        row.by_age.insert(number, Arc::clone(&newcomer));
        drop(row);
        (newcomer, Standing(all, number))
    }

    /// Ends the oldest that has proven nothing; `None` where all have. Those that have are passed over once and forgotten: they
    /// never have to give way.
    pub(super) fn give_way(&self) -> Option<Arc<Newcomer>> {
        let mut row = self.row();
        loop {
            let (_, newcomer) = row.by_age.pop_first()?;
            if let Some(task) = newcomer.task.get().filter(|_| !newcomer.proven.is()) {
                task.abort();
                return Some(newcomer);
            }
        }
    }

    fn row(&self) -> std::sync::MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is there.
#[derive(Debug)]
pub(super) struct Standing<N: AsRef<Newcomers>>(N, u64);

impl<N: AsRef<Newcomers>> Drop for Standing<N> {
    fn drop(&mut self) {
        self.0.as_ref().row().by_age.remove(&self.1);
    }
}

impl AsRef<Self> for Newcomers {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Newcomers> for super::connections::Of {
    fn as_ref(&self) -> &Newcomers {
        &self.0.newcomers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_that_has_proven_nothing_gives_way() {
        let all = Newcomers::default();
        let mut guests = Vec::new();
        for last in 1..=4 {
            let proven = Proven::default();
            let (newcomer, standing) = Newcomers::add(&all, IpAddr::from([192, 0, 2, last]), proven.clone());
            let task = tokio::spawn(std::future::pending::<()>());
            newcomer.served_by(task.abort_handle());
            guests.push((proven, Some(standing), task));
        }
        guests[0].0.set();
        guests[1].1 = None;
        let gone = all.give_way().unwrap();
        assert_eq!(gone.source, IpAddr::from([192, 0, 2, 3]));
        assert!((&mut guests[2].2).await.unwrap_err().is_cancelled());
        assert_eq!(all.give_way().unwrap().source, IpAddr::from([192, 0, 2, 4]));
        assert!(all.give_way().is_none(), "who has proven something stays");
        assert!(!guests[0].2.is_finished());
        drop(guests);
        assert!(all.row().by_age.is_empty());
    }
}
