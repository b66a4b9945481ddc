//! How wide text is on a terminal, and how it is made to fit.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A terminal that claims to be narrower is taken as this wide.
pub(super) const NARROWEST: usize = 40;
/// A cell is cut to no less while others are wider.
const LEAST: usize = 4;
/// Between two columns.
const GAP: usize = 2;

/// Columns that the text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text, or its beginning with an ellipsis, in at most this many columns.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > most {
            break;
        }
        short.push(char);
    }
    if most > 0 {
        short.push('…');
    }
    short
}

/// Makes columns fit: first those that can be left out are (width 0), then the widest ones are cut.
pub(super) fn fit(widths: &mut [usize], indent: usize, foldable: &[usize], most: usize) {
    let total = |widths: &[usize]| {
        let shown = widths.iter().filter(|width| **width > 0);
        (indent + shown.map(|width| width + GAP).sum::<usize>()).saturating_sub(GAP)
    };
    for column in foldable {
        if total(widths) <= most {
            return;
        }
        if let Some(width) = widths.get_mut(*column) {
            *width = 0;
        }
    }
    while total(widths) > most {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST => *widest -= 1,
            _ => return,
        }
    }
}

/// Columns that painted text takes: escape sequences of colours take none.
pub(super) fn shown_width(text: &str) -> usize {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = behind.split_once('m').map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    width(&plain)
}

/// Breaks lines between words, and words that are longer than a line; each part is indented.
pub(super) fn fold(text: &str, indent: usize, most: usize) -> String {
    let margin = " ".repeat(indent);
    let room = most.saturating_sub(indent).max(1);
    let lines = text.lines().flat_map(|line| wrap(line, room, room));
    lines.map(|line| format!("{margin}{line}")).collect::<Vec<_>>().join("\n")
}

/// The lines of a text that begins behind a lead, and how far those below the first are indented: as far as the lead, or little
/// where the lead takes half of the line.
pub(super) fn hang(text: &str, lead: usize, most: usize) -> (Vec<String>, usize) {
    let indent = if lead <= most / 2 { lead } else { 4 };
    let (first, room) = (most.saturating_sub(lead).max(1), most.saturating_sub(indent).max(1));
    (wrap(text, first, room), indent)
}

/// One line in pieces: the first has another room than the others.
fn wrap(line: &str, first: usize, others: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    let room = |lines: &Vec<String>| if lines.is_empty() { first } else { others };
    if width(line) <= first {
        return vec![line.to_owned()];
    }
    for word in line.split(' ') {
        if !current.is_empty() && width(&current) + 1 + width(word) > room(&lines) {
            lines.push(current.trim_end().to_owned());
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        for char in word.chars() {
            if width(&current) + char.width().unwrap_or(0) > room(&lines) {
                lines.push(std::mem::take(&mut current));
            }
            current.push(char);
        }
    }
    lines.push(current);
    lines
}
