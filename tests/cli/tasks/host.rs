//! A folder that stands for a host: what a page says is done in it, by bash and the real binary.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use toml::{Table, Value};

use super::super::harness::{CANARY, Said, binary, relay, said};
use super::pages::Block;

/// Who stands for `sudo`, `systemctl` and the rest, and asks for nothing that only root can have.
const STAND_INS: &str = include_str!("stand_ins.sh");

/// What a page's files say of the host, and what is true in the folder instead.
const FOLDERS: [&str; 9] = [
    "/etc/dmz-relay",
    "/etc/letsencrypt",
    "/etc/systemd",
    "/var/lib/dmz-relay",
    "/var/backups",
    "/run/dmz-relay",
    "/usr/bin/dmz-relay",
    "/usr/lib/",
    "/usr/local/share/man",
];

/// A host with a relay installed on it, not started. Nobody listens at its upstream.
pub(super) struct Host {
    folder: TempDir,
    public: u16,
    scrape: u16,
    /// For a balancer in front.
    pub(super) balancer: u16,
}

/// Ports that are free now and that the kernel gives to nobody who leaves the choice to it: each is bound much later, by another
/// process. All are held until the last is found, so that they differ.
fn ports() -> [u16; 3] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const LOWEST: u32 = 10_000;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the kernel's range");
    let first: u32 = range.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number");
    let places = first.saturating_sub(LOWEST);
    let found = [(); 3].map(|()| {
        let mut tried = (0..places).filter_map(|_| {
            // Another process of this suite begins elsewhere.
            let place = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97)) % places;
            TcpListener::bind(("127.0.0.1", u16::try_from(LOWEST + place).ok()?)).ok()
        });
        // A range that begins so low leaves nothing below it.
        tried.next().unwrap_or_else(|| TcpListener::bind("127.0.0.1:0").expect("a port"))
    });
    found.map(|port| port.local_addr().expect("bound").port())
}

