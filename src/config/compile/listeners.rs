//! `[[listeners]]`: public addresses.

use std::collections::HashSet;
use std::sync::Arc;

use toml::Spanned;

use super::routes::Routes;
use super::values::{join, shown};
use super::{Compiler, Named};
use crate::config::raw::RawListener;
use crate::config::report::MISSING;
use crate::guards::access::IpSet;
use crate::runtime::snapshot::{AddressCheck, ListenAddress, Listener};

const ADDRESS: &str = "write \"0.0.0.0:8443\", \"[::]:8443\" or \"systemd:<name>\"";

/// Whether a connection to this listener can show a client certificate.
pub(super) fn asks_for_certificates(listener: &RawListener) -> bool {
    listener.tls.as_ref().is_some_and(|tls| tls.get_ref().client_auth.is_some())
}

impl Compiler<'_> {
    pub(super) fn listeners(
        &mut self,
        raw: Vec<Spanned<RawListener>>,
        named: &Named,
        routes: &Routes,
    ) -> Vec<Listener> {
        if raw.is_empty() {
            let help = "add [[listeners]] with name, address and tls";
            self.problems.add(None, "listeners", "there is none, so nothing could come in", Some(help.to_owned()));
        }
        let mut listeners: Vec<Listener> = Vec::new();
        for raw in raw {
            let Some(listener) = self.listener(&raw, named, routes) else { continue };
            for other in &listeners {
                if other.name == listener.name {
                    let what = format!("two listeners are named \"{}\"", listener.name);
                    self.reject(&raw, "listeners.name", what, "give each its own name");
                }
                if other.address.overlaps(&listener.address) {
                    let what = format!("listener \"{}\" has this address too", other.name);
                    let help =
                        "give each its own port; a wildcard address takes the port on every address of its family";
                    self.reject(&raw, "listeners.address", what, help);
                }
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, raw: &Spanned<RawListener>, named: &Named, routes: &Routes) -> Option<Listener> {
        const KEY: &str = "listeners";
        let fields = raw.get_ref();
        let name = self.required(&fields.name, raw, "listeners.name", "write name = \"public\"").cloned();
        let named_well = name.as_ref().is_some_and(|name| self.name(name, "listeners.name"));
        let address = self.required(&fields.address, raw, "listeners.address", ADDRESS);
        let address = address.and_then(|address| self.listen_address(address));
        let peers = &named.lists;
        let proxy_protocol_from =
            self.peers(fields.proxy_protocol_from.as_ref(), &join(KEY, "proxy_protocol_from"), peers);
        let trust_forwarded_from =
            self.peers(fields.trust_forwarded_from.as_ref(), &join(KEY, "trust_forwarded_from"), peers);
        let deny = self.denials(fields.deny.as_ref(), peers);
        let before = self.problems.len();
        let tls = fields.tls.as_ref().and_then(|tls| self.listener_tls(tls, &join(KEY, "tls")));
        self.plaintext(raw);
        if !named_well || self.problems.len() != before {
            return None;
        }
        let admits = admits(routes, &trust_forwarded_from);
        let name: Arc<str> = name?.get_ref().as_str().into();
        Some(Listener { name, address: address?, tls, proxy_protocol_from, trust_forwarded_from, deny, admits })
    }

    fn listen_address(&mut self, value: &Spanned<String>) -> Option<ListenAddress> {
        const KEY: &str = "listeners.address";
        let text = value.get_ref();
        if let Some(name) = text.strip_prefix("systemd:") {
            // systemd.socket(5): at most 255 ASCII characters, no control characters, no colon.
            if (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Some(ListenAddress::Systemd(name.to_owned()));
            }
            let help = "write the FileDescriptorName= of the socket unit";
            self.reject(value, KEY, format!("\"{}\" names no socket", shown(text)), help);
            return None;
        }
        self.socket_address(value, KEY, ADDRESS).map(ListenAddress::Tcp)
    }

    /// No TLS only where the file says so explicitly; and not both.
    fn plaintext(&mut self, raw: &Spanned<RawListener>) {
        const KEY: &str = "listeners.dangerously_plaintext";
        let fields = raw.get_ref();
        let plain = fields.dangerously_plaintext.as_ref().filter(|plain| *plain.get_ref());
        match (&fields.tls, plain) {
            (None, None) => {
                let help = "add [listeners.tls], or dangerously_plaintext = true where something before it ends TLS";
                self.reject(raw, "listeners.tls", MISSING, help);
            }
            (Some(_), Some(plain)) => self.reject(plain, KEY, "stands beside tls", "remove one of them"),
            (None, Some(plain)) => {
                let what = "secrets and events cross this listener's network in clear text";
                self.warn(plain, KEY, what, "keep it on a loopback address behind something that ends TLS");
            }
            (Some(_), None) => {}
        }
    }
}

/// The union of all routes' lists when every route has one and enforces it. A listed proxy speaks for others, so it is admitted
/// as well.
fn admits(routes: &Routes, proxies: &IpSet) -> Option<IpSet> {
    let mut all = proxies.clone();
    let mut known = HashSet::new();
    for route in routes.iter() {
        match route.address_check {
            // Routes that are written alike share their list.
            AddressCheck::Enforce if known.insert(Arc::as_ptr(&route.access)) => {
                all = all.union(&route.access.addresses()?);
            }
            AddressCheck::Enforce => {}
            AddressCheck::Observe => return None,
        }
    }
    Some(all)
}
