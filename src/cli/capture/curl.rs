//! A `curl` command, as a person or a browser wrote it: the request that curl would send.
//!
//! `User-Agent` and `Accept`, which curl adds by itself, are left out: no scheme signs them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use data_encoding::BASE64;

use super::shell::{Word, words};
use super::{Captured, LARGEST};
use crate::cli::Unusable;
use crate::cli::terminal::harmless;
use crate::domain::{Head, Method, Version};

/// Options with a value that change the request: short and long names.
const TAKEN: [(&str, &str); 17] = [
    ("-X", "--request"),
    ("-H", "--header"),
    ("-d", "--data"),
    ("", "--data-ascii"),
    ("", "--data-raw"),
    ("", "--data-binary"),
    ("", "--data-urlencode"),
    ("", "--json"),
    ("-u", "--user"),
    ("-A", "--user-agent"),
    ("-e", "--referer"),
    ("-b", "--cookie"),
    ("-T", "--upload-file"),
    ("-F", "--form"),
    ("", "--form-string"),
    ("", "--oauth2-bearer"),
    ("", "--url"),
];

/// Options with a value that are about the connection or the answer.
const WITH_VALUE: [&str; 50] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "-m",
    "--max-time",
    "--connect-timeout",
    "--cacert",
    "--capath",
    "-E",
    "--cert",
    "--cert-type",
    "--key",
    "--key-type",
    "--pass",
    "--resolve",
    "--connect-to",
    "-x",
    "--proxy",
    "-U",
    "--proxy-user",
    "--noproxy",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "-c",
    "--cookie-jar",
    "-D",
    "--dump-header",
    "--interface",
    "--limit-rate",
    "--max-redirs",
    "--trace",
    "--trace-ascii",
    "--unix-socket",
    "--ciphers",
    "--tls-max",
    "--tls13-ciphers",
    "--keepalive-time",
    "--expect100-timeout",
    "-y",
    "--speed-time",
    "-Y",
    "--speed-limit",
    "--stderr",
    "--dns-servers",
    "--local-port",
    "--max-filesize",
    "--pinnedpubkey",
    "--curves",
];

/// Options without a value that are about the connection or the answer.
const FLAGS: [&str; 47] = [
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-k",
    "--insecure",
    "-i",
    "--include",
    "--show-headers",
    "-v",
    "--verbose",
    "-L",
    "--location",
    "-f",
    "--fail",
    "--fail-with-body",
    "-N",
    "--no-buffer",
    "-4",
    "--ipv4",
    "-6",
    "--ipv6",
    "-g",
    "--globoff",
    "-q",
    "-O",
    "--remote-name",
    "-J",
    "-#",
    "--progress-bar",
    "--path-as-is",
    "--tlsv1.2",
    "--tlsv1.3",
    "--ssl-reqd",
    "--no-keepalive",
    "--no-progress-meter",
    "--compressed",
    "--http1.1",
    "--http2-prior-knowledge",
    "--http3",
    "--tcp-nodelay",
    "--cert-status",
    "--disable",
    "--no-sessionid",
    "--raw",
    "-Z",
    "--remote-header-name",
];

/// What has been read of a command.
#[derive(Default)]
struct Command {
    url: Option<Word>,
    method: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    /// Names that `-H 'Name:'` takes away.
    removed: Vec<String>,
    data: Option<Vec<u8>>,
    json: bool,
    to_query: bool,
    head_only: bool,
    upload: bool,
    version: Option<Version>,
}

/// The request of a command.
pub(super) fn parse(command: &[u8]) -> Result<Captured, Unusable> {
    let mut words = words(command).map_err(|fault| format!("the curl command, {fault}"))?.into_iter().skip(1);
    let mut read = Command::default();
    while let Some(word) = words.next() {
        let text = text(&word)?;
        match text.as_str() {
            "--" => {}
            long if long.starts_with("--") => read.long(long, &word, &mut words)?,
            "-" => return Err(at(&word, "`-` is no URL")),
            short if short.starts_with('-') => read.short(short, &word, &mut words)?,
            _ => read.set_url(word)?,
        }
    }
    read.request()
}

type Words = std::iter::Skip<std::vec::IntoIter<Word>>;

impl Command {
    fn long(&mut self, name: &str, word: &Word, rest: &mut Words) -> Result<(), Unusable> {
        match name {
            "--get" => self.to_query = true,
            "--head" => self.head_only = true,
            "--http1.0" => self.version = Some(Version::Http10),
            "--http2" => self.version = Some(Version::Http2),
            _ if FLAGS.contains(&name) => {}
            _ if WITH_VALUE.contains(&name) => drop(value(word, rest)?),
            _ if TAKEN.iter().any(|(_, long)| *long == name) => {
                let value = value(word, rest)?;
                self.take(name, value)?;
            }
            _ => return Err(unknown(word, name)),
        }
        Ok(())
    }

