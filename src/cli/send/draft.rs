//! What is sent: the operator's words where there are any, else what the route would take.

use std::borrow::Cow;
use std::io::Read as _;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::super::Unusable;
use super::super::grammar::Send;
use crate::base::UnixMillis;
use crate::cli::sender::{Request, new_id, tamper};
use crate::config::Environment;
use crate::config::source::Sources;
use crate::domain::Method;
use crate::runtime::snapshot::{AnswerPolicy, Route, Verification};
use crate::scheme::{Key, SignDraft, Signed, Verifier};

/// Largest body that is sent.
const LARGEST: u64 = 64 * 1024 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";
/// How far outside the window a stale request is.
const PAST: Duration = Duration::from_secs(60);

/// What an answer should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any success.
    Success,
    /// This very status.
    Status(u16),
}

impl Expected {
    pub(super) fn is_met_by(self, status: u16) -> bool {
        match self {
            Self::Success => (200..300).contains(&status),
            Self::Status(expected) => status == expected,
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::Success => "a success".to_owned(),
            Self::Status(status) => status.to_string(),
        }
    }
}

/// One request, before it is signed.
pub(super) struct Draft<'s> {
    pub(super) route: &'s Route,
    verifier: Option<Signer<'s>>,
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    /// `None`: a new small body each time.
    body: Option<Vec<u8>>,
    is_form: bool,
    stale: bool,
    tamper: bool,
    duplicate: bool,
}

/// What signs: the route's own secrets, or a private key in place of its public ones.
enum Signer<'s> {
    Route(&'s Verifier),
    Private(Box<Verifier>),
}

impl Deref for Signer<'_> {
    type Target = Verifier;

    fn deref(&self) -> &Verifier {
        match self {
            Self::Route(verifier) => verifier,
            Self::Private(verifier) => verifier,
        }
    }
}

fn sender<'s>(args: &Send, route: &Route, verifier: &'s Verifier) -> Result<Signer<'s>, Unusable> {
    let name = &route.name;
    match (&args.private_key, verifier.scheme().takes_public_keys()) {
        (None, false) => Ok(Signer::Route(verifier)),
        (None, true) => Err(format!(
            "route {name} verifies with public keys, and only who has the private key can sign: say --private-key FILE, with the \
             private key to one of them (of a pair of your own, for a test)"
        )
        .into()),
        (Some(_), false) => Err(format!("route {name} verifies with shared secrets: leave --private-key out").into()),
        (Some(file), true) => {
            let shown = file.to_string_lossy();
            let environment = Environment::default();
            let read = Sources::new(Path::new(""), &environment).secret_file(&shown);
            let secret = read.map_err(|error| format!("--private-key: {error}; {}", error.help()))?;
            let id = verifier.key_ids().next().unwrap_or_default().into();
            let signer = verifier.sender_with(Key { id, secret });
            signer.map(|signer| Signer::Private(Box::new(signer))).map_err(|problem| format!("--private-key: {problem}").into())
        }
    }
}

impl<'s> Draft<'s> {
    pub(super) fn new(args: &Send, route: &'s Route, url_path: Option<&str>) -> Result<Self, Unusable> {
        let verifier = match &route.verify {
            Verification::Signed(verifier) => Some(sender(args, route, verifier)?),
            Verification::DangerouslyNone => None,
        };
        let name = &route.name;
        if verifier.is_none() && (args.tamper || args.stale) {
            return Err(format!("route {name} verifies nothing, so nothing can be wrong with a signature").into());
        }
        if args.stale && verifier.as_ref().is_none_or(|verifier| verifier.scheme().window().is_none()) {
            return Err(format!("the scheme of route {name} has no time window, so nothing can be stale").into());
        }
        let headers = headers(args, route)?;
        let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        Ok(Self {
            route,
            verifier,
            method: method(args, route)?,
            target: target(args, route, url_path)?,
            is_form: content_type.is_some_and(|(_, kind)| kind.starts_with(FORM)),
            headers,
            body: args.data.as_deref().map(body).transpose()?,
            stale: args.stale,
            tamper: args.tamper,
            duplicate: args.duplicate,
        })
    }

