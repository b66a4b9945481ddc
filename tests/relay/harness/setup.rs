//! A `relay.toml` and the files it names.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Authority;

/// A route that verifies nothing.
pub const PLAIN: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
"#;

#[derive(Clone)]
pub struct Setup {
    /// Keys above every section.
    pub top: String,
    /// Further keys of the listener.
    pub listener: String,
    /// Further keys of its TLS.
    pub tls: String,
    /// `certificates`, as TOML; the files must be among `files`.
    pub certificates: String,
    /// Keys of `[limits]`, and `drain_timeout`.
    pub limits: String,
    pub drain: String,
    /// `[admin]`.
    pub admin: String,
    /// Further keys of `[upstreams.app]`.
    pub app: String,
    /// Routes and whatever else.
    pub rest: String,
    /// By name; all of them private.
    pub files: Vec<(String, Vec<u8>)>,
    pub variables: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::routes(PLAIN)
    }
}

impl Setup {
    pub fn routes(rest: &str) -> Self {
        Self {
            top: String::new(),
            listener: String::new(),
            tls: String::new(),
            certificates: r#"[{ chain = "certs/relay.crt", key = "certs/relay.key" }]"#.into(),
            limits: String::new(),
            drain: "30s".into(),
            admin: "[admin]\naddress = \"unix:{folder}/admin.sock\"\nscrape_address = \"127.0.0.1:0\"".into(),
            app: String::new(),
            rest: rest.into(),
            files: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Routes before a store.
    pub fn stored(rest: &str) -> Self {
        Self::stored_with("", rest)
    }

    /// The same, with further keys of the store.
    pub fn stored_with(keys: &str, rest: &str) -> Self {
        Self::routes(&format!(
            "[store]\nsqlite = {{ path = \"{{folder}}/relay.db\" }}\ndisk_reserve = \"0B\"\n\
             refusals_per_second = 100000\n{keys}\n{rest}"
        ))
    }

    pub fn listener(mut self, keys: &str) -> Self {
        self.listener = keys.into();
        self
    }

    pub fn tls(mut self, keys: &str) -> Self {
        self.tls = keys.into();
        self
    }

    pub fn limits(mut self, keys: &str) -> Self {
        self.limits = keys.into();
        self
    }

    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((name.into(), content.as_ref().to_vec()));
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn toml(&self, app: SocketAddr) -> String {
        let Self { top, listener, tls, certificates, drain, admin, app: more, rest, .. } = self;
        let limits = self.patient();
        format!(
            "{top}\n[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\n{listener}\n\
             [listeners.tls]\ncertificates = {certificates}\n{tls}\n\
             {admin}\n\
             [log]\nformat = \"json\"\nrefusals_per_second = 100000\n\
             [limits]\ndrain_timeout = \"{drain}\"\n{limits}\n\
             [upstreams.app]\nservers = [\"http://{app}\"]\n{more}\n{rest}"
        )
    }

    /// `[limits]`: where a test does not mean a deadline, no busy machine runs into it.
    fn patient(&self) -> String {
        let mut limits = self.limits.clone();
        for deadline in ["handshake_timeout", "head_timeout", "body_timeout", "write_timeout"] {
            if !limits.contains(deadline) {
                limits = format!("{deadline} = \"1m\"\n{limits}");
            }
        }
        limits
    }

    /// Everything, for a first start.
    pub fn write(&self, folder: &Path, authority: &Authority, app: SocketAddr) {
        let pair = authority.issue(&["relay.example", "other.example", "*.wild.example"]);
        replace(&folder.join("certs/relay.crt"), pair.chain.as_bytes());
        replace(&folder.join("certs/relay.key"), pair.key.as_bytes());
        self.write_config(folder, app);
    }

    /// What a test may have changed.
    pub fn write_config(&self, folder: &Path, app: SocketAddr) {
        for (name, content) in &self.files {
            replace(&folder.join(name), content);
        }
        let toml = self.toml(app).replace("{folder}", folder.to_str().unwrap());
        replace(&folder.join("relay.toml"), toml.as_bytes());
    }
}

/// Beside it, then in its place: no reader sees half a file.
pub fn replace(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).unwrap();
    file.write_all(content).unwrap();
    fs::rename(beside, path).unwrap();
}
