//! The parameters of `GET /api/v1/events`. One that is unknown, repeated or unreadable is an error that names it: a filter
//! that silently does not filter is worse than none.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::Denied;
use super::wait::After;
use crate::base::UnixMillis;
use crate::config::quantity;
use crate::scheme::{MAX_NAME, form};
use crate::store::{Query, Stage};

/// Rows of one page, at most.
const PAGE_MAX: usize = 1000;
/// Longest text that is compared with stored ones: what dedupe memory knows a request by.
const TEXT_MAX: usize = MAX_NAME;
/// Longest wait for an event to come.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

const NAMES: &str = "route, provider, outcome, reason, status, state, since, until, id, dedupe, source, text, order, limit, \
                     after, wait";

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) query: Query,
    /// Go on where an answer ended.
    pub(super) after: Option<After>,
    /// Wait so long for something to come.
    pub(super) wait: Option<Duration>,
}

/// Reads a raw query string.
pub(super) fn parse(raw: &str, now: UnixMillis) -> Result<Asked, Denied> {
    let mut asked = Asked::default();
    for (name, value) in fields(raw)? {
        asked.set(&name, &value, now)?;
    }
    if asked.wait.is_some() && !asked.query.ascending {
        return Err(wrong("wait", "goes with order=asc only"));
    }
    Ok(asked)
}

/// The parameters of a raw query string, none of them twice.
pub(in crate::control::admin) fn fields(raw: &str) -> Result<Vec<(String, String)>, Denied> {
    let fields = form::fields(raw.as_bytes()).map_err(|_| bad("the query is not percent-encoded as it should be"))?;
    let mut found: Vec<(String, String)> = Vec::with_capacity(fields.len());
    for (name, value) in &fields {
        let name = std::str::from_utf8(name).map_err(|_| bad("a parameter's name is not text"))?;
        let value = std::str::from_utf8(value).map_err(|_| wrong(name, "is not text"))?;
        if found.iter().any(|(known, _)| known == name) {
            return Err(wrong(name, "stands there twice"));
        }
        found.push((name.to_owned(), value.to_owned()));
    }
    Ok(found)
}

impl Asked {
    fn set(&mut self, name: &str, value: &str, now: UnixMillis) -> Result<(), Denied> {
        let query = &mut self.query;
        match name {
            "route" => query.route = Some(text(name, value)?),
            "provider" => query.provider = Some(text(name, value)?),
            "outcome" => query.outcome = Some(text(name, value)?),
            "reason" => query.reason = Some(text(name, value)?),
            "id" => query.request_id = Some(text(name, value)?),
            "dedupe" => query.dedupe = Some(text(name, value)?),
            "text" => query.text = Some(text(name, value)?),
            "state" => {
                let known = [Stage::Waiting, Stage::Dead].into_iter().find(|stage| stage.as_str() == value);
                query.stage = Some(known.ok_or_else(|| wrong(name, "is waiting or dead"))?);
            }
            "status" => query.status = Some(status(value).ok_or_else(|| wrong(name, "is 404, 5xx or 500-599"))?),
            "since" => query.since = Some(instant(name, value, now)?),
            "until" => query.until = Some(instant(name, value, now)?),
            "source" => query.source = Some(source(value).ok_or_else(|| wrong(name, "is an address or a network"))?),
            "order" => {
                query.ascending = match value {
                    "asc" => true,
                    "desc" => false,
                    _ => return Err(wrong(name, "is asc or desc")),
                };
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                query.limit = limit.ok_or_else(|| wrong(name, &format!("is 1 to {PAGE_MAX}")))?;
            }
            "after" => {
                let after = After::parse(value);
                self.after = Some(after.ok_or_else(|| wrong(name, "is what an answer had under \"next\""))?);
            }
            "wait" => {
                let wait = quantity::duration(value).ok().filter(|wait| (Duration::ZERO..=WAIT_MAX).contains(wait));
                self.wait = Some(wait.ok_or_else(|| wrong(name, &format!("is 0s to {}s", WAIT_MAX.as_secs())))?);
            }
            _ => return Err(bad(&format!("there is no parameter \"{}\"; known: {NAMES}", shown(name)))),
        }
        Ok(())
    }
}

fn bad(what: &str) -> Denied {
    Denied::BadParameter(what.to_owned())
}

fn wrong(name: &str, what: &str) -> Denied {
    Denied::BadParameter(format!("{}: it {what}", shown(name)))
}

/// What a client sent comes back to it, but not at any length.
fn shown(name: &str) -> String {
    name.chars().filter(|char| !char.is_control()).take(40).collect()
}

fn text(name: &str, value: &str) -> Result<String, Denied> {
    let fits = (1..=TEXT_MAX).contains(&value.len());
    fits.then(|| value.to_owned()).ok_or_else(|| wrong(name, &format!("has 1 to {TEXT_MAX} bytes")))
}

