//! The flows as a table of nftables, written exactly as `nft -s -u list table` prints it, so that the two can be compared.
//!
//! The table judges what belongs to the relay and nothing else: connections to its ports, and what its user sends. Everything
//! else on the host is left to the host's own rules, so loading it locks nobody out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::Unusable;
use super::flows::{Direction, Flow, Peers, shown};

/// Of the family `inet`.
pub(super) const TABLE: &str = "dmz_relay";

/// A file for `nft -f`: it replaces the table that is loaded, in one transaction.
pub(super) fn script(flows: &[Flow], user: &str, config: &str) -> Result<String, Unusable> {
    let table = table(flows, user)?;
    let config = config.replace(|character: char| character.is_control(), "?");
    Ok(format!(
        "#!/usr/sbin/nft -f\n\
         # Made by `dmz-relay firewall --format nftables` from {config}. Make it again after a change of the configuration.\n\
         table inet {TABLE}\n\
         delete table inet {TABLE}\n\n\
         {table}"
    ))
}

/// The table alone.
pub(super) fn table(flows: &[Flow], user: &str) -> Result<String, Unusable> {
    if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err("--user needs the name of an account".into());
    }
    let (mut input, mut dropped, mut output) = (Vec::new(), BTreeSet::new(), Vec::new());
    for flow in flows {
        match flow.direction {
            Direction::In => {
                input.extend(accepted(flow, "saddr"));
                if flow.peers != Peers::Anybody {
                    dropped.insert(format!("{} counter drop comment \"everybody else\"", port(flow)));
                }
            }
            Direction::Out => {
                if let Peers::Name(name, addresses) = &flow.peers
                    && addresses.is_empty()
                {
                    return Err(format!("{name} has no address here; a rule needs one ({})", flow.purpose).into());
                }
                output.extend(accepted(flow, "daddr"));
            }
        }
    }
    let mut text = format!("table inet {TABLE} {{\n\tchain input {{\n");
    let hook = |name: &str| format!("type filter hook {name} priority filter; policy accept;");
    let begin = [hook("input"), "ct state established,related accept".into(), "iifname \"lo\" accept".into()];
    for line in begin.into_iter().chain(input).chain(dropped) {
        let _ = writeln!(text, "\t\t{line}");
    }
    text.push_str("\t}\n\n\tchain output {\n");
    let begin =
        [hook("output"), format!("meta skuid != \"{user}\" accept"), "ct state established,related accept".into()];
    let end = "counter reject with icmpx admin-prohibited comment \"nothing else\"".to_owned();
    for line in begin.into_iter().chain(output).chain([end]) {
        let _ = writeln!(text, "\t\t{line}");
    }
    text.push_str("\t}\n}\n");
    Ok(text)
}

/// One rule for each family that the flow has addresses of.
fn accepted(flow: &Flow, side: &str) -> Vec<String> {
    let (four, six): (Vec<_>, Vec<_>) = match &flow.peers {
        Peers::Anybody => return vec![format!("{} counter accept comment \"{}\"", port(flow), comment(flow))],
        Peers::Ranges(ranges) => ranges.iter().copied().partition(|(first, _)| first.is_ipv4()),
        Peers::Name(_, addresses) => {
            addresses.iter().map(|address| (*address, *address)).partition(|(first, _)| first.is_ipv4())
        }
    };
    let mut rules = Vec::new();
    for (family, ranges) in [("ip", four), ("ip6", six)] {
        if ranges.is_empty() || flow.local.is_some_and(|local| local.is_ipv4() != (family == "ip")) {
            continue;
        }
        let ranges: Vec<_> = ranges.into_iter().map(shown).collect();
        let set = match ranges.as_slice() {
            [one] => one.clone(),
            many => format!("{{ {} }}", many.join(", ")),
        };
        let local = flow.local.filter(|local| !local.is_unspecified());
        let local = local.map(|local| format!("{family} daddr {local} ")).unwrap_or_default();
        rules.push(format!(
            "{local}{family} {side} {set} {} dport {} counter accept comment \"{}\"",
            flow.protocol.as_str(),
            flow.port,
            comment(flow)
        ));
    }
    rules
}

/// The relay's end of a flow that comes in.
fn port(flow: &Flow) -> String {
    let local = match flow.local {
        Some(local) if local.is_unspecified() => {
            format!("meta nfproto {} ", if local.is_ipv4() { "ipv4" } else { "ipv6" })
        }
        Some(local @ IpAddr::V4(_)) => format!("ip daddr {local} "),
        Some(local @ IpAddr::V6(_)) => format!("ip6 daddr {local} "),
        None => String::new(),
    };
    format!("{local}{} dport {}", flow.protocol.as_str(), flow.port)
}

/// At most 128 bytes, and no quotation mark: nft takes no more.
fn comment(flow: &Flow) -> String {
    flow.purpose
        .chars()
        .filter(|character| character.is_ascii_graphic() || *character == ' ')
        .filter(|character| !matches!(character, '"' | '\\'))
        .take(120)
        .collect()
}
