//! The log writer: bounded queues and one thread, so that no request ever waits for a log.
//!
//! Each thread that records has a text of its own, to which its lines are written; the writer takes it away whole. So lines of
//! one thread keep their order, and those of two threads may change places within a few milliseconds. When too many lines wait,
//! the next is dropped and counted; the writer says how many once it has caught up. Deliberately absent: files, rotation and
//! network sinks. Lines go to standard error, where the service manager takes them.

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use metrics::Counter;

use crate::base::Clock;

use super::line::{Level, Line, Style};
use super::sharded::{CachePadded, Sharded};

/// Lines that may wait. With the bounds of a line this is the most memory that logging can hold.
const QUEUE: usize = 4096;
/// Lines that make room for others while they are written. Any more of them still count as waiting until they are.
const BATCH: usize = 256;
/// Room for lines that a thread takes at a time.
const LOT: usize = 64;
/// Memory that an empty text keeps after a burst.
const KEPT: usize = 256 * 1024;
/// How long the writer waits between two looks while lines come. As long as they do, a request that logs wakes nobody: a
/// wake-up costs two system calls and a task switch, on the request's side too. A line is late by this much at most.
const GATHER: Duration = Duration::from_millis(5);

/// Where lines go, and what that place can show.
pub struct Sink {
    writer: Box<dyn Write + Send>,
    colour: bool,
    priority: bool,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("colour", &self.colour).field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl Sink {
    /// Standard error: coloured on a terminal (unless `NO_COLOR` is set), with priorities when it is journald's.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { writer: Box::new(stderr), colour, priority: stderr_is_journal() }
    }

    /// Anything else; neither colours nor priorities.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Box::new(writer), colour: false, priority: false }
    }
}

/// Whether standard error is journald's: `JOURNAL_STREAM` names device and inode of its socket. A redirected one is another file.
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// The sending end; the writer thread ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    writer: Thread,
    dropped: Counter,
}

#[derive(Debug)]
struct Shared {
    /// Reloads change it.
    json: AtomicBool,
    colour: bool,
    priority: bool,
    waiting: Sharded<CachePadded<Mutex<Waiting>>>,
    /// How many more lines may wait. Threads take from it in lots, so that they seldom meet here.
    room: AtomicUsize,
    /// Nothing waits, and the writer sleeps until it is woken.
    asleep: AtomicBool,
    /// Rounds that the writer has begun.
    begun: AtomicU64,
    done: Mutex<Done>,
    progress: Condvar,
    /// Lines dropped since the writer last said so.
    unsaid: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Done {
    /// Rounds whose lines are out of our hands.
    rounds: u64,
    /// Somebody waits for the next. To tell nobody would be a system call each time.
    awaited: bool,
}

/// What one thread has for the writer.
#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    /// Room that was taken and not yet used.
    spare: usize,
}

impl Shared {
    fn style(&self) -> Style {
        let json = self.json.load(Ordering::Relaxed);
        Style { json, colour: self.colour && !json, priority: self.priority }
    }

    /// Takes a lot of room, or what is left of it.
    fn claim(&self) -> usize {
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| Some(room - room.min(LOT)));
        taken.map_or(0, |room| room.min(LOT))
    }
}

impl Journal {
    /// Starts the writer thread. Lines are JSON until [`Journal::set_json`] says otherwise.
    pub(crate) fn start(sink: Sink, clock: Clock, dropped: Counter) -> io::Result<Self> {
        Self::with_queue(sink, clock, dropped, QUEUE)
    }