    /// `-sSLXPOST`: several letters, the last with its value.
    fn short(&mut self, letters: &str, word: &Word, rest: &mut Words) -> Result<(), Unusable> {
        for (place, letter) in letters.char_indices().skip(1) {
            let name = format!("-{letter}");
            match name.as_str() {
                "-G" => self.to_query = true,
                "-I" => self.head_only = true,
                "-0" => self.version = Some(Version::Http10),
                _ if FLAGS.contains(&name.as_str()) => {}
                _ => {
                    let long = TAKEN.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
                    if long.is_none() && !WITH_VALUE.contains(&name.as_str()) {
                        return Err(unknown(word, &name));
                    }
                    let behind = word.text.get(place + letter.len_utf8()..).unwrap_or_default();
                    let value = if behind.is_empty() {
                        value(word, rest)?
                    } else {
                        Word { text: behind.to_vec(), at: word.at.clone() }
                    };
                    return long.map_or(Ok(()), |long| self.take(long, value));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, option: &str, value: Word) -> Result<(), Unusable> {
        match option {
            "--request" => self.method = Some(text(&value)?),
            "--url" => self.set_url(value)?,
            "--header" => self.header(&value)?,
            "--user-agent" => self.headers.push(("User-Agent".into(), value.text)),
            "--referer" => self.headers.push(("Referer".into(), value.text)),
            "--cookie" if value.text.contains(&b'=') => self.headers.push(("Cookie".into(), value.text)),
            "--cookie" => return Err(at(&value, "a file of cookies is not read: write them as name=value")),
            "--oauth2-bearer" => self.headers.push(("Authorization".into(), [b"Bearer ", &value.text[..]].concat())),
            "--user" => self.headers.push(("Authorization".into(), basic(&value.text))),
            "--data" | "--data-ascii" => {
                let data = match value.text.strip_prefix(b"@") {
                    // As curl does with a file, and only with a file.
                    Some(name) => {
                        let mut data = file(name, &value)?;
                        data.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                        data
                    }
                    None => value.text,
                };
                self.add(&data, b"&");
            }
            "--data-raw" => self.add(&value.text, b"&"),
            "--data-binary" | "--json" => {
                let data = match value.text.strip_prefix(b"@") {
                    Some(name) => file(name, &value)?,
                    None => value.text,
                };
                self.json |= option == "--json";
                self.add(&data, if option == "--json" { b"" } else { b"&" });
            }
            "--data-urlencode" => {
                let data = urlencoded(&value)?;
                self.add(&data, b"&");
            }
            "--upload-file" => {
                let data = file(&value.text, &value)?;
                self.upload = true;
                self.add(&data, b"");
            }
            _ => {
                return Err(at(
                    &value,
                    "curl makes a new boundary for each form, so the body that was signed cannot be known: capture it as raw HTTP",
                ));
            }
        }
        Ok(())
    }

    fn add(&mut self, data: &[u8], separator: &[u8]) {
        match &mut self.data {
            Some(before) => {
                before.extend_from_slice(separator);
                before.extend_from_slice(data);
            }
            None => self.data = Some(data.to_vec()),
        }
    }

    /// `Name: value`, `Name;` for an empty value, `Name:` to take one away.
    fn header(&mut self, value: &Word) -> Result<(), Unusable> {
        if value.text.starts_with(b"@") {
            return Err(at(value, "headers from a file are not read: write each with -H"));
        }
        let colon = value.text.iter().position(|byte| *byte == b':').filter(|place| *place > 0);
        let Some((name, rest)) = colon.and_then(|place| value.text.split_at_checked(place)) else {
            let Some(name) = value.text.strip_suffix(b";") else {
                // `:authority: x`, as browsers show HTTP/2, says what the URL says.
                return if value.text.starts_with(b":") {
                    Ok(())
                } else {
                    Err(at(value, "this is no header: write NAME: VALUE"))
                };
            };
            self.headers.push((header_name(name, value)?, Vec::new()));
            return Ok(());
        };
        let name = header_name(name, value)?;
        let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii();
        if rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(at(value, "the header has a line end or control character in its value"));
        }
        if rest.is_empty() {
            self.removed.push(name)
        } else {
            self.headers.push((name, rest.to_vec()))
        }
        Ok(())
    }

    fn set_url(&mut self, word: Word) -> Result<(), Unusable> {
        if let Some(first) = &self.url {
            return Err(at(
                &word,
                &format!(
                    "there are two URLs; the first is at {}. A header or a body may lack its option or its quotation marks",
                    first.at
                ),
            ));
        }
        self.url = Some(word);
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn request(mut self) -> Result<Captured, Unusable> {
        let word = self.url.take().ok_or("the curl command has no URL")?;
        let url = text(&word)?;
        let Url { host, mut target, user } = Url::read(&url).map_err(|why| at(&word, why))?;
        if let Some(user) = user.filter(|_| !self.has("authorization")) {
            self.headers.insert(0, ("Authorization".into(), basic(user.as_bytes())));
        }
        let mut body = self.data.take();
        if self.to_query
            && let Some(data) = body.take()
        {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&String::from_utf8(data).map_err(|_| "with -G the data must be text")?);
        }
        if body.is_some() && !self.upload {
            let media_type = if self.json { "application/json" } else { "application/x-www-form-urlencoded" };
            for (name, value) in [("Content-Type", media_type), ("Accept", "application/json")] {
                let wanted = name == "Content-Type" || self.json;
                let removed = self.removed.iter().any(|removed| removed.eq_ignore_ascii_case(name));
                if wanted && !removed && !self.has(name) {
                    self.headers.push((name.into(), value.into()));
                }
            }
        }
        let method = match (&self.method, &body) {
            (Some(method), _) => method.as_str(),
            (None, _) if self.head_only => "HEAD",
            (None, Some(_)) if self.upload => "PUT",
            (None, Some(_)) => "POST",
            (None, None) => "GET",
        };
        let named =
            self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| host.clone());
        let host = match named {
            Some(host) => String::from_utf8(host).map_err(|_| "the Host header is not text")?,
            None => host,
        };
        let version = self.version.unwrap_or(Version::Http11);
        let mut head = Head::builder(Method::parse(method), version).target(&target).host(&host);
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            head = head.header(name, value);
        }
        Ok(Captured::new(head, body.unwrap_or_default(), "a curl command"))
    }
}

