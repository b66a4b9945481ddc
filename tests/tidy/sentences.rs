//! Sentences of documents are short. What stands between backticks is a name and counts as no word: a list of fields
//! is long without being hard to read.

use std::collections::BTreeMap;

use super::{files, root};

/// Words of one sentence, at most.
const MOST: usize = 25;
/// The documents, and folders of documents.
const DOCUMENTS: [&str; 7] =
    ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "RELEASING.md", "SECURITY.md", "certs/README.md", "docs"];
/// Records of decisions, which are not rewritten, and what the recipes print.
const EXCEPT: [&str; 2] = ["docs/adr/", "docs/providers.md"];
/// Lists in one line, which manual pages take over as they are.
const LISTS: [&str; 2] = ["Exit codes:", "JSON:"];

/// The paragraphs, points and cells of a document with the line that each begins at.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut fenced, mut goes_on) = (false, false);
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.starts_with("```") {
            fenced = !fenced;
            goes_on = false;
            continue;
        }
        if fenced {
            continue;
        }
        if line.starts_with('|') {
            found.extend(line.split('|').map(|cell| (at, cell.trim().to_owned())));
            goes_on = false;
        } else if line.is_empty() || line.starts_with(['#', '<']) {
            goes_on = false;
        } else {
            let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
            let point = line.strip_prefix("- ").or_else(|| numbered.strip_prefix(". ").filter(|_| numbered != line));
            match (point, goes_on, found.last_mut()) {
                (None, true, Some((_, paragraph))) => *paragraph = format!("{paragraph} {line}"),
                (point, ..) => found.push((at, point.unwrap_or(line).to_owned())),
            }
            goes_on = true;
        }
    }
    found
}

/// Without code, and of links the text only.
fn plain(text: &str) -> String {
    let text: String = text.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    (plain + rest).replace("**", "").replace("Meaning:", "")
}

/// Sentences end where a mark is followed by a space and a capital letter, or by a name in code.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, mark) in text.char_indices().filter(|(_, c)| ['.', '?', '!'].contains(c)) {
        let next = text[at + mark.len_utf8()..].trim_start_matches([')', '"', '”']);
        let begins = next.strip_prefix(' ').map(|next| next.trim_start_matches(['[', '*', '(', '"']));
        if begins.is_some_and(|next| next.starts_with(|c: char| c.is_uppercase() || c == '`')) {
            found.push(&text[from..=at]);
            from = at + 1;
        }
    }
    found.push(&text[from..]);
    found
}

fn words(sentence: &str) -> usize {
    sentence.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

#[test]
fn sentences_of_documents_have_25_words_at_most() {
    let mut long = Vec::new();
    for name in DOCUMENTS {
        let mut documents = match name.ends_with(".md") {
            true => BTreeMap::from([(name.to_owned(), std::fs::read_to_string(root().join(name)).unwrap())]),
            false => files(name),
        };
        documents.retain(|path, _| path.ends_with(".md") && !EXCEPT.iter().any(|except| path.starts_with(except)));
        for (document, text) in documents {
            for (line, paragraph) in paragraphs(&text) {
                if LISTS.iter().any(|list| paragraph.starts_with(list)) {
                    continue;
                }
                let paragraph = plain(&paragraph);
                for sentence in sentences(&paragraph).into_iter().filter(|sentence| words(sentence) > MOST) {
                    long.push(format!("{document}:{line}: {} words: {}", words(sentence), sentence.trim()));
                }
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn a_long_sentence_is_found_in_a_paragraph_a_point_and_a_cell() {
    let long = "word ".repeat(MOST + 1);
    let short = format!("{}. `code` {}.", "word ".repeat(MOST - 1), "word ".repeat(MOST));
    for (text, count) in [
        (format!("{long}."), 1),
        (format!("- {}\n  {}", &long[..50], &long[50..]), 1),
        (format!("| {long} | x |"), 1),
        (format!("1. {long}\n2. {long}"), 2),
        (format!("```\n{long}\n```\n# {long}"), 0),
        (short, 0),
        (format!("`{long}` and [two words]({long})"), 0),
    ] {
        let found = paragraphs(&text).iter().map(|(_, text)| plain(text)).collect::<Vec<_>>();
        let found = found.iter().flat_map(|text| sentences(text)).filter(|sentence| words(sentence) > MOST).count();
        assert_eq!(found, count, "{text}");
    }
}
