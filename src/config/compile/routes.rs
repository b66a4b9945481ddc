//! `[routes.<name>]`: which requests are taken, how they prove themselves, where they go, and what the sender receives.

mod answer;
mod challenges;
mod delivery;
mod forward;
mod guards;
mod observe;
mod path;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::recipes::{Claim, Proven, Suggested};
use super::values::{Between, join, millis, number, shown};
use super::{Compiler, Named};
use crate::config::quantity::{write_duration, write_size};
use crate::config::raw::{RawRoute, Table};
use crate::runtime::routing::{Entry, PathPattern, RouteTable};
use crate::runtime::snapshot::Route;
use crate::runtime::state::unproven_shares;

use self::delivery::Deliveries;

/// Longest time that a sender may be kept waiting.
const DEADLINE: Between<Duration> = millis(10_000, 100, 10 * 60_000);
/// How long an id is remembered.
const DEDUPE: Between<Duration> = millis(24 * 3_600_000, 60_000, 30 * 24 * 3_600_000);

/// Every route that compiled.
#[derive(Default)]
pub(super) struct Routes(Vec<Entry>);

impl Routes {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().map(|entry| &entry.route)
    }

    /// Every route, by name.
    pub(super) fn table(mut self) -> RouteTable {
        self.0.sort_by(|a, b| a.route.name.cmp(&b.route.name));
        RouteTable::new(self.0)
    }
}

/// A host and path, and the route that has them.
type Taken = BTreeMap<(Option<Box<str>>, PathPattern), (String, std::ops::Range<usize>)>;

