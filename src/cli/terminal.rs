//! Text for people: tables, and colours where a terminal shows them.
//!
//! Everything goes through [`say`], which gives up quietly when the reader went away (`dmz-relay … | head`).

mod layout;
mod new_file;
mod progress;

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal, Read as _, Write as _};
use std::os::fd::AsFd;

pub use new_file::NewFile;
pub use progress::Progress;

/// What a piece of text means; the colour follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// No colour.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Works, but should not stay.
    Odd,
    /// Wrong.
    Bad,
    /// Of less weight.
    Quiet,
    /// A heading.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Odd => "33",
            Self::Bad => "31",
            Self::Quiet => "2",
            Self::Strong => "1",
        }
    }
}

/// Whether text may hold escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    colour: bool,
    /// Columns that a line may have; `None` where nobody sees them, as in a pipe.
    width: Option<usize>,
}

impl Palette {
    /// Colours on a terminal, unless `NO_COLOR` is set.
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let capable = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { colour: wanted && capable && io::stdout().is_terminal(), width: width(&io::stdout()) }
    }

    /// Columns that a line may have, where anybody sees them.
    pub fn width(self) -> Option<usize> {
        self.width
    }

    /// None, ever, and lines of any length.
    pub fn plain() -> Self {
        Self { colour: false, width: None }
    }

    /// The text with this indent, broken between words where the terminal is too narrow.
    pub fn fold(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else { return format!("{}{text}", " ".repeat(indent)) };
        layout::fold(text, indent, width)
    }

    /// A line that begins with a lead, which may be painted; what does not fit beside it goes on below, indented as far as the lead,
    /// or less where the lead leaves no room.
    pub fn item(self, lead: &str, tone: Tone, text: &str) -> String {
        let Some(width) = self.width else { return format!("{lead}{}\n", self.paint(tone, text)) };
        let (lines, indent) = layout::hang(text, layout::shown_width(lead), width);
        let mut item = String::from(lead);
        for (at, line) in lines.iter().enumerate() {
            item.push_str(&" ".repeat(if at > 0 { indent } else { 0 }));
            item.push_str(&self.paint(tone, line));
            item.push('\n');
        }
        item
    }

    /// The text in its tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if self.colour && !tone.code().is_empty() && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", tone.code())
        } else {
            text.to_owned()
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// A cell with a tone.
pub fn cell(tone: Tone, text: impl Into<String>) -> Cell {
    Cell { text: text.into(), tone }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        cell(Tone::Plain, text)
    }
}

/// Columns that are as wide as their widest cell.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    indent: usize,
    /// Columns that a narrow terminal does without, the first one first.
    foldable: &'static [usize],
    /// What does not fit into the last column goes on below.
    folds_last: bool,
}

impl Table {
    /// With a line of headings.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(|heading| cell(Tone::Quiet, heading)).to_vec()],
            indent: 2,
            foldable: &[],
            folds_last: false,
        }
    }

    /// Names and values, without headings. A long value goes on below.
    pub fn bare() -> Self {
        Self { rows: Vec::new(), indent: 2, foldable: &[], folds_last: true }
    }

    /// Names the columns that a narrow terminal does without, the first one first.
    pub fn foldable(mut self, columns: &'static [usize]) -> Self {
        self.foldable = columns;
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines, with their widths known. Where they are wider than the terminal, columns are left out and cells are cut.
    pub fn lines(&self, palette: Palette) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| layout::width(&cell.text)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        let lead = self.indent + widths.iter().rev().skip(1).map(|width| width + 2).sum::<usize>();
        if let Some(most) = palette.width {
            if let Some(last) = widths.last_mut().filter(|_| self.folds_last) {
                *last = (*last).min(most.saturating_sub(lead).max(layout::NARROWEST / 2));
            }
            layout::fit(&mut widths, self.indent, self.foldable, most);
        }
        let line = |row: &Vec<Cell>| {
            let mut line = " ".repeat(self.indent);
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0) {
                if self.folds_last && at + 1 == columns {
                    let pieces = layout::wrap(&cell.text, *width, *width);
                    let pieces: Vec<String> = pieces.iter().map(|piece| palette.paint(cell.tone, piece)).collect();
                    line.push_str(&pieces.join(&format!("\n{}", " ".repeat(lead))));
                    continue;
                }
                let text = layout::cut(&cell.text, *width);
                let padding = width.saturating_sub(layout::width(&text)) + 2;
                line.push_str(&palette.paint(cell.tone, &text));
                line.push_str(&" ".repeat(padding));
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }

    /// All lines as one text.
    pub fn text(&self, palette: Palette) -> String {
        let mut text = String::new();
        for line in self.lines(palette) {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// One line of cells with the widths they should have; a wider one pushes the others on, as far as the terminal allows.
pub fn columns(cells: &[(usize, Cell)], palette: Palette) -> String {
    let mut line = String::new();
    let mut left = palette.width.unwrap_or(usize::MAX);
    for (width, cell) in cells {
        let text = layout::cut(&cell.text, left);
        let padding = width.saturating_sub(layout::width(&text)) + 2;
        left = left.saturating_sub(layout::width(&text) + padding);
        line.push_str(&palette.paint(cell.tone, &text));
        line.push_str(&" ".repeat(padding));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// What `COLUMNS` says, or the terminal itself.
fn width(stream: &impl AsFd) -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    // A terminal that says nothing of its size, or 0 columns, is taken for one of 80: consoles of virtual machines do that.
    let seen = || match terminal_size::terminal_size_of(stream) {
        Some((columns, _)) if columns.0 > 0 => Some(usize::from(columns.0)),
        _ => stream.as_fd().is_terminal().then_some(80),
    };
    said.or_else(seen).map(|columns: usize| columns.max(layout::NARROWEST))
}

/// Text that somebody else chose, without anything that could move a cursor or turn the direction of reading: controls become
/// U+FFFD, marks of direction and invisible characters are written as their code.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(char));
            }
            _ if char.is_control() => shown.push('\u{fffd}'),
            _ => shown.push(char),
        }
    }
    shown
}

