//! Readers: a few connections of their own, used where blocking is allowed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::engine::{EngineFault, Place, Reader};
use super::error::Unstored;
use super::shared::Shared;

/// Reads at once. A page costs a core for some milliseconds; webhooks come first.
const READERS: usize = 4;

pub(super) struct Readers {
    place: Mutex<Option<Arc<dyn Place>>>,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    /// Idle ones, with the opening that they belong to.
    idle: Mutex<Vec<(u64, Box<dyn Reader>)>>,
}

impl Readers {
    pub(super) fn new(place: Arc<dyn Place>, shared: Arc<Shared>) -> Self {
        let permits = Arc::new(Semaphore::new(READERS));
        Self { place: Mutex::new(Some(place)), shared, permits, idle: Mutex::default() }
    }

    /// Reads on a thread that may block. A reader that failed is not used again.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, EngineFault> + Send + 'static,
    ) -> Result<T, Unstored> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Unstored::Failed)?;
        let readers = Arc::clone(self);
        let blocking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with(read)
        });
        blocking.await.unwrap_or(Err(Unstored::Failed))
    }

    fn with<T>(&self, read: impl FnOnce(&mut dyn Reader) -> Result<T, EngineFault>) -> Result<T, Unstored> {
        let opening = self.shared.openings();
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Unstored::Failed)?;
        let idle = self.take(opening);
        let mut reader = match idle {
            Some(reader) => reader,
            None => place.reader().map_err(|fault| self.failed(opening, &fault))?,
        };
        let read = read(&mut *reader).map_err(|fault| self.failed(opening, &fault))?;
        if self.shared.openings() == opening {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((opening, reader));
        }
        Ok(read)
    }

    /// What a reader cannot read, the writer sets aside.
    fn failed(&self, opening: u64, fault: &EngineFault) -> Unstored {
        if fault.damaged && self.shared.openings() == opening {
            self.shared.suspect();
        }
        Unstored::Failed
    }

    fn take(&self, opening: u64) -> Option<Box<dyn Reader>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(of, _)| *of == opening);
        idle.pop().map(|(_, reader)| reader)
    }

    /// Lets go of the place, so that another may open it.
    pub(super) fn close(&self) {
        self.permits.close();
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