/// `404`, `5xx`, `500-599`; 0 when nobody was left to receive an answer.
fn status(value: &str) -> Option<(u16, u16)> {
    let code = |text: &str| text.parse().ok().filter(|code: &u16| *code <= 999 && !text.starts_with('+'));
    if let Some(class) = value.strip_suffix("xx") {
        let class: u16 = code(class).filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let (from, to) = value.split_once('-').map_or((value, value), |(from, to)| (from, to));
    let (from, to) = (code(from)?, code(to)?);
    (from <= to).then_some((from, to))
}

/// A single address, or the first and last one of a network.
fn source(value: &str) -> Option<(IpAddr, IpAddr)> {
    if let Ok(ip) = value.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return Some((ip, ip));
    }
    match value.parse::<IpNet>().ok()? {
        IpNet::V4(net) => Some((net.network().into(), net.broadcast().into())),
        IpNet::V6(net) => Some((net.network().into(), net.broadcast().into())),
    }
}

pub(in crate::control::admin) fn instant(name: &str, value: &str, now: UnixMillis) -> Result<UnixMillis, Denied> {
    if let Ok(secs) = value.parse::<i64>() {
        return Ok(UnixMillis::from_secs(secs));
    }
    if let Ok(at) = value.parse::<jiff::Timestamp>() {
        return Ok(UnixMillis(at.as_millisecond()));
    }
    let back = quantity::duration(value);
    back.map(|back| now.minus(back)).map_err(|_| {
        wrong(name, "is a time with its zone (2026-11-22T10:00:00Z), seconds since 1970, or how long ago (2h, 3d)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Cursor;

    const NOW: UnixMillis = UnixMillis(1_795_341_600_000);

    fn query(raw: &str) -> Query {
        parse(raw, NOW).unwrap().query
    }

    #[test]
    fn every_parameter_reaches_the_query() {
        let all = "route=a&provider=b&outcome=refused&reason=c&status=401&since=2h&until=1795341600&id=1a&dedupe=h%3A1\
                   &source=192.0.2.1&text=x+y&order=asc&limit=7&after=-12&wait=20s&state=dead";
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let some = |text: &str| Some(text.to_owned());
        let expected = Query {
            route: some("a"),
            provider: some("b"),
            since: Some(UnixMillis(NOW.0 - 7_200_000)),
            until: Some(NOW),
            outcome: some("refused"),
            reason: some("c"),
            status: Some((401, 401)),
            request_id: some("1a"),
            dedupe: some("h:1"),
            source: Some((ip, ip)),
            text: some("x y"),
            ascending: true,
            stage: Some(Stage::Dead),
            after: None,
            limit: 7,
        };
        let (after, wait) = (Some(After::Row(Cursor(-12))), Some(Duration::from_secs(20)));
        assert_eq!(parse(all, NOW).unwrap(), Asked { query: expected, after, wait });
        assert_eq!(parse("", NOW).unwrap(), Asked::default());
    }

    #[test]
    fn statuses_have_three_forms() {
        assert_eq!(query("status=5xx").status, Some((500, 599)));
        assert_eq!(query("status=400-404").status, Some((400, 404)));
        assert_eq!(query("status=0").status, Some((0, 0)));
        for bad in ["", "x", "6xx", "0xx", "xxx", "500-400", "-1", "1000", "4-", "+4"] {
            assert!(parse(&format!("status={bad}"), NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_three_forms() {
        assert_eq!(query("since=2026-11-22T10:00:00Z").since, Some(NOW));
        assert_eq!(query("since=2026-11-22T11:00:00.5%2B01:00").since, Some(UnixMillis(NOW.0 + 500)));
        assert_eq!(query("until=3d").until, Some(UnixMillis(NOW.0 - 3 * 86_400_000)));
        for bad in ["", "yesterday", "2026-11-22", "2h ago", "-2h"] {
            assert!(parse(&format!("since={bad}"), NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn sources_are_addresses_or_networks() {
        let net = |text: &str| query(&format!("source={text}")).source.map(|(a, b)| (a.to_string(), b.to_string()));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(net("192.0.2.0/24"), pair("192.0.2.0", "192.0.2.255"));
        assert_eq!(net("192.0.2.77/31"), pair("192.0.2.76", "192.0.2.77"));
        assert_eq!(net("2001:db8::/127"), pair("2001:db8::", "2001:db8::1"));
        assert_eq!(net("::ffff:192.0.2.1"), pair("192.0.2.1", "192.0.2.1"));
        for bad in ["", "192.0.2", "192.0.2.0/33", "office"] {
            assert!(parse(&format!("source={bad}"), NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_its_parameter() {
        for (raw, part) in [
            ("rout=x", "\"rout\""),
            ("route=a&route=b", "route: it stands there twice"),
            ("limit=0", "limit: it is 1 to 1000"),
            ("limit=1001", "limit"),
            ("order=up", "order"),
            ("after=x", "after"),
            ("wait=20s", "wait: it goes with order=asc only"),
            ("order=asc&wait=x", "wait"),
            ("order=asc&wait=2m", "wait"),
            ("text=", "text"),
            ("route=%zz", "percent"),
            ("route=%ff", "route"),
        ] {
            let Err(Denied::BadParameter(what)) = parse(raw, NOW) else { panic!("{raw}") };
            assert!(what.contains(part), "{raw}: {what}");
        }
    }
}
