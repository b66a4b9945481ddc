//! What must survive: requests that were accepted and not yet delivered (the spool), requests that were (the history), and
//! the keys of dedupe memory.
//!
//! One thread writes. Whatever is waiting when it looks goes into one transaction, so that many senders share the cost of
//! one `fsync`; [`Store::accept`] resolves when its request would survive `kill -9` and power loss, and not before. The first
//! write or sync that fails ends that thread's connection: everything that waits receives the error, and no success is given until
//! the file was opened and written again. Readers have connections of their own and never hold the writer up.
//!
//! The engine behind it is a trait with one implementation, SQLite; a server that several relays share fits behind the
//! same one.
//!
//! Deliberately absent: routes, upstreams, time-outs, and when to try again. `delivery` decides, this remembers.

pub mod action;
mod bounded;
mod engine;
pub mod entry;
mod error;
mod head;
mod intake;
mod ledger;
pub mod query;
mod reading;
mod recent;
mod seal;
pub mod settings;
mod shared;
pub mod spool;
mod sqlite;
mod status;
mod timeline;
mod writer;

use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::{Clock, UnixMillis};
use crate::domain::Sensitive;
use crate::guards::dedupe::{DedupeKey, Kept};

use bounded::{BoundedRows, Repeats};
use engine::{Place, Write, Wrote};
use intake::Intake;
use reading::Readers;
use shared::{Shared, Stall};
use timeline::Timeline;
use writer::OnEvent;

pub use action::{Action, ActionPage, ActionQuery};
pub use engine::KeyValue;
pub use entry::{Attempt, AttemptKind, Entry, Event, Stage, Took};
pub use error::{OpenError, Unstored};
pub use query::{Cursor, Page, Query};
pub use recent::Bookmark;
pub use settings::{SealingKey, Settings};
pub use spool::{Accept, Backlog, Claimed, Early, RefusedAt, Settlement, StoredRequest, Ticket, Wait};
pub use sqlite::backup::{Copied, backup};
pub use sqlite::generation::unfit;
pub use status::{Status, StoreEvent};

/// The longest that anybody waits for a write. A disk that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that become due in one step of [`Store::hasten`].
const HASTENED: usize = 500;
/// The longest that the end of the process waits for the last rows.
const LAST_ROWS: Duration = Duration::from_secs(10);
/// The longest that the start waits for the first opening. What takes longer goes on beside everything that needs no store.
const FIRST_OPENING: Duration = Duration::from_secs(5);

/// The store of one process.
pub struct Store {
    clock: Clock,
    timeline: Arc<Timeline>,
    news: OnEvent,
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    limit: u64,
    bounded: BoundedRows,
    repeats: Repeats,
    ended: Mutex<Receiver<()>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What was found at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Keys of dedupe memory that are still inside their window.
    pub dedupe: Vec<Kept>,
    /// Requests that were being delivered when the last process ended: each may have arrived.
    pub interrupted: u64,
    /// The last of those that an upstream refused; `None`: none of those that wait was.
    pub last_refusal: Option<RefusedAt>,
}

