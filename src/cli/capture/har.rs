//! An HTTP archive (HAR 1.2), as browsers and inspection tools save it: one of its entries.

use std::fmt::Write as _;

use data_encoding::BASE64;
use serde::Deserialize;

use super::Captured;
use super::curl::Url;
use crate::cli::Unusable;
use crate::cli::terminal::harmless;
use crate::domain::{Head, Method, Version};

/// Entries that an error lists.
const LISTED: usize = 10;

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    http_version: String,
    #[serde(default)]
    headers: Vec<Field>,
    post_data: Option<PostData>,
    /// -1 where it is not known.
    #[serde(default = "unknown_size")]
    body_size: i64,
}

fn unknown_size() -> i64 {
    -1
}

#[derive(Deserialize)]
struct Field {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    text: Option<String>,
    /// Not in the standard; tools that keep bytes write `base64` here.
    #[serde(alias = "_encoding")]
    encoding: Option<String>,
    #[serde(default)]
    params: Vec<serde::de::IgnoredAny>,
}

/// The entry that is meant: the only one, its number from 1, or the only one whose URL has this text.
pub(super) fn parse(capture: &[u8], wanted: Option<&str>) -> Result<Captured, Unusable> {
    let place = |error: &serde_json::Error| format!("line {}, column {}", error.line(), error.column());
    let archive: Archive = serde_json::from_slice(capture).map_err(|error| {
        // The words of the library may quote a value.
        let what =
            if error.is_data() { "this is JSON, but no HTTP archive (HAR)" } else { "this is not complete JSON" };
        format!("{what}: {}", place(&error))
    })?;
    let entries = archive.log.entries;
    let count = entries.len();
    let (number, entry) = pick(&entries, wanted)?;
    let mut form = "an HTTP archive".to_owned();
    if count > 1 {
        let _ = write!(form, ", entry {number} of {count}");
    }
    request(&entry.request, form, number)
}

fn pick<'e>(entries: &'e [Entry], wanted: Option<&str>) -> Result<(usize, &'e Entry), Unusable> {
    let numbered = || (1..).zip(entries);
    let found: Vec<(usize, &Entry)> = match wanted.map(|text| (text, text.parse::<usize>())) {
        None => numbered().collect(),
        Some((_, Ok(number))) => numbered().filter(|(at, _)| *at == number).collect(),
        Some((text, Err(_))) => numbered().filter(|(_, entry)| entry.request.url.contains(text)).collect(),
    };
    match (found.as_slice(), wanted) {
        ([one], _) => Ok(*one),
        ([], None) => Err("the HTTP archive has no entry".into()),
        ([], Some(_)) => {
            Err(format!("no entry of the HTTP archive is that one:{}", list(&numbered().collect::<Vec<_>>())).into())
        }
        (several, _) => {
            Err(format!("say --entry NUMBER, or a part of the URL that only one has:{}", list(several)).into())
        }
    }
}

/// Method and URL without its query, which may hold a secret.
fn list(entries: &[(usize, &Entry)]) -> String {
    let mut text = String::new();
    for (number, entry) in entries.iter().take(LISTED) {
        let url: String = entry.request.url.split(['?', '#']).next().unwrap_or_default().chars().take(100).collect();
        let _ = write!(text, "\n  {number}: {} {}", harmless(&entry.request.method), harmless(&url));
    }
    if entries.len() > LISTED {
        let _ = write!(text, "\n  and {} more", entries.len() - LISTED);
    }
    text
}

fn request(request: &Request, form: String, number: usize) -> Result<Captured, Unusable> {
    let fault = |why: &str| Unusable(format!("entry {number} of the HTTP archive: {why}"));
    let url = Url::read(&request.url).map_err(fault)?;
    let version = request.http_version.to_ascii_lowercase();
    let version = match version.as_str() {
        "h2" | "http/2" | "http/2.0" | "h3" | "http/3" => Version::Http2,
        "http/1.0" => Version::Http10,
        _ => Version::Http11,
    };
    let named = |name: &str| request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let host = named("host").or_else(|| named(":authority")).map_or(url.host, |field| field.value.clone());
    let mut head = Head::builder(Method::parse(&request.method), version).target(&url.target).host(&host);
    let shown = |field: &&Field| !field.name.starts_with(':') && !field.name.eq_ignore_ascii_case("host");
    for field in request.headers.iter().filter(shown) {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if field.name.is_empty()
            || !field.name.bytes().all(token)
            || field.value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        {
            return Err(fault("one of its headers cannot have been in a request"));
        }
        head = head.header(&field.name, field.value.trim());
    }
    let body = match &request.post_data {
        None => Vec::new(),
        Some(data) => body(data).map_err(fault)?,
    };
    let size = usize::try_from(request.body_size).ok().filter(|size| *size != body.len());
    let doubt = size.filter(|size| *size > 0 || !body.is_empty()).map(|size| {
        format!(
            "the archive says that the body had {size} bytes, and holds {}: it may not be the one that was signed",
            body.len()
        )
    });
    let mut captured = Captured::new(head, body, form);
    captured.doubts.extend(doubt);
    Ok(captured)
}

