//! The words of the documents, help texts, messages and comments: those that operators' manuals use.

use super::{files, rust};

/// What is not written, and what is written instead.
const WORDS: &[(&[&str], &str)] = &[
    (&["dear", "cheap before dear"], "expensive; the cheapest first"),
    (&["aloud"], "explicitly, with a warning"),
    (&["in vain"], "without effect"),
    (&["by hand"], "manually, by an operator"),
    (&["mend", "mends", "mended", "mending"], "fix"),
    (&["anew"], "again"),
    (&["hear", "hears", "heard", "hearing"], "receive"),
    (&["is told", "are told", "was told", "were told", "be told", "been told", "being told"], "receives; is reported"),
    (&["so much", "at most so many"], "a number, or: this much"),
    (&["twin", "twins"], "duplicate, copy"),
    (&["give way", "gives way", "gave way", "given way", "giving way", "to give way"], "is evicted"),
    (&["newcomer", "newcomers"], "unproven connection, new sender"),
    (&["replay memory", "replay key"], "dedupe memory, dedupe key"),
    (&["resign", "resigns"], "sign with a key of the relay (`sign_with`)"),
    (&["the inside", "an inside", "inside's"], "the upstream, the internal network"),
    (&["inward", "inwards"], "to the upstream; is forwarded"),
    (&["behind the sender's back", "behind its sender's back"], "asynchronously"),
    (&["goes nowhere"], "is not forwarded"),
    (&["stays whole"], "stays in force"),
    (&["told that is none"], "success is never reported falsely"),
    (&["confess", "confesses", "confessed"], "report"),
    (&["wish", "wishes", "wished"], "request; retry-after"),
    (&["in clear"], "in clear text; without TLS"),
    (&["for good"], "permanently"),
    (&["kin"], "similar ones"),
    (&["courier"], "delivery context"),
    (&["look after", "looks after", "looked after"], "supervise"),
    (&["bits set behind"], "host bits set"),
    (&["known from primary"], "source: the provider's documentation"),
    (&["nobody can be asked"], "no terminal to ask on"),
    (&["is no dead letter"], "is not a dead letter"),
    (&["made to wait"], "queued again"),
    (&["to be had"], "available"),
];

/// Longer phrases in which a word above is what manuals use.
const ALLOWED: &[&str] = &["in clear text", COURIER[0], COURIER[1]];

/// A provider of that name, in the list of providers and in its recipe.
const COURIER: [&str; 2] = ["courier |", "courier\""];

/// Prose with the line of each character.
#[derive(Default)]
struct Prose {
    text: String,
    lines: Vec<usize>,
}

impl Prose {
    fn push(&mut self, character: char, line: usize) {
        // One space, however the text is wrapped.
        let character = if character.is_whitespace() { ' ' } else { character };
        if character == ' ' && self.text.ends_with(' ') {
            return;
        }
        self.text.push(character);
        self.lines.extend(std::iter::repeat_n(line, character.len_utf8()));
    }

    /// What each banned phrase in it is, and where.
    fn found(&self) -> Vec<(usize, &'static str, &'static str)> {
        let within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let mut found = Vec::new();
        for (phrases, instead) in WORDS {
            for phrase in *phrases {
                let capital = phrase[..1].to_uppercase() + &phrase[1..];
                let places = self.text.match_indices(phrase).chain(self.text.match_indices(&capital));
                for (at, matched) in places {
                    let rest = &self.text[at + matched.len()..];
                    let part = within(self.text[..at].chars().next_back()) || within(rest.chars().next());
                    let allowed = ALLOWED.iter().any(|longer| self.text[at..].to_lowercase().starts_with(longer));
                    if !part && !allowed {
                        found.push((*self.lines.get(at).unwrap(), *phrase, *instead));
                    }
                }
            }
        }
        found
    }
}

/// A document without what stands between backticks. A paragraph ends what was not closed.
fn prose_of(text: &str) -> Prose {
    let mut prose = Prose::default();
    for (at, line) in text.lines().enumerate() {
        // Of a fence only what it holds is read.
        if line.trim_start().starts_with("```") {
            continue;
        }
        for (number, part) in line.split('`').enumerate() {
            if number % 2 == 0 {
                part.chars().for_each(|character| prose.push(character, at + 1));
            }
            prose.push(' ', at + 1);
        }
    }
    prose
}

