//! The way to the writer: a bounded queue that wakes it only for what somebody waits for.
//!
//! A history row or a dedupe key is pushed and left; the writer looks every few dozen milliseconds. Waking a thread costs
//! its waker more than the row does, so only what somebody waits for wakes it, and only when it sleeps.
//!
//! Bounded in number and in bytes. What nobody waits for may fill three quarters, so that it never crowds out a request
//! whose sender does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tokio::sync::oneshot;

use super::engine::{Write, Wrote};
use super::error::Unstored;
use super::spool::Ticket;

/// Writes that may wait.
const MAX_WRITES: usize = 16 * 1024;
/// Bytes that they may hold.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What a write takes beside its body and head.
const WRITE: usize = 1024;

/// The reply to a write when it is durable, or when it is not.
pub(super) type Reply = Result<WriteReply, Unstored>;

/// A write on its way.
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) answer: Option<oneshot::Sender<Reply>>,
    pub(super) bytes: usize,
    urgent: bool,
}

/// The queue, and what wakes the other side.
#[derive(Debug)]
pub(super) struct Intake {
    queue: ArrayQueue<Job>,
    bytes: AtomicUsize,
    /// Pushed and not yet taken.
    urgent: AtomicUsize,
    asleep: AtomicBool,
    ending: AtomicBool,
    thread: OnceLock<Thread>,
    /// Claimed, and nobody is left to deliver them. Never more than were claimed.
    orphans: Mutex<Vec<Ticket>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            queue: ArrayQueue::new(MAX_WRITES),
            bytes: AtomicUsize::new(0),
            urgent: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            thread: OnceLock::new(),
            orphans: Mutex::default(),
        }
    }

    /// For what somebody waits for. `false`: there is no room.
    pub(super) fn urge(&self, write: Write, answer: oneshot::Sender<Reply>) -> bool {
        // Counted before it is there, so that whoever takes it never counts below zero.
        self.urgent.fetch_add(1, Ordering::SeqCst);
        let taken = self.push(write, Some(answer), true, MAX_WRITES, MAX_BYTES);
        if taken {
            self.wake();
        } else {
            self.urgent.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    /// For what nobody waits for. `false`: there is no room.
    pub(super) fn leave(&self, write: Write) -> bool {
        let taken = self.push(write, None, false, MAX_WRITES / 4 * 3, MAX_BYTES / 4 * 3);
        if self.queue.len() >= MAX_WRITES / 2 || self.bytes.load(Ordering::Relaxed) >= MAX_BYTES / 2 {
            self.wake();
        }
        taken
    }

    fn push(
        &self,
        write: Write,
        answer: Option<oneshot::Sender<Reply>>,
        urgent: bool,
        writes: usize,
        most: usize,
    ) -> bool {
        let bytes = weight(&write);
        if self.ending.load(Ordering::Relaxed) || self.queue.len() >= writes {
            return false;
        }
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > most
            || self.queue.push(Job { write, answer, bytes, urgent }).is_err()
        {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// The writer's side.
    pub(super) fn take(&self) -> Option<Job> {
        let job = self.queue.pop()?;
        self.bytes.fetch_sub(job.bytes, Ordering::Relaxed);
        if job.urgent {
            self.urgent.fetch_sub(1, Ordering::SeqCst);
        }
        Some(job)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The writer's side: until something urgent comes, or the time is over.
    pub(super) fn sleep(&self, most: Duration) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.urgent.load(Ordering::SeqCst) == 0 && !self.ending() {
            std::thread::park_timeout(most);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    pub(super) fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(super) fn served_by(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// Nothing more is taken; what is there is written.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    pub(super) fn orphans(&self) -> Vec<Ticket> {
        std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// About what a write holds in memory.
fn weight(write: &Write) -> usize {
    let entry = |entry: &super::entry::Entry| {
        WRITE
            + entry.head.as_ref().map_or(0, |head| head.footprint())
            + entry.body.as_ref().map_or(0, |body| body.len())
    };
    match write {
        Write::Accept(accept) => entry(&accept.entry),
        Write::Record(recorded) => entry(recorded),
        Write::Remember { .. } => size_of::<Job>(),
        Write::Put { value, .. } => WRITE + value.value.len(),
        _ => WRITE,
    }
}

/// What was given to somebody who waited. Claimed requests in it that nobody takes become due again: whoever asked for
/// them has gone.
#[derive(Debug)]
pub(super) struct WriteReply {
    wrote: Option<Wrote>,
    intake: Arc<Intake>,
}

impl WriteReply {
    pub(super) fn new(wrote: Wrote, intake: &Arc<Intake>) -> Self {
        Self { wrote: Some(wrote), intake: Arc::clone(intake) }
    }

    pub(super) fn take(mut self) -> Wrote {
        self.wrote.take().unwrap_or(Wrote::Done)
    }
}

impl Drop for WriteReply {
    fn drop(&mut self) {
        let tickets: Vec<Ticket> = match self.wrote.take() {
            Some(Wrote::Accepted(ticket, true)) => vec![ticket],
            Some(Wrote::Claimed(claimed)) => claimed.iter().map(|claimed| claimed.ticket).collect(),
            _ => return,
        };
        self.intake.orphans.lock().unwrap_or_else(PoisonError::into_inner).extend(tickets);
        self.intake.wake();
    }
}
