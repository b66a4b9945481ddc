//! Which configuration or relay a command means, and the few things that can be read from one without all of it being right.

use std::io;
use std::path::{Path, PathBuf};

use super::Unusable;
use super::grammar::{Config, Relay};
use crate::base::Clock;
use crate::base::named_in;
use crate::config::source::Unit;
use crate::config::{self, Environment, Loaded, Report};
use crate::runtime::snapshot::AdminAddress;
use crate::runtime::state::State;

const INSTALLED: &str = "/etc/dmz-relay/relay.toml";
/// Where the socket stands by what is shipped: members of its group may use it, and may not read [`INSTALLED`].
const SOCKET: &str = "/run/dmz-relay/admin.sock";
const LOCAL: &str = "relay.toml";

impl Config {
    /// The file that is meant.
    pub(super) fn path(&self) -> PathBuf {
        match &self.config {
            Some(path) => path.clone(),
            // Whoever may not look into the folder means this file too, and gets the error that it may not be read.
            None if !matches!(Path::new(INSTALLED).try_exists(), Ok(false)) => PathBuf::from(INSTALLED),
            None => PathBuf::from(LOCAL),
        }
    }

    /// The whole configuration, as `run` would have it.
    pub(super) fn load(&self) -> Result<Loaded, Report> {
        config::load(&self.path(), &Environment::of_process(), &State::default(), Clock::system().now())
    }

    /// The same for `check`, to which what the unit gives to the process is out of reach where it is called manually.
    pub(super) fn load_to_check(&self, unit: Unit) -> Result<Loaded, Report> {
        let environment = Environment::of_process().outside_the_unit(unit);
        config::load(&self.path(), &environment, &State::default(), Clock::system().now())
    }

    /// The same, for commands that need it and have nothing more to say of its problems.
    pub(super) fn load_or_explain(&self) -> Result<Loaded, Unusable> {
        self.load().map_err(|report| Unusable(format!("the configuration is not usable\n{report}")))
    }

    /// The configuration as far as whoever asks may read it: secrets that are out of reach leave the rest usable.
    pub(super) fn load_for_explaining(&self) -> Result<Loaded, Unusable> {
        let environment = Environment::of_process().with_gaps();
        let loaded = config::load(&self.path(), &environment, &State::default(), Clock::system().now());
        loaded.map_err(|report| Unusable(format!("the configuration is not usable\n{report}")))
    }
}

impl Relay {
    /// Where the admin listener stands. Reads nothing but its address: whoever asks for the status may not read secrets.
    pub(super) fn address(&self) -> Result<AdminAddress, Unusable> {
        match &self.admin {
            Some(text) => parse_admin(text),
            None => configured_admin(&self.config.path()),
        }
    }
}

/// The file of the configured store. Reads nothing else: a configuration that is wrong elsewhere is why somebody asks.
pub(super) fn configured_store(path: &Path) -> Option<PathBuf> {
    let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let store = table.get("store")?.get("sqlite")?.get("path")?.as_str()?;
    Some(named_in(path, store))
}

fn configured_admin(path: &Path) -> Result<AdminAddress, Unusable> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Whoever may not look into the socket's folder either receives the advice that belongs to that.
            if path == Path::new(INSTALLED) && !matches!(Path::new(SOCKET).try_exists(), Ok(false)) {
                return Ok(AdminAddress::Unix(PathBuf::from(SOCKET)));
            }
            let advice = "name the relay with --admin ADDRESS or DMZ_RELAY_ADMIN, or ask as a user who may read it";
            return Err(format!("{shown}: permission denied; {advice}").into());
        }
        Err(error) => {
            let advice = "name the file with --config, or the relay with --admin or DMZ_RELAY_ADMIN";
            return Err(format!("{shown}: {error}; {advice}").into());
        }
    };
    let table: toml::Table =
        text.parse().map_err(|_| format!("{shown} is not TOML; name the relay with --admin ADDRESS"))?;
    let address = table.get("admin").and_then(|admin| admin.get("address")).and_then(|address| address.as_str());
    match address {
        Some(address) => parse_admin(address),
        None => Err(format!("{shown} has no [admin] address, so the relay answers nobody; add one").into()),
    }
}

fn parse_admin(text: &str) -> Result<AdminAddress, Unusable> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(AdminAddress::Unix(PathBuf::from(path)));
    }
    match text.parse() {
        Ok(address) => Ok(AdminAddress::Tcp(address)),
        Err(_) => Err(format!("\"{text}\" is no admin address; expected ADDRESS:PORT or unix:/PATH").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_has_two_forms() {
        assert_eq!(parse_admin("[::1]:9600").unwrap(), AdminAddress::Tcp("[::1]:9600".parse().unwrap()));
        assert_eq!(parse_admin("unix:/run/x").unwrap(), AdminAddress::Unix("/run/x".into()));
        assert!(parse_admin("localhost").is_err());
    }

    #[test]
    fn the_rest_of_the_file_may_be_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, "[admin]\naddress = \"127.0.0.1:9600\"\n[routes.x]\noops = 1\n").unwrap();
        assert_eq!(configured_admin(&path).unwrap(), AdminAddress::Tcp("127.0.0.1:9600".parse().unwrap()));
        std::fs::write(&path, "[admin\n").unwrap();
        assert!(configured_admin(&path).unwrap_err().0.contains("--admin"));
    }
}
