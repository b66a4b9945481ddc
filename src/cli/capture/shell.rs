//! The words of a shell command, as bash would hand them to a program.
//!
//! Quoting is done in full, `$'…'` included, because that is how browsers copy requests. Deliberately absent: everything
//! that would have to be run or looked up (variables, substitutions, globs); it is an error that names its place.

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: Vec<u8>,
    /// `line 3, column 7`.
    pub(super) at: String,
}

/// Splits one command into words. What follows a `|`, `;` or `>` belongs to somebody else.
pub(super) fn words(command: &[u8]) -> Result<Vec<Word>, String> {
    let mut shell = Shell { text: command, at: 0, words: Vec::new(), word: None };
    shell.run()?;
    Ok(shell.words)
}

struct Shell<'c> {
    text: &'c [u8],
    at: usize,
    words: Vec<Word>,
    /// What was read of the current word, and where it began.
    word: Option<(Vec<u8>, usize)>,
}

impl Shell<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' | b'\r' => self.end_word(),
                b'\n' => {
                    self.end_word();
                    return self.nothing_more();
                }
                b'|' | b';' | b'>' => break,
                b'#' if self.word.is_none() => break,
                b'&' => {
                    return Err(
                        self.fault("an `&` outside quotation marks ends the command: put the URL in quotation marks")
                    );
                }
                b'<' | b'(' | b')' => {
                    return Err(self.fault("this would need a shell to run it: put the text itself here"));
                }
                b'`' => return Err(self.fault(
                    "a backquote would run a command: put its output here (for PowerShell, copy the request as bash)",
                )),
                b'^' if matches!(self.peek(), Some(b'"' | b'\r' | b'\n')) => {
                    return Err(self.fault("this is quoted for the Windows command prompt: copy it \"as cURL (bash)\""));
                }
                b'\\' => match self.next() {
                    Some(b'\n') => {}
                    Some(b'\r') if self.peek() == Some(b'\n') => {
                        self.at += 1;
                    }
                    Some(other) => self.push(other),
                    None => return Err(self.fault("the command ends with a backslash: a line is missing")),
                },
                b'\'' => self.single()?,
                b'"' => self.double()?,
                b'$' => self.dollar()?,
                other => self.push(other),
            }
        }
        self.end_word();
        Ok(())
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn push(&mut self, byte: u8) {
        let begin = self.at.saturating_sub(1);
        self.word.get_or_insert_with(|| (Vec::new(), begin)).0.push(byte);
    }

    /// `''` is a word too.
    fn open(&mut self) {
        let begin = self.at.saturating_sub(1);
        self.word.get_or_insert_with(|| (Vec::new(), begin));
    }

    fn end_word(&mut self) {
        if let Some((text, begin)) = self.word.take() {
            let at = self.place(begin);
            self.words.push(Word { text, at });
        }
    }

    /// A second command would be another request; a forgotten backslash is likelier.
    fn nothing_more(&mut self) -> Result<(), String> {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => return Ok(()),
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    self.at += 1;
                    return Err(self.fault(
                        "the command ended on a line before: put a backslash at the end of each line but the last",
                    ));
                }
            }
        }
        Ok(())
    }

    fn single(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.open();
        loop {
            match self.next() {
                Some(b'\'') => return Ok(()),
                Some(other) => self.push(other),
                None => return Err(self.open_quote(begin)),
            }
        }
    }

    fn double(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.open();
        loop {
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.next() {
                    Some(b'\n') => {}
                    Some(escaped @ (b'"' | b'\\' | b'$' | b'`')) => self.push(escaped),
                    Some(other) => {
                        self.push(b'\\');
                        self.push(other);
                    }
                    None => return Err(self.open_quote(begin)),
                },
                Some(b'`') => return Err(self.fault("a backquote would run a command: put its output here")),
                Some(b'$') if self.expands() => return Err(self.expansion()),
                Some(other) => self.push(other),
                None => return Err(self.open_quote(begin)),
            }
        }
    }

    fn dollar(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'\'') => {
                self.at += 1;
                self.ansi()
            }
            Some(b'"') => {
                self.at += 1;
                self.double()
            }
            _ if self.expands() => Err(self.expansion()),
            _ => {
                self.push(b'$');
                Ok(())
            }
        }
    }

    fn expands(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_{(@*#?$!-".contains(&byte))
    }

    fn expansion(&self) -> String {
        self.fault(
            "a `$` stands for a value that is not known here: put the value itself in, or use single quotation marks",
        )
    }

    /// `$'…'`: escapes as in C.
    fn ansi(&mut self) -> Result<(), String> {
        let begin = self.at;
        self.open();
        loop {
            match self.next() {
                Some(b'\'') => return Ok(()),
                Some(b'\\') => self.escape(begin)?,
                Some(other) => self.push(other),
                None => return Err(self.open_quote(begin)),
            }
        }
    }

    fn escape(&mut self, begin: usize) -> Result<(), String> {
        let Some(byte) = self.next() else { return Err(self.open_quote(begin)) };
        match byte {
            b'n' => self.push(b'\n'),
            b't' => self.push(b'\t'),
            b'r' => self.push(b'\r'),
            b'a' => self.push(7),
            b'b' => self.push(8),
            b'e' | b'E' => self.push(27),
            b'f' => self.push(12),
            b'v' => self.push(11),
            b'\\' | b'\'' | b'"' | b'?' => self.push(byte),
            b'x' => match self.number(16, 2) {
                Some(value) => self.push(u8::try_from(value).unwrap_or_default()),
                None => self.both(b'x'),
            },
            b'u' => self.character(b'u', 4)?,
            b'U' => self.character(b'U', 8)?,
            b'0'..=b'7' => {
                self.at -= 1;
                let value = self.number(8, 3).unwrap_or_default();
                // Three octal digits may be more than a byte; bash keeps the low eight bits.
                self.push(u8::try_from(value & 0xff).unwrap_or_default());
            }
            other => self.both(other),
        }
        Ok(())
    }

    fn both(&mut self, byte: u8) {
        self.push(b'\\');
        self.push(byte);
    }

    /// Chrome writes characters outside the basic plane as two surrogates, which bash would not join; they are meant as one.
    fn character(&mut self, letter: u8, digits: usize) -> Result<(), String> {
        let Some(mut value) = self.number(16, digits) else {
            self.both(letter);
            return Ok(());
        };
        if (0xd800..=0xdbff).contains(&value) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            match self.number(16, 4) {
                Some(low @ 0xdc00..=0xdfff) => value = 0x1_0000 + ((value - 0xd800) << 10) + (low - 0xdc00),
                _ => self.at = back,
            }
        }
        let character = char::from_u32(value).ok_or_else(|| self.fault("this escape is no character"))?;
        let mut buffer = [0; 4];
        character.encode_utf8(&mut buffer).bytes().for_each(|byte| self.push(byte));
        Ok(())
    }

    fn number(&mut self, radix: u32, most: usize) -> Option<u32> {
        let digits = self.text.get(self.at..)?.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
        let (count, value) =
            digits.fold((0, 0_u32), |(count, value), digit| (count + 1, value.wrapping_mul(radix) + digit));
        self.at += count;
        (count > 0).then_some(value)
    }

    fn open_quote(&self, begin: usize) -> String {
        format!("the quotation mark at {} is not closed", self.place(begin.saturating_sub(1)))
    }

    fn fault(&self, what: &str) -> String {
        format!("{}: {what}", self.place(self.at.saturating_sub(1)))
    }

    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1) + 1;
        format!("line {line}, column {column}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(command: &str) -> Result<Vec<String>, String> {
        words(command.as_bytes())
            .map(|words| words.into_iter().map(|word| String::from_utf8_lossy(&word.text).into_owned()).collect())
    }

    fn good(command: &str) -> Vec<String> {
        split(command).unwrap_or_else(|why| panic!("{command}: {why}"))
    }

    #[test]
    fn quotes_are_those_of_bash() {
        for (command, words) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("'a b' \"c d\" e' 'f", &["a b", "c d", "e f"]),
            ("'it'\\''s' '' \"\"", &["it's", "", ""]),
            (r#""a\"b\\c\$d\`e\n""#, &[r#"a"b\c$d`e\n"#]),
            (r"a\ b\\c \'", &["a b\\c", "'"]),
            ("a \\\n  b \\\r\n c", &["a", "b", "c"]),
            ("\"a\\\nb\"", &["ab"]),
            ("'a\nb'", &["a\nb"]),
            (r"$'a\nb\t\'\\\x41\u00e9\101\q'", &["a\nb\t'\\A\u{e9}A\\q"]),
            (r"$'\u0021 \ud83d\ude00 \U0001F600'", &["! \u{1f600} \u{1f600}"]),
            ("a$ $\"b\" '$x' 100%", &["a$", "b", "$x", "100%"]),
            ("a | b", &["a"]),
            ("a > file", &["a"]),
            ("a # and so on", &["a"]),
            ("a#b", &["a#b"]),
            ("a\n\n  \n# said\n", &["a"]),
        ] {
            assert_eq!(good(command), words, "{command}");
        }
    }

    #[test]
    fn bytes_need_not_be_text() {
        assert_eq!(words(b"$'\\xff\\xfe'").unwrap()[0].text, [0xff, 0xfe]);
        assert_eq!(words(b"'\xff'").unwrap()[0].text, [0xff]);
    }

    #[test]
    fn what_cannot_be_known_is_named_with_its_place() {
        for (command, place, why) in [
            ("a $HOME", "line 1, column 3", "a value that is not known"),
            ("a \\\n  \"x ${y}\"", "line 2, column 6", "a value that is not known"),
            ("a `b`", "line 1, column 3", "run a command"),
            ("a http://h/?x=1&y=2", "line 1, column 16", "quotation marks"),
            ("a 'b", "line 1, column 3", "not closed"),
            ("a \"b\\", "line 1, column 3", "not closed"),
            ("a $'b", "line 1, column 4", "not closed"),
            ("a b\\", "line 1, column 4", "a line is missing"),
            ("a\nb", "line 2, column 1", "backslash at the end of each line"),
            ("a <(b)", "line 1, column 3", "shell"),
            ("a ^\"b^\"", "line 1, column 3", "Windows"),
            (r"$'\ud800'", "line 1, column 8", "no character"),
        ] {
            let fault = split(command).unwrap_err();
            assert!(fault.contains(place) && fault.contains(why), "{command}: {fault}");
        }
    }
}
