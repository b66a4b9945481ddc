//! A folder with everything that fixtures refer to, made anew for each test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use dmz_relay::base::UnixMillis;
use dmz_relay::config::{Environment, Loaded, Report, load};
use dmz_relay::runtime::state::State;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// 2026-06-01 12:00 UTC: when every fixture is read.
pub const NOW: UnixMillis = UnixMillis(1_780_315_200_000);
/// Stands in every secret; must stand nowhere else.
pub const CANARY: &str = "canary-7f3a";

pub struct Material {
    folder: tempfile::TempDir,
    environment: Environment,
    state: State,
}

impl Material {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let material = Self { environment: environment(folder.path()), folder, state: State::default() };
        for part in ["certs", "secrets", "lists", "credentials", "open"] {
            fs::create_dir(material.path(part)).expect("a folder");
        }
        fs::set_permissions(material.path("open"), fs::Permissions::from_mode(0o777)).expect("sets the mode");
        material.put("open/relay.db", "", 0o644);
        material.secrets();
        material.lists();
        material.certificates();
        material
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn put(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(name);
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
    }

    /// Loads a text as this folder's `relay.toml`.
    pub fn load(&self, text: impl AsRef<[u8]>) -> Result<Loaded, Report> {
        self.put("relay.toml", text, 0o644);
        load(&self.path("relay.toml"), &self.environment, &self.state, NOW)
    }

    /// A report without the folder's name, which is another one each time.
    pub fn told(&self, text: impl std::fmt::Display) -> String {
        text.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn secrets(&self) {
        let secret = |name: &str| format!("{CANARY}-{name}-0123456789abcdef");
        self.put("secrets/good", secret("good") + "\n", 0o640);
        self.put("secrets/second", secret("second"), 0o600);
        self.put("open/secret", secret("open-folder"), 0o600);
        self.put("secrets/short", "canary-7f3a", 0o600);
        self.put("secrets/empty", "", 0o600);
        self.put("secrets/newline", "\n", 0o600);
        self.put("secrets/open", secret("open"), 0o644);
        self.put("secrets/writable", secret("writable"), 0o602);
        self.put("secrets/lines", format!("{CANARY}\n{CANARY}"), 0o600);
        self.put("secrets/big", CANARY.repeat(6000), 0o600);
        self.put("secrets/blanks", "                    \n", 0o600);
        self.put("secrets/two-lines", format!("{}\n{}\n", secret("first"), secret("other")), 0o600);
        self.put("secrets/assigned", format!("WEBHOOK_SECRET={}\n", secret("assigned")), 0o600);
        self.put("secrets/marked", format!("\u{feff}{}\n", secret("marked")), 0o600);
        let wide: Vec<u8> = secret("wide").encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.put("secrets/utf16", wide, 0o600);
        let encoded = BASE64.encode(secret("whsec").as_bytes());
        self.put("secrets/whsec", format!("whsec_{encoded}\n"), 0o600);
        self.put("secrets/bare", encoded, 0o600);
        self.put("secrets/whsec-broken", format!("whsec_{CANARY}"), 0o600);
        self.put("credentials/dastra", secret("dastra"), 0o440);
        // What the shipped relay.toml names.
        for name in ["oktave", "octolis", "dastra.old"] {
            self.put(&format!("secrets/{name}"), secret(name), 0o600);
        }
    }

    fn lists(&self) {
        self.put("lists/partners.txt", "# partners\n192.0.2.1\n\n2001:db8::/32 # one of them\n", 0o644);
        self.put("lists/broken.txt", "192.0.2.1\n192.0.2.300\n# fine\n10.0.0.1/8\n", 0o644);
        self.put("lists/latin1.txt", b"192.0.2.1\n# caf\xe9\n", 0o644);
        self.put("lists/prose.txt", "these are words\n".repeat(30), 0o644);
        self.put("lists/marked.txt", "\u{feff}192.0.2.1\n", 0o644);
        self.put("lists/nobody.txt", "# nobody yet\n", 0o644);
    }

    fn certificates(&self) {
        let key = KeyPair::generate().expect("a key");
        let other = KeyPair::generate().expect("a key");
        self.put("certs/relay.key", key.serialize_pem(), 0o600);
        self.put("certs/open.key", key.serialize_pem(), 0o644);
        self.put("certs/other.key", other.serialize_pem(), 0o600);
        let signed = |names: &[&str], from: i32, to: i32, month: u8| {
            let mut params = params(names);
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, month, 11);
            params.self_signed(&key).expect("signs").pem()
        };
        let names = ["hooks.example.com", "*.hooks.example.com"];
        let good = signed(&names, 2026, 2126, 1);
        self.put("certs/relay.crt", &good, 0o644);
        self.put("certs/expired.crt", signed(&names, 2025, 2026, 1), 0o644);
        self.put("certs/future.crt", signed(&names, 2027, 2028, 1), 0o644);
        self.put("certs/soon.crt", signed(&names, 2026, 2026, 6), 0o644);
        self.put("certs/nosan.crt", signed(&[], 2026, 2126, 1), 0o644);
        self.put("certs/garbage.crt", "not PEM at all\n", 0o600);
        let mut authority = params(&[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let authority_pem = authority.self_signed(&other).expect("signs").pem();
        self.put("certs/ca.crt", &authority_pem, 0o644);
        self.put("certs/disordered.crt", format!("{good}{authority_pem}"), 0o644);
        let issuer = Issuer::from_params(&authority, &other);
        let leaf = params(&names).signed_by(&key, &issuer).expect("signs").pem();
        self.put("certs/chain.crt", format!("{leaf}{authority_pem}"), 0o644);
        self.put("certs/leaf.crt", &leaf, 0o644);
        let whole = params(&names).self_signed(&key).expect("signs");
        self.put("certs/version1.crt", first_version(whole.der()), 0o644);
    }
}

/// A certificate as the first version of X.509 has it: without its version and without extensions. Its signature is not right any
/// more, which nobody who reads a certificate looks at.
fn first_version(der: &[u8]) -> String {
    let (whole, _) = value(der);
    let (tbs, rest) = value(whole);
    let mut parts = Vec::new();
    let mut left = tbs;
    while !left.is_empty() {
        let (_, after) = value(left);
        parts.push(&left[..left.len() - after.len()]);
        left = after;
    }
    // The version is the first part with the tag [0], the extensions are the last with [3].
    parts.retain(|part| part[0] != 0xa0 && part[0] != 0xa3);
    let tbs = sequence(&parts.concat());
    let text = BASE64.encode(&sequence(&[tbs.as_slice(), rest].concat()));
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("text")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The content of a DER value, and what follows it.
fn value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, from) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (&der[from..from + length], &der[from + length..])
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a small certificate").to_be_bytes();
    [&[0x30, 0x82][..], &length, content].concat()
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2026, 1, 1);
    // Handshakes are judged by the real clock: a century is enough.
    params.not_after = date_time_ymd(2126, 1, 1);
    params
}

fn environment(folder: &Path) -> Environment {
    let variables = [
        ("CRM_API_KEY".to_owned(), format!("{CANARY}-variable-0123456789").into_bytes()),
        ("EMPTY".to_owned(), Vec::new()),
    ];
    Environment::new(variables, Some(folder.join("credentials")))
}

/// Every fixture of a folder: name and text, sorted.
pub fn fixtures(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
    let mut found: Vec<(String, String)> = fs::read_dir(&root)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("reads"))
        })
        .collect();
    found.sort();
    found
}