/// A word of a command that somebody copies into a shell: in quotes where the shell would take it apart.
pub fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// `1 route`, `2 routes`.
pub fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Writes to standard output, as it is. A reader that went away is no reason to complain.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes text for people to standard output: no line is wider than the terminal.
pub fn tell(text: &str) {
    match width(&io::stdout()) {
        Some(width) => say(&layout::fold_painted(text, width)),
        None => say(text),
    }
}

/// Writes to standard error, without anything that a terminal could obey, and no line wider than it is.
pub fn complain(text: &str) {
    let lines: String = text.split_inclusive('\n').map(complaint).collect();
    draw(&match width(&io::stderr()) {
        Some(width) => layout::fold_painted(&lines, width),
        None => lines,
    });
}

fn complaint(line: &str) -> String {
    match line.strip_suffix('\n') {
        Some(text) => harmless(text) + "\n",
        None => harmless(line),
    }
}

/// Writes to standard error, as it is.
fn draw(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Asks on the terminal; only a yes is a yes. `None`: there is no terminal.
pub fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    draw(&format!("{} [y/N] ", harmless(question)));
    let mut answer = String::new();
    let read = io::stdin().lock().take(100).read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["name", "n"]);
        table.row(["é".into(), cell(Tone::Good, "1")]);
        table.row(["longer".into(), "22".into()]);
        assert_eq!(table.text(Palette::plain()), "  name    n\n  é       1\n  longer  22\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::bare();
        table.row([cell(Tone::Bad, "no"), "x".into()]);
        table.row(["yes".into(), "y".into()]);
        let lines = table.lines(Palette { colour: true, width: None });
        assert_eq!(lines, ["  \x1b[31mno\x1b[0m   x", "  yes  y"]);
    }

    #[test]
    fn text_of_others_cannot_move_a_cursor() {
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(harmless("a\u{202e}b\u{2066}c\u{200f}"), "a<U+202E>b<U+2066>c<U+200F>");
        assert_eq!(harmless("käse 試験"), "käse 試験");
    }

    #[test]
    fn a_narrow_terminal_does_without_columns_and_long_names() {
        let narrow = Palette { colour: false, width: Some(40) };
        let mut table = Table::new(["name", "keys", "n"]).foldable(&[1]);
        table.row(["試験".repeat(20).into(), "a key with a long name".into(), "1".into()]);
        let lines = table.lines(narrow);
        assert!(lines.iter().all(|line| layout::width(line) <= 40 && !line.contains("key")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains('…') && line.ends_with('1')), "{lines:#?}");
        let folded = narrow.fold(&format!("some words, then {}", "x".repeat(90)), 2);
        assert!(folded.lines().all(|line| layout::width(line) <= 40 && line.starts_with("  ")), "{folded}");
        assert_eq!(folded.matches('x').count(), 90);
        let line = columns(&[(10, "short".into()), (5, "y".repeat(80).into())], narrow);
        assert!(layout::width(line.trim_end()) <= 40, "{line}");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let narrow = Palette { colour: false, width: Some(40) };
        let mut table = Table::bare();
        table.row(["notes".into(), "one two three four five six seven eight nine ten".into()]);
        table.row(["n".into(), "1".into()]);
        let shown = "  notes  one two three four five six\n         seven eight nine ten\n  n      1\n";
        assert_eq!(table.text(narrow), shown);
    }

    #[test]
    fn a_complaint_is_harmless_and_keeps_its_lines() {
        let shown: String = "a\x1b[2Jb\nc\u{202e}\n".split_inclusive('\n').map(complaint).collect();
        assert_eq!(shown, "a\u{fffd}[2Jb\nc<U+202E>\n");
    }
}
