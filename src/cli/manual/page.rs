//! One page of the manual: the grammar's own sections, then what `docs/cli.md` and `docs/config.md` say.

use std::fmt::Write as _;
use std::io;

use clap::Command;
use clap_mangen::Man;

use super::markdown::roff;

const CLI: &str = include_str!("../../../docs/cli.md");
const CONFIG: &str = include_str!("../../../docs/config.md");

const ENVIRONMENT: &str = "\
| `DMZ_RELAY_CONFIG` | The configuration, where `--config` does not say it. |
| `DMZ_RELAY_ADMIN` | The admin listener, where `--admin` does not say it. |
| `NO_COLOR` | Set and not empty: no colours. |
| `COLUMNS` | The width that output is made for, in place of the terminal's own. |
| `CREDENTIALS_DIRECTORY` | Where systemd puts the credentials that `{ credential = … }` names. |
";
const FILES: &str = "\
| `/etc/dmz-relay/relay.toml` | The configuration, if no other is named. |
| `./relay.toml` | The configuration where that one is not there. |
| `/run/dmz-relay/admin.sock` | The admin socket, for members of the group `dmz-relay-admin`. |
| `/var/lib/dmz-relay/relay.db` | The store, as the shipped configuration has it. |
";

/// The page of a command, whose full name is `dmz-relay-events-list`.
pub(super) fn of_command(command: Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let below: Vec<String> = command.get_subcommands().map(|below| format!("{name}-{}", below.get_name())).collect();
    let words = name.strip_prefix("dmz-relay-").map(|words| words.replace('-', " "));
    let page = Man::new(command.after_help("").after_long_help("")).manual("dmz-relay");
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    let section = words.as_deref().and_then(section);
    out.extend(b".PP\n");
    out.extend(roff(&section.map_or_else(general, prose)).as_bytes());
    page.render_options_section(&mut out)?;
    if !below.is_empty() {
        page.render_subcommands_section(&mut out)?;
    }
    let mut text = String::new();
    heading(&mut text, "EXIT STATUS", &exit_status(section));
    heading(&mut text, "ENVIRONMENT", ENVIRONMENT);
    heading(&mut text, "FILES", FILES);
    heading(&mut text, "EXAMPLES", &section.map_or_else(first_hour, examples));
    let parent = name.rsplit_once('-').map(|(parent, _)| parent.to_owned()).filter(|_| name != "dmz-relay");
    let parent = parent.map(|parent| if parent == "dmz" { "dmz-relay".to_owned() } else { parent });
    let mut others: Vec<String> = parent.into_iter().chain(below).map(|name| format!("`{name}`(1)")).collect();
    others.push("`relay.toml`(5)".to_owned());
    heading(&mut text, "SEE ALSO", &others.join(", "));
    out.extend(text.as_bytes());
    Ok(out)
}

/// `relay.toml(5)`: every key.
pub(super) fn of_config() -> String {
    let mut text = format!(".TH relay.toml 5 \"\" \"dmz-relay {}\" \"dmz-relay\"\n", env!("CARGO_PKG_VERSION"));
    text.push_str(".SH NAME\nrelay.toml \\- the configuration of dmz\\-relay\n.SH DESCRIPTION\n");
    text.push_str(&roff(CONFIG));
    heading(&mut text, "FILES", FILES);
    heading(
        &mut text,
        "EXAMPLES",
        "`dmz-relay init` writes a first file; `dmz-relay check` says what is wrong with one.",
    );
    heading(&mut text, "SEE ALSO", "`dmz-relay`(1), `dmz-relay-check`(1), `dmz-relay-init`(1), `dmz-relay-schema`(1)");
    text
}

fn heading(out: &mut String, heading: &str, markdown: &str) {
    if !markdown.trim().is_empty() {
        let _ = write!(out, ".SH \"{heading}\"\n{}", roff(markdown));
    }
}

/// What `docs/cli.md` says of a command.
fn section(command: &str) -> Option<&'static str> {
    let (_, rest) = CLI.split_once(&format!("\n## `{command}`\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

/// What it says of all of them.
fn general() -> String {
    let before = CLI.split("\n## Exit codes").next().unwrap_or_default();
    before.replace("\n## ", "\n### ")
}

/// The sentences of a section: options, synopsis and exit codes have sections of the page, examples as well.
fn prose(section: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    for line in section.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if !code && !line.starts_with('|') && !line.starts_with("Exit codes:") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The blocks of code that begin with a command typed at a prompt.
fn examples(section: &str) -> String {
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.filter(|block| block.trim_start().starts_with("$ ")).map(|block| format!("```{block}```\n")).collect()
}

/// The ways in: each has a page with more.
fn first_hour() -> String {
    "```\n\
     $ dmz-relay demo --once\n\
     $ dmz-relay init --provider github --upstream http://10.0.1.20:8080 --host hooks.example.com\n\
     $ dmz-relay check\n\
     $ dmz-relay send github\n\
     $ dmz-relay status\n\
     $ dmz-relay events list --outcome refused --since 2h\n\
     ```\n"
        .to_owned()
}

fn exit_status(section: Option<&str>) -> String {
    let own = section.and_then(|section| section.lines().find_map(|line| line.strip_prefix("Exit codes:")));
    match own {
        Some(own) => own.trim().to_owned(),
        None => {
            let table = CLI.split_once("\n## Exit codes\n").map_or("", |(_, rest)| rest);
            table.split("\n## ").next().unwrap_or_default().to_owned()
        }
    }
}
