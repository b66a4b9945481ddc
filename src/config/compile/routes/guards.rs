//! What a request must be before it is read: method, headers, media type, rate.

use std::sync::{Mutex, PoisonError};

use toml::Spanned;

use super::super::values::{join, number, shown};
use super::super::{Compiler, Named};
use crate::config::near::suggest;
use crate::config::raw::{RawHeaderRule, RawRate, RawRoute, Table};
use crate::domain::Method;
use crate::guards::access::RequiredHeader;
use crate::guards::meter::{Rate, RouteLimits};

const MOST_PER_SECOND: f64 = 1e6;

impl Compiler<'_> {
    pub(super) fn methods(
        &mut self,
        list: Option<&Spanned<Vec<Spanned<String>>>>,
        key: &str,
        suggested: Option<&[Method]>,
    ) -> Vec<Method> {
        let Some(list) = list else { return suggested.map_or_else(|| vec![Method::Post], <[Method]>::to_vec) };
        if list.get_ref().is_empty() {
            self.reject(list, key, "the list is empty, so no request could be taken", "leave it out for the default");
        }
        let mut methods = Vec::new();
        for entry in list.get_ref() {
            let method = Method::parse(entry.get_ref());
            if method == Method::Other {
                let help = suggest(entry.get_ref(), Method::ALLOWABLE.map(Method::as_str), "");
                let what = format!("\"{}\" is not a method that a route can take", shown(entry.get_ref()));
                self.reject(entry, key, what, help);
            } else if methods.contains(&method) {
                self.reject(entry, key, format!("\"{}\" is listed twice", method.as_str()), "remove one");
            } else {
                methods.push(method);
            }
        }
        methods
    }

    pub(super) fn required_headers(
        &mut self,
        table: Option<&Table<Spanned<RawHeaderRule>>>,
        key: &str,
    ) -> Vec<RequiredHeader> {
        let mut headers: Vec<RequiredHeader> = Vec::new();
        for (name, rule) in table.into_iter().flatten() {
            let key = join(key, shown(name.get_ref()));
            if !self.header_name(name, &key) {
                continue;
            }
            if headers.iter().any(|header| header.name.eq_ignore_ascii_case(name.get_ref())) {
                self.reject(name, &key, "this header is listed twice; case makes no difference", "join the lists");
            }
            let values = match rule.get_ref() {
                RawHeaderRule::Present(true) => None,
                RawHeaderRule::Present(false) => {
                    self.reject(rule, &key, "false says nothing", "write true for any value, or remove the line");
                    continue;
                }
                RawHeaderRule::Values(values) => {
                    if values.is_empty() {
                        let what = "the list is empty, so no value would do";
                        self.reject(rule, &key, what, "write true for any value");
                    }
                    for value in values {
                        self.header_value(value, value.get_ref().as_bytes(), &key);
                    }
                    Some(values.iter().map(|value| value.get_ref().clone()).collect())
                }
            };
            headers.push(RequiredHeader { name: name.get_ref().clone(), values });
        }
        headers
    }

    pub(super) fn header_name(&mut self, name: &Spanned<String>, key: &str) -> bool {
        let good = http::HeaderName::from_bytes(name.get_ref().as_bytes()).is_ok();
        if !good {
            let what = format!("\"{}\" is not a header name", shown(name.get_ref()));
            self.reject(name, key, what, "letters, digits and \"-\", without a colon");
        }
        good
    }

    /// The value itself is never told: it may be a secret.
    pub(super) fn header_value<T>(&mut self, at: &Spanned<T>, value: &[u8], key: &str) -> bool {
        let trimmed = value.trim_ascii();
        let good = trimmed.len() == value.len() && http::HeaderValue::from_bytes(value).is_ok();
        if !good {
            let what = "the value cannot stand in a header";
            self.reject(at, key, what, "no line breaks or control characters, no space at either end");
        }
        good
    }

    pub(super) fn content_types(
        &mut self,
        list: Option<&Spanned<Vec<Spanned<String>>>>,
        key: &str,
    ) -> Option<Vec<String>> {
        let list = list?;
        if list.get_ref().is_empty() {
            self.reject(
                list,
                key,
                "the list is empty, so no request could be taken",
                "leave it out to accept every one",
            );
        }
        let mut types = Vec::new();
        for entry in list.get_ref() {
            let lower = entry.get_ref().to_ascii_lowercase();
            if media_type(&lower) {
                types.push(lower);
            } else {
                let what = format!("\"{}\" is not a media type", shown(entry.get_ref()));
                self.reject(entry, key, what, "write type/subtype without parameters, such as \"application/json\"");
            }
        }
        Some(types)
    }

    pub(super) fn wants_certificate(&mut self, raw: &RawRoute, key: &str, named: &Named) -> bool {
        let Some(value) = raw.client_auth.as_ref().filter(|value| *value.get_ref()) else { return false };
        if !named.client_certificates {
            let what = "no listener asks for client certificates, so no request could be taken";
            self.reject(value, &join(key, "client_auth"), what, "add client_auth to a listener's tls");
        }
        true
    }

    pub(super) fn route_limits(&mut self, raw: &RawRoute, key: &str) -> RouteLimits {
        let rate = raw.rate.as_ref().and_then(|rate| self.rate(rate, &join(key, "rate")));
        let per_source = &raw.rate_per_source;
        let rate_per_source = per_source.as_ref().and_then(|rate| self.rate(rate, &join(key, "rate_per_source")));
        if let (Some(at), None) = (&raw.rate, per_source) {
            let what = "counts verified requests only: what one address sends before that is bounded by nothing here";
            let help = "add rate_per_source, well above what one address of the provider sends";
            self.warn(at, &join(key, "rate"), what, help);
        }
        let max_in_flight = raw.max_in_flight.as_ref().map(|_| {
            let (key, range) = (join(key, "max_in_flight"), number(1, 1, 1_000_000));
            let count = self.count_with(&raw.max_in_flight, &key, range, "leave it out for no limit");
            usize::try_from(count).unwrap_or(usize::MAX)
        });
        RouteLimits { rate, rate_per_source, max_in_flight }
    }

    pub(in crate::config::compile) fn rate(&mut self, raw: &Spanned<RawRate>, key: &str) -> Option<Rate> {
        const HELP: &str = "write { per_second = 10, burst = 20 }";
        let per_second = self.required(&raw.get_ref().per_second, raw, &join(key, "per_second"), HELP)?;
        let rate = *per_second.get_ref();
        if !(0.001..=MOST_PER_SECOND).contains(&rate) {
            let what = format!("expected 0.001 to {MOST_PER_SECOND}, found {rate}");
            self.reject(per_second, &join(key, "per_second"), what, HELP);
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        let second = (rate.ceil() as u64).max(1);
        let burst = self.count(&raw.get_ref().burst, &join(key, "burst"), number(second, 1, 10_000_000));
        Some(Rate { per_second: rate, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
    }
}

pub(super) fn media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// The `Allow` header of a set of methods. There are 127 sets at most, so each is kept for as long as the process
/// lives.
pub(super) fn allow_header(methods: &[Method]) -> &'static str {
    static KNOWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let text: Vec<&str> =
        Method::ALLOWABLE.iter().filter(|method| methods.contains(method)).map(|method| method.as_str()).collect();
    let text = text.join(", ");
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.iter().find(|found| **found == text) {
        return found;
    }
    let kept: &'static str = Box::leak(text.into_boxed_str());
    known.push(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allow_header_is_in_a_fixed_order_and_made_once() {
        let one = allow_header(&[Method::Put, Method::Post]);
        assert_eq!(one, "POST, PUT");
        assert!(std::ptr::eq(one, allow_header(&[Method::Post, Method::Put])));
    }

    #[test]
    fn media_types_have_no_parameters() {
        assert!(media_type("application/json"));
        assert!(media_type("application/vnd.api+json"));
        for bad in ["", "json", "application/", "/json", "application/json; charset=utf-8", "a/b/c", "*/*"] {
            assert!(!media_type(bad), "{bad}");
        }
    }
}
