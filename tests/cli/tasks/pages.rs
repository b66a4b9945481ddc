//! The pages and their blocks.

use std::fs;
use std::path::PathBuf;

/// A block of a page, as it is copied.
pub(super) struct Block {
    pub(super) page: String,
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
}

impl Block {
    /// For messages.
    pub(super) fn place(&self) -> String {
        format!("docs/tasks/{}:{}", self.page, self.line)
    }
}

/// Every page by its name, in the order of names.
pub(super) fn pages() -> Vec<(String, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tasks"));
    let mut pages: Vec<_> = fs::read_dir(folder)
        .expect("there are pages")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("has a name").to_str().expect("text").to_owned();
            (name, fs::read_to_string(path).expect("text"))
        })
        .collect();
    pages.sort();
    assert!(pages.len() > 12, "{}", pages.len());
    pages
}

/// The blocks of one page, from top to bottom. A block in a list is indented as its item is.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let (_, text) = pages().into_iter().find(|(name, _)| name == page).unwrap_or_else(|| panic!("no page {page}"));
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut block = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            block.push_str(line.get(indent..).unwrap_or_default());
            block.push('\n');
        }
        blocks.push(Block { page: page.to_owned(), line: at + 1, language: language.to_owned(), text: block });
    }
    blocks
}

/// The blocks of every page.
pub(super) fn all() -> Vec<Block> {
    pages().iter().flat_map(|(name, _)| blocks(name)).collect()
}

/// The commands of a shell block or of code within a line, each word by word, without `sudo` and what it needs.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let text = text.replace("\\\n", " ");
    for character in text.chars().chain(['\n']) {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(character);
            }
            (None, ' ' | '\n' | ';' | '|' | '&' | '(' | ')') => {
                words.extend(word.take());
                if character != ' ' && !words.is_empty() {
                    commands.push(std::mem::take(&mut words));
                }
            }
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    commands.into_iter().map(|words| without_prefixes(&words)).collect()
}

fn without_prefixes(words: &[String]) -> Vec<String> {
    let mut words = words;
    loop {
        words = match words {
            [sudo, user, _, rest @ ..] if sudo == "sudo" && user == "-u" => rest,
            [sudo, rest @ ..] if sudo == "sudo" => rest,
            [prlimit, _, rest @ ..] if prlimit == "prlimit" => rest,
            _ => break words.to_vec(),
        };
    }
}