impl Store {
    /// Opens or creates the store, brings its tables up to date and starts the writer. `news` is called from the writer's
    /// thread, and from [`Store::watch`], and must not wait.
    ///
    /// A store that cannot be opened now, or takes long, is one that is closed: it takes nothing, is tried again and again, and
    /// says what was found by [`StoreEvent::Found`].
    ///
    /// # Errors
    /// Only what waiting does not change: see [`OpenError::is_final`].
    pub fn open(
        settings: &Settings,
        clock: Clock,
        news: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<(Arc<Self>, Recovered), OpenError> {
        let shared = Arc::new(Shared::default());
        let timeline = Arc::new(Timeline::new(clock.clone()));
        let sharers = Arc::clone(&shared.sharers);
        let place = sqlite::SqlitePlace::new(settings, clock.clone(), Arc::clone(&timeline), sharers)?;
        let place: Arc<dyn Place> = Arc::new(place);
        let intake = Arc::new(Intake::new());
        let readers = Arc::new(Readers::new(Arc::clone(&place), Arc::clone(&shared)));
        let news: OnEvent = Arc::new(news);
        let (end, ended) = channel();
        // Without room: a message that nobody waits for any more comes back.
        let (first, opened) = sync_channel(0);
        let writer = writer::Writer::new(
            place,
            Arc::clone(&intake),
            Arc::clone(&shared),
            clock.clone(),
            Arc::clone(&timeline),
            Arc::clone(&news),
            first,
        );
        let run = move || {
            writer.run();
            // Dropped with everything the writer held: the place may be opened by another now.
            drop(end);
        };
        std::thread::Builder::new().name("store".into()).spawn(run).map_err(|e| OpenError::Io(e.to_string()))?;
        let store = Self {
            clock,
            timeline,
            news,
            intake,
            shared,
            readers,
            limit: settings.keep_size,
            bounded: BoundedRows::new(settings.refusals_per_second),
            repeats: Repeats::default(),
            ended: Mutex::new(ended),
        };
        match opened.recv_timeout(FIRST_OPENING) {
            Ok(Ok(recovered)) => Ok((Arc::new(store), recovered)),
            Ok(Err(e)) if e.is_final() => Err(e),
            Ok(Err(_)) | Err(_) => Ok((Arc::new(store), Recovered::default())),
        }
    }

    /// Makes a request durable. When this resolves, it would survive a power loss; dropping the future does not undo it. A
    /// request that was to be delivered at once becomes due when its future is dropped.
    ///
    /// # Errors
    /// [`Unstored::Full`] at the quota, at the route's share of it, or at the disk's reserve; [`Unstored::Failed`] while the
    /// disk fails. After an error the request may be found on disk all the same, and is then delivered.
    pub async fn accept(&self, mut accept: Accept) -> Result<Ticket, Unstored> {
        if self.shared.is_shut() {
            return Err(Unstored::Full);
        }
        accept.due = accept.due.map(|due| self.timeline.of_wall(due));
        match self.ask(Write::Accept(Box::new(accept))).await? {
            Wrote::Accepted(ticket, _) => Ok(ticket),
            _ => Err(Unstored::Failed),
        }
    }

    /// How many routes may make requests wait: no one of them can take the others' share of the quota. One, until it is said.
    pub fn share_among(&self, routes: usize) {
        self.shared.sharers.set(routes as u64);
    }

    /// Adds a row to the history. Never waits; a row that finds no room is counted and dropped.
    pub fn record(&self, entry: Entry) {
        if entry.is_bounded() {
            let (route, kind) = (entry.route.clone(), entry.kind());
            self.record_bounded(route.as_ref(), kind, || entry);
        } else {
            self.leave_row(entry);
        }
    }

    /// As [`Store::record`], for what a stranger can bring about at will: the row is not even made when there were enough of
    /// its kind in this second. The next one of the kind says how many there were.
    pub fn record_bounded(&self, route: Option<&Arc<str>>, kind: &'static str, entry: impl FnOnce() -> Entry) {
        match self.bounded.admits(route, kind, self.clock.now()) {
            Some(skipped) => {
                let mut entry = entry();
                if skipped > 0 && entry.detail.is_none() {
                    entry.detail = Some(format!("{skipped} more of this kind before it have no row").into());
                }
                self.leave_row(entry);
            }
            None => self.shared.row_skipped(),
        }
    }

    /// Whether a request that failed had failed shortly before, so that its row need not say everything once more: who has a
    /// copy of it can have it fail as often as they like. Asked about failures only.
    pub fn failed_before(&self, route: &str, id: &str) -> bool {
        self.repeats.seen(route, id, self.clock.now())
    }

    fn leave_row(&self, entry: Entry) {
        if !self.intake.leave(Write::Record(Box::new(entry))) {
            self.shared.history_dropped(1);
        }
    }

    /// Remembers a dedupe key beyond this process, with the next group of writes. Never waits; a key that finds no room is
    /// remembered by this process only, and counted.
    pub fn remember(&self, key: DedupeKey, until: UnixMillis, route: &Arc<str>) {
        if !self.intake.leave(Write::Remember { key, until, route: Arc::clone(route) }) {
            self.shared.dedupe_unkept(1);
        }
    }

    /// Takes up to `most` requests of a route that are due, the oldest first (of an ordered route: in the order of their
    /// acceptance, and none that stands behind one on its way or not yet due), and counts an attempt for each, durably. `early`
    /// says what is taken although it is not due.
    ///
    /// # Errors
    /// When the claim could not be made durable; nothing is claimed then.
    pub async fn claim(
        &self,
        route: &Arc<str>,
        most: usize,
        ordered: bool,
        early: Early,
    ) -> Result<Vec<Claimed>, Unstored> {
        match self.ask(Write::Claim { route: Arc::clone(route), most, ordered, early }).await? {
            Wrote::Claimed(mut claimed) => {
                for claimed in &mut claimed {
                    claimed.allowance_from = self.timeline.to_wall(claimed.allowance_from);
                    claimed.due = self.timeline.to_wall(claimed.due);
                }
                Ok(claimed)
            }
            _ => Err(Unstored::Failed),
        }
    }

    /// Says what became of an attempt, durably. Settling a ticket twice changes nothing.
    ///
    /// # Errors
    /// When it is not durable yet. It need not be said again: it is written as soon as the store can write, and only the
    /// end of the process before that makes the request due once more.
    pub async fn settle(&self, ticket: Ticket, settlement: Settlement) -> Result<(), Unstored> {
        let settlement = match settlement {
            Settlement::Again(attempt, wait) => {
                Settlement::Again(attempt, Wait { due: self.timeline.of_wall(wait.due), ..wait })
            }
            Settlement::Released(due) => Settlement::Released(self.timeline.of_wall(due)),
            Settlement::Delivered(_) | Settlement::Dead(_) => settlement,
        };
        self.ask(Write::Settle(ticket, Box::new(settlement))).await.map(drop)
    }

    /// Sets the numbers of one attempt aside ([`crate::domain::Sends::MOST`]), so that no later one has any of them, whatever becomes of this
    /// one. Gives the first. For what an operator sends again; what is claimed has its number from there. `None`: no such request.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn reserve(&self, request_id: &str) -> Result<Option<u32>, Unstored> {
        let wrote = self.ask(Write::Reserve { request_id: request_id.into() }).await?;
        Ok(if let Wrote::Reserved(first) = wrote { first } else { None })
    }

