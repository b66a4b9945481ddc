//! Raw to compiled: strings become types, and nothing is validated without keeping the result.
//!
//! No rule stops at its first problem: a part that cannot be compiled is reported and left out, and the rest goes on,
//! so that one run shows everything. Only when there was no problem at all is there a snapshot.

mod addresses;
mod feeds;
mod listeners;
mod process;
mod public_keys;
mod recipes;
mod routes;
mod secrets;
mod sensitive;
mod socket_address;
mod store;
mod tls;
mod upstreams;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;

use self::addresses::{Accesses, AddressLists};
use self::upstreams::Upstreams;
pub use self::upstreams::server_problem;
use super::Loaded;
use super::changes::Text;
use super::feed::KeptFeeds;
use super::parse::Parsed;
use super::raw::RawConfig;
use super::recipe::Recipe;
use super::report::{Problems, Report};
use super::source::{SourceError, Sources};
use crate::base::UnixMillis;
use crate::runtime::snapshot::{Limits, Snapshot};
use crate::runtime::state::State;

/// What every section needs.
struct Compiler<'c> {
    problems: Problems,
    sources: Sources<'c>,
    state: &'c State,
    now: UnixMillis,
    /// Ids of secrets that were left out; see [`Environment::with_gaps`](super::Environment::with_gaps).
    gaps: Vec<Arc<str>>,
    /// Where each secret was seen first, by its hash.
    seen: HashMap<[u8; 32], (String, usize)>,
    accesses: Accesses,
    /// Of every certificate that was read to be served or shown, its digest.
    leaves: Vec<[u8; 32]>,
}

/// Sections that routes and listeners refer to.
struct Named {
    limits: Limits,
    /// The file has `[store]`, whether or not it compiled, so that routes that need it are not blamed.
    has_store: bool,
    /// What the store keeps at most, bodies included.
    keep_size: Option<u64>,
    lists: AddressLists,
    upstreams: Upstreams,
    /// The file's own recipes; `None`: one that did not compile, so that routes naming it are not blamed.
    providers: BTreeMap<String, Option<Arc<Recipe>>>,
    /// Some listener asks for client certificates.
    client_certificates: bool,
}

/// Compiles everything, or reports everything.
pub(super) fn compile(
    parsed: Parsed,
    text: Text,
    sources: Sources<'_>,
    state: &State,
    now: UnixMillis,
) -> Result<Loaded, Report> {
    let Parsed { raw, problems, unjudged } = parsed;
    let told = problems.len();
    let mut compiler = Compiler {
        problems,
        sources,
        state,
        now,
        gaps: Vec::new(),
        seen: HashMap::new(),
        accesses: Accesses::default(),
        leaves: Vec::new(),
    };
    let parts = compiler.parts(raw);
    compiler.writable();
    let Compiler { mut problems, sources, leaves, .. } = compiler;
    problems.leave_out(told, &unjudged);
    let (digest, files, reading) = sources.finish();
    let (problems, warnings) = problems.into_parts();
    match parts {
        Some(parts) if problems.is_empty() => {
            Ok(Loaded { snapshot: parts.into_snapshot(files, digest), warnings, reading, text, certificates: leaves })
        }
        _ => Err(Report { unreadable: false, problems, warnings, files }),
    }
}

/// A snapshot but for what only the end of the reading knows.
struct Parts(Snapshot);

impl Parts {
    fn into_snapshot(self, files: Vec<PathBuf>, digest: [u8; 32]) -> Snapshot {
        Snapshot { files, digest, ..self.0 }
    }
}

impl Compiler<'_> {
    fn parts(&mut self, raw: RawConfig) -> Option<Parts> {
        let reload = self.reload(&raw.reload);
        let limits = self.limits(raw.limits.unwrap_or_default());
        let has_store = raw.store.is_some();
        let store = raw.store.and_then(|store| self.store(&store, &limits));
        let keep_size = store.as_ref().map(|store| store.keep_size);
        let kept = store.as_ref().map(|store| KeptFeeds::beside(&store.path));
        let lists = self.address_lists(raw.address_lists, kept.as_ref());
        let feeds = lists.feeds();
        let upstreams = self.upstreams(raw.upstreams);
        let providers = self.providers(raw.providers);
        let listeners = raw.listeners.unwrap_or_default();
        let client_certificates = listeners.iter().any(|listener| listeners::asks_for_certificates(listener.get_ref()));
        let named = Named { limits, has_store, keep_size, lists, upstreams, providers, client_certificates };
        let routes = self.routes(raw.routes, &named);
        let listeners = self.listeners(listeners, &named, &routes);
        let admin = raw.admin.map(|admin| self.admin(&admin, &listeners)).unwrap_or_default();
        let log = self.log(raw.log.unwrap_or_default());
        self.unused(&named);
        let Named { limits, upstreams, providers, .. } = named;
        Some(Parts(Snapshot {
            listeners: listeners.into_iter().map(Arc::new).collect(),
            admin: admin.address,
            scrape: admin.scrape,
            roles: admin.roles,
            reload,
            log,
            limits,
            store: store.map(Arc::new),
            sensitive: Arc::new(sensitive::of(&routes, &providers)),
            routes: routes.table(),
            upstreams: upstreams.into_ready(),
            feeds,
            files: Vec::new(),
            digest: [0; 32],
        }))
    }

    /// Who may write the configuration decides where webhooks go, so that should not be everybody.
    fn writable(&mut self) {
        for path in self.sources.writable() {
            let what = format!("{} is writable by everybody", path.display());
            self.problems.warn(None, "", what, Some(format!("chmod o-w {}", path.display())));
        }
        for folder in self.sources.open_folders() {
            let what = format!("{} is writable by everybody, and secrets lie below it", folder.display());
            let help =
                format!("whoever may write there can put a secret of theirs in place: chmod o-w {}", folder.display());
            self.problems.warn(None, "", what, Some(help));
        }
    }

    /// Adds a problem at a value.
    fn reject<T>(&mut self, at: &Spanned<T>, key: &str, what: impl Into<String>, help: impl Into<String>) {
        self.problems.add(Some(at.span()), key, what, Some(help.into()));
    }

    /// Adds a problem with what a value refers to.
    fn unusable<T>(&mut self, at: &Spanned<T>, key: &str, error: &SourceError) {
        self.problems.add_source(Some(at.span()), key, error);
    }

    /// Adds a warning at a value.
    fn warn<T>(&mut self, at: &Spanned<T>, key: &str, what: impl Into<String>, help: impl Into<String>) {
        self.problems.warn(Some(at.span()), key, what, Some(help.into()));
    }
}
