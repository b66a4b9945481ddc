//! Markdown as the project's pages write it, in the language of manual pages.

/// Headings, paragraphs, lists, tables of two or more columns, code. What stands behind a link is left out: a manual page has no links.
pub(super) fn roff(markdown: &str) -> String {
    let mut out = String::new();
    let mut lines = markdown.lines().peekable();
    let mut code = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            code = !code;
            out.push_str(if code { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n" });
        } else if code {
            push_line(&mut out, &escape(line));
        } else if line.starts_with("# ") || line.starts_with("|---") {
            // The page has a title of its own, and a table no rules.
        } else if let Some(heading) = line.strip_prefix("## ") {
            push_line(&mut out, &format!(".SH \"{}\"", escape(&bare(heading).to_uppercase()).replace('"', "")));
        } else if let Some(heading) = line.strip_prefix("### ") {
            push_line(&mut out, &format!(".SS \"{}\"", escape(&bare(heading)).replace('"', "")));
        } else if let Some(item) = line.trim_start().strip_prefix("- ") {
            out.push_str(".IP \\(bu 2\n");
            push_line(&mut out, &inline(item));
        } else if line.starts_with('|') {
            // A row before a rule is the table's heading.
            if lines.peek().is_some_and(|next| next.starts_with("|---")) {
                continue;
            }
            let cells: Vec<String> = cells(line).iter().map(|cell| inline(cell)).collect();
            let Some((first, others)) = cells.split_first() else { continue };
            out.push_str(".TP\n");
            push_line(&mut out, first);
            push_line(&mut out, &others.join("; "));
        } else if line.trim().is_empty() {
            if !out.is_empty() && !out.ends_with(".PP\n") {
                out.push_str(".PP\n");
            }
        } else {
            push_line(&mut out, &inline(line.trim_start()));
        }
    }
    out
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// The cells of a table's row. A bar that is escaped, or stands in code, belongs to the text.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut code, mut escaped) = (false, false);
    for char in row.trim().trim_start_matches('|').trim_end_matches('|').chars() {
        match char {
            '`' => code = !code,
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '|' if !code && !escaped => {
                cells.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = false;
        if let Some(cell) = cells.last_mut() {
            cell.push(char);
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Without the marks of code.
fn bare(text: &str) -> String {
    text.replace('`', "")
}

/// Code and strong words in bold, links as their text.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            out.push_str(&format!("\\fB{}\\fR", escape_text(part)));
            continue;
        }
        for (at, part) in unlinked(part).split("**").enumerate() {
            let part = escape_text(part);
            out.push_str(&if at % 2 == 1 { format!("\\fB{part}\\fR") } else { part });
        }
    }
    guarded(out)
}

/// `[text](target)` as its text. Code inside of a link's text splits it, which leaves its brackets: those are taken as well.
fn unlinked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("](") {
        let before = match before.rfind('[') {
            Some(at) => format!("{}{}", before.get(..at).unwrap_or_default(), before.get(at + 1..).unwrap_or_default()),
            None => before.to_owned(),
        };
        out.push_str(&before);
        rest = behind.split_once(')').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// A whole line.
fn escape(line: &str) -> String {
    guarded(escape_text(line))
}

fn escape_text(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// Does not begin as a command does.
fn guarded(line: String) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pages_use_is_translated() {
        for (markdown, wanted) in [
            (
                "# Title\n\nA **strong** word, `--code` and [a link](x.md#y).\n",
                ".PP\nA \\fBstrong\\fR word, \\fB\\-\\-code\\fR and a link.\n",
            ),
            ("## Address lists\n### `a.b`\n", ".SH \"ADDRESS LISTS\"\n.SS \"a.b\"\n"),
            ("- one\n  more\n- two\n", ".IP \\(bu 2\none\nmore\n.IP \\(bu 2\ntwo\n"),
            ("```\n.x\n'y\\n\n```\n", ".PP\n.RS 4\n.nf\n\\&.x\n\\&'y\\en\n.fi\n.RE\n"),
            ("| code | meaning |\n|---|---|\n| `0` | fine, `a|b` |\n", ".TP\n\\fB0\\fR\nfine, \\fBa|b\\fR\n"),
            (".start\n", "\\&.start\n"),
        ] {
            assert_eq!(roff(markdown).trim_start_matches(".PP\n"), wanted.trim_start_matches(".PP\n"), "{markdown}");
        }
    }
}
