//! The stage: a folder with everything an installation has, the relay, and what stands behind it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use tempfile::TempDir;

use super::inside::Inside;
use super::journal::{Journal, journal};
use super::{DemoError, Settings};
use crate::base::{Clock, Secret};
use crate::cli::authority;
use crate::cli::sender::Trust;
use crate::cli::terminal::NewFile;
use crate::config::Environment;
use crate::control::app::{self, Options, Running, StartError};
use crate::control::reload::Watching;
use crate::control::service::Service;
use crate::observe::Sink;

/// How often another port is tried when somebody was faster.
const TRIES: usize = 5;
/// A demo that nobody ends outlives no certificate.
const DAYS: i64 = 90;

/// The systems' secrets, new for each demo.
pub(super) struct Secrets {
    pub(super) github: Secret,
    pub(super) stripe: Secret,
    pub(super) oktave: Secret,
    pub(super) dastra: Secret,
    /// What senders must show at the route that behaves as an Octolis endpoint.
    pub(super) octolis: Secret,
    /// What the relay must show at an endpoint of Octolis.
    pub(super) endpoint: Secret,
    /// What the store is sealed with.
    pub(super) store: Secret,
}

/// Everything that the demo stands on. The folder goes when it is dropped.
pub(super) struct Stage {
    pub(super) relay: SocketAddr,
    pub(super) admin: PathBuf,
    pub(super) application: Inside,
    pub(super) endpoint: Inside,
    pub(super) secrets: Secrets,
    pub(super) journal: Journal,
    pub(super) trust: Trust,
    pub(super) clock: Clock,
    pub(super) running: Running,
    folder: TempDir,
}

impl Stage {
    pub(super) async fn set(settings: &Settings) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("dmz-relay-demo-").tempdir();
        let folder = folder.map_err(|error| DemoError::Io("temporary folder", error))?;
        let secrets = Secrets::new()?;
        let endpoint = Inside::start(Some(secrets.endpoint.clone())).await?;
        let application = Inside::start(None).await?;
        let clock = Clock::system();
        certificates(folder.path(), &clock)?;
        secrets.write(folder.path()).map_err(|error| DemoError::Io("temporary folder", error))?;
        let (running, journal, admin) =
            start(settings, folder.path(), &clock, application.address, endpoint.address).await?;
        fs::write(
            folder.path().join("second.toml"),
            second_toml(&folder.path().join("second.sock"), application.address),
        )
        .map_err(|error| DemoError::Io("temporary folder", error))?;
        let relay = running.listeners.first().map(|(_, address)| *address);
        let none = || DemoError::Io("relay", io::ErrorKind::AddrNotAvailable.into());
        let trust = Trust::authorities(&folder.path().join("ca.crt")).map_err(DemoError::Trust)?;
        Ok(Self {
            relay: relay.ok_or_else(none)?,
            admin,
            application,
            endpoint,
            secrets,
            journal,
            trust,
            clock,
            running,
            folder,
        })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the configuration, for tests. Whoever is first, the watcher or this, the new one is in force after it.
    #[cfg(test)]
    pub(super) async fn rewrite(&self, change: impl Fn(&str) -> String) {
        let config = self.file("relay.toml");
        let text = fs::read_to_string(&config).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text);
        fs::write(&config, changed).unwrap();
        let outcome = self.running.reload().await.unwrap();
        assert!(!matches!(outcome, app::ReloadOutcome::Kept(_)), "{outcome:?}");
    }

    /// Ends the relay as a service manager would.
    pub(super) async fn strike(self) {
        self.running.stop().await;
    }
}

impl Secrets {
    fn new() -> Result<Self, DemoError> {
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        let fresh = || {
            let mut bytes = [0; 24];
            random.fill(&mut bytes).map_err(|_| DemoError::Random)?;
            Ok(Secret::new(HEXLOWER.encode(&bytes).into_bytes()))
        };
        // Stripe's look like this, prefix included.
        let stripe = Secret::new([b"whsec_", fresh()?.expose()].concat());
        let (github, oktave, dastra, octolis) = (fresh()?, fresh()?, fresh()?, fresh()?);
        Ok(Self { github, stripe, oktave, dastra, octolis, endpoint: fresh()?, store: fresh()? })
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let folder = folder.join("secrets");
        fs::create_dir(&folder)?;
        for (name, secret) in [
            ("github", &self.github),
            ("stripe", &self.stripe),
            ("oktave", &self.oktave),
            ("dastra", &self.dastra),
            ("octolis", &self.octolis),
            ("octolis-endpoint", &self.endpoint),
            ("store", &self.store),
        ] {
            NewFile::write(&folder.join(name), secret.expose())?;
        }
        Ok(())
    }
}

/// An authority of our own, and a certificate by it, as an internal authority would give one out.
fn certificates(folder: &Path, clock: &Clock) -> Result<(), DemoError> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issued = authority::issue("dmz-relay demo authority", &names, clock.now(), DAYS);
    let issued = issued.map_err(DemoError::Certificate)?;
    let write = || {
        fs::write(folder.join("ca.crt"), issued.authority)?;
        fs::write(folder.join("relay.crt"), issued.certificate)?;
        NewFile::write(&folder.join("relay.key"), issued.key.as_bytes())
    };
    write().map_err(|error| DemoError::Io("temporary folder", error))
}

