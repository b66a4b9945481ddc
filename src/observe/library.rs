//! Warnings of libraries, brought into the same journal.
//!
//! Only the binary installs this: the `log` crate knows one logger per process.
//!
//! A library may quote what it worked on: pingora's errors carry the raw request head, with every credential in it. So
//! only libraries that never see a request speak in their own words; of all others the log tells the place in their
//! source, which says the same to whoever looks it up.

use std::fmt;
use std::sync::Arc;

use super::Observer;
use super::lifecycle::Event;
use super::line::Level;

/// Libraries that never hold a byte of a request.
const TRUSTED_WORDS: [&str; 2] = ["metrics", "mio"];

/// Forwards warnings and errors of libraries, rate-limited; drops the rest.
#[derive(Debug)]
pub struct LibraryLog(Arc<Observer>);

impl LibraryLog {
    /// Makes this the process's logger. Fails when there is one already.
    pub fn install(observer: Arc<Observer>) -> Result<(), log::SetLoggerError> {
        log::set_boxed_logger(Box::new(Self(observer)))?;
        log::set_max_level(log::LevelFilter::Warn);
        Ok(())
    }
}

impl log::Log for LibraryLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) && self.0.admits_library_line() {
            let level = if record.level() == log::Level::Error { Level::Error } else { Level::Warn };
            let place = Place(record);
            let message: &dyn fmt::Display = if has_trusted_words(record.target()) { record.args() } else { &place };
            self.0.record(&Event::Library { level, target: record.target(), message });
        }
    }

    fn flush(&self) {}
}

fn has_trusted_words(target: &str) -> bool {
    let library = target.split([':', '_']).next().unwrap_or_default();
    TRUSTED_WORDS.contains(&library)
}

/// Where in the library's source the warning stands.
struct Place<'r>(&'r log::Record<'r>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path as the compiler saw it names the build machine's folders: from the crate's own folder on is enough.
        let file = self.0.file().unwrap_or("unknown");
        let file =
            file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')).map_or(file, |(_, f)| f);
        write!(f, "text withheld, see {file}:{}", self.0.line().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::Rig;
    use log::Log;

    #[test]
    fn forwards_warnings_and_drops_the_rest() {
        let rig = Rig::new();
        let logger = LibraryLog(Arc::clone(&rig.observer));
        let record = |level, text: &str| {
            logger.log(&log::Record::builder().level(level).target("mio::poll").args(format_args!("{text}")).build());
        };
        record(log::Level::Error, "bad");
        record(log::Level::Warn, "odd");
        record(log::Level::Info, "chatter");
        let lines = rig.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"error".into(), &"bad".into()));
        assert_eq!((&lines[1]["level"], &lines[1]["target"]), (&"warn".into(), &"mio::poll".into()));
    }

    #[test]
    fn a_library_that_sees_requests_is_not_quoted() {
        let rig = Rig::new();
        let logger = LibraryLog(Arc::clone(&rig.observer));
        let file = "/build/registry/src/index-0/pingora-core-0.9.1/src/apps/http_app.rs";
        let record = log::Record::builder()
            .level(log::Level::Error)
            .target("pingora_core::apps::http_app")
            .file(Some(file))
            .line(Some(66))
            .args(format_args!("fails to read: authorization: Bearer canary"))
            .build();
        logger.log(&record);
        let line = rig.lines().remove(0);
        assert_eq!(line["message"], "text withheld, see pingora-core-0.9.1/src/apps/http_app.rs:66");
        assert!(!line.to_string().contains("canary"));
    }

    #[test]
    fn a_flood_of_warnings_is_cut() {
        let rig = Rig::new();
        let logger = LibraryLog(Arc::clone(&rig.observer));
        for _ in 0..1000 {
            logger.log(&log::Record::builder().level(log::Level::Warn).args(format_args!("again")).build());
        }
        assert!(rig.lines().len() < 100);
    }
}