impl Host {
    pub(super) fn new() -> Self {
        let [public, scrape, balancer] = ports();
        let host = Self { folder: tempfile::tempdir().expect("a folder"), public, scrape, balancer };
        host.furnish();
        host.configure(&host.base());
        host
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.folder.path().display())
    }

    fn furnish(&self) {
        let etc = "/etc/dmz-relay";
        for folder in ["certs", "secrets", "lists", "credentials"] {
            fs::create_dir_all(self.path(&format!("{etc}/{folder}"))).expect("a folder");
        }
        let folders = ["/etc/systemd/system", "/var/lib/dmz-relay", "/var/backups", "/run/dmz-relay", "/usr/bin"];
        for folder in folders.iter().chain(&["/usr/lib/sysusers.d", "/usr/lib/tmpfiles.d", "/src/target/release"]) {
            fs::create_dir_all(self.path(folder)).expect("a folder");
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "hooks.example.com".to_owned()]);
        let made = made.expect("a certificate");
        for name in ["relay.crt", "relay-ca.crt", "public.crt", "monitoring-ca.crt"] {
            fs::write(self.path(&format!("{etc}/certs/{name}")), made.cert.pem()).expect("writable");
        }
        for name in ["relay.key", "public.key"] {
            self.secret(&format!("{etc}/certs/{name}"), &made.signing_key.serialize_pem());
        }
        let both = made.cert.pem() + &made.signing_key.serialize_pem();
        self.secret(&format!("{etc}/certs/public.pem"), &both);
        for name in ["github", "github.new", "dastra"] {
            self.secret(&format!("{etc}/secrets/{name}"), &format!("{CANARY}-{name}"));
        }
        self.secret(&format!("{etc}/secrets/stripe"), &format!("whsec_{CANARY}-stripe"));
        for (name, digit) in [("store-key", "1"), ("store-key.new", "2")] {
            self.secret(&format!("{etc}/credentials/{name}"), &digit.repeat(64));
        }
        fs::write(self.path(&format!("{etc}/lists/blocked")), "203.0.113.66\n").expect("writable");
        fs::write(self.path(&format!("{etc}/lists/github.json")), "{\"hooks\": [\"192.30.252.0/22\"]}\n")
            .expect("writable");
        std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd"), self.path("/src/systemd"))
            .expect("a link");
        for (place, mark) in [("/usr/bin/dmz-relay", "installed"), ("/src/target/release/dmz-relay", "built")] {
            let script = format!("#!/bin/sh\n# {mark}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_dmz-relay"));
            let written = self.path("/script");
            fs::write(&written, script).expect("writable");
            // By another process: a child that another test starts meanwhile would have our file open for writing, and nobody may run
            // a file that is ("text file busy").
            let made = Command::new("install").args(["-m", "0755"]).args([&written, &self.path(place)]).status();
            assert!(made.expect("coreutils are here").success(), "{place}");
            fs::remove_file(&written).expect("ours");
        }
        // Units and what made the user are installed too.
        for (from, to) in [
            ("dmz-relay.service", "/etc/systemd/system/dmz-relay.service"),
            ("sysusers.conf", "/usr/lib/sysusers.d/dmz-relay.conf"),
            ("tmpfiles.conf", "/usr/lib/tmpfiles.d/dmz-relay.conf"),
        ] {
            fs::copy(self.path(&format!("/src/systemd/{from}")), self.path(to)).expect("copied");
        }
    }

    fn secret(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("writable");
        fs::set_permissions(self.path(path), Permissions::from_mode(0o600)).expect("ours");
    }

    /// What the blocks of a page are parts of.
    fn base(&self) -> Table {
        let text = "[[listeners]]\nname = \"public\"\naddress = \"0.0.0.0:443\"\n\
             tls = { certificates = [{ chain = \"certs/relay.crt\", key = \"certs/relay.key\" }] }\n\
             [admin]\naddress = \"unix:/run/dmz-relay/admin.sock\"\nscrape_address = \"127.0.0.1:9600\"\n\
             [log]\nformat = \"json\"\n\
             [store]\nsqlite = { path = \"/var/lib/dmz-relay/relay.db\" }\n\
             keep = { size = \"64MiB\" }\ndisk_reserve = \"0B\"\n\
             [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
             [routes.github]\npath = \"/hooks/github\"\nprovider = \"github\"\n\
             secrets = [{ file = \"secrets/github\" }]\nupstream = \"app\"\ndelivery = \"queue\"\n";
        toml::from_str(&self.in_folder(text)).expect("is TOML")
    }

    /// The same text with places in the folder.
    pub(super) fn in_folder(&self, text: &str) -> String {
        FOLDERS.iter().fold(text.to_owned(), |text, folder| text.replace(folder, &self.path(folder)))
    }

    /// The same text with addresses of this machine.
    pub(super) fn on_this_machine(&self, text: &str) -> String {
        let public = format!("127.0.0.1:{}", self.public);
        let scrape = format!("127.0.0.1:{}", self.scrape);
        let pairs = [
            ("0.0.0.0:443", public.as_str()),
            ("[::]:443", "127.0.0.1:0"),
            ("systemd:public", &public),
            ("192.0.2.20:443", &public),
            ("192.0.2.20:8443", &public),
            ("192.0.2.20:9600", &scrape),
            ("127.0.0.1:9600", &scrape),
            ("check port 9600", &format!("check port {}", self.scrape)),
            ("192.0.2.21:443", "127.0.0.1:9"),
            ("192.0.2.10", "127.0.0.1"),
            ("bind :443", &format!("bind 127.0.0.1:{}", self.balancer)),
            ("listen 443", &format!("listen 127.0.0.1:{}", self.balancer)),
            ("listen 9601", &format!("listen 127.0.0.1:{}", self.balancer)),
            (" certs/", &format!(" {}/", self.path("/etc/dmz-relay/certs"))),
        ];
        pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// The base with these blocks in the place of what they name, as an operator edits a file.
    fn edited(&self, config: &mut Table, block: &str) {
        let block: Table = toml::from_str(&self.in_folder(block)).unwrap_or_else(|error| panic!("{error}\n{block}"));
        for (name, value) in block {
            match (name.as_str(), config.get_mut(&name), value) {
                ("routes" | "upstreams" | "address_lists", Some(Value::Table(old)), Value::Table(new)) => {
                    for (name, value) in new {
                        let merged = merged(old.get(&name), value);
                        old.insert(name, merged);
                    }
                }
                ("log" | "store" | "admin", Some(old), value) => *old = merged(Some(old), value),
                (_, _, value) => drop(config.insert(name, value)),
            }
        }
    }

    fn configure(&self, config: &Table) {
        let text = toml::to_string(config).expect("has a text");
        fs::write(self.path("/etc/dmz-relay/relay.toml"), text).expect("writable");
    }

    /// What `check` says of the file after these edits, with the addresses of the page.
    pub(super) fn check(&self, blocks: &[&Block]) -> Said {
        let mut config = self.base();
        blocks.iter().for_each(|block| self.edited(&mut config, &block.text));
        self.configure(&config);
        relay(&["check", "--config", &self.path("/etc/dmz-relay/relay.toml")])
    }

    /// Does everything that a page says, from top to bottom: an edit of the file is made and followed by a restart, a block of
    /// commands is run. After the block with that number (from 0) the commands of `then` are run.
    pub(super) fn walk(&self, blocks: &[Block], then: &[(usize, &str)]) -> Said {
        let mut config = self.base();
        let mut script = STAND_INS.to_owned();
        let started = self.on_this_machine(&toml::to_string(&config).expect("has a text"));
        script.push_str(&edit(&started));
        script.push_str("systemctl start dmz-relay\ndmz-relay send github >/dev/null\n");
        for (number, block) in blocks.iter().enumerate() {
            script.push_str(&format!("at=\"{}\"\n", block.place()));
            match block.language.as_str() {
                "toml" => {
                    self.edited(&mut config, &block.text);
                    let text = self.on_this_machine(&toml::to_string(&config).expect("has a text"));
                    script.push_str(&edit(&text));
                    script.push_str("systemctl restart dmz-relay\n");
                }
                "sh" => script.push_str(&self.on_this_machine(&self.in_folder(&block.text))),
                "haproxy" | "nginx" | "tcl" => {
                    let text = self.on_this_machine(&block.text);
                    script.push_str(&format!("cat >\"$HOST/balancer.conf\" <<'EOT'\n{text}EOT\n"));
                }
                _ => {}
            }
            then.iter().filter(|(after, _)| *after == number).for_each(|(_, then)| script.push_str(then));
        }
        script.push_str("at=end\nsystemctl stop dmz-relay\n");
        let file = self.path("/walk.sh");
        fs::write(&file, script).expect("writable");
        let mut command = Command::new("bash");
        command.arg(&file).env("HOST", self.folder.path()).env("BALANCER", self.balancer.to_string());
        command.env("PUBLIC", self.public.to_string());
        for name in binary().get_envs().map(|(name, _)| name.to_owned()) {
            command.env_remove(name);
        }
        let stdin = self.path("/typed");
        fs::write(&stdin, format!("{CANARY}-typed\n")).expect("writable");
        command.stdin(Stdio::from(fs::File::open(stdin).expect("there")));
        said(command.output().expect("bash runs"))
    }

    /// Whether one of its files or folders has `dmz-relay` in its name, apart from what was built.
    pub(super) fn leftovers(&self) -> String {
        let mut find = Command::new("find");
        find.arg(self.folder.path()).args(["-path", "*/src", "-prune", "-o", "-name", "*dmz-relay*", "-print"]);
        said(find.output().expect("find runs")).exits(0).out
    }

    /// Writes a block with addresses of this machine to a file of its own, and gives its place.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let place = self.path(&format!("/{name}"));
        fs::write(&place, text).expect("writable");
        place
    }
}

/// A table whose keys are replaced one by one; anything else as a whole.
fn merged(old: Option<&Value>, new: Value) -> Value {
    match (old, new) {
        (Some(Value::Table(old)), Value::Table(new)) => {
            let mut all = old.clone();
            all.extend(new);
            Value::Table(all)
        }
        (_, new) => new,
    }
}

fn edit(config: &str) -> String {
    format!("cat >\"$HOST/etc/dmz-relay/relay.toml\" <<'EOT'\n{config}EOT\n")
}
