//! The one thread that writes.
//!
//! It takes what waits, writes it as one transaction, and answers everybody when it is durable. While it writes, the next
//! batch gathers; so a lone request waits for one `fsync`, and many share one.
//!
//! After a fault nothing more is written through the same engine. Everything that waits receives the error at once, and the place
//! is opened again after a pause that grows. What a failed commit left behind is found then like anything else: a request
//! whose sender received a failure may be there all the same, and is delivered; its retry is the same request once
//! more. That is a possible duplicate and never a loss.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::base::Clock;

use super::Recovered;
use super::engine::{Committed, Engine, EngineFault, Opened, Place, Room, Write, Wrote};
use super::error::{OpenError, Unstored};
use super::intake::{Intake, Job, WriteReply};
use super::shared::{Shared, Stall};
use super::spool::{Settlement, Ticket};
use super::status::StoreEvent;
use super::timeline::Timeline;

/// Writes of one transaction.
const BATCH: usize = 1000;
/// Bytes of one transaction.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How often it looks for what nobody waits for.
const LOOK: Duration = Duration::from_millis(50);
/// The same after a quiet second.
const LOOK_IDLE: Duration = Duration::from_millis(200);
/// Between two calls of upkeep.
const UPKEEP: Duration = Duration::from_secs(1);
/// The first pause before the place is opened again; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Between two words about rows that were dropped or skipped.
const DROPPED: Duration = Duration::from_secs(10);

/// Who receives a change.
pub(super) type OnEvent = Arc<dyn Fn(StoreEvent) + Send + Sync>;

/// What came of the first opening.
pub(super) type First = Result<Recovered, OpenError>;

pub(super) struct Writer {
    place: Arc<dyn Place>,
    engine: Option<Box<dyn Engine>>,
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    clock: Clock,
    timeline: Arc<Timeline>,
    news: OnEvent,
    /// Who waits for the first opening; nobody any more when it took long or failed.
    first: Option<SyncSender<First>>,
    /// It was open in this process.
    opened: bool,
    /// A part of the file cannot be read: the next opening sets it aside.
    salvage: bool,
    /// Claimed, by somebody in this process. Never more than were claimed.
    ours: HashSet<Ticket>,
    /// Settlements that could not be written. They are written before anything else as soon as the place is open again, so
    /// that what was delivered is not delivered twice.
    owed: Vec<(Ticket, Box<Settlement>)>,
    /// Routes whose share is used up, of those that were reported.
    full_routes: HashSet<Arc<str>>,
    pause: Duration,
    retry_at: Instant,
    upkeep_at: Instant,
    told_at: Option<Instant>,
    told: u64,
    skipped_at: Option<Instant>,
    skipped: u64,
    busy_at: Instant,
}

/// However the thread ends, a panic included: nothing more is taken, and nobody waits for ever.
struct End {
    intake: Arc<Intake>,
    shared: Arc<Shared>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.intake.end();
        self.shared.closed(&EngineFault::of("the writer has ended"));
        while self.intake.take().is_some() {}
    }
}

impl Writer {
    pub(super) fn new(
        place: Arc<dyn Place>,
        intake: Arc<Intake>,
        shared: Arc<Shared>,
        clock: Clock,
        timeline: Arc<Timeline>,
        news: OnEvent,
        first: SyncSender<First>,
    ) -> Self {
        let now = Instant::now();
        Self {
            place,
            engine: None,
            intake,
            shared,
            clock,
            timeline,
            news,
            first: Some(first),
            opened: false,
            salvage: false,
            ours: HashSet::new(),
            owed: Vec::new(),
            full_routes: HashSet::new(),
            pause: FIRST_PAUSE,
            retry_at: now,
            upkeep_at: now,
            told_at: None,
            told: 0,
            skipped_at: None,
            skipped: 0,
            busy_at: now,
        }
    }

