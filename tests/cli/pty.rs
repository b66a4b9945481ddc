//! A terminal of 80 columns: a pseudo-terminal of the kernel, with a program on it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr as _;

use super::harness::binary;

pub(super) const COLUMNS: u16 = 80;

/// What a program showed.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) status: ExitStatus,
}

/// Runs the binary in this folder with its three streams on a terminal, until it ends, or has shown this text.
pub(super) fn on_a_terminal(folder: &Path, arguments: &[&str], until: Option<&str>) -> Shown {
    let (master, terminal) = pair();
    let mut command: Command = binary();
    command.args(arguments).current_dir(folder).env_remove("COLUMNS").env_remove("NO_COLOR").env("TERM", "xterm");
    let other = || Stdio::from(terminal.try_clone().expect("a descriptor"));
    command.stdin(other()).stdout(other()).stderr(other());
    let mut child = command.spawn().expect("the binary runs");
    drop((command, terminal));
    let mut shown = Vec::new();
    let mut master = File::from(master);
    let mut chunk = [0; 4096];
    // Linux ends a terminal that nobody holds any more with an error.
    while let Ok(read @ 1..) = master.read(&mut chunk) {
        shown.extend_from_slice(&chunk[..read]);
        if until.is_some_and(|text| String::from_utf8_lossy(&shown).contains(text)) {
            let _ = child.kill();
        }
    }
    let status = child.wait().expect("it ends");
    Shown { text: String::from_utf8(shown).expect("text"), status }
}

fn pair() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let terminal =
        rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("opened");
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).expect("sized");
    (master, terminal)
}

impl Shown {
    /// No line is wider than the terminal, and nothing but colours and the clearing of a line is an escape sequence.
    #[track_caller]
    pub(super) fn fits(&self, what: &str) {
        for line in self.text.split('\n') {
            // What a carriage return overwrites is a line of its own.
            for line in line.split('\r') {
                let plain = plain(line);
                let moves = |char: char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char);
                assert!(!plain.contains(moves), "{what}: {line:?}");
                let width = plain.width();
                assert!(width <= usize::from(COLUMNS), "{what}: {width} columns: {plain}");
            }
        }
    }
}

/// Without colours.
pub(super) fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = behind.find(|char: char| char.is_ascii_alphabetic()).expect("an end");
        assert!(matches!(behind.as_bytes()[end], b'm' | b'K'), "{line:?}");
        rest = &behind[end + 1..];
    }
    plain + rest
}
