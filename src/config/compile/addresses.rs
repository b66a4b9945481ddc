//! Address lists, and everything that refers to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use toml::Spanned;

use super::recipes::published;
use super::values::{join, shown};
use super::{Compiler, Named};
use crate::config::feed::KeptFeeds;
use crate::config::near::nearest;
use crate::config::network::{NotNetwork, network};
use crate::config::raw::{RawAddressList, RawRoute, Table};
use crate::guards::access::{AccessList, Feed, Gathered, IpSet, Networks};
use crate::runtime::snapshot::AddressCheck;

/// Problems told of one list; a wrong file would have as many as lines.
const TOLD: usize = 20;

/// Every list by name. Whoever names one shares it.
#[derive(Default)]
pub(super) struct AddressLists {
    all: BTreeMap<String, Arc<Networks>>,
    feeds: Vec<Arc<Feed>>,
}

impl AddressLists {
    /// Those that are a provider's own file.
    pub(super) fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.clone()
    }
}

/// Entries of a list: as they are written, with their networks.
type Entries = Vec<(Box<str>, Arc<Networks>)>;

/// What was made of each `deny` and `allow` that are written alike.
#[derive(Default)]
pub(super) struct Accesses(HashMap<Written, Arc<AccessList>>);

type Written = (Vec<Box<str>>, Option<Vec<Box<str>>>);

impl NotNetwork {
    fn what(&self, text: &str) -> String {
        match self {
            Self::Unreadable => format!("\"{}\" is neither an address nor a network", shown(text)),
            Self::HostBits(_) => format!("\"{}\" has host bits set", shown(text)),
            Self::TooLong(most) => format!("\"{}\" is no network: such an address has {most} bits", shown(text)),
            Self::NoLength => format!("\"{}\" is no network: a number of bits stands behind the slash", shown(text)),
        }
    }

    fn help(&self) -> String {
        match self {
            Self::Unreadable => "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32".to_owned(),
            Self::HostBits(net) => format!("{net} is the network; write that, or the address alone"),
            Self::TooLong(most) => format!("choose a length from 0 to {most}; an address alone needs none"),
            Self::NoLength => "255.255.255.0 is /24, 255.255.0.0 is /16".to_owned(),
        }
    }
}