fn body(data: &PostData) -> Result<Vec<u8>, &'static str> {
    let text = match &data.text {
        Some(text) => text,
        None if data.params.is_empty() => return Ok(Vec::new()),
        None => {
            return Err("it holds the body as parameters and not as it was sent, so what was signed cannot be known");
        }
    };
    match data.encoding.as_deref() {
        Some("base64") => BASE64.decode(text.as_bytes()).map_err(|_| "its body is not base64, as it says"),
        Some("" | "utf-8" | "utf8") | None => Ok(text.clone().into_bytes()),
        Some(_) => Err("its body is in an encoding that is not known here"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn archive(requests: &[Value]) -> Vec<u8> {
        let entries: Vec<Value> =
            requests.iter().map(|request| json!({ "request": request, "response": {} })).collect();
        json!({ "log": { "version": "1.2", "entries": entries } }).to_string().into_bytes()
    }

    fn post(url: &str) -> Value {
        json!({
            "method": "POST", "url": url, "httpVersion": "h2", "bodySize": 7,
            "headers": [
                { "name": ":authority", "value": "h.example" }, { "name": "X-Sig", "value": " a " },
                { "name": "content-type", "value": "application/json" }
            ],
            "postData": { "mimeType": "application/json", "text": "{\"a\":1}" }
        })
    }

    fn refused(capture: &[u8], wanted: Option<&str>) -> String {
        parse(capture, wanted).unwrap_err().0
    }

    #[test]
    fn the_only_entry_is_meant() {
        let captured = parse(&archive(&[post("https://u:p@h.example:8443/x?a=1#f")]), None).unwrap();
        let head = captured.head;
        assert_eq!(
            (head.method(), head.path(), head.query(), head.host()),
            (Method::Post, "/x", Some("a=1"), "h.example")
        );
        assert_eq!((head.version(), head.headers().first("x-sig")), (Version::Http2, Some(&b"a"[..])));
        assert_eq!((head.headers().len(), &*captured.body), (2, &b"{\"a\":1}"[..]));
        assert!(captured.doubts.is_empty());
    }

    #[test]
    fn of_several_one_is_chosen() {
        let several = archive(&[post("https://h/one?k=secret"), post("https://h/two"), post("https://h/two/three")]);
        let why = refused(&several, None);
        assert!(why.contains("1: POST https://h/one\n") && !why.contains("secret") && why.contains("3: "), "{why}");
        let path = |wanted| parse(&several, Some(wanted)).unwrap().head.path().to_owned();
        assert_eq!((path("2"), path("one"), path("three")), ("/two".into(), "/one".into(), "/two/three".into()));
        assert!(refused(&several, Some("two")).contains("only one has"));
        assert!(refused(&several, Some("9")).contains("no entry"));
        assert_eq!(parse(&several, Some("2")).unwrap().form, "an HTTP archive, entry 2 of 3");
    }

    #[test]
    fn bodies_are_text_or_base64() {
        let with = |data: Value, size: i64| {
            let mut request = post("https://h/");
            request["postData"] = data;
            request["bodySize"] = json!(size);
            parse(&archive(&[request]), None)
        };
        assert_eq!(with(json!({ "text": "/wA=", "encoding": "base64" }), 2).unwrap().body, [255, 0]);
        assert_eq!(with(json!({ "text": "é" }), -1).unwrap().body, "é".as_bytes());
        assert_eq!(with(json!({}), 0).unwrap().body, b"");
        assert!(with(json!({ "text": "ab" }), 3).unwrap().doubts[0].contains("had 3 bytes, and holds 2"));
        assert!(with(json!({ "text": "*", "encoding": "base64" }), 1).unwrap_err().0.contains("not base64"));
        assert!(with(json!({ "params": [{ "name": "a" }] }), 1).unwrap_err().0.contains("as parameters"));
        assert!(with(json!({ "text": "x", "encoding": "gzip" }), 1).unwrap_err().0.contains("not known here"));
    }

    #[test]
    fn what_is_no_archive_is_said_with_its_place() {
        assert!(refused(b"{\n \"log\": {", None).contains("not complete JSON: line 2"));
        assert!(refused(b"{\"a\": \"canary\"}", None).contains("no HTTP archive"));
        assert!(refused(&archive(&[]), None).contains("no entry"));
        let mut request = post("ftp://h/");
        assert!(
            refused(&archive(std::slice::from_ref(&request)), None)
                .contains("entry 1 of the HTTP archive: the URL must")
        );
        request["url"] = json!("https://h/");
        request["headers"] = json!([{ "name": "a b", "value": "x" }]);
        assert!(refused(&archive(&[request]), None).contains("one of its headers"));
    }
}