impl Compiler<'_> {
    pub(super) fn routes(&mut self, raw: Table<Box<RawRoute>>, named: &Named) -> Routes {
        if raw.is_empty() {
            let help = "add [routes.<name>] with path, provider, secrets and upstream";
            self.problems.add(
                None,
                "routes",
                "there is none, so every request would be refused",
                Some(help.to_owned()),
            );
        }
        let mut routes = Routes::default();
        let mut taken = Taken::new();
        // In the order of the file, so that of two that clash the later one is reported.
        let mut raw: Vec<_> = raw.into_iter().collect();
        raw.sort_by_key(|(name, _)| name.span().start);
        for (name, raw) in raw {
            let key = join("routes", name.get_ref());
            self.name(&name, &key);
            let address = self.route_address(&name, &raw, &key, &mut taken);
            let route = self.route(&name, &raw, &key, named, address.as_ref().map(|address| &address.1));
            if let (Some((host, path)), Some(route)) = (address, route) {
                routes.0.push(Entry { host, path, route: Arc::new(route) });
            }
        }
        routes
    }

    /// Host and path, which no other route has.
    fn route_address(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        taken: &mut Taken,
    ) -> Option<(Option<Box<str>>, PathPattern)> {
        let host = raw.host.as_ref().map(|host| self.host(host, &join(key, "host")));
        let path_key = join(key, "path");
        let at = self.required(&raw.path, name, &path_key, "write path = \"/hooks/…\"")?;
        let path = self.path_pattern(at, &path_key)?;
        let host = host.map_or(Some(None), |host| host.map(Some))?;
        match taken.entry((host.clone(), path.clone())) {
            btree_map::Entry::Vacant(free) => {
                free.insert((name.get_ref().clone(), at.span()));
            }
            btree_map::Entry::Occupied(other) => {
                let (other, place) = other.get();
                let line = self.problems.line_of(place);
                let what = format!("\"{}\" is the path of route \"{other}\" too (line {line})", shown(at.get_ref()));
                self.reject(at, &path_key, what, "give each its own path or its own host");
            }
        }
        Some((host, path))
    }

    fn route(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        named: &Named,
        path: Option<&PathPattern>,
    ) -> Option<Route> {
        let before = self.problems.len();
        let proven = self.proven(name, Claim::of(raw), key, named);
        let nothing = Suggested::default();
        let suggested = proven.as_ref().map_or(&nothing, |proven| &proven.suggested);
        let upstream_key = join(key, "upstream");
        let upstream = self.required(&raw.upstream, name, &upstream_key, "name one of [upstreams.<name>]");
        let upstream = upstream.and_then(|value| self.upstream(value, &upstream_key, named));
        let methods = self.methods(raw.methods.as_ref(), &join(key, "methods"), suggested.methods.as_deref());
        let access = self.access(raw, key, named);
        let address_check = self.address_check(raw, key);
        let client_auth = self.wants_certificate(raw, key, named);
        let headers = self.required_headers(raw.headers.as_ref(), &join(key, "headers"));
        let observed = self.observed(name, raw, key, named, proven.is_some());
        let content_types = self.content_types(raw.content_types.as_ref(), &join(key, "content_types"));
        let content_types = content_types.or_else(|| suggested.content_types.clone());
        let max_body = self.max_body(raw, key, named, suggested);
        let limits = self.route_limits(raw, key);
        let deadline = self.deadline(raw, key, suggested);
        let answer = self.answer(raw.answer.as_ref(), &join(key, "answer"), suggested);
        let deliveries = self.deliveries(raw, key, named, suggested);
        self.delivery_together(raw, key, &deliveries, deadline, proven.as_ref().map(|proven| &proven.verify));
        let forward = self.forwarding(raw, key, path, &headers, suggested, named);
        let dedupe = self.dedupe(name, raw, key, suggested);
        let asked = proven.as_ref().map_or(&[][..], |proven| &proven.suggested.challenges);
        let challenges = self.challenges(name, raw, key, asked, proven.as_ref().map(|proven| &proven.verify));
        let (Proven { provider, verify, verified_by, suggested }, upstream) = (proven?, upstream?);
        if self.problems.len() != before {
            return None;
        }
        let name: Arc<str> = name.get_ref().as_str().into();
        let Deliveries { delivery, retry, concurrency, ordered, keep_body, error_budget, inactivity_alert } =
            deliveries;
        Some(Route {
            meter: self.state.meter(&name),
            dedupe_share: self.state.dedupe.share(&name),
            budget: self.state.budget(&name),
            baseline: self.state.baseline(&name),
            name,
            description: raw.description.clone(),
            host: raw.host.as_ref().map(|host| host.get_ref().clone()),
            path: raw.path.as_ref().map(|path| path.get_ref().clone()).unwrap_or_default(),
            provider,
            provider_retries: suggested.provider_retries,
            allow_header: guards::allow_header(&methods),
            methods,
            access,
            address_check,
            client_auth,
            headers,
            observed,
            content_types,
            max_body,
            limits,
            challenges,
            verify,
            verified_by,
            dedupe,
            upstream,
            forward,
            deadline,
            delivery,
            retry,
            concurrency,
            ordered,
            keep_body,
            error_budget,
            inactivity_alert,
            answer,
        })
    }

    /// The route's, else what the provider sends at most, else the one for all routes.
    fn max_body(&mut self, raw: &RawRoute, key: &str, named: &Named, suggested: &Suggested) -> u64 {
        let (limits, key) = (&named.limits, join(key, "max_body"));
        let all = limits.body_memory.min(1 << 30);
        let room = all.min(named.keep_size.unwrap_or(u64::MAX));
        let default = suggested.max_body.map_or(limits.max_body, |largest| largest.min(room));
        if let (Some(largest), Some(provider), None) = (suggested.max_body, &raw.provider, &raw.max_body)
            && default < largest
        {
            let (default, largest) = (write_size(default), write_size(largest));
            let what =
                format!("is {default}, and this provider sends up to {largest}: a larger body is refused with 413");
            self.warn(
                provider,
                &key,
                what,
                "raise limits.body_memory and store.keep.size, or write max_body on the route",
            );
        }
        let max_body = self.size(&raw.max_body, &key, number(default, 0, all));
        let (of_one, of_all) = unproven_shares(limits.body_memory, limits.largest_request(max_body));
        let said = raw.max_body.as_ref().map(Spanned::span);
        let recipe = raw.provider.as_ref().filter(|_| suggested.max_body.is_some()).map(Spanned::span);
        if of_one > of_all / 2
            && let Some(span) = said.or(recipe)
        {
            let what = "one address can take most of what senders share in limits.body_memory that have not sent a genuine \
                        request, because one body may be that large";
            let help = "lower it, or raise limits.body_memory to three times as much";
            self.problems.warn(Some(span), key, what, Some(help.to_owned()));
        }
        max_body
    }

    /// The file's, else the recipe's; always under the time after which the provider has given up.
    fn deadline(&mut self, raw: &RawRoute, key: &str, suggested: &Suggested) -> Duration {
        let range = Between { default: suggested.deadline.unwrap_or(DEADLINE.default), ..DEADLINE };
        let key = join(key, "deadline");
        let deadline = self.duration(&raw.deadline, &key, range);
        if let (Some(value), Some(limit)) = (&raw.deadline, suggested.sender_waits)
            && deadline >= limit
        {
            let limit = write_duration(limit);
            let what = format!("the provider waits {limit} at most, so it would have given up");
            self.reject(value, &key, what, format!("leave at least a second: stay below {limit}, or leave it out"));
        }
        deadline
    }

    /// `None`: switched off, or there is nothing to know a request by.
    fn dedupe(&mut self, name: &Spanned<String>, raw: &RawRoute, key: &str, suggested: &Suggested) -> Option<Duration> {
        let key = join(key, "dedupe");
        let default = suggested.dedupe.unwrap_or(DEDUPE.default).max(suggested.fresh_for.unwrap_or_default());
        let window = self.dedupe_window(name, raw, &key, suggested, default);
        if let Some(window) = window.filter(|_| suggested.equal_bodies_are_one) {
            let window = write_duration(window);
            let what = format!(
                "requests bring no id: two with equal bodies count as one for {window}, and the second is answered as a \
                 success and not forwarded"
            );
            let help = "name an id in verify (dedupe), say bodies = \"never-repeat\" there if no two are alike, or write \
                        dedupe = { off = true }";
            self.warn(name, &key, what, help);
        }
        window
    }

    fn dedupe_window(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        suggested: &Suggested,
        default: Duration,
    ) -> Option<Duration> {
        let Some(value) = &raw.dedupe else { return suggested.has_id.then_some(default) };
        let fields = value.get_ref();
        match (&fields.window, &fields.off) {
            (Some(_), Some(off)) => {
                self.reject(off, key, "window and off exclude each other", "keep one of them");
                None
            }
            (None, Some(off)) => {
                if !off.get_ref() {
                    self.reject(off, key, "off = false says nothing", "leave dedupe out for the default");
                } else if suggested.has_id {
                    let what = "dedupe memory is off: a request that was overheard once is taken again";
                    self.warn(name, key, what, "give it a window, or see to it that the application knows its ids");
                }
                None
            }
            (Some(_), None) if !suggested.has_id => {
                let help = "name the id in verify (dedupe), or remove dedupe";
                self.reject(value, key, "this scheme has no id to remember a request by", help);
                None
            }
            (Some(at), None) => {
                let window = self.duration(&fields.window, &join(key, "window"), Between { default, ..DEDUPE });
                if let Some(needed) = suggested.fresh_for.filter(|needed| window < *needed) {
                    let what = format!(
                        "{} is shorter than the {} for which a request counts as fresh",
                        write_duration(window),
                        write_duration(needed)
                    );
                    self.reject(at, &join(key, "window"), what, "a replay would be taken in between; make it longer");
                } else if window < suggested.retries_for {
                    let what =
                        format!("the provider repeats what failed for up to {}", write_duration(suggested.retries_for));
                    let help = "a late retry would be taken for a new request; make it longer, or leave it out";
                    self.warn(at, &join(key, "window"), what, help);
                }
                Some(window)
            }
            (None, None) => {
                self.reject(value, key, "expected window or off", "write { window = \"2h\" } or { off = true }");
                None
            }
        }
    }
}
