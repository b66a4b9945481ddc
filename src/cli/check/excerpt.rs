//! The line that a problem stands in, with a caret below.
//!
//! Whoever writes a secret into the file by mistake must not find it in a log as well. Of a line that could hold one, only its
//! form is shown: every text in quotes is `"…"`. Where the form is not plain either, nothing is shown.

use crate::cli::terminal::harmless;
use crate::config::Problem;

/// The widest line that is shown where nobody says how wide the terminal is.
pub(super) const WIDEST: usize = 110;
/// Columns beside it: its number, and a bar.
pub(super) const BESIDE: usize = 9;

/// The line and a caret, or nothing: for a problem without a place, for a text that could not be parsed, and for a long line.
pub(super) fn excerpt(problem: &Problem, widest: usize) -> Option<String> {
    let (line, column) = problem.at?;
    // Without a key the text could not even be parsed: nobody knows what is a value in it.
    if problem.key.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&problem.file).ok()?;
    let shown = text.lines().nth(line.checked_sub(1)?)?;
    if shown.trim().is_empty() {
        return None;
    }
    // One column for one character, also where the file has tabs.
    let shown = shown.replace('\t', " ");
    let (shown, column) = match could_hold_a_secret(&problem.key) || could_hold_a_secret(&shown) {
        true => form(&shown, column)?,
        false => (shown, column),
    };
    if shown.chars().count() > widest || column > widest {
        return None;
    }
    Some(format!("  {line:>4} | {}\n       | {}^", harmless(&shown), " ".repeat(column.saturating_sub(1))))
}

fn could_hold_a_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let named = ["secret", "headers", "query", "key", "token", "password", "sign_with"];
    // A user and a password before a host, and what stands behind a URL's question mark.
    let in_url = text.contains("://") && text.contains('?');
    let before_host =
        text.match_indices('@').any(|(at, _)| !text.get(..at).is_some_and(|before| before.ends_with(['"', '\''])));
    in_url || before_host || named.iter().any(|word| text.contains(word))
}

/// The line with `"…"` for every text in quotes and without its comment, and the column moved to the same place of it. `None`: it
/// is not plainly keys, brackets and quoted texts, so that a part of a longer text could be in it.
fn form(line: &str, column: usize) -> Option<(String, usize)> {
    let mut shown = String::new();
    let mut moved = None;
    let mut chars = line.chars().enumerate().peekable();
    while let Some((at, char)) = chars.next() {
        if at + 1 == column {
            moved = Some(shown.chars().count() + 1);
        }
        match char {
            '"' | '\'' => {
                let begins = shown.chars().count() + 1;
                loop {
                    let (at, inside) = chars.next()?;
                    // A place inside of the text is shown as its beginning.
                    if at + 1 == column {
                        moved = Some(begins);
                    }
                    match inside {
                        '\\' if char == '"' => _ = chars.next()?,
                        _ if inside == char => break,
                        _ => {}
                    }
                }
                // Three quotes begin a text of several lines.
                if chars.peek().is_some_and(|(_, next)| matches!(next, '"' | '\'')) {
                    return None;
                }
                shown.push_str("\"…\"");
            }
            '#' => break,
            _ => shown.push(char),
        }
    }
    shown.truncate(shown.trim_end().len());
    let column = moved.unwrap_or_else(|| shown.chars().count().max(1));
    is_plain(&shown).then_some((shown, column))
}

