//! `init`: the first configuration of a host: a short relay.toml, its folders with owner and mode, and the next commands.
//!
//! It replaces nothing: a configuration that is there already ends it before anything is made.

mod text;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use zeroize::Zeroizing;

use super::grammar::{Format, Init};
use super::verify::unknown_provider;
use super::{Exit, Unusable, say_json};
use crate::base::Clock;
use crate::cli::authority;
use crate::cli::terminal::{NewFile, Palette, tell};
use crate::config::host_name::host_name;
use crate::config::recipe::{Recipe, builtin};
use crate::config::server_problem;

/// The group that reads the configuration; `systemd/sysusers.conf` makes it.
const GROUP: &str = "dmz-relay";
/// Readable to the relay's group, not to others; the umask of whoever calls does not matter.
const FOLDER: u32 = 0o750;
const FILE: u32 = 0o640;
/// A private certificate lasts a year.
const DAYS: i64 = 365;
/// More than any provider's secret has.
const SECRET: u64 = 64 * 1024;

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    config: PathBuf,
    /// What the commands to come are about.
    route: String,
    /// A private certificate was made, which providers on the internet will not trust.
    private_certificate: bool,
    /// The secret was read from standard input.
    secret: bool,
    /// The secret is a public key: nobody here can sign for it.
    public_key: bool,
    /// Files belong to the relay's group: `false` where there is no such group, or nobody who may give files away.
    group: bool,
    next: Vec<String>,
}

pub(super) fn init(args: &Init, format: Format) -> Result<Exit, Unusable> {
    let recipe = builtin(&args.provider).ok_or_else(|| unknown_provider(&args.provider))?;
    let config = args.dir.join("relay.toml");
    if config.symlink_metadata().is_ok() {
        return Err(format!("{} is there already; it was left as it is", config.display()).into());
    }
    let host = host(&args.host)?;
    if let Some((why, help)) = server_problem(&args.upstream) {
        return Err(format!("--upstream: \"{}\": {why}; {help}", args.upstream).into());
    }
    let text = text::relay_toml(&recipe, &host, args);
    let secret = if args.secret_stdin { Some(read_secret()?) } else { None };
    let made = make(args, &recipe, &host, &text, secret.as_deref().map(Vec::as_slice))?;
    match format {
        Format::Json => say_json(&made)?,
        Format::Human => tell(&text::made(&made, Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

/// As the URL has it that the provider is given.
fn host(text: &str) -> Result<String, Unusable> {
    match host_name(text) {
        Ok(name) => Ok(name.into_string()),
        Err((why, help)) => Err(format!("--host: \"{text}\" is not a host: {why}; {help}").into()),
    }
}

/// The secret, without the line feed that a terminal or a file puts behind it.
fn read_secret() -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let mut secret = Zeroizing::new(Vec::with_capacity(4096));
    let read = io::stdin().lock().take(SECRET).read_to_end(&mut secret);
    read.map_err(|error| format!("cannot read the secret from standard input: {error}"))?;
    let end = secret.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    secret.truncate(end);
    if secret.is_empty() {
        return Err("there is no secret on standard input".into());
    }
    Ok(secret)
}

fn make(args: &Init, recipe: &Recipe, host: &str, text: &str, secret: Option<&[u8]>) -> Result<Made, Unusable> {
    let route = recipe.id.to_string();
    let owner = Owner::find();
    let dir = &args.dir;
    for folder in [dir.clone(), dir.join("certs"), dir.join("secrets"), dir.join("lists")] {
        owner.folder(&folder)?;
    }
    if let Some(secret) = secret {
        owner.file(&dir.join("secrets").join(&route), secret)?;
    }
    if args.private_certificate {
        let name = format!("dmz-relay authority of {host}");
        // A certificate has an address of IPv6 without brackets.
        let subject = host.trim_matches(['[', ']']).to_owned();
        let issued = authority::issue(&name, &[subject], Clock::system().now(), DAYS)
            .map_err(|error| format!("cannot make a certificate: {error}"))?;
        let certs = dir.join("certs");
        owner.file(&certs.join("ca.crt"), issued.authority.as_bytes())?;
        owner.file(&certs.join("relay.crt"), issued.certificate.as_bytes())?;
        owner.file(&certs.join("relay.key"), issued.key.as_bytes())?;
    }
    let config = dir.join("relay.toml");
    owner.file(&config, text.as_bytes())?;
    let mut made = Made {
        config,
        route,
        private_certificate: args.private_certificate,
        secret: secret.is_some(),
        public_key: recipe.scheme.takes_public_keys(),
        group: owner.group.is_some(),
        next: Vec::new(),
    };
    made.next = text::next(&made, dir);
    Ok(made)
}

/// To whose group folders and files are given.
struct Owner {
    group: Option<u32>,
}

impl Owner {
    /// The relay's group, where there is one and the caller is root.
    fn find() -> Self {
        let root = rustix::process::geteuid().is_root();
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let id = |line: &str| {
            let mut fields = line.split(':');
            (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?
        };
        Self { group: groups.lines().find_map(id).filter(|_| root) }
    }

    /// Makes a folder that is not there yet. One that is there keeps its owner and mode.
    fn folder(&self, path: &Path) -> Result<(), Unusable> {
        let failed = |error| format!("cannot make {}: {error}", path.display());
        match DirBuilder::new().mode(FOLDER).create(path) {
            Ok(()) => self.give(path, FOLDER).map_err(|error| failed(error).into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(failed(error).into()),
        }
    }

    /// Writes a file that is not there yet, and follows no link.
    fn file(&self, path: &Path, bytes: &[u8]) -> Result<(), Unusable> {
        let write = || {
            let mut file = NewFile::create(path)?;
            file.write_all(bytes)?;
            file.share(self.group, FILE)?;
            file.sync()?;
            file.place()
        };
        write().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{} is there already; it was left as it is", path.display()).into(),
            _ => format!("cannot write {}: {error}", path.display()).into(),
        })
    }

    /// Shares a folder that was just made. It is opened for that: whoever may write beside it may have put a link in its place.
    fn give(&self, path: &Path, mode: u32) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if self.group.is_some() {
            fchown(&folder, None, self.group)?;
        }
        folder.set_permissions(Permissions::from_mode(mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for (given, taken) in
            [("Hooks.Example.com.", "hooks.example.com"), ("192.0.2.1", "192.0.2.1"), ("relay", "relay")]
        {
            assert_eq!(host(given).unwrap_or_else(|why| panic!("{given}: {}", why.0)), taken);
        }
        for wrong in
            ["", "https://hooks.example.com", "hooks.example.com:443", "a..b", "-a.example", "a b", "*.example.com"]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
