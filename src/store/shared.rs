//! What the writer tells everybody: how it stands, what waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::engine::{EngineFault, Room};
use super::error::Unstored;
use super::ledger::{Backlogs, Ledger, Oldest, Shift};
use super::recent::Recent;
use super::status::Status;

/// An operation on the disk that takes longer is said. No disk that is well takes so long.
const STALL: Duration = Duration::from_secs(3);

/// How many routes may make requests wait: each has a share of the quota. The configuration says it, and a reload again.
#[derive(Debug, Default)]
pub(super) struct Sharers(AtomicU64);

impl Sharers {
    pub(super) fn set(&self, routes: u64) {
        self.0.store(routes, Ordering::Relaxed);
    }

    pub(super) fn routes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    pub(super) recent: Recent,
    state: Mutex<State>,
    /// Also in `state`, for those who only pass by.
    open: AtomicBool,
    full: AtomicBool,
    /// The disk's reserve is reached: nothing is taken, whoever's share it is.
    shut: AtomicBool,
    pub(super) sharers: Arc<Sharers>,
    history_dropped: AtomicU64,
    rows_skipped: AtomicU64,
    dedupe_unkept: AtomicU64,
    commits: AtomicU64,
    /// How often it was opened: readers of an older opening are not used any more.
    openings: AtomicU64,
    /// A reader met a part that cannot be read.
    suspect: AtomicBool,
    /// Since when the writer is at the disk.
    busy: Mutex<Busy>,
}

#[derive(Debug, Default)]
struct Busy {
    since: Option<Instant>,
    /// It was said that this takes long.
    told: bool,
}

/// What is to be said of an operation that takes long.
pub(super) enum Stall {
    Begun(Duration),
    /// It ended, after so long.
    Over(Duration),
}

#[derive(Debug, Default)]
struct State {
    problem: Option<String>,
    disk_full: bool,
    room: Room,
}

impl Shared {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    pub(super) fn openings(&self) -> u64 {
        self.openings.load(Ordering::Acquire)
    }

    pub(super) fn opened(&self, backlogs: Backlogs) {
        self.ledger.replace(backlogs);
        let mut state = self.state();
        state.problem = None;
        state.disk_full = false;
        self.suspect.store(false, Ordering::Release);
        self.openings.fetch_add(1, Ordering::AcqRel);
        self.open.store(true, Ordering::Release);
    }

    /// `true`: it was open until now.
    pub(super) fn closed(&self, fault: &EngineFault) -> bool {
        let mut state = self.state();
        state.problem = Some(fault.detail.clone());
        state.disk_full = fault.full;
        self.openings.fetch_add(1, Ordering::AcqRel);
        self.open.swap(false, Ordering::AcqRel)
    }

    /// `true`: it is another problem than before.
    pub(super) fn still_closed(&self, problem: String, disk_full: bool) -> bool {
        let mut state = self.state();
        let news = state.problem.as_ref() != Some(&problem);
        (state.problem, state.disk_full) = (Some(problem), disk_full);
        news
    }

    pub(super) fn suspect(&self) {
        self.suspect.store(true, Ordering::Release);
    }

    pub(super) fn take_suspicion(&self) -> bool {
        self.suspect.load(Ordering::Acquire) && self.suspect.swap(false, Ordering::AcqRel)
    }

    /// The writer goes to the disk.
    pub(super) fn at_disk(&self) {
        self.busy().since = Some(Instant::now());
    }

    /// And is back. Gives how long it was away, if that was said to be long.
    pub(super) fn back(&self) -> Option<Stall> {
        let mut busy = self.busy();
        let since = busy.since.take()?;
        std::mem::take(&mut busy.told).then(|| Stall::Over(since.elapsed()))
    }

    /// What is to be said now.
    pub(super) fn stall(&self) -> Option<Stall> {
        let mut busy = self.busy();
        let away = busy.since?.elapsed();
        if away < STALL || std::mem::replace(&mut busy.told, true) {
            return None;
        }
        Some(Stall::Begun(away))
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error for those who write while it is closed.
    pub(super) fn why_closed(&self) -> Unstored {
        if self.state().disk_full { Unstored::Full } else { Unstored::Failed }
    }

    pub(super) fn committed(&self, shifts: Vec<Shift>) {
        self.ledger.apply(shifts);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waiting_routes(&self) -> Vec<Arc<str>> {
        self.ledger.all().into_iter().filter(|(_, backlog)| backlog.waiting > 0).map(|(route, _)| route).collect()
    }

    pub(super) fn oldest(&self, found: Oldest) {
        self.ledger.oldest(found);
    }

    /// `Some`: whether it is full has changed.
    pub(super) fn room(&self, room: Room) -> Option<bool> {
        self.state().room = room;
        self.shut.store(room.shut, Ordering::Release);
        (self.full.swap(room.full, Ordering::AcqRel) != room.full).then_some(room.full)
    }

    pub(super) fn history_dropped(&self, rows: u64) {
        self.history_dropped.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.history_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn row_skipped(&self) {
        self.rows_skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self) -> u64 {
        self.rows_skipped.load(Ordering::Relaxed)
    }

    pub(super) fn dedupe_unkept(&self, keys: u64) {
        self.dedupe_unkept.fetch_add(keys, Ordering::Relaxed);
    }

    pub(super) fn status(&self, limit: u64) -> Status {
        let backlogs = self.ledger.all();
        let open = self.is_open();
        let stalled = self.busy().since.map(|since| since.elapsed()).filter(|away| *away >= STALL);
        let state = self.state();
        let waits = stalled.map(|away| format!("the disk has not answered for {} s", away.as_secs()));
        Status {
            open: open && stalled.is_none(),
            problem: state.problem.clone().or(waits),
            stalled,
            set_aside: state.room.set_aside,
            full: state.room.full || (!open && state.disk_full),
            used: state.room.used,
            limit,
            disk_free: state.room.disk_free,
            waiting: backlogs.iter().map(|(_, backlog)| backlog.waiting).sum(),
            dead: backlogs.iter().map(|(_, backlog)| backlog.dead).sum(),
            oldest_waiting: backlogs.iter().filter_map(|(_, backlog)| backlog.oldest).min(),
            history_dropped: self.dropped(),
            rows_skipped: self.skipped(),
            dedupe_unkept: self.dedupe_unkept.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
