//! Hosts and paths as routes are configured with them.

use toml::Spanned;

use super::super::Compiler;
use super::super::values::shown;
use crate::config::host_name::host_name;
use crate::domain::target::path_is_clean;
use crate::runtime::routing::PathPattern;

/// Longer than any provider's console takes.
const LONGEST: usize = 1024;

impl Compiler<'_> {
    /// `/hooks/x`, or `/hooks/x/*` for everything below it.
    pub(super) fn path_pattern(&mut self, value: &Spanned<String>, key: &str) -> Option<PathPattern> {
        let text = value.get_ref().as_str();
        if let Err((why, help)) = check(text) {
            self.reject(value, key, format!("\"{}\" cannot be a path: {why}", shown(text)), help);
            return None;
        }
        Some(match text.strip_suffix("/*") {
            Some(prefix) => PathPattern::Prefix(prefix.into()),
            None => PathPattern::Exact(text.into()),
        })
    }

    /// A DNS name or an address, in lower case and without port.
    pub(super) fn host(&mut self, value: &Spanned<String>, key: &str) -> Option<Box<str>> {
        let text = value.get_ref();
        match host_name(text) {
            Ok(name) => Some(name),
            Err((why, help)) => {
                self.reject(value, key, format!("\"{}\" is not a host: {why}", shown(text)), help);
                None
            }
        }
    }
}

/// Paths are compared raw, so one that no client would send as it stands is a mistake.
fn check(text: &str) -> Result<(), (&'static str, &'static str)> {
    let body = text.strip_suffix("/*").unwrap_or(text);
    if !text.starts_with('/') {
        return Err(("it does not start with \"/\"", "write \"/hooks/…\""));
    }
    if text.len() > LONGEST {
        return Err(("it is longer than 1024 bytes", "choose a shorter one"));
    }
    if body.contains('*') {
        return Err((
            "\"*\" may only stand at the end, after \"/\"",
            "write \"/hooks/x/*\" for everything below /hooks/x/",
        ));
    }
    if body.contains(['?', '#']) {
        return Err(("a query or fragment is no part of it", "remove everything from the \"?\" or \"#\" on"));
    }
    if !body.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err((
            "a client would send some of it percent-encoded",
            "write it as it goes over the wire, %C3%A9 for é",
        ));
    }
    if body.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(("clients resolve \".\" and \"..\" before they send", "write the path without them"));
    }
    // What stands for everything below a prefix comes behind a slash.
    if text.strip_suffix('*').map_or_else(|| path_is_clean(text), |prefix| path_is_clean(&format!("{prefix}x"))) {
        return Ok(());
    }
    Err(if text.contains("//") {
        ("no request can have it: the relay answers 400 to a path with a doubled slash", "write one slash")
    } else if !encoded(body) {
        ("\"%\" is not followed by two hexadecimal digits", "escape a byte as it goes over the wire, %C3%A9 for é")
    } else {
        (
            "no request can have it: the relay answers 400 to an encoded dot, slash, backslash, percent sign or control \
             character, to bytes that are not UTF-8, and to dots before a \";\", because two servers read them differently",
            "write the path without them, and give that address to the provider",
        )
    })
}

fn encoded(path: &str) -> bool {
    path.split('%').skip(1).all(|after| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One rule, whoever reads a path: the other half is what the edge answers, from the same function.
    #[test]
    fn a_path_that_no_request_can_have_is_refused() {
        for path in [
            "/hooks/a%2Fb",
            "/hooks/a%2fb",
            "/hooks//gh",
            "//gh",
            "/a//*",
            "/a%2eb",
            "/a%2E%2E/b",
            "/a%5cb",
            "/a%25b",
            "/a%00b",
            "/a%c0%ae",
            "/a/..;x/b",
            "/a/.;/b",
            "/a/%2e",
            "/a%zz",
            "/a%2",
            "/a/../b",
            "/hooks/%2f/*",
            "/a/..;x/*",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/*",
            "/hooks/gh",
            "/hooks/gh/",
            "/hooks/gh/*",
            "/%C3%A9",
            "/a%20b",
            "/a.b",
            "/a;v=1",
            "/.well-known/x",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }
}