    /// Signed, and spoilt where that was asked for.
    pub(super) fn request(&self, now: UnixMillis) -> Result<Request, Unusable> {
        let (id, body) = self.fresh_body();
        let Some(verifier) = &self.verifier else {
            return Ok(self.finished(&Signed {
                headers: Vec::new(),
                query: Vec::new(),
                body: body.into_owned(),
                in_body: None,
            }));
        };
        let at = match (self.stale, verifier.scheme().window()) {
            (true, Some((back, _))) => now.minus(back).minus(PAST),
            _ => now,
        };
        let draft =
            SignDraft { method: self.method, path_query: &self.target, headers: &self.headers, body: &body, id: &id };
        let signed = verifier.sign(&draft, at).map_err(|problem| format!("cannot sign: {problem}"))?;
        let mut request = self.finished(&signed);
        if self.tamper && tamper(&mut request, verifier.scheme(), &signed).is_none() {
            return Err("this request has nothing that could be tampered with".into());
        }
        Ok(request)
    }

    fn finished(&self, signed: &Signed) -> Request {
        Request {
            method: self.method.as_str().to_owned(),
            target: signed.target(&self.target),
            headers: self.headers.iter().chain(&signed.headers).cloned().collect(),
            body: Bytes::from(signed.body.clone()),
        }
    }

    /// A new id, and a body that holds it, so that no two requests are duplicates by chance.
    fn fresh_body(&self) -> (String, Cow<'_, [u8]>) {
        let id = new_id();
        let body = match &self.body {
            Some(body) => Cow::Borrowed(&body[..]),
            None if !self.method.carries_body() => Cow::Borrowed(&[][..]),
            None if self.is_form => Cow::Owned(format!("message=test&id={id}").into_bytes()),
            None => Cow::Owned(format!("{{\"message\":\"a test of dmz-relay\",\"id\":\"{id}\"}}").into_bytes()),
        };
        (id, body)
    }

    pub(super) fn copies(&self) -> usize {
        if self.duplicate { 2 } else { 1 }
    }

    pub(super) fn expected(&self) -> Expected {
        match &self.route.answer {
            _ if self.stale || self.tamper => Expected::Status(401),
            AnswerPolicy::Fixed(answer) => Expected::Status(answer.status),
            AnswerPolicy::Upstream => Expected::Success,
        }
    }

    /// What kind of request it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match (self.stale, self.tamper, self.duplicate) {
            (true, true, _) => "stale and tampered",
            (true, false, _) => "stale",
            (false, true, _) => "tampered",
            (false, false, true) => "genuine, each sent twice",
            (false, false, false) if self.verifier.is_none() => "unsigned",
            (false, false, false) => "genuine",
        }
    }

    /// Method and path, without the query, which may hold a key.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method.as_str(), self.target.split('?').next().unwrap_or_default())
    }
}

/// Asking for another method than the route allows is a fair test; asking for none that exists is not.
fn method(args: &Send, route: &Route) -> Result<Method, Unusable> {
    match &args.method {
        None => Ok(route.methods.first().copied().unwrap_or(Method::Post)),
        Some(text) => match Method::parse(&text.to_ascii_uppercase()) {
            Method::Other => Err(format!("\"{text}\" is no method that a webhook can have").into()),
            method => Ok(method),
        },
    }
}

fn target(args: &Send, route: &Route, url_path: Option<&str>) -> Result<String, Unusable> {
    let given = args.path.as_deref().or(url_path);
    // Whatever follows a prefix is the route's too.
    let target = given.map_or_else(|| route.path.replace('*', "test"), str::to_owned);
    if target.starts_with('/') {
        Ok(target)
    } else {
        Err(format!("the path \"{target}\" must begin with a slash").into())
    }
}

/// Those given, then what the route demands and was not given.
fn headers(args: &Send, route: &Route) -> Result<Vec<(String, String)>, Unusable> {
    let mut headers = Vec::new();
    for line in &args.header {
        let (name, value) = line.split_once(':').ok_or_else(|| "a header is written NAME: VALUE".to_owned())?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let has =
        |headers: &[(String, String)], name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    for required in &route.headers {
        if !has(&headers, &required.name) {
            let value = required.values.as_ref().and_then(|values| values.first()).map_or("test", String::as_str);
            headers.push((required.name.clone(), value.to_owned()));
        }
    }
    if !has(&headers, "content-type") {
        let accepted = route.content_types.as_ref().and_then(|types| types.first());
        let kind = accepted.map_or("application/json", String::as_str);
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
    }
    if !has(&headers, "user-agent") {
        headers.push(("User-Agent".to_owned(), concat!("dmz-relay-send/", env!("CARGO_PKG_VERSION")).to_owned()));
    }
    Ok(headers)
}

fn body(data: &str) -> Result<Vec<u8>, Unusable> {
    let Some(path) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("{path}: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{path} is larger than {} MiB", LARGEST / (1024 * 1024)).into());
    }
    Ok(bytes)
}
