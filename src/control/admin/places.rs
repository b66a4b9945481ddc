//! Who is connected to the admin listener, and who has to go when every place is taken.
//!
//! Nobody on this machine should be able to keep health checks and reloads out, whatever they open and do not read. So
//! whoever comes last has a place: that of the oldest connection for which nothing is being done, because it says nothing or
//! does not read its answer. What is being done is bounded by itself, and takes no more than a part of the places.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use crate::base::limiter::Limiter;

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 64;
/// Questions about the history that are answered at a time. With [`RELOADS`] fewer than there are places, so that one for which
/// nothing is done can always be found.
const QUESTIONS: usize = 40;
/// Reloads that are waited for at a time; all of them are answered by one.
const RELOADS: usize = 8;

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    limiter: Limiter,
    questions: Semaphore,
    reloads: Semaphore,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By age.
    by: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    /// Its request is being answered.
    busy: bool,
    task: Arc<OnceLock<AbortHandle>>,
}

impl Default for Places {
    fn default() -> Self {
        let (questions, reloads) = (Semaphore::new(QUESTIONS), Semaphore::new(RELOADS));
        Self { taken: Mutex::default(), limiter: Limiter::new(1), questions, reloads }
    }
}

impl Places {
    /// A place, until it is dropped; `None` where every one is taken by somebody whose request is being answered.
    pub(super) fn take(all: &Arc<Self>) -> Option<Place> {
        let mut taken = all.taken();
        if taken.by.len() >= CONNECTIONS {
            let (number, task) = taken.by.iter().find_map(|(number, guest)| {
                let task = guest.task.get().filter(|_| !guest.busy)?;
                Some((*number, task.clone()))
            })?;
            taken.by.remove(&number);
            task.abort();
        }
        let number = taken.next;
        taken.next += 1;
        let task = Arc::default();
        taken.by.insert(number, Guest { busy: false, task: Arc::clone(&task) });
        drop(taken);
        Some(Place { all: Arc::clone(all), number, task })
    }

    /// Waits until everything else that is ready has had its turn since the last request here began: whoever asks for the metrics again
    /// and again must not hold up webhooks.
    pub(super) async fn turn(&self) {
        drop(self.limiter.next().await);
    }

    /// The right to ask about the history.
    pub(super) fn question(&self) -> Option<SemaphorePermit<'_>> {
        self.questions.try_acquire().ok()
    }

    /// The right to wait for a reload.
    pub(super) fn reload(&self) -> Option<SemaphorePermit<'_>> {
        self.reloads.try_acquire().ok()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<Places>,
    number: u64,
    task: Arc<OnceLock<AbortHandle>>,
}

impl Place {
    /// What ends when somebody else gets this place.
    pub(super) fn served_by(&self) -> Arc<OnceLock<AbortHandle>> {
        Arc::clone(&self.task)
    }

    /// The connection stays for as long as what this gives is held.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.set_busy(true);
        Busy(self)
    }

    pub(super) fn all(&self) -> &Places {
        &self.all
    }

    fn set_busy(&self, busy: bool) {
        if let Some(guest) = self.all.taken().by.get_mut(&self.number) {
            guest.busy = busy;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.taken().by.remove(&self.number);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy<'p>(&'p Place);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place with a task that never ends by itself.
    fn guest(all: &Arc<Places>) -> Option<(Place, tokio::task::JoinHandle<()>)> {
        let place = Places::take(all)?;
        let task = tokio::spawn(std::future::pending());
        let _ = place.served_by().set(task.abort_handle());
        Some((place, task))
    }

    #[tokio::test]
    async fn the_oldest_for_whom_nothing_is_done_has_to_go() {
        let all = Arc::new(Places::default());
        let mut guests: Vec<_> = (0..CONNECTIONS).map(|_| guest(&all).unwrap()).collect();
        let busy = guests[0].0.busy();
        let newest = guest(&all).unwrap();
        assert_eq!(all.taken().by.len(), CONNECTIONS);
        drop(busy);
        let (place, ended) = guests.remove(1);
        assert!(ended.await.unwrap_err().is_cancelled(), "the second, because the first was busy");
        drop(place);
        assert_eq!(all.taken().by.len(), CONNECTIONS, "its place is another's already");
        drop((guests, newest));
        assert!(all.taken().by.is_empty());
    }

    #[tokio::test]
    async fn who_is_busy_stays_and_what_makes_busy_is_bounded() {
        let all = Arc::new(Places::default());
        let guests: Vec<_> = (0..CONNECTIONS).map(|_| guest(&all).unwrap()).collect();
        let busy: Vec<_> = guests.iter().map(|(place, _)| place.busy()).collect();
        assert!(guest(&all).is_none());
        drop(busy);
        let asked: Vec<_> = std::iter::from_fn(|| all.question()).collect();
        let reloads: Vec<_> = std::iter::from_fn(|| all.reload()).collect();
        assert!(asked.len() + reloads.len() < CONNECTIONS);
    }
}
