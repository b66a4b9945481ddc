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

/// The text, or its beginning with an ellipsis, in at most so many columns.
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

/// Breaks lines between words, and words that are longer than a line; each part is indented.
pub(super) fn fold(text: &str, indent: usize, most: usize) -> String {
    let margin = " ".repeat(indent);
    let room = most.saturating_sub(indent).max(1);
    let mut lines = Vec::new();
    for line in text.lines() {
        if width(line) <= room {
            lines.push(format!("{margin}{line}"));
            continue;
        }
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && width(&current) + 1 + width(word) > room {
                lines.push(format!("{margin}{}", current.trim_end()));
                current.clear();
            }
            if !current.is_empty() {
                current.push(' ');
            }
            for char in word.chars() {
                if width(&current) + char.width().unwrap_or(0) > room {
                    lines.push(format!("{margin}{current}"));
                    current.clear();
                }
                current.push(char);
            }
        }
        lines.push(format!("{margin}{current}"));
    }
    lines.join("\n")
}