    /// Runs until the store is dropped; what was handed in before is written.
    pub(super) fn run(mut self) {
        self.intake.served_by(std::thread::current());
        let _end = End { intake: Arc::clone(&self.intake), shared: Arc::clone(&self.shared) };
        if self.reopen().is_err_and(|e| e.is_final()) {
            return;
        }
        loop {
            self.release_orphans();
            let jobs = self.gather();
            if !jobs.is_empty() {
                self.busy_at = Instant::now();
            }
            self.serve(jobs);
            self.keep_up();
            if self.intake.ending() && self.intake.is_empty() {
                self.release_orphans();
                self.pay();
                if let Some(engine) = self.engine.take() {
                    engine.end();
                }
                return;
            }
            if self.intake.is_empty() {
                let quiet = self.busy_at.elapsed() > UPKEEP;
                self.intake.sleep(if quiet { LOOK_IDLE } else { LOOK });
            }
        }
    }

    fn gather(&mut self) -> Vec<Job> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < BATCH && bytes < BATCH_BYTES {
            let Some(job) = self.intake.take() else { break };
            bytes += job.bytes;
            jobs.push(job);
        }
        jobs
    }

    fn serve(&mut self, jobs: Vec<Job>) {
        let settles = jobs.iter().any(|job| matches!(job.write, Write::Settle(..)));
        // In the order in which they were asked for: a settlement that is owed comes before one that is new.
        if settles || !self.owed.is_empty() {
            self.pay();
        }
        if jobs.is_empty() {
            return;
        }
        let (mut writes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.write, job.answer)).unzip();
        match self.commit(&mut writes) {
            Ok(committed) => {
                self.shared.recent.recorded(recorded(&writes, &committed.wrote));
                for (wrote, answer) in committed.wrote.into_iter().zip(answers) {
                    match (wrote, answer) {
                        (Wrote::NoRoom, Some(answer)) => drop(answer.send(Err(Unstored::Full))),
                        (Wrote::NoRoom, None) => self.shared.history_dropped(1),
                        // Whoever does not take it lets it go: see `WriteReply`.
                        (wrote, answer) => {
                            let given = WriteReply::new(wrote, &self.intake);
                            match answer {
                                Some(answer) => drop(answer.send(Ok(given))),
                                None => drop(given),
                            }
                        }
                    }
                }
                self.checkpoint(false);
            }
            Err(why) => {
                for (write, answer) in writes.into_iter().zip(answers) {
                    self.unwritten(write);
                    if let Some(answer) = answer {
                        let _ = answer.send(Err(why));
                    }
                }
            }
        }
    }

    /// One transaction through the engine there is; a fault ends it.
    fn commit(&mut self, writes: &mut [Write]) -> Result<Committed, Unstored> {
        let Some(engine) = &mut self.engine else { return Err(self.shared.why_closed()) };
        // What a claim or a settlement names is known before the writes are taken apart.
        let settled: Vec<Ticket> = writes
            .iter()
            .filter_map(|write| if let Write::Settle(ticket, _) = write { Some(*ticket) } else { None })
            .collect();
        self.shared.at_disk();
        let committed = engine.commit(writes, self.clock.now());
        tell_stall(&self.shared, &self.news);
        match committed {
            Ok(mut committed) => {
                let room = engine.room();
                for wrote in &committed.wrote {
                    match wrote {
                        Wrote::Accepted(ticket, true) => drop(self.ours.insert(*ticket)),
                        Wrote::Claimed(claimed) => self.ours.extend(claimed.iter().map(|claimed| claimed.ticket)),
                        _ => {}
                    }
                }
                for ticket in settled {
                    self.ours.remove(&ticket);
                }
                self.shares(writes, &committed.wrote, room);
                self.shared.committed(std::mem::take(&mut committed.shifts));
                self.room(room);
                Ok(committed)
            }
            Err(fault) => Err(self.fail(&fault)),
        }
    }

    /// What is not written must not be lost sight of.
    fn unwritten(&mut self, write: Write) {
        match write {
            Write::Settle(ticket, settlement) if self.ours.contains(&ticket) => self.owed.push((ticket, settlement)),
            Write::Record(_) => self.shared.history_dropped(1),
            Write::Remember { .. } => self.shared.dedupe_unkept(1),
            _ => {}
        }
    }

    /// Settlements that are owed, in one transaction of their own.
    fn pay(&mut self) {
        if self.owed.is_empty() || self.engine.is_none() {
            return;
        }
        let owed = std::mem::take(&mut self.owed);
        let mut writes: Vec<Write> =
            owed.into_iter().map(|(ticket, settlement)| Write::Settle(ticket, settlement)).collect();
        if self.commit(&mut writes).is_err() {
            writes.into_iter().for_each(|write| self.unwritten(write));
        }
    }

    /// Claimed requests whose claimer has gone become due at once; nothing was sent.
    fn release_orphans(&mut self) {
        let now = self.timeline.now();
        let orphans = self.intake.orphans().into_iter();
        self.owed.extend(orphans.map(|ticket| (ticket, Box::new(Settlement::Released(now)))));
    }

    fn keep_up(&mut self) {
        let now = Instant::now();
        if self.engine.is_none() && now >= self.retry_at {
            let _ = self.reopen();
        }
        if self.shared.take_suspicion() && self.engine.is_some() {
            self.fail(&EngineFault { damaged: true, ..EngineFault::of("a part of it cannot be read") });
        }
        if now < self.upkeep_at {
            return;
        }
        self.upkeep_at = now + UPKEEP;
        let routes = self.shared.waiting_routes();
        let idle = self.intake.is_empty() && self.busy_at.elapsed() > UPKEEP;
        if let Some(engine) = &mut self.engine {
            self.shared.at_disk();
            let kept = engine.upkeep(self.clock.now(), idle, &routes);
            tell_stall(&self.shared, &self.news);
            match kept {
                Ok(oldest) => {
                    let room = engine.room();
                    self.shared.oldest(oldest);
                    self.room(room);
                }
                Err(fault) => drop(self.fail(&fault)),
            }
        }
        if idle {
            self.checkpoint(true);
        }
        self.tell_dropped(now);
        self.tell_skipped(now);
    }

    fn checkpoint(&mut self, idle: bool) {
        let Some(engine) = &mut self.engine else { return };
        self.shared.at_disk();
        let moved = engine.checkpoint(idle);
        tell_stall(&self.shared, &self.news);
        if let Err(fault) = moved {
            self.fail(&fault);
        }
    }

    /// Ends the engine. Never tried again on the same handle: what a failed `fsync` did not write, the next one would not
    /// write either, and would not say so.
    fn fail(&mut self, fault: &EngineFault) -> Unstored {
        self.engine = None;
        self.salvage |= fault.damaged;
        self.put_off();
        if self.shared.closed(fault) {
            (self.news)(StoreEvent::Failed { detail: fault.detail.clone() });
        }
        self.shared.why_closed()
    }

    fn put_off(&mut self) {
        self.retry_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        self.shared.at_disk();
        let mut found = self.open_place();
        if matches!(found, Err(OpenError::Damaged(_))) && !self.salvage {
            self.salvage = true;
            found = self.open_place();
        }
        tell_stall(&self.shared, &self.news);
        match found {
            Ok((opened, recovered)) => {
                self.take_up(opened, recovered);
                Ok(())
            }
            Err(e) => {
                self.put_off();
                let full = matches!(e, OpenError::DiskFull(_));
                let news = self.shared.still_closed(e.to_string(), full);
                let told = self.first.take().is_some_and(|first| first.send(Err(e.clone())).is_ok());
                if news && !(told && e.is_final()) {
                    (self.news)(StoreEvent::Failed { detail: e.to_string() });
                }
                Err(e)
            }
        }
    }

    fn open_place(&self) -> Result<(Opened, Option<Recovered>), OpenError> {
        // A ticket that somebody holds stays theirs; so does one whose settlement is owed.
        let opened = self.place.open(&self.ours, self.salvage)?;
        if self.opened {
            return Ok((opened, None));
        }
        let (interrupted, last_refusal) = (opened.interrupted, opened.last_refusal);
        let recovered = Recovered { dedupe: self.place.dedupe_keys()?, interrupted, last_refusal };
        Ok((opened, Some(recovered)))
    }

    fn take_up(&mut self, opened: Opened, recovered: Option<Recovered>) {
        let Opened { engine, backlogs, interrupted: _, last_refusal: _, set_aside } = opened;
        let room = engine.room();
        self.engine = Some(engine);
        self.shared.opened(backlogs);
        (self.opened, self.salvage) = (true, false);
        if let Some(detail) = set_aside {
            (self.news)(StoreEvent::SetAside { detail });
        }
        self.pay();
        if self.engine.is_none() {
            return;
        }
        self.pause = FIRST_PAUSE;
        match (recovered, self.first.take()) {
            (Some(recovered), Some(first)) => {
                // The start waits for it, or did not wait so long.
                if let Err(unsent) = first.send(Ok(recovered)) {
                    self.late(unsent.0.unwrap_or_default());
                }
            }
            (Some(recovered), None) => self.late(recovered),
            (None, _) => (self.news)(StoreEvent::Recovered),
        }
        self.room(room);
    }

    fn late(&self, recovered: Recovered) {
        (self.news)(StoreEvent::Recovered);
        (self.news)(StoreEvent::Found(recovered));
    }

    fn room(&mut self, room: Room) {
        match self.shared.room(room) {
            Some(true) => (self.news)(StoreEvent::Full),
            Some(false) => (self.news)(StoreEvent::Room),
            None => {}
        }
    }

    /// Says that a route's share is used up, while the store itself has room, and that there is room in it again.
    fn shares(&mut self, writes: &[Write], wrote: &[Wrote], room: Room) {
        for (write, wrote) in writes.iter().zip(wrote) {
            let Write::Accept(accept) = write else { continue };
            let Some(route) = &accept.entry.route else { continue };
            let news = match wrote {
                Wrote::NoRoom if !room.full => {
                    let first = self.full_routes.insert(Arc::clone(route));
                    first.then(|| StoreEvent::RouteFull { route: Arc::clone(route) })
                }
                Wrote::Accepted(..) => {
                    self.full_routes.remove(route).then(|| StoreEvent::RouteRoom { route: Arc::clone(route) })
                }
                _ => None,
            };
            if let Some(news) = news {
                (self.news)(news);
            }
        }
    }

    fn tell_skipped(&mut self, now: Instant) {
        let skipped = self.shared.skipped();
        if skipped > self.skipped && self.skipped_at.is_none_or(|at| now.duration_since(at) >= DROPPED) {
            (self.news)(StoreEvent::RowsSkipped { count: skipped - self.skipped });
            (self.skipped, self.skipped_at) = (skipped, Some(now));
        }
    }

    fn tell_dropped(&mut self, now: Instant) {
        let dropped = self.shared.dropped();
        if dropped > self.told && self.told_at.is_none_or(|at| now.duration_since(at) >= DROPPED) {
            (self.news)(StoreEvent::HistoryDropped { count: dropped - self.told });
            (self.told, self.told_at) = (dropped, Some(now));
        }
    }
}

/// The writer is back from the disk.
fn tell_stall(shared: &Shared, news: &OnEvent) {
    if let Some(Stall::Over(after)) = shared.back() {
        news(StoreEvent::Resumed { after });
    }
}

/// Ids of the rows that a batch added to the history.
fn recorded<'w>(writes: &'w [Write], wrote: &'w [Wrote]) -> impl Iterator<Item = &'w str> {
    writes.iter().zip(wrote).filter_map(|(write, wrote)| match (write, wrote) {
        (_, Wrote::NoRoom) => None,
        (Write::Record(entry), _) => Some(&*entry.request_id),
        (Write::Accept(accept), _) => Some(&*accept.entry.request_id),
        _ => None,
    })
}
