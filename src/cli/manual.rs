//! `completions` and `man`: made from the grammar, so that they cannot disagree with it.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;

use super::grammar::{Cli, Completions, Man};
use super::{Exit, Unusable};
use crate::terminal::{NewFile, say};

pub(super) fn completions(args: &Completions) -> Result<Exit, Unusable> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dmz-relay", &mut script);
    say(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}

pub(super) fn man(args: &Man) -> Result<Exit, Unusable> {
    match &args.dir {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let mut command = Cli::command().disable_help_subcommand(true);
            command.build();
            pages(command, folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| format!("cannot write the page: {error}"))?;
            say(&String::from_utf8_lossy(&page));
        }
    }
    Ok(Exit::Fine)
}

/// A page for a command and one for each below it.
fn pages(command: clap::Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()).cloned() {
        pages(below, folder)?;
    }
    let page = clap_mangen::Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    NewFile::publish(&folder.join(page.get_filename()), &text)
}
