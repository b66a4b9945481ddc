//! `events export`: rows with head, attempts and body, one JSON object per line, the oldest first.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Desk, Pages, Question, Refused, event_path};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::{Export, Order};
use crate::cli::terminal::{NewFile, Progress, complain, counted};
use crate::cli::{Exit, Unusable};
use crate::control::admin::events::Exporting;

pub(super) async fn export(args: &Export, _format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    let question = Question::new(&args.filters, Order::Asc);
    let mut progress = Progress::counting("events found");
    if progress.is_shown() {
        // Counted first, so that the bar has an end. Nothing is kept of it: an export may be larger than memory.
        let (mut pages, mut total) = (Pages::new(question.clone(), u64::MAX), 0);
        while let Some(rows) = pages.next(&mut desk).await? {
            total += rows.len() as u64;
            progress.at(total);
        }
        drop(progress);
        progress = Progress::new(total);
    }
    let mut out = Out::new(args.output.as_deref())?;
    let mut bodies = Bodies { question: question.clone(), export: None };
    let (mut pages, mut written) = (Pages::new(question, u64::MAX), 0_usize);
    while let Some(rows) = pages.next(&mut desk).await? {
        for row in rows {
            let Some(event) = whole(&mut desk, &row.id, &mut bodies).await? else { continue };
            if !out.line(&event)? {
                // The reader went away; it has what it wanted.
                return Ok(Exit::Fine);
            }
            written += 1;
            progress.at(written as u64);
        }
    }
    drop(progress);
    if let Some(path) = out.finish()? {
        complain(&format!("{}: {}\n", path.display(), counted(written, "event")));
    }
    Ok(Exit::Fine)
}

/// Bodies of one question: the relay records them as one action, which begins with the first.
struct Bodies {
    question: Question,
    export: Option<String>,
}

impl Bodies {
    async fn of(&mut self, desk: &mut Desk, id: &str) -> Result<Bytes, Refused> {
        let export = match &self.export {
            Some(export) => export.clone(),
            None => {
                let Exporting { export } = desk.post(&self.question.below("/api/v1/exports")).await?;
                self.export.insert(export).clone()
            }
        };
        desk.exported(id, &export).await
    }
}

/// The event and its body. `None`: it went with retention since it was listed.
async fn whole(desk: &mut Desk, id: &str, bodies: &mut Bodies) -> Result<Option<Value>, Refused> {
    let mut event: Value = match desk.get(&event_path(id, "")).await {
        Ok(event) => event,
        Err(refused) if refused.code() == "unknown_event" => return Ok(None),
        Err(refused) => return Err(refused),
    };
    let body = match event.get("has_body") {
        Some(Value::Bool(true)) => match bodies.of(desk, id).await {
            Ok(body) => json!(BASE64.encode(&body)),
            Err(refused) if matches!(refused.code(), "body_not_kept" | "unknown_event") => Value::Null,
            Err(refused) => return Err(refused),
        },
        _ => Value::Null,
    };
    if let Some(event) = event.as_object_mut() {
        event.insert("body".into(), body);
    }
    Ok(Some(event))
}

/// Standard output, or a file that stands in its place only when it is whole.
enum Out {
    Standard(BufWriter<io::Stdout>),
    File(BufWriter<NewFile>, PathBuf),
}

impl Out {
    fn new(path: Option<&Path>) -> Result<Self, Unusable> {
        let Some(path) = path else { return Ok(Self::Standard(BufWriter::new(io::stdout()))) };
        let file = NewFile::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::File(BufWriter::new(file), path.to_owned()))
    }

    /// `false`: nobody reads any more.
    fn line(&mut self, event: &Value) -> Result<bool, Unusable> {
        let line = format!("{event}\n");
        match self {
            Self::Standard(writer) => Ok(writer.write_all(line.as_bytes()).is_ok()),
            Self::File(writer, path) => {
                let written = writer.write_all(line.as_bytes());
                written.map(|()| true).map_err(|error| format!("{}: {error}", path.display()).into())
            }
        }
    }

    fn finish(self) -> Result<Option<PathBuf>, Unusable> {
        match self {
            Self::Standard(mut writer) => {
                let _ = writer.flush();
                Ok(None)
            }
            Self::File(writer, path) => {
                let placed = writer.into_inner().map_err(io::IntoInnerError::into_error);
                let placed = placed.and_then(|file| file.sync().and_then(|()| file.place()));
                placed.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Some(path))
            }
        }
    }
}
