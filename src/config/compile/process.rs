//! What holds for the whole process: `[limits]`, `[log]` and `[admin]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::Compiler;
use super::values::{millis, number, shown};
use crate::config::quantity::write_size;
use crate::config::raw::{Placed, RawAdmin, RawLimits, RawLog};
use crate::guards::meter::Rate;
use crate::runtime::snapshot::{Account, AdminAddress, Limits, ListenAddress, Listener, LogSettings, Reload, Roles};
use crate::runtime::state::unproven_shares;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// One address in a thousand connections at once, and a hundred in each second after: more than a provider opens that does
/// not keep its connections, and about a thirtieth of what one core can do.
const HANDSHAKES: Rate = Rate { per_second: 100.0, burst: 1000 };

/// How log lines look.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Human,
    Auto,
}

impl Compiler<'_> {
    pub(super) fn limits(&mut self, raw: RawLimits) -> Limits {
        let limits = Limits {
            max_connections: index(self.count(
                &raw.max_connections,
                "limits.max_connections",
                number(20_000, 1, 1_000_000),
            )),
            max_connections_per_address: index(self.count(
                &raw.max_connections_per_address,
                "limits.max_connections_per_address",
                number(256, 1, 1_000_000),
            )),
            handshakes_per_address: raw
                .handshakes_per_address
                .as_ref()
                .and_then(|rate| self.rate(rate, "limits.handshakes_per_address"))
                .unwrap_or(HANDSHAKES),
            handshake_timeout: self.duration(
                &raw.handshake_timeout,
                "limits.handshake_timeout",
                millis(5000, 100, MINUTE),
            ),
            head_timeout: self.duration(&raw.head_timeout, "limits.head_timeout", millis(5000, 100, MINUTE)),
            body_timeout: self.duration(&raw.body_timeout, "limits.body_timeout", millis(15_000, 100, 10 * MINUTE)),
            body_grace: self.duration(&raw.body_grace, "limits.body_grace", millis(5000, 100, 10 * MINUTE)),
            min_body_rate: self.size(&raw.min_body_rate, "limits.min_body_rate", number(KIB, 0, GIB)),
            idle_timeout: self.duration(&raw.idle_timeout, "limits.idle_timeout", millis(MINUTE, 100, HOUR)),
            write_timeout: self.duration(&raw.write_timeout, "limits.write_timeout", millis(10_000, 100, 10 * MINUTE)),
            max_head: index(self.size(&raw.max_head, "limits.max_head", number(32 * KIB, KIB, MIB))),
            max_headers: index(self.count(&raw.max_headers, "limits.max_headers", number(64, 8, 256))),
            max_body: self.size(&raw.max_body, "limits.max_body", number(MIB, 0, GIB)),
            body_memory: self.size(&raw.body_memory, "limits.body_memory", number(512 * MIB, MIB, 1024 * GIB)),
            max_h2_streams: u32::try_from(self.count(
                &raw.max_h2_streams,
                "limits.max_h2_streams",
                number(100, 1, 10_000),
            ))
            .unwrap_or(100),
            drain_timeout: self.duration(&raw.drain_timeout, "limits.drain_timeout", millis(30_000, 0, HOUR)),
            dedupe_entries: index(self.count(
                &raw.dedupe_entries,
                "limits.dedupe_entries",
                number(1_000_000, 1000, 100_000_000),
            )),
        };
        self.limits_together(&raw, &limits);
        limits
    }

    /// Rules between two limits.
    fn limits_together(&mut self, raw: &RawLimits, limits: &Limits) {
        if limits.max_body > limits.body_memory
            && let Some(at) = raw.max_body.as_ref().or(raw.body_memory.as_ref())
        {
            let what = "one body may be larger than the memory for all of them (limits.body_memory)";
            self.reject(at, "limits.max_body", what, "raise body_memory or lower max_body");
        }
        let (of_one, of_all) = unproven_shares(limits.body_memory, limits.largest_request(limits.max_body));
        if limits.max_body <= limits.body_memory
            && of_one > of_all / 2
            && let Some(at) = raw.body_memory.as_ref().or(raw.max_body.as_ref())
        {
            let enough = limits.largest_request(limits.max_body).saturating_mul(3).div_ceil(MIB) * MIB;
            let what = "one address can take most of what senders share that have not sent a genuine request, because one body \
                        may be that large (limits.max_body)";
            let help = format!("raise it to {} or more, or lower max_body", write_size(enough));
            self.warn(at, "limits.body_memory", what, help);
        }
        if limits.largest_request(0).saturating_mul(u64::from(limits.max_h2_streams)) > of_one
            && let Some(at) = raw.max_h2_streams.as_ref()
        {
            let what = "the heads alone of that many streams can be more than one address may hold of limits.body_memory \
                        before it has sent a genuine request; the oldest of its streams are answered 503 then";
            self.warn(at, "limits.max_h2_streams", what, "lower it, or max_head, or raise body_memory");
        }
        if limits.max_connections_per_address > limits.max_connections
            && let Some(at) = raw.max_connections_per_address.as_ref().or(raw.max_connections.as_ref())
        {
            let what = "is more than limits.max_connections, so it limits nothing";
            self.warn(at, "limits.max_connections_per_address", what, "lower it");
        }
        if limits.body_grace >= limits.body_timeout
            && let Some(at) = &raw.body_grace
        {
            let what = "is not less than limits.body_timeout, so limits.min_body_rate asks nothing";
            self.warn(at, "limits.body_grace", what, "lower it");
        }
    }

    pub(super) fn reload(&mut self, raw: &Placed<String>) -> Reload {
        self.word(raw, "reload", &[("auto", Reload::Auto), ("manual", Reload::Manual)], Reload::Auto)
    }

    pub(super) fn log(&mut self, raw: RawLog) -> LogSettings {
        let words = [("json", Format::Json), ("human", Format::Human), ("auto", Format::Auto)];
        let json = match self.word(&raw.format, "log.format", &words, Format::Auto) {
            Format::Json => true,
            Format::Human => false,
            Format::Auto => !self.sources.terminal(),
        };
        let refusals = self.count(&raw.refusals_per_second, "log.refusals_per_second", number(20, 0, 100_000));
        LogSettings { json, refusals_per_second: u32::try_from(refusals).unwrap_or(20) }
    }

    pub(super) fn admin(&mut self, raw: &Spanned<RawAdmin>, listeners: &[Listener]) -> Admin {
        let fields = raw.get_ref();
        Admin {
            address: self.admin_socket(raw),
            scrape: fields.scrape_address.as_ref().and_then(|value| self.scrape(value, fields, listeners)),
            roles: Roles {
                operators: self.accounts(fields.operators.as_ref(), "admin.operators"),
                readers: self.accounts(fields.readers.as_ref(), "admin.readers"),
            },
        }
    }

    fn admin_socket(&mut self, raw: &Spanned<RawAdmin>) -> Option<AdminAddress> {
        const KEY: &str = "admin.address";
        const HELP: &str = "write \"unix:/run/dmz-relay/admin.sock\"; leave [admin] out to switch it off";
        let value = self.required(&raw.get_ref().address, raw, KEY, HELP)?;
        let text = value.get_ref();
        if text.parse::<SocketAddr>().is_ok() {
            let what = "is a TCP address, and every account of this host reaches it";
            let help = "write \"unix:/run/dmz-relay/admin.sock\"; for metrics and health over TCP add scrape_address";
            self.reject(value, KEY, what, help);
            return None;
        }
        // The kernel's limit for a socket's path, its final zero included, is 108 bytes.
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') && path.len() < 108 && !path.ends_with('/') => {
                Some(AdminAddress::Unix(PathBuf::from(path)))
            }
            _ => {
                self.reject(value, KEY, "expected \"unix:\" and an absolute path of at most 107 bytes", HELP);
                None
            }
        }
    }

    fn scrape(&mut self, value: &Spanned<String>, raw: &RawAdmin, listeners: &[Listener]) -> Option<SocketAddr> {
        const KEY: &str = "admin.scrape_address";
        let address = self.socket_address(value, KEY, "write \"127.0.0.1:9600\", or leave it out")?;
        if !address.ip().to_canonical().is_loopback() {
            let what = format!("{address} can be reached from outside this host, and nothing asks who is calling");
            if raw.dangerously_exposed.as_ref().is_some_and(|exposed| *exposed.get_ref()) {
                self.warn(value, KEY, what, "see to it that only your monitoring reaches it");
            } else {
                let help = "use a loopback address; or add dangerously_exposed = true, where a firewall lets only your \
                            monitoring through";
                self.reject(value, KEY, what, help);
            }
        }
        let taken = |listener: &&Listener| listener.address.overlaps(&ListenAddress::Tcp(address));
        if let Some(listener) = listeners.iter().find(taken) {
            let what = format!("{address} is taken by the address of listener \"{}\"", listener.name);
            self.reject(value, KEY, what, "give each its own port");
        }
        Some(address)
    }

    fn accounts(&mut self, entries: Option<&Spanned<Vec<Spanned<String>>>>, key: &str) -> Vec<Account> {
        let mut accounts = Vec::new();
        for entry in entries.map(|list| list.get_ref().as_slice()).unwrap_or_default() {
            let named = |name: &str| {
                let fits = |letter: char| letter.is_ascii_graphic() && !matches!(letter, ':' | ',');
                (!name.is_empty() && name.len() <= 256 && name.chars().all(fits)).then(|| name.to_owned())
            };
            let account = match entry.get_ref().split_once(':') {
                Some(("user", name)) => named(name).map(Account::User),
                Some(("group", name)) => named(name).map(Account::Group),
                _ => None,
            };
            match account {
                Some(account) => accounts.push(account),
                None => {
                    let what = format!("\"{}\" names no user and no group", shown(entry.get_ref()));
                    self.reject(
                        entry,
                        key,
                        what,
                        "write \"user:alice\", \"group:ops\", or a number in place of the name",
                    );
                }
            }
        }
        accounts
    }
}

/// `[admin]`, compiled.
#[derive(Default)]
pub(super) struct Admin {
    pub(super) address: Option<AdminAddress>,
    pub(super) scrape: Option<SocketAddr>,
    pub(super) roles: Roles,
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