/// The port is the kernel's choice, and stands in the file, so that `send` and `status` find the relay by it. Between the
/// choice and the start somebody else may take it; then another is chosen.
async fn start(
    settings: &Settings,
    folder: &Path,
    clock: &Clock,
    application: SocketAddr,
    endpoint: SocketAddr,
) -> Result<(Running, Journal, PathBuf), DemoError> {
    let (config, admin) = (folder.join("relay.toml"), folder.join("admin.sock"));
    let mut tries = 0;
    loop {
        tries += 1;
        let public = port(settings.port).map_err(|error| DemoError::Io("no free port", error))?;
        let text = relay_toml(public, &admin, application, endpoint);
        fs::write(&config, text).map_err(|error| DemoError::Io("temporary folder", error))?;
        let (tap, journal) = journal();
        let options = Options {
            config: config.clone(),
            environment: Environment::default(),
            clock: clock.clone(),
            sink: Sink::to(tap),
            sockets: Vec::new(),
            service: Service::unmanaged(),
            watching: Watching::Notices,
        };
        match Box::pin(app::start(options)).await {
            Ok(running) => return Ok((running, journal, admin)),
            Err(StartError::Bind { .. } | StartError::Admin(_)) if tries < TRIES && settings.port.is_none() => {}
            Err(error) => return Err(DemoError::Start(Box::new(error))),
        }
    }
}

/// A port that is free at this moment.
fn port(wanted: Option<u16>) -> io::Result<SocketAddr> {
    let mut public = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    public.set_port(wanted.filter(|port| *port != 0).unwrap_or(public.port()));
    Ok(public)
}

fn relay_toml(public: SocketAddr, admin: &Path, application: SocketAddr, endpoint: SocketAddr) -> String {
    let admin = admin.display();
    format!(
        r#"# Written by `dmz-relay demo`. Edit it while the demo runs: the relay notices.
[[listeners]]
name = "public"
address = "{public}"
tls = {{ certificates = [{{ chain = "relay.crt", key = "relay.key" }}] }}

[admin]
address = "unix:{admin}"

[log]
format = "json"
refusals_per_second = 1000

[store]
sqlite = {{ path = "relay.db" }}
encryption_key = {{ file = "secrets/store" }}

[upstreams.application]
servers = ["http://{application}"]

[upstreams.octolis-endpoint]
servers = ["http://{endpoint}"]

[routes.github]
description = "GitHub: signs its body"
path = "/hooks/github"
provider = "github"
secrets = [{{ file = "secrets/github" }}]
upstream = "application"
# Refused ones are kept whole, so that `explain` can look for the cause.
keep_body = true

[routes.stripe]
description = "Stripe: signs its time and its body"
path = "/hooks/stripe"
provider = "stripe"
secrets = [{{ file = "secrets/stripe" }}]
upstream = "application"

[routes.oktave]
description = "Oktave: signs its event id and its time"
path = "/hooks/oktave"
provider = "oktave"
secrets = [{{ file = "secrets/oktave" }}]
upstream = "application"

[routes.dastra]
description = "Dastra: signs its body"
path = "/hooks/dastra"
provider = "dastra"
secrets = [{{ file = "secrets/dastra" }}]
# The addresses that Dastra publishes, and this machine, which plays Dastra here.
allow = ["@dastra", "127.0.0.1"]
upstream = "application"
# What had to be stored arrives in the order in which it came.
ordered = true

[routes.dastra-only]
description = "Dastra, from its published addresses and no other, as a real installation has it"
path = "/hooks/dastra-only"
provider = "dastra"
secrets = [{{ file = "secrets/dastra" }}]
allow = ["@dastra"]
upstream = "application"

[routes.octolis]
description = "An endpoint as Octolis offers it: methods, a header with its values, a key in the query"
path = "/hooks/octolis"
provider = "octolis"
methods = ["POST", "PUT", "PATCH"]
headers = {{ "X-Tenant" = ["north", "south"] }}
secrets = [{{ file = "secrets/octolis" }}]
upstream = "application"
# Impatient, so that the demo need not wait for a dead letter.
retry = {{ first = "20ms", attempts = 2 }}

[routes.oktave-to-octolis]
description = "Oktave's events, handed on to an Octolis endpoint, whose key only the relay knows"
path = "/hooks/oktave-to-octolis"
provider = "oktave"
secrets = [{{ file = "secrets/oktave" }}]
upstream = "octolis-endpoint"
upstream_path = "/endpoint"
upstream_query = {{ "api-key" = {{ file = "secrets/octolis-endpoint" }} }}
"#
    )
}

/// Of the relay that is killed, and whose store is filled.
fn second_toml(admin: &Path, application: SocketAddr) -> String {
    let admin = admin.display();
    format!(
        r#"# Written by `dmz-relay demo`, for its second relay.
[[listeners]]
name = "public"
address = "127.0.0.1:0"
tls = {{ certificates = [{{ chain = "relay.crt", key = "relay.key" }}] }}

[admin]
address = "unix:{admin}"

[log]
format = "json"

[limits]
max_body = "2MiB"

[store]
sqlite = {{ path = "second.db" }}
# As little as there may be, so that it is full soon.
keep = {{ size = "16MiB" }}
disk_reserve = "0B"

[upstreams.application]
servers = ["http://{application}"]

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{{ file = "secrets/github" }}]
max_body = "2MiB"
upstream = "application"
delivery = "queue"

[routes.stripe]
path = "/hooks/stripe"
provider = "stripe"
secrets = [{{ file = "secrets/stripe" }}]
upstream = "application"
delivery = "queue"
"#
    )
}
