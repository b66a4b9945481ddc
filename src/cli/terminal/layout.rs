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
pub(super) fn wrap(line: &str, first: usize, others: usize) -> Vec<String> {
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

/// Every line of a text in pieces that are no wider than `most`. Below the first, a piece is indented a little further than its line.
/// A colour goes on from piece to piece.
pub(super) fn fold_painted(text: &str, most: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if shown_width(line.trim_end_matches('\n')) <= most {
            folded.push_str(line);
        } else {
            fold_line(line, most, &mut folded);
        }
    }
    folded
}

fn fold_line(line: &str, most: usize, folded: &mut String) {
    let blanks = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat(if blanks + 2 < most / 2 { blanks + 2 } else { 0 });
    let (mut used, mut fresh, mut colour) = (0, true, String::new());
    for piece in pieces(line) {
        if piece.starts_with('\x1b') {
            colour = if piece == "\x1b[0m" { String::new() } else { piece.to_owned() };
            folded.push_str(piece);
            continue;
        }
        let blank = piece.starts_with(' ');
        if !blank && !fresh && used + width(piece) > most {
            folded.truncate(folded.trim_end_matches(' ').len());
            new_piece(folded, &indent, &colour);
            (used, fresh) = (indent.len(), true);
        }
        for char in piece.chars() {
            let columns = char.width().unwrap_or(0);
            if used + columns > most && char != '\n' {
                if blank {
                    continue;
                }
                new_piece(folded, &indent, &colour);
                used = indent.len();
            }
            used += columns;
            folded.push(char);
        }
        fresh = fresh && blank;
    }
}

fn new_piece(folded: &mut String, indent: &str, colour: &str) {
    if !colour.is_empty() {
        folded.push_str("\x1b[0m");
    }
    folded.push('\n');
    folded.push_str(indent);
    folded.push_str(colour);
}

/// Words, blanks and escape sequences of colours, one after the other.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match first {
            '\x1b' => rest.find('m').map_or(rest.len(), |at| at + 1),
            ' ' => rest.find(|char| char != ' ').unwrap_or(rest.len()),
            _ => rest.find([' ', '\x1b']).unwrap_or(rest.len()),
        };
        let (piece, behind) = rest.split_at_checked(end)?;
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_line_is_folded_and_a_narrow_one_is_left_alone() {
        assert_eq!(fold_painted("short\n\n", 10), "short\n\n");
        assert_eq!(fold_painted("  one two three four\n", 12), "  one two\n    three\n    four\n");
        assert_eq!(fold_painted("1234567890ab\n", 10), "1234567890\n  ab\n");
        assert_eq!(fold_painted("試験試験試験\n", 8), "試験試験\n  試験\n");
        // A blank that ends a line is not the first of the next.
        assert_eq!(fold_painted("12345678 90 1\n", 8), "12345678\n  90 1\n");
    }

    #[test]
    fn a_colour_goes_on_over_the_fold_and_takes_no_room() {
        let folded = fold_painted("\x1b[31mone two three\x1b[0m x\n", 10);
        assert_eq!(folded, "\x1b[31mone two\x1b[0m\n  \x1b[31mthree\x1b[0m x\n");
        for width in 4..30 {
            let text = "  \x1b[32m✓\x1b[0m signature  \x1b[31mmismatch: one\x1b[0m of several keys, wide 試験 too\n";
            let folded = fold_painted(text, width);
            assert!(folded.lines().all(|line| shown_width(line) <= width), "{width}: {folded:?}");
            let words = |text: &str| {
                text.replace("\x1b[0m", "").replace("\x1b[32m", "").replace("\x1b[31m", "").replace([' ', '\n'], "")
            };
            assert_eq!(words(&folded), words(text));
        }
    }
}