    fn with_queue(sink: Sink, clock: Clock, dropped: Counter, queue: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            json: AtomicBool::new(true),
            colour: sink.colour,
            priority: sink.priority,
            waiting: Sharded::default(),
            room: AtomicUsize::new(queue),
            asleep: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            done: Mutex::default(),
            progress: Condvar::new(),
            unsaid: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let writer = Writer { sink: sink.writer, clock, shared: Arc::clone(&shared), text: Vec::new() };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run())?;
        Ok(Self { shared, writer: thread.thread().clone(), dropped })
    }

    /// How lines look at this moment.
    pub(crate) fn style(&self) -> Style {
        self.shared.style()
    }

    pub(crate) fn set_json(&self, json: bool) {
        self.shared.json.store(json, Ordering::Relaxed);
    }

    /// Takes a line. Never waits for the sink.
    pub(crate) fn write(&self, line: impl AsRef<[u8]>) {
        self.append(|mut text| {
            text.extend_from_slice(line.as_ref());
            text
        });
    }

    /// Takes a line from whoever writes it behind those that this thread has waiting: nothing is copied. Never waits for the
    /// sink.
    pub(crate) fn append(&self, write: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        // Nobody else's but the writer's, and it only takes the text away.
        let mut waiting = lock(&self.shared.waiting.mine().0);
        if waiting.spare == 0 {
            waiting.spare = self.shared.claim();
        }
        if waiting.spare == 0 {
            self.shared.unsaid.fetch_add(1, Ordering::Relaxed);
            self.dropped.increment(1);
            return;
        }
        waiting.spare -= 1;
        waiting.lines += 1;
        waiting.text = write(std::mem::take(&mut waiting.text));
        drop(waiting);
        // Relaxed is enough: whether the writer looked before or after this line, the lock told one of us about the other.
        if self.shared.asleep.load(Ordering::Relaxed) && self.shared.asleep.swap(false, Ordering::Relaxed) {
            self.writer.unpark();
        }
    }

    /// Waits until every line taken so far is written, at most this long. Blocks the thread: for the end of the process and
    /// for tests.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        // A round under way may have passed a line by; the next one takes it.
        let target = self.shared.begun.load(Ordering::Acquire) + 1;
        self.writer.unpark();
        let waited = self.shared.progress.wait_timeout_while(lock(&self.shared.done), within, |done| {
            done.awaited = done.rounds < target;
            done.awaited
        });
        let (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done.rounds >= target
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    sink: Box<dyn Write + Send>,
    clock: Clock,
    shared: Arc<Shared>,
    /// Changes places with what waits.
    text: Vec<u8>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let closed = self.shared.closed.load(Ordering::Acquire);
            if self.round() {
                std::thread::park_timeout(GATHER);
            } else if closed {
                return;
            } else {
                self.sleep();
            }
        }
    }

    /// Writes what waits, in one system call for each thread. `false`: nothing did.
    fn round(&mut self) -> bool {
        let round = self.shared.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let mut any = false;
        let shared = Arc::clone(&self.shared);
        for waiting in shared.waiting.iter() {
            let mut waiting = lock(&waiting.0);
            let (lines, spare) = (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.spare));
            std::mem::swap(&mut waiting.text, &mut self.text);
            drop(waiting);
            any |= lines > 0;
            let batch = lines.min(BATCH);
            self.shared.room.fetch_add(batch + spare, Ordering::Relaxed);
            self.write();
            self.shared.room.fetch_add(lines - batch, Ordering::Relaxed);
        }
        let mut done = lock(&self.shared.done);
        done.rounds = round;
        if std::mem::take(&mut done.awaited) {
            self.shared.progress.notify_all();
        }
        any
    }

    fn write(&mut self) {
        self.confess();
        if self.text.is_empty() {
            return;
        }
        // A sink that fails (a closed pipe) has nowhere to report to; the relay works on without its log.
        let _ = self.sink.write_all(&self.text).and_then(|()| self.sink.flush());
        self.text.clear();
        self.text.shrink_to(KEPT);
    }

    /// Until a line comes, or somebody waits for the end of a round.
    fn sleep(&self) {
        self.shared.asleep.store(true, Ordering::Relaxed);
        // Who adds a line before this look is seen by it; who adds one after it sees that nobody is awake.
        if self.shared.waiting.iter().all(|waiting| lock(&waiting.0).lines == 0) {
            std::thread::park();
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    fn confess(&mut self) {
        let lost = self.shared.unsaid.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = std::mem::take(&mut self.text);
            let mut line = Line::onto(text, self.shared.style(), Level::Warn, self.clock.now(), "log_lines_dropped");
            line.number("count", lost);
            self.text = line.finish();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::UnixMillis;
    use std::sync::mpsc::{Receiver, Sender};

    /// Keeps what was written, for assertions.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says that a write began, then blocks until it is let go.
    struct Stuck(Sender<()>, Receiver<()>, Captured);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            self.2.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn clock() -> Clock {
        Clock::fixed(UnixMillis(0))
    }

    #[test]
    fn flush_waits_for_every_line_in_order() {
        let captured = Captured::default();
        let journal = Journal::start(Sink::to(captured.clone()), clock(), Counter::noop()).unwrap();
        for n in 0..1000 {
            journal.write(format!("{n}\n"));
        }
        assert!(journal.flush(Duration::from_secs(10)));
        let expected: String = (0..1000).map(|n| format!("{n}\n")).collect();
        assert_eq!(captured.text(), expected);
    }

    #[test]
    fn a_full_queue_drops_and_later_says_so() {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (go, gate) = std::sync::mpsc::channel();
        let captured = Captured::default();
        let sink = Sink::to(Stuck(began, gate, captured.clone()));
        let journal = Journal::with_queue(sink, clock(), Counter::noop(), 2).unwrap();
        journal.write("first\n");
        has_begun.recv().unwrap();
        for _ in 0..5 {
            journal.write("waiting\n");
        }
        assert!(!journal.flush(Duration::from_millis(1)), "a stuck sink must not block for ever");
        drop(go);
        assert!(journal.flush(Duration::from_secs(10)));
        let text = captured.text();
        assert_eq!(text.matches("waiting").count(), 2);
        assert!(text.contains(r#""event":"log_lines_dropped","count":3"#), "{text}");
    }

    #[test]
    fn lines_of_many_threads_all_come_and_each_threads_in_order() {
        let captured = Captured::default();
        let journal = Journal::start(Sink::to(captured.clone()), clock(), Counter::noop()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let journal = &journal;
                scope.spawn(move || (0..500).for_each(|n| journal.write(format!("{thread} {n}\n"))));
            }
        });
        assert!(journal.flush(Duration::from_secs(10)));
        let (text, expected) = (captured.text(), (0..500).collect::<Vec<usize>>());
        for thread in ["0 ", "1 ", "2 ", "3 "] {
            let numbers: Vec<usize> = text.lines().filter_map(|line| line.strip_prefix(thread)?.parse().ok()).collect();
            assert_eq!(numbers, expected);
        }
    }

    #[test]
    fn lines_that_are_being_written_leave_the_bound_as_it_is() {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (go, gate) = std::sync::mpsc::channel();
        let captured = Captured::default();
        let sink = Sink::to(Stuck(began, gate, captured.clone()));
        let journal = Journal::with_queue(sink, clock(), Counter::noop(), 2 * BATCH).unwrap();
        journal.write("first\n");
        has_begun.recv().unwrap();
        (0..3 * BATCH).for_each(|_| journal.write("second\n"));
        // First it says how many were lost, then it writes those that waited.
        for _ in 0..2 {
            go.send(()).unwrap();
            has_begun.recv().unwrap();
        }
        (0..3 * BATCH).for_each(|_| journal.write("third\n"));
        drop(go);
        assert!(journal.flush(Duration::from_secs(10)));
        let text = captured.text();
        assert_eq!(["second\n", "third\n"].map(|line| text.matches(line).count()), [2 * BATCH, BATCH]);
        assert_eq!(journal.shared.room.load(Ordering::Relaxed), 2 * BATCH, "all room is there again");
    }

    #[test]
    fn a_line_wakes_the_writer_and_needs_no_flush() {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        drop(go);
        let sink = Sink::to(Stuck(began, gate, Captured::default()));
        let journal = Journal::start(sink, clock(), Counter::noop()).unwrap();
        for _ in 0..10 {
            while !journal.shared.asleep.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            journal.write("line\n");
            has_begun.recv_timeout(Duration::from_secs(120)).unwrap();
        }
    }

    #[test]
    fn what_waits_at_the_end_is_written() {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (go, gate) = std::sync::mpsc::channel();
        let captured = Captured::default();
        let sink = Sink::to(Stuck(began, gate, captured.clone()));
        let journal = Journal::start(sink, clock(), Counter::noop()).unwrap();
        journal.write("first\n");
        has_begun.recv().unwrap();
        journal.write("last\n");
        drop(journal);
        drop(go);
        has_begun.recv().unwrap();
        assert_eq!(has_begun.recv(), Err(std::sync::mpsc::RecvError), "the thread has ended");
        assert_eq!(captured.text(), "first\nlast\n");
    }

    #[test]
    fn a_broken_sink_stops_nothing() {
        let journal = Journal::start(Sink::to(Broken), clock(), Counter::noop()).unwrap();
        journal.write("lost\n");
        assert!(journal.flush(Duration::from_secs(10)));
        journal.write("lost\n");
        assert!(journal.flush(Duration::from_secs(10)));
    }
}
