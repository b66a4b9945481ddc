//! `completions` and `man`: made from the grammar and the reference pages, so that they cannot disagree with them.

mod markdown;
mod page;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::env::{CompleteEnv, Shells};

use super::grammar::{Cli, Completions, Man};
use super::{Exit, Unusable};
use crate::cli::terminal::{NewFile, say};

/// The variable by which a completion script asks this program for suggestions. Not the library's own name for it: another program's
/// setting must never keep a relay from starting.
const ASKED: &str = "DMZ_RELAY_COMPLETE";

/// Answers a shell that asks what may come next; `false`: none asked.
pub(super) fn suggested() -> clap::error::Result<bool> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(command).var(ASKED).try_complete(std::env::args_os(), folder.as_deref())
}

/// The script that makes a shell ask.
pub(super) fn completions(args: &Completions) -> Result<Exit, Unusable> {
    const NAME: &str = "dmz-relay";
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).ok_or_else(|| format!("there are no completions for {shell}"))?;
    let mut script = Vec::new();
    let written = completer.write_registration(ASKED, NAME, NAME, NAME, &mut script);
    written.map_err(|error| format!("cannot write the script: {error}"))?;
    say(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}

pub(super) fn man(args: &Man) -> Result<Exit, Unusable> {
    match &args.dir {
        Some(folder) => {
            let config = page::of_config();
            let written = section(folder, "man1")
                .and_then(|commands| pages(command(), &commands))
                .and_then(|()| section(folder, "man5"))
                .and_then(|files| NewFile::publish(&files.join("relay.toml.5"), config.as_bytes()));
            written.map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        None => {
            let page = page::of_command(command()).map_err(|error| format!("cannot write the page: {error}"))?;
            say(&String::from_utf8_lossy(&page));
        }
    }
    Ok(Exit::Fine)
}

/// The folder of one section, which `man` looks into. Everybody may read it, whatever the caller's umask.
fn section(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let section = folder.join(name);
    if !section.is_dir() {
        std::fs::create_dir_all(&section)?;
        std::fs::set_permissions(&section, Permissions::from_mode(0o755))?;
    }
    Ok(section)
}

/// A page for a command and one for each below it.
fn pages(command: clap::Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()).cloned() {
        pages(below, folder)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    NewFile::publish(&folder.join(format!("{name}.1")), &page::of_command(command)?)
}

/// The grammar, with the full names of its commands. `help` has no page of its own.
fn command() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}