/// Comments and texts of a source file, without code between backticks and without what is filled in between braces.
fn prose_of_source(source: &str) -> Prose {
    let mut prose = Prose::default();
    let mut rest = source;
    let mut line = 1;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (kind, length) = token(rest, before);
        let (taken, left) = rest.split_at(length);
        if matches!(kind, Kind::Comment | Kind::Text) {
            let mut skipped = None;
            // A comment goes on in the next line; a text stands for itself.
            for (character, at) in taken.chars().scan(line, |at, c| {
                let here = *at;
                *at += usize::from(c == '\n');
                Some((c, here))
            }) {
                match (skipped, character) {
                    (Some('`'), '`') | (Some('{'), '}') => skipped = None,
                    (Some(_), _) => {}
                    (None, '`') => skipped = Some('`'),
                    (None, '{') if kind == Kind::Text => skipped = Some('{'),
                    (None, '/' | '!') if kind == Kind::Comment => {}
                    (None, '\\') => prose.push(' ', at),
                    (None, character) => prose.push(character, at),
                }
            }
            prose.push(if kind == Kind::Text { '"' } else { ' ' }, line);
        } else if !first.is_whitespace() && !prose.text.ends_with(['"', ';']) {
            prose.push(';', line);
        }
        line += taken.matches('\n').count();
        before = taken.chars().next_back().unwrap_or(before);
        rest = left;
    }
    prose
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comment,
    Text,
    Code,
}

/// What a source goes on with, and its length in bytes.
fn token(rest: &str, before: char) -> (Kind, usize) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with('"') {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        return (Kind::Text, end.map_or(rest.len(), |(at, _)| at + 1));
    }
    if rest.starts_with('r') && !before.is_alphanumeric() && before != '_' {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        let close = format!("\"{}", "#".repeat(hashes));
        if let Some(text) = rest[1 + hashes..].strip_prefix('"') {
            return (Kind::Text, text.find(&close).map_or(rest.len(), |at| 2 + hashes + at + close.len()));
        }
    }
    if rest.starts_with('\'') {
        // A character, and not a lifetime.
        let mut characters = rest.char_indices().skip(1);
        let character = characters.next().map(|(_, c)| c);
        if character == Some('\\') {
            let close = rest.char_indices().skip(3).find(|(_, c)| *c == '\'');
            return (Kind::Code, close.map_or(first, |(at, _)| at + 1));
        }
        if let Some((at, '\'')) = characters.next() {
            return (Kind::Code, at + 1);
        }
    }
    (Kind::Code, first)
}

#[test]
fn documents_and_sources_use_the_words_of_manuals() {
    let mut all: Vec<(String, Prose)> = Vec::new();
    for (path, text) in files(".") {
        let ours = path.starts_with("docs/") || path.starts_with("certs/") || !path.contains('/');
        let ours = ours || (path.starts_with("providers/") && path.ends_with("/recipe.toml"));
        if ours && [".md", ".toml"].iter().any(|end| path.ends_with(end)) || path.starts_with("systemd/") {
            all.push((path, prose_of(&text)));
        }
    }
    assert!(all.iter().any(|(path, _)| path == "CHANGELOG.md") && all.len() > 50, "{}", all.len());
    all.extend(rust("src").into_iter().map(|(path, text)| (path, prose_of_source(&text))));
    let mut wrong = String::new();
    for (path, prose) in all {
        for (line, phrase, instead) in prose.found() {
            wrong.push_str(&format!("{path}:{line}: \"{phrase}\": write {instead}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_word_is_found_in_prose_and_not_in_code() {
    let words = |prose: &Prose| prose.found().into_iter().map(|(line, word, _)| (line, word)).collect::<Vec<_>>();
    let found = |text: &str| words(&prose_of(text));
    assert_eq!(found("It is\nsaid aloud, behind\nthe sender's back."), [(2, "aloud"), (2, "behind the sender's back")]);
    assert_eq!(found("`twin` and duplicate_in_flight are names; in clear text"), []);
    assert_eq!(found("```sh\n# Mended by hand\n```\n"), [(2, "by hand"), (2, "mended")]);
    let source = "/// Goes\n/// inward, `inward`.\nfn inward(twin: &'static str) -> char { say(\"a twin \\\" {twin}\"); '\"' }\n// anew\n";
    assert_eq!(words(&prose_of_source(source)), [(4, "anew"), (3, "twin"), (2, "inward")]);
}
