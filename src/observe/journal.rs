//! The log writer: a bounded queue and one thread, so that no request ever waits for a log.
//!
//! When the queue is full the line is dropped and counted; the writer says how many once it has caught up. Deliberately
//! absent: files, rotation and network sinks. Lines go to standard error, where the service manager takes them.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use metrics::Counter;

use crate::base::Clock;

use super::line::{Level, Line, Style};

/// Lines that may wait. With the bounds of a line this is the most memory that logging can hold.
const QUEUE: usize = 4096;
/// Lines written between two flushes.
const BATCH: usize = 256;
/// How long the writer gathers lines after the first. While it does, a request that logs wakes nobody: a wake-up costs two
/// system calls and a task switch, on the request's side too. A line is late by this much at most.
const GATHER: Duration = Duration::from_millis(2);

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
        Self { writer: Box::new(stderr), colour, priority: stderr_is_journald() }
    }

    /// Anything else; neither colours nor priorities.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Box::new(writer), colour: false, priority: false }
    }
}

/// `JOURNAL_STREAM` names device and inode of journald's socket; a redirected standard error is another file.
fn stderr_is_journald() -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// The sending end; the writer thread ends when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    lines: SyncSender<String>,
    accepted: AtomicU64,
    shared: Arc<Shared>,
    dropped: Counter,
}

#[derive(Debug)]
struct Shared {
    /// Reloads change it.
    json: AtomicBool,
    colour: bool,
    priority: bool,
    /// Lines that are out of our hands.
    written: Mutex<u64>,
    progress: Condvar,
    /// Lines dropped since the writer last said so.
    unsaid: AtomicU64,
}

impl Shared {
    fn style(&self) -> Style {
        let json = self.json.load(Ordering::Relaxed);
        Style { json, colour: self.colour && !json, priority: self.priority }
    }
}

impl Journal {
    /// Starts the writer thread. Lines are JSON until [`Journal::set_json`] says otherwise.
    pub(crate) fn start(sink: Sink, clock: Clock, dropped: Counter) -> io::Result<Self> {
        Self::with_queue(sink, clock, dropped, QUEUE)
    }

    fn with_queue(sink: Sink, clock: Clock, dropped: Counter, queue: usize) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(queue);
        let shared = Arc::new(Shared {
            json: AtomicBool::new(true),
            colour: sink.colour,
            priority: sink.priority,
            written: Mutex::new(0),
            progress: Condvar::new(),
            unsaid: AtomicU64::new(0),
        });
        let writer = Writer { sink: sink.writer, waiting, clock, shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&mut String::new()))?;
        Ok(Self { lines, accepted: AtomicU64::new(0), shared, dropped })
    }

    /// How lines look at this moment.
    pub(crate) fn style(&self) -> Style {
        self.shared.style()
    }

    pub(crate) fn set_json(&self, json: bool) {
        self.shared.json.store(json, Ordering::Relaxed);
    }

    /// Never blocks.
    pub(crate) fn write(&self, line: String) {
        if self.lines.try_send(line).is_ok() {
            self.accepted.fetch_add(1, Ordering::Release);
        } else {
            self.shared.unsaid.fetch_add(1, Ordering::Relaxed);
            self.dropped.increment(1);
        }
    }

    /// Waits until every line accepted so far is written, at most this long. Blocks the thread: for the end of the
    /// process and for tests.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let target = self.accepted.load(Ordering::Acquire);
        let written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.progress.wait_timeout_while(written, within, |written| *written < target);
        waited.map_or_else(|poisoned| *poisoned.into_inner().0 >= target, |(written, _)| *written >= target)
    }
}

struct Writer {
    sink: Box<dyn Write + Send>,
    waiting: Receiver<String>,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Writer {
    /// One system call per batch, not per line.
    fn run(mut self, batch: &mut String) {
        while let Ok(first) = self.waiting.recv() {
            std::thread::park_timeout(GATHER);
            batch.push_str(&first);
            let mut count = 1;
            while count < BATCH {
                let Ok(line) = self.waiting.try_recv() else { break };
                batch.push_str(&line);
                count += 1;
            }
            self.confess(batch);
            // A sink that fails (a closed pipe) has nowhere to report to; the relay works on without its log.
            let _ = self.sink.write_all(batch.as_bytes()).and_then(|()| self.sink.flush());
            batch.clear();
            *self.shared.written.lock().unwrap_or_else(PoisonError::into_inner) += count as u64;
            self.shared.progress.notify_all();
        }
    }

    fn confess(&self, batch: &mut String) {
        let lost = self.shared.unsaid.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let mut line = Line::new(self.shared.style(), Level::Warn, self.clock.now(), "log_lines_dropped");
            line.number("count", lost);
            batch.push_str(&line.finish());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::UnixMillis;
    use std::sync::mpsc::Sender;

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
        journal.write("first\n".into());
        has_begun.recv().unwrap();
        for _ in 0..5 {
            journal.write("waiting\n".into());
        }
        assert!(!journal.flush(Duration::from_millis(1)), "a stuck sink must not block for ever");
        drop(go);
        assert!(journal.flush(Duration::from_secs(10)));
        let text = captured.text();
        assert_eq!(text.matches("waiting").count(), 2);
        assert!(text.contains(r#""event":"log_lines_dropped","count":3"#), "{text}");
    }

    #[test]
    fn a_broken_sink_stops_nothing() {
        let journal = Journal::start(Sink::to(Broken), clock(), Counter::noop()).unwrap();
        journal.write("lost\n".into());
        assert!(journal.flush(Duration::from_secs(10)));
        journal.write("lost\n".into());
        assert!(journal.flush(Duration::from_secs(10)));
    }
}
