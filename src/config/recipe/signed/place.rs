//! Where signatures stand, and how one place holds several.

use toml::Spanned;

use crate::config::recipe::raw::{RawList, RawSignature};
use crate::config::recipe::words::{Parts, Scope};
use crate::scheme::source::Source;
use crate::scheme::wrapping::{Named, SignatureSpec, Wrapping};

pub(super) fn signature(raw: &Spanned<RawSignature>, scope: &mut Scope<'_>) -> Option<SignatureSpec> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let mut places = Vec::new();
    for header in raw.header.iter().chain(raw.headers.iter().flatten()) {
        match &raw.numbered {
            None => places.push(scope.header(header, "signature.header")),
            Some(most) => places.extend(numbered(header, most, scope)),
        }
    }
    let others = Parts { header: None, query: raw.query.as_ref(), form: raw.form.as_ref(), json: raw.json.as_ref() };
    places.extend(scope.parts(others, "signature"));
    if places.is_empty() {
        scope.problem(Some(span), "signature", "says nowhere to look", Some("for instance header = \"X-Signature\""));
        return None;
    }
    let encoding = scope.encoding(raw.encoding.as_ref(), "signature.encoding");
    let wrapping = raw.list.as_ref().map_or(Some(Wrapping::Bare), |list| wrapping(list, scope));
    Some(SignatureSpec {
        places: places.into_iter().collect::<Option<_>>()?,
        wrapping: wrapping?,
        prefix: raw.prefix.as_deref().unwrap_or_default().into(),
        encoding: encoding?,
    })
}

/// `X-Signature-{n}`, from 1 to a number.
fn numbered(header: &Spanned<String>, most: &Spanned<u16>, scope: &mut Scope<'_>) -> Vec<Option<Source>> {
    if !header.get_ref().contains("{n}") || !(1..=100).contains(most.get_ref()) {
        let what = "expected a header name with {n} in it, and a number from 1 to 100";
        scope.problem(Some(most.span()), "signature.numbered", what, None);
        return vec![None];
    }
    let name = |n: u16| Spanned::new(header.span(), header.get_ref().replace("{n}", &n.to_string()));
    (1..=*most.get_ref()).map(|n| scope.header(&name(n), "signature.header")).collect()
}

fn wrapping(raw: &Spanned<RawList>, scope: &mut Scope<'_>) -> Option<Wrapping> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let separator = sign(&raw.separator, "signature.list.separator", scope);
    match (&raw.assign, &raw.names, &raw.from) {
        (Some(assign), Some(names), None) => {
            let assign = sign(assign, "signature.list.assign", scope);
            if names.get_ref().is_empty() || names.get_ref().iter().any(String::is_empty) {
                scope.problem(Some(names.span()), "signature.list.names", "expected at least one name", None);
                return None;
            }
            let names = names.get_ref().iter().map(|name| name.as_str().into()).collect();
            let fixed = raw.fixed.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
            Some(Wrapping::Named(Named { separator: separator?, assign: assign?, names, quoted: raw.quoted, fixed }))
        }
        (None, None, Some(from)) => {
            Some(Wrapping::Positional { separator: separator?, from: usize::from(*from.get_ref()) })
        }
        _ => {
            let help = "{ separator, assign, names } for named items, { separator, from } for positions";
            scope.problem(Some(span), "signature.list", "is neither by name nor by position", Some(help));
            None
        }
    }
}

fn sign(text: &Spanned<String>, name: &str, scope: &mut Scope<'_>) -> Option<u8> {
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii_punctuation() || *byte == b' ' => Some(*byte),
        _ => {
            let what = format!("expected one punctuation character or a space, found `{}`", text.get_ref());
            scope.problem(Some(text.span()), name, what, None);
            None
        }
    }
}