/// The parts of a URL that a request is made of.
pub(super) struct Url {
    pub(super) host: String,
    pub(super) target: String,
    user: Option<String>,
}

impl Url {
    pub(super) fn read(url: &str) -> Result<Self, &'static str> {
        let rest = match url.split_once("://") {
            Some(("http" | "https" | "HTTP" | "HTTPS", rest)) => rest,
            Some(_) => return Err("the URL must begin with http:// or https://"),
            None => url,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the URL has a blank or a character outside ASCII: percent-encode it");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if host.is_empty() {
            return Err("the URL has no host");
        }
        let target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host: host.to_owned(), target, user: user.map(str::to_owned) })
    }
}

fn value(option: &Word, rest: &mut Words) -> Result<Word, Unusable> {
    rest.next().ok_or_else(|| at(option, "this option lacks its value"))
}

fn text(word: &Word) -> Result<String, Unusable> {
    String::from_utf8(word.text.clone()).map_err(|_| at(word, "this is not text"))
}

/// Where it is; never what it says, which may be a secret.
fn at(word: &Word, why: &str) -> Unusable {
    Unusable(format!("the curl command, {}: {why}", word.at))
}

fn unknown(word: &Word, name: &str) -> Unusable {
    at(word, &format!("the option {} is not known here; take it out if it does not change the request", harmless(name)))
}

fn header_name(name: &[u8], word: &Word) -> Result<String, Unusable> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name = name.trim_ascii();
    match std::str::from_utf8(name) {
        Ok(text) if !name.is_empty() && name.iter().all(token) => Ok(text.to_owned()),
        _ => Err(at(word, "this is no header name")),
    }
}

fn basic(user: &[u8]) -> Vec<u8> {
    format!("Basic {}", BASE64.encode(user)).into_bytes()
}

/// `content`, `=content`, `name=content`, `@file`, `name@file`.
fn urlencoded(value: &Word) -> Result<Vec<u8>, Unusable> {
    let place = value.text.iter().position(|byte| matches!(byte, b'=' | b'@'));
    let (name, content) = match place.and_then(|place| value.text.split_at_checked(place)) {
        Some((name, rest)) => match rest.split_first() {
            Some((b'@', path)) => (name, file(path, value)?),
            Some((_, content)) => (name, content.to_vec()),
            None => (name, Vec::new()),
        },
        None => (&b""[..], value.text.clone()),
    };
    let encoded = crate::scheme::form::encode(&content);
    Ok(if name.is_empty() { encoded.into_bytes() } else { [name, b"=", encoded.as_bytes()].concat() })
}

/// A file that the command reads its body from, from the folder that curl would read it in.
fn file(name: &[u8], word: &Word) -> Result<Vec<u8>, Unusable> {
    let name = std::str::from_utf8(name).map_err(|_| at(word, "the file's name is not text"))?;
    if matches!(name, "" | "-" | ".") {
        return Err(at(word, "the body came from standard input, which is gone: put it into a file and name that"));
    }
    let mut bytes = Vec::new();
    let read = File::open(Path::new(name)).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| at(word, &format!("{}: {error}", harmless(name))))?;
    if bytes.len() as u64 > LARGEST {
        return Err(at(word, &format!("{} is larger than {} MiB", harmless(name), LARGEST / (1024 * 1024))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