impl Compiler<'_> {
    pub(super) fn address_lists(
        &mut self,
        raw: Table<Spanned<RawAddressList>>,
        kept: Option<&KeptFeeds>,
    ) -> AddressLists {
        let mut lists = AddressLists::default();
        for (name, list) in raw {
            let key = join("address_lists", name.get_ref());
            self.name(&name, &key);
            if network(name.get_ref()).is_ok() {
                self.reject(&name, &key, "a list cannot be named like an address", "choose another name");
            }
            let networks = match list.get_ref() {
                RawAddressList::Inline(entries) => self.inline(entries, &key),
                RawAddressList::File(raw) => {
                    if let Some(path) = &raw.feed {
                        let feed = self.feed(name.get_ref(), path, raw, &key, kept).map(Arc::new);
                        let networks = feed.as_ref().map(|feed| Arc::clone(&feed.networks)).unwrap_or_default();
                        lists.feeds.extend(feed);
                        lists.all.insert(name.into_inner(), networks);
                        continue;
                    }
                    self.no_feed(raw, &key);
                    match self.required(&raw.file, &list, &key, "write { file = \"…\" }") {
                        Some(path) => self.list_file(path, &key),
                        None => Networks::default(),
                    }
                }
            };
            lists.all.insert(name.into_inner(), Arc::new(networks));
        }
        lists
    }

    fn inline(&mut self, entries: &[Spanned<String>], key: &str) -> Networks {
        let mut networks = Gathered::default();
        for entry in entries {
            match network(entry.get_ref()) {
                Ok(net) => networks.add(net),
                Err(why) => self.reject(entry, key, why.what(entry.get_ref()), why.help()),
            }
        }
        networks.sorted()
    }

    /// One entry per line; `#` starts a comment.
    fn list_file(&mut self, path: &Spanned<String>, key: &str) -> Networks {
        let mut networks = Gathered::default();
        let (mut wrong, mut told) = (0, Vec::new());
        let mut marked = false;
        let read = self.sources.list(path.get_ref(), |number, line| {
            let unmarked = line.strip_prefix('\u{feff}').filter(|_| number == 1);
            marked |= unmarked.is_some();
            let line = unmarked.unwrap_or(line);
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                return;
            }
            match network(entry) {
                Ok(net) => networks.add(net),
                Err(why) => {
                    wrong += 1;
                    if wrong <= TOLD {
                        told.push((number, why.what(entry), why.help()));
                    }
                }
            }
        });
        let file = match read {
            Ok(file) => file,
            Err(error) => {
                self.unusable(path, key, &error);
                return Networks::default();
            }
        };
        if marked {
            let what = format!("{} begins with a byte order mark, which is no part of its first line", file.display());
            self.warn(path, key, what, "save it as UTF-8 without one");
        }
        for (number, what, help) in told {
            self.problems.add_in(&file, number, key, what, Some(help));
        }
        if wrong > TOLD {
            let what = format!("{} has {} more such lines", file.display(), wrong - TOLD);
            self.reject(path, key, what, "is this the file that was meant?");
        }
        let networks = networks.sorted();
        if networks.is_empty() && wrong == 0 {
            self.warn(path, key, format!("{} holds no address", file.display()), "an empty list holds nobody");
        }
        networks
    }

    /// Peers of a listener: addresses, networks and lists, without `@provider`.
    pub(super) fn peers(&mut self, entries: Option<&Vec<Spanned<String>>>, key: &str, lists: &AddressLists) -> IpSet {
        let mut found = Vec::new();
        for entry in entries.into_iter().flatten() {
            found.extend(self.entry(entry, key, lists, &[]));
        }
        IpSet::of(found.iter().map(|networks| &**networks))
    }

    /// A listener's `deny`.
    pub(super) fn denials(
        &mut self,
        entries: Option<&Spanned<Vec<Spanned<String>>>>,
        lists: &AddressLists,
    ) -> AccessList {
        const KEY: &str = "listeners.deny";
        let mut denied = Entries::new();
        if let Some(entries) = entries {
            self.denies_nobody(entries, KEY);
        }
        for entry in entries.iter().flat_map(|entries| entries.get_ref()) {
            if let Some(networks) = self.entry(entry, KEY, lists, &[]) {
                denied.push((entry.get_ref().as_str().into(), networks));
            }
        }
        AccessList::of(&denied, None)
    }

    /// A route's `deny` and `allow`.
    pub(super) fn access(&mut self, raw: &RawRoute, key: &str, named: &Named) -> Arc<AccessList> {
        let (deny_key, allow_key) = (join(key, "deny"), join(key, "allow"));
        if let Some(entries) = &raw.deny {
            self.denies_nobody(entries, &deny_key);
        }
        if let Some(entries) = raw.allow.as_ref().filter(|entries| entries.get_ref().is_empty()) {
            let help = "leave it out to admit every address, or list some";
            self.warn(entries, &allow_key, "the list is empty, so no address is admitted", help);
        }
        let denied = raw.deny.as_ref().map(|entries| self.entries(entries.get_ref(), &deny_key, named));
        let denied = denied.unwrap_or_default();
        let admitted = raw.allow.as_ref().map(|entries| {
            let admitted = self.entries(entries.get_ref(), &allow_key, named);
            self.in_vain(entries.get_ref(), &admitted, &denied, &allow_key);
            admitted
        });
        let names = |entries: &Entries| entries.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let written = (names(&denied), admitted.as_ref().map(names));
        let made = self.accesses.0.entry(written);
        Arc::clone(made.or_insert_with(|| Arc::new(AccessList::of(&denied, admitted.as_deref()))))
    }

    /// `enforce` unless the file says otherwise; then with a warning, because a list that stands there looks as if it were in force.
    pub(super) fn address_check(&mut self, raw: &RawRoute, key: &str) -> AddressCheck {
        let key = join(key, "address_check");
        let Some(value) = &raw.address_check else { return AddressCheck::Enforce };
        match value.get_ref().as_str() {
            "enforce" => return AddressCheck::Enforce,
            "observe" if raw.allow.is_none() && raw.deny.is_none() => {
                let help = "add allow or deny, or leave it out";
                self.reject(value, &key, "there is no list to observe", help);
            }
            "observe" => {
                let what = "allow and deny refuse nobody: what they would refuse is only counted and logged";
                self.warn(value, &key, what, "remove it once the counts show what you expect");
            }
            other => {
                let what = format!("\"{}\" is neither \"enforce\" nor \"observe\"", shown(other));
                self.reject(value, &key, what, "leave it out to enforce the lists");
            }
        }
        AddressCheck::Observe
    }

    fn denies_nobody(&mut self, entries: &Spanned<Vec<Spanned<String>>>, key: &str) {
        if entries.get_ref().is_empty() {
            self.warn(entries, key, "the list is empty, so no address is denied", "leave it out, or list some");
        }
    }

    /// Entries of `allow` that are denied whole. No error: a denial that comes from a list's file must not wait until somebody
    /// has fixed an `allow`.
    fn in_vain(&mut self, entries: &[Spanned<String>], admitted: &Entries, denied: &Entries, key: &str) {
        if denied.is_empty() {
            return;
        }
        let all = IpSet::of(denied.iter().map(|(_, networks)| &**networks));
        for (name, networks) in admitted {
            let is_denied = !networks.is_empty() && all.covers(networks);
            if is_denied && let Some(entry) = entries.iter().find(|entry| **entry.get_ref() == **name) {
                let what = format!("\"{}\" admits nobody: deny holds all of it, and a denial wins", shown(name));
                self.warn(entry, key, what, "remove it here or from deny");
            }
        }
    }

    /// Addresses, networks, lists and providers.
    fn entries(&mut self, entries: &[Spanned<String>], key: &str, named: &Named) -> Entries {
        let mut list = Entries::with_capacity(entries.len());
        for entry in entries {
            let networks = match entry.get_ref().strip_prefix('@') {
                Some(provider) => self.published(entry, provider, key, named),
                None => self.entry(entry, key, &named.lists, &["@name for a provider's addresses"]),
            };
            if let Some(networks) = networks {
                list.push((entry.get_ref().as_str().into(), networks));
            }
        }
        list
    }

    /// An address, a network, or a list's name.
    fn entry(
        &mut self,
        entry: &Spanned<String>,
        key: &str,
        lists: &AddressLists,
        more: &[&str],
    ) -> Option<Arc<Networks>> {
        let text = entry.get_ref();
        if let Some(list) = lists.all.get(text) {
            return Some(Arc::clone(list));
        }
        match network(text) {
            Ok(net) => Some(Arc::new(std::iter::once(net).collect())),
            Err(why @ (NotNetwork::HostBits(_) | NotNetwork::TooLong(_) | NotNetwork::NoLength)) => {
                self.reject(entry, key, why.what(text), why.help());
                None
            }
            Err(NotNetwork::Unreadable) => {
                let names = lists.all.keys().map(String::as_str);
                let mut help = match nearest(text, names.clone()) {
                    Some(name) => format!("did you mean \"{name}\"? "),
                    None => String::new(),
                };
                let known: Vec<&str> = names.chain(more.iter().copied()).collect();
                help.push_str("write an address, a network");
                if !known.is_empty() {
                    help.push_str(&format!(" or one of: {}", known.join(", ")));
                }
                let what = format!("\"{}\" is neither an address, a network nor the name of a list", shown(text));
                self.reject(entry, key, what, help);
                None
            }
        }
    }

    /// `@name`: what the provider publishes.
    fn published(&mut self, entry: &Spanned<String>, name: &str, key: &str, named: &Named) -> Option<Arc<Networks>> {
        let recipe = self.recipe(entry, name, key, named)?;
        let networks = published(&recipe);
        if networks.is_empty() {
            let what = format!("\"{name}\" publishes no addresses");
            self.reject(entry, key, what, "list the addresses yourself, or leave it out");
            return None;
        }
        Some(Arc::new(networks))
    }
}
