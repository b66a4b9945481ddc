//! A captured request, as people have it: copied from a terminal, from a packet capture, from a browser, from a ticket.
//!
//! Three forms are known by their look: a `curl` command, an HTTP archive (HAR), and raw HTTP.

mod curl;
mod har;
mod raw;
mod shell;

use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::Path;

use super::Unusable;
use super::grammar::Format;
use crate::cli::terminal::complain;
use crate::domain::{Framing, Head, HeadBuilder};

/// Largest capture that is read.
const LARGEST: u64 = 64 * 1024 * 1024;

/// One captured request.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// Which form it had: for people.
    pub(super) form: String,
    /// What may be unlike the request that was sent.
    pub(super) doubts: Vec<String>,
}

impl Captured {
    fn new(head: HeadBuilder, body: Vec<u8>, form: impl Into<String>) -> Self {
        let framing = if body.is_empty() { Framing::Empty } else { Framing::Length(body.len() as u64) };
        Self { head: head.framing(framing).build(), body, form: form.into(), doubts: Vec::new() }
    }

    /// Says on standard error what may be unlike the request that was sent; a program reads it in the answer.
    pub(super) fn warn(&self, format: Format) {
        if format == Format::Json {
            return;
        }
        for doubt in &self.doubts {
            complain(&format!("dmz-relay: {doubt}\n"));
        }
    }
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("{shown}: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{shown} is larger than {} MiB", LARGEST / (1024 * 1024)).into());
    }
    Ok(bytes)
}

/// The request of a capture. `entry` says which one of an archive: its number from 1, or a part of its URL.
pub(super) fn parse(capture: &[u8], entry: Option<&str>) -> Result<Captured, Unusable> {
    let start = capture.strip_prefix(b"\xef\xbb\xbf").unwrap_or(capture).trim_ascii_start();
    let command = start.strip_prefix(b"$ ").unwrap_or(start);
    let is_curl = command.strip_prefix(b"curl").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_whitespace));
    if start.starts_with(b"{") {
        return har::parse(start, entry);
    }
    if entry.is_some() {
        return Err("--entry is for HTTP archives (HAR), and this is none".into());
    }
    if is_curl {
        return curl::parse(command);
    }
    if command.starts_with(b"curl.exe") || command.starts_with(b"Invoke-WebRequest") {
        return Err("this is a command for Windows; copy it \"as cURL (bash)\" instead".into());
    }
    raw::parse(capture)
}
