//! Parts of a request that a scheme can name, and how each is read.
//!
//! A part that decides something may come once: two header lines, two query parameters or two equal keys are refused,
//! because the application behind might read the other one.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use super::check::jwt::JwtSpec;
use super::check::jwt::token::Token;
use super::compiled::Scheme;
use super::form::{self, Field, FieldFault};
use super::json::{self, JsonFault, JsonPath};
use crate::domain::head::Repeated;
use crate::domain::{Head, Refusal};

/// A named part of a request. Query, form and JSON values are decoded; header values are as they came.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Header(Box<str>),
    Query(Box<str>),
    Form(Box<str>),
    Json(JsonPath),
    /// A claim of the token that proves the request.
    Claim(JsonPath),
}

/// Header names ignore case.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(a), Self::Header(b)) => a.eq_ignore_ascii_case(b),
            (Self::Query(a), Self::Query(b)) | (Self::Form(a), Self::Form(b)) => a == b,
            (Self::Json(a), Self::Json(b)) | (Self::Claim(a), Self::Claim(b)) => a == b,
            _ => false,
        }
    }
}

/// As templates write it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Json(path) => write!(f, "json:{path}"),
            Self::Claim(path) => write!(f, "claim:{path}"),
        }
    }
}

/// One request's parts. JSON and form are parsed at first use, once.
pub(crate) struct Facts<'a> {
    pub(crate) head: &'a Head,
    pub(crate) body: &'a [u8],
    paths: &'a [JsonPath],
    /// The token that proves the request, and its claims that any part of the scheme asks for.
    jwt: Option<(&'a JwtSpec, &'a [JsonPath])>,
    token: OnceCell<Result<Token<'a>, Refusal>>,
    json: OnceCell<Result<Vec<Option<Cow<'a, str>>>, JsonFault>>,
    form: OnceCell<Option<Result<Vec<Field<'a>>, form::Malformed>>>,
}

impl<'a> Facts<'a> {
    /// `paths` are all that any part of the scheme asks for.
    pub(crate) fn new(head: &'a Head, body: &'a [u8], paths: &'a [JsonPath]) -> Self {
        Self { head, body, paths, jwt: None, token: OnceCell::new(), json: OnceCell::new(), form: OnceCell::new() }
    }

    /// With everything that the scheme asks for.
    pub(crate) fn of(head: &'a Head, body: &'a [u8], scheme: &'a Scheme) -> Self {
        Self { jwt: scheme.check.jwt().map(|spec| (spec, &*scheme.claims)), ..Self::new(head, body, &scheme.paths) }
    }

    /// The token that is to prove the request.
    pub(super) fn token(&self) -> Result<&Token<'a>, Refusal> {
        let (spec, claims) = self.jwt.ok_or(Refusal::SignatureMissing)?;
        self.token.get_or_init(|| Token::read(spec, self, claims)).as_ref().map_err(|refusal| *refusal)
    }

    /// The same request with this token.
    pub(super) fn with_token(self, token: Token<'a>) -> Self {
        Self { token: OnceCell::from(Ok(token)), ..self }
    }

    /// A claim of that token.
    pub(super) fn claim(&self, path: &JsonPath) -> Result<Option<&str>, Refusal> {
        let (_, claims) = self.jwt.ok_or(Refusal::SignatureMissing)?;
        Ok(self.token()?.claim(claims, path))
    }

    /// The same head with a part of the body in its place.
    pub(crate) fn within(&self, part: &'a [u8]) -> Self {
        Self::new(self.head, part, self.paths)
    }

    /// The value of a part; `None` when the request does not have it.
    pub(crate) fn read(&self, source: &Source) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        match source {
            Source::Header(name) => self.header(name),
            Source::Query(name) => {
                form::sole(self.head.query().unwrap_or_default().as_bytes(), name).map_err(field_refusal)
            }
            Source::Form(name) => self.form_field(name),
            Source::Json(path) => self.member(path),
            Source::Claim(path) => Ok(self.claim(path)?.map(|text| Cow::Borrowed(text.as_bytes()))),
        }
    }

    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        let value = self.head.headers().sole(name).map_err(|Repeated| Refusal::SignatureRepeated)?;
        Ok(value.map(Cow::Borrowed))
    }

    fn form_field(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        let Some(fields) = self.form()? else { return Ok(None) };
        let mut values = fields.iter().filter(|(found, _)| **found == *name.as_bytes());
        let value = values.next().map(|(_, value)| Cow::Borrowed(&**value));
        if values.next().is_some() { Err(Refusal::SignatureRepeated) } else { Ok(value) }
    }

    fn member(&self, path: &JsonPath) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        let members = match self.json.get_or_init(|| json::members(self.body, self.paths)) {
            Ok(members) => members,
            Err(JsonFault::Invalid) => return Ok(None),
            Err(JsonFault::Ambiguous) => return Err(Refusal::MessageIncomplete),
        };
        let at = self.paths.iter().position(|known| known == path);
        let found = at.and_then(|at| members.get(at)).and_then(Option::as_ref);
        Ok(found.map(|text| Cow::Borrowed(text.as_bytes())))
    }

    /// The body's fields; `None` when the body is not a form. An empty body is an empty form.
    pub(crate) fn form(&self) -> Result<Option<&[Field<'a>]>, Refusal> {
        let parsed = self.form.get_or_init(|| {
            let is_form = self.body.is_empty() || self.content_type_is("application/x-www-form-urlencoded");
            is_form.then(|| form::fields(self.body))
        });
        match parsed {
            None => Ok(None),
            Some(Ok(fields)) => Ok(Some(fields)),
            Some(Err(form::Malformed)) => Err(Refusal::MessageIncomplete),
        }
    }

    /// Whether the one `Content-Type` names this media type, whatever its parameters.
    pub(crate) fn content_type_is(&self, wanted: &str) -> bool {
        let Ok(Some(value)) = self.header("content-type") else { return false };
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
        media_type.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
    }
}

fn field_refusal(fault: FieldFault) -> Refusal {
    match fault {
        FieldFault::Repeated => Refusal::SignatureRepeated,
        FieldFault::Malformed => Refusal::MessageIncomplete,
    }
}