/// Whether every bare word is a key before `=`, a name in a header, or a number or truth after `=`. A line of a text that spans
/// lines is not like this, and neither is base64 that ends in `=`.
fn is_plain(form: &str) -> bool {
    let trimmed = form.trim();
    let bare = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-. \"".contains(&byte) || !byte.is_ascii())
    };
    if let Some(header) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && !trimmed.contains(['=', ','])
    {
        return bare(header.trim_matches(['[', ']'])) && !header.contains("\"…\" ");
    }
    let mut rest = trimmed;
    while let Some(at) = rest.find(|char: char| !matches!(char, '[' | ']' | '{' | '}' | ',' | ' ')) {
        rest = rest.get(at..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix("\"…\"") {
            // A quoted text, or a quoted key.
            rest = after.trim_start().strip_prefix('=').map_or(after, str::trim_start);
            continue;
        }
        let Some((key, after)) = rest.split_once('=') else { return false };
        let after = after.trim_start();
        let is_key = !key.trim().is_empty() && !key.trim().contains(' ') && bare(key);
        let value = after.split([',', ' ', ']', '}']).next().unwrap_or_default();
        let is_simple = matches!(value, "true" | "false")
            || (!value.is_empty() && value.len() < 8 && value.bytes().all(|b| b.is_ascii_digit()));
        match is_key && (after.starts_with(['[', '{']) || after.starts_with("\"…\"") || is_simple) {
            true if is_simple => rest = after.get(value.len()..).unwrap_or_default(),
            true => rest = after,
            false => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problem(folder: &Path, text: &str, key: &str, at: (usize, usize)) -> Problem {
        let file = folder.join("relay.toml");
        std::fs::write(&file, text).unwrap();
        Problem { at: Some(at), ..Problem::of(file, key, "is wrong".to_owned(), None) }
    }

    #[test]
    fn a_caret_points_at_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let problem = problem(folder.path(), "a = 1\n\tdeadline = \"8 s\"\n", "routes.x.deadline", (2, 13));
        let expected = "     2 |  deadline = \"8 s\"\n       |             ^";
        assert_eq!(excerpt(&problem, WIDEST).as_deref(), Some(expected));
    }

    #[test]
    fn of_a_line_that_could_hold_a_secret_only_the_form_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (text, key, column, shown) in [
            ("\"canary\",", "routes.x.secrets", 1, "\"…\",\n       | ^"),
            (
                "routes.x = { secrets = [\"canary\"], path = 3 }",
                "routes.x.path",
                43,
                "routes.x = { secrets = [\"…\"], path = 3 }\n       |                                      ^",
            ),
            ("\"X-Api\" = \"canary\"", "routes.x.upstream_headers.X-Api", 11, "\"…\" = \"…\"\n       |       ^"),
            ("sign_with = ['canary']", "routes.x.sign_with", 14, "sign_with = [\"…\"]\n       |              ^"),
            ("servers = [\"http://user:canary@10.0.0.1:9\"]", "upstreams.app.servers", 12, "servers = [\"…\"]"),
            ("public_url = \"https://h/hook?canary\" # canary", "routes.x.public_url", 14, "public_url = \"…\"\n"),
            (
                "tls = { certificates = [{ chain = \"v1.pem\", key = \"k.pem\" }] }",
                "listeners.tls.certificates.chain",
                35,
                "tls = { certificates = [{ chain = \"…\", key = \"…\" }] }\n       |                                   ^",
            ),
            ("[routes.x.upstream_headers]", "routes.x.upstream_headers", 1, "[routes.x.upstream_headers]"),
        ] {
            let excerpt = excerpt(&problem(folder.path(), text, key, (1, column)), WIDEST).unwrap();
            assert!(excerpt.contains(shown), "{text}:\n{excerpt}");
            assert!(!excerpt.contains("canary"), "{excerpt}");
        }
    }

    #[test]
    fn what_is_not_plainly_keys_and_texts_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (text, key) in [
            ("= \"canary\"", ""),
            ("canary", "routes.x.secrets"),
            ("canary=", "routes.x.secrets"),
            ("canary==", "routes.x.secrets"),
            ("canary = canary", "routes.x.secrets"),
            ("secrets = [canary]", "routes.x.secrets"),
            ("secrets = [\"\"\"canary", "routes.x.secrets"),
            ("secrets = '''canary'''", "routes.x.secrets"),
            ("canary\"\"\"]", "routes.x.secrets"),
            ("canary\" canary \"", "routes.x.secrets"),
            ("secrets = [\"canary", "routes.x.secrets"),
            ("secrets = [12345678901234]", "routes.x.secrets"),
            ("[canary", "routes.x.secrets"),
        ] {
            assert_eq!(excerpt(&problem(folder.path(), text, key, (1, 1)), WIDEST), None, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_gone_or_shorter_has_no_excerpt() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(excerpt(&problem(folder.path(), "a = 1", "a", (7, 1)), WIDEST), None);
        let mut gone = problem(folder.path(), "a = 1", "a", (1, 1));
        gone.file = folder.path().join("gone");
        assert_eq!(excerpt(&gone, WIDEST), None);
    }
}
