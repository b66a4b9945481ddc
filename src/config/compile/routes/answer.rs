//! What the sender receives.

use bytes::Bytes;
use toml::Spanned;

use super::super::Compiler;
use super::super::recipes::Suggested;
use super::super::values::{join, number, shown};
use crate::config::raw::{RawAnswer, RawFixedAnswer};
use crate::runtime::snapshot::{AnswerPolicy, FixedAnswer};

const HELP: &str = "write \"upstream\", or { status = 200, body = \"…\", content_type = \"text/plain\" }";
const TEXT: &str = "text/plain; charset=utf-8";
const LONGEST: usize = 64 << 10;

impl Compiler<'_> {
    pub(super) fn answer(
        &mut self,
        raw: Option<&Spanned<RawAnswer>>,
        key: &str,
        suggested: &Suggested,
    ) -> AnswerPolicy {
        let default = suggested.answer.clone();
        match raw.map(|raw| (raw, raw.get_ref())) {
            None => AnswerPolicy::Fixed(default),
            Some((_, RawAnswer::Word(word))) if word == "upstream" => AnswerPolicy::Upstream,
            Some((at, RawAnswer::Word(word))) => {
                self.reject(at, key, format!("\"{}\" is not known here", shown(word)), HELP);
                AnswerPolicy::Fixed(default)
            }
            Some((_, RawAnswer::Fixed(fixed))) => AnswerPolicy::Fixed(self.fixed_answer(fixed, key, &default)),
        }
    }

    fn fixed_answer(&mut self, raw: &RawFixedAnswer, key: &str, default: &FixedAnswer) -> FixedAnswer {
        let range = number(u64::from(default.status), 200, 299);
        let status = u16::try_from(self.count(&raw.status, &join(key, "status"), range)).unwrap_or(default.status);
        let body = raw.body.as_ref().map_or("", |body| body.get_ref());
        if let Some(at) = raw.body.as_ref().filter(|body| !body.get_ref().is_empty()) {
            if matches!(status, 204 | 205) {
                let what = format!("an answer with status {status} has no body");
                self.reject(at, &join(key, "body"), what, "write status = 200, or remove the body");
            }
            if body.len() > LONGEST {
                self.reject(at, &join(key, "body"), "it is larger than 64KiB", "senders do not read it; make it short");
            }
        }
        if let Some(at) = &raw.content_type {
            self.header_value(at, at.get_ref().as_bytes(), &join(key, "content_type"));
        }
        let given = raw.content_type.as_ref().map(|at| at.get_ref().clone());
        let content_type = (!body.is_empty()).then(|| given.unwrap_or_else(|| TEXT.to_owned()));
        FixedAnswer { status, body: Bytes::copy_from_slice(body.as_bytes()), content_type }
    }
}
