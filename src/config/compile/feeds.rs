//! Address lists that are a provider's own file: judged beside the one that is in force, which stays where the new one is refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use toml::Spanned;

use super::Compiler;
use super::values::{join, millis, number};
use crate::config::feed::{self, FeedError, Format, KeptFeeds, Part};
use crate::config::quantity::write_duration;
use crate::config::raw::{Placed, RawListFile};
use crate::config::report::MISSING;
use crate::config::source::WholeFile;
use crate::guards::access::{Feed, Networks};

const DAY: u64 = 24 * 3_600_000;

/// What a list wants of its file.
struct Wanted {
    name: Arc<str>,
    format: Format,
    part: Part,
    max_age: Duration,
    max_shrink: u64,
    accept: Option<String>,
}

/// A file that may come into force.
struct Candidate {
    networks: Networks,
    date: i64,
}

/// Why it may not.
struct Refused {
    why: String,
    help: String,
}

impl Compiler<'_> {
    /// The feed that comes into force: the file's, or the one before.
    pub(super) fn feed(
        &mut self,
        name: &str,
        path: &Spanned<String>,
        raw: &RawListFile,
        key: &str,
        kept: Option<&KeptFeeds>,
    ) -> Option<Feed> {
        let wanted = self.wanted(name, path, raw, key)?;
        let identity = format!("{} {:?}", wanted.format.as_str(), wanted.part);
        let running = self.state.feeds.of(name).filter(|known| known.identity == identity);
        let before = match running {
            Some(known) => Some((Arc::clone(&known.networks), known.date)),
            None => kept.and_then(|kept| kept.read(name, &identity)).map(|(networks, date)| (Arc::new(networks), date)),
        };
        let place = match self.sources.place(path.get_ref()) {
            Ok(place) => place,
            Err(error) => {
                self.unusable(path, key, &error);
                return None;
            }
        };
        let judged = self.judged(path.get_ref(), &wanted, before.as_ref().map(|(networks, _)| &**networks));
        let Wanted { name, max_age, .. } = wanted;
        let feed =
            |networks, date, refused| Feed { name, path: place.clone(), identity, networks, date, max_age, refused };
        let feed = match (judged, before) {
            (Ok(new), _) => feed(Arc::new(new.networks), new.date, None),
            (Err(refused), Some((networks, date))) => {
                let what = format!("{} {}; the list that was in force stays", place.display(), refused.why);
                self.warn(path, key, what, refused.help);
                feed(networks, date, Some(refused.why))
            }
            (Err(refused), None) => {
                self.reject(path, key, format!("{} {}", place.display(), refused.why), refused.help);
                return None;
            }
        };
        if feed.is_old(self.now.secs()) {
            let days = (self.now.secs() - feed.date) / 86_400;
            let what =
                format!("the addresses in force are {days} days old, and max_age is {}", write_duration(feed.max_age));
            self.warn(path, key, what, format!("put a new file at {}", place.display()));
        }
        Some(feed)
    }

    fn judged(&mut self, path: &str, wanted: &Wanted, before: Option<&Networks>) -> Result<Candidate, Refused> {
        let WholeFile { path: place, bytes, digest, written } = self
            .sources
            .feed(path, feed::MAX_FEED)
            .map_err(|error| Refused { why: error.without(&PathBuf::from(path)), help: error.help() })?;
        let digest = HEXLOWER.encode(&digest);
        let accepted = wanted.accept.as_ref().is_some_and(|accept| *accept == digest);
        let refused = |error: FeedError| {
            let help = if error.may_be_accepted() {
                acceptance(&digest)
            } else {
                format!("fetch {} again, and look at what its format and its filters are", place.display())
            };
            Refused { why: error.to_string(), help }
        };
        let found = feed::read(&bytes, wanted.format, &wanted.part, accepted).map_err(refused)?;
        if found.date.is_none() {
            self.sources.dated(written);
        }
        let networks: Networks = found.networks.into_iter().collect();
        let lost = before.map_or(0, |before| before.lost_percent(&networks));
        if lost > wanted.max_shrink && !accepted {
            let most = wanted.max_shrink;
            let why = format!("lacks {lost} percent of what is in force, and max_shrink_percent is {most}");
            return Err(Refused { why, help: acceptance(&digest) });
        }
        // A date in the future would keep it from ever being old.
        Ok(Candidate { networks, date: found.date.unwrap_or(written).min(self.now.secs()) })
    }

    /// What the table says, if all of it is right.
    fn wanted(&mut self, name: &str, path: &Spanned<String>, raw: &RawListFile, key: &str) -> Option<Wanted> {
        let before = self.problems.len();
        let formats = "write format = \"github\", \"aws\", \"google\", \"atlassian\" or \"text\"";
        let format = self
            .required(&raw.format, path, &join(key, "format"), formats)
            .map(|_| self.word(&raw.format, &join(key, "format"), &Format::ALL, Format::Text))?;
        if let Some(file) = &raw.file {
            self.reject(file, &join(key, "file"), "stands beside feed", "a list has one file: remove one of them");
        }
        let max_age = self.duration(&raw.max_age, &join(key, "max_age"), millis(30 * DAY, DAY, 3650 * DAY));
        let max_shrink = self.count(&raw.max_shrink_percent, &join(key, "max_shrink_percent"), number(50, 0, 100));
        let member = match (format, &raw.member) {
            (Format::Github, None) => {
                self.reject(path, &join(key, "member"), MISSING, "write member = \"hooks\"");
                String::new()
            }
            (Format::Github, Some(member)) => member.get_ref().clone(),
            (_, member) => {
                self.not_of(member.as_ref(), format, &join(key, "member"));
                String::new()
            }
        };
        let part = Part {
            member,
            services: self.filter(&raw.services, format, &[Format::Aws, Format::Google], &join(key, "services")),
            regions: self.filter(
                &raw.regions,
                format,
                &[Format::Aws, Format::Google, Format::Atlassian],
                &join(key, "regions"),
            ),
            products: self.filter(&raw.products, format, &[Format::Atlassian], &join(key, "products")),
            directions: self.filter(&raw.directions, format, &[Format::Atlassian], &join(key, "directions")),
        };
        if let Some(accept) = &raw.accept {
            let text = accept.get_ref();
            if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                let help = "write the 64 digits that sha256sum prints of the file";
                self.reject(accept, &join(key, "accept"), "is no SHA-256 in hexadecimal", help);
            }
        }
        let accept = raw.accept.as_ref().map(|accept| accept.get_ref().clone());
        (self.problems.len() == before).then(|| Wanted { name: name.into(), format, part, max_age, max_shrink, accept })
    }

    fn filter(
        &mut self,
        raw: &Placed<Vec<Spanned<String>>>,
        format: Format,
        known: &[Format],
        key: &str,
    ) -> Vec<String> {
        let Some(list) = raw else { return Vec::new() };
        if !known.contains(&format) {
            self.not_of(Some(list), format, key);
        } else if list.get_ref().is_empty() {
            self.reject(list, key, "the list is empty, so nothing is meant", "leave it out to mean everything");
        }
        list.get_ref().iter().map(|text| text.get_ref().clone()).collect()
    }

    fn not_of<T>(&mut self, at: Option<&Spanned<T>>, format: Format, key: &str) {
        if let Some(at) = at {
            let what = format!("files of the format \"{}\" do not have that", format.as_str());
            self.reject(at, key, what, "remove it");
        }
    }

    /// Keys of a feed beside `file`.
    pub(super) fn no_feed(&mut self, raw: &RawListFile, key: &str) {
        let RawListFile { file: _, feed: _, format, member, services, regions, products, directions, .. } = raw;
        let texts = [("format", format), ("member", member), ("accept", &raw.accept)];
        let texts = texts.map(|(name, value)| (name, value.as_ref().map(Spanned::span)));
        let lists = [("services", services), ("regions", regions), ("products", products), ("directions", directions)];
        let lists = lists.map(|(name, value)| (name, value.as_ref().map(Spanned::span)));
        let rest = [
            ("max_age", raw.max_age.as_ref().map(Spanned::span)),
            ("max_shrink_percent", raw.max_shrink_percent.as_ref().map(Spanned::span)),
        ];
        for (name, span) in texts.into_iter().chain(lists).chain(rest) {
            if let Some(span) = span {
                let help = "write feed in place of file, or remove it".to_owned();
                self.problems.add(Some(span), join(key, name), "is for a feed", Some(help));
            }
        }
    }
}

fn acceptance(digest: &str) -> String {
    format!("look at it; if it is right, accept exactly this file: accept = \"{digest}\"")
}