    /// Notes an attempt that an operator asked for (a redelivery), whose numbers began with `first`; those that it did not use are
    /// given back. One that was taken makes the request `delivered`; one that was not takes nothing back.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn note(&self, request_id: &str, attempt: Attempt, first: u32) -> Result<(), Unstored> {
        let attempt = Box::new(attempt);
        self.ask(Write::Note { request_id: request_id.into(), attempt, first }).await.map(drop)
    }

    /// Makes a dead letter wait for delivery again, with a fresh allowance of attempts; one that waits for its time is due now.
    /// Gives its route; `None`: it is neither.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn revive(&self, request_id: &str) -> Result<Option<Arc<str>>, Unstored> {
        self.changed(Write::Revive { request_id: request_id.into() }).await
    }

    /// Gives a waiting request or a dead letter up permanently; its history stays. One that is on its way leaves when that
    /// attempt fails. Gives its route; `None`: it is neither.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn discard(&self, request_id: &str) -> Result<Option<Arc<str>>, Unstored> {
        self.changed(Write::Discard { request_id: request_id.into() }).await
    }

    async fn changed(&self, write: Write) -> Result<Option<Arc<str>>, Unstored> {
        Ok(if let Wrote::Changed(route) = self.ask(write).await? { route } else { None })
    }

    /// Makes what waits for its time on a route due now, step by step: a step takes as long as any other write, so a million of
    /// them hold nobody up. Gives their number.
    ///
    /// # Errors
    /// When a step was not written; those before it are.
    pub async fn hasten(&self, route: &Arc<str>) -> Result<u64, Unstored> {
        let mut hastened = 0;
        loop {
            let step = Write::Hasten { route: Arc::clone(route), most: HASTENED };
            let Wrote::Hastened(count) = self.ask(step).await? else { return Err(Unstored::Failed) };
            hastened += count as u64;
            if count < HASTENED {
                return Ok(hastened);
            }
        }
    }

    /// Waits until everything that was handed in before is durable.
    ///
    /// # Errors
    /// When it is not.
    pub async fn flush(&self) -> Result<(), Unstored> {
        self.ask(Write::Flush).await.map(drop)
    }

    /// Keeps a small fact beyond this process, in place of the one with the same kind, route and slot. Never waits; one
    /// that finds no room is lost, as is a value of more than 4 KiB.
    pub fn put(&self, kind: &'static str, route: &str, slot: i64, value: Vec<u8>) {
        let value = Box::new(KeyValue { route: route.into(), slot, value });
        let _ = self.intake.leave(Write::Put { kind, value });
    }

    /// The facts of a kind, by route and slot.
    ///
    /// # Errors
    /// When they could not be read.
    pub async fn values(&self, kind: &'static str) -> Result<Vec<KeyValue>, Unstored> {
        self.readers.read(move |reader| reader.values(kind)).await
    }

    /// Keeps an action beyond this process, apart from the history. Never waits; the log has what finds no room.
    pub fn act(&self, action: Action) {
        // Room is kept for what somebody waits for, so that no flood of rows takes an action's place.
        let (told, _) = oneshot::channel();
        let _ = self.intake.urge(Write::Act(Box::new(action.bounded())), told);
    }

    /// Adds to the count of the action that has this token. Never waits.
    pub fn count_for(&self, token: &str, more: u64) {
        let (told, _) = oneshot::channel();
        let _ = self.intake.urge(Write::Count { token: token.into(), more }, told);
    }

    /// A page of actions, the newest first.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn actions(&self, query: ActionQuery) -> Result<ActionPage, Unstored> {
        self.readers.read(move |reader| reader.actions(&query)).await
    }

    /// A page of the history, the newest first unless the query says otherwise.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn page(&self, query: Query, sensitive: Arc<Sensitive>) -> Result<Page, Unstored> {
        let mut page = self.readers.read(move |reader| reader.page(&query, &sensitive)).await?;
        page.events.iter_mut().for_each(|event| event.due = event.due.map(|due| self.timeline.to_wall(due)));
        Ok(page)
    }

    /// One row of the history with its attempts and its body.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn event(&self, request_id: &str) -> Result<Option<Event>, Unstored> {
        let id: Box<str> = request_id.into();
        let mut event = self.readers.read(move |reader| reader.event(&id)).await?;
        if let Some(event) = &mut event {
            event.due = event.due.map(|due| self.timeline.to_wall(due));
        }
        Ok(event)
    }

    /// What is needed to send a request to the upstream again; `None` when its body is not kept.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn request(&self, request_id: &str) -> Result<Option<StoredRequest>, Unstored> {
        let id: Box<str> = request_id.into();
        self.readers.read(move |reader| reader.request(&id)).await
    }

    /// Where the recording stands, for [`Store::recorded_since`].
    pub fn bookmark(&self) -> Bookmark {
        self.shared.recent.bookmark()
    }

    /// Ids of the rows that were recorded since, in the order in which they were, and where to go on: as soon as there are
    /// some, or none after `wait`. `None`: it is another process's bookmark, or too old.
    pub async fn recorded_since(
        &self,
        bookmark: Bookmark,
        most: usize,
        wait: Duration,
    ) -> Option<(Vec<Box<str>>, Bookmark)> {
        self.shared.recent.since(bookmark, most, wait).await
    }

    /// What waits on a route, from memory.
    pub fn backlog(&self, route: &str) -> Backlog {
        self.by_wall(self.shared.ledger.of(route))
    }

    /// Every route that has something waiting or dead, whether or not the configuration still knows it.
    pub fn backlogs(&self) -> Vec<(Arc<str>, Backlog)> {
        self.shared.ledger.all().into_iter().map(|(route, backlog)| (route, self.by_wall(backlog))).collect()
    }

    fn by_wall(&self, mut backlog: Backlog) -> Backlog {
        backlog.next_due = backlog.next_due.map(|due| self.timeline.to_wall(due));
        backlog
    }

    /// To be called every second: says it when the disk has not answered for long.
    pub fn watch(&self) {
        if let Some(Stall::Begun(since)) = self.shared.stall() {
            (self.news)(StoreEvent::Stalled { since });
        }
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.shared.status(self.limit)
    }

    async fn ask(&self, write: Write) -> Result<Wrote, Unstored> {
        let (answer, answered) = oneshot::channel();
        if !self.intake.urge(write, answer) {
            return Err(Unstored::Failed);
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(told)) => told.map(intake::WriteReply::take),
            Ok(Err(_)) | Err(_) => Err(Unstored::Failed),
        }
    }
}

/// What was handed in is written before the process ends, if the disk takes it.
impl Drop for Store {
    fn drop(&mut self) {
        self.intake.end();
        self.readers.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(LAST_ROWS);
    }
}
