//! A list that a provider publishes as a file of its own: which networks are in force, how old they are, and what was refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Networks;

/// The widest IPv4 network that a feed may hold. No provider sends from more in one piece.
pub const WIDEST_V4: u8 = 8;
/// The same for IPv6. Registries give out /12 to regions, and operators hold /19 at most.
pub const WIDEST_V6: u8 = 16;

/// One feed as it is in force.
#[derive(Debug)]
pub struct Feed {
    /// The list's name.
    pub name: Arc<str>,
    /// The file.
    pub path: PathBuf,
    /// What is read of which format; two feeds that differ in it are not compared.
    pub identity: String,
    /// In force.
    pub networks: Arc<Networks>,
    /// When they were published, seconds since the epoch: as the file says, else when it was written.
    pub date: i64,
    /// Older than that is reported.
    pub max_age: Duration,
    /// Why the file is not what is in force.
    pub refused: Option<String>,
}

impl Feed {
    /// When it becomes old, seconds since the epoch.
    pub fn old_after(&self) -> i64 {
        self.date.saturating_add(i64::try_from(self.max_age.as_secs()).unwrap_or(i64::MAX))
    }

    /// Whether it is older than it may be.
    pub fn is_old(&self, now: i64) -> bool {
        now > self.old_after()
    }
}

impl Networks {
    /// How many there are, once those that touch are one.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The share of these, in percent and rounded up, that `newer` does not hold: of the networks, of the IPv4 addresses or of the
    /// IPv6 addresses, whichever is largest.
    pub fn lost_percent(&self, newer: &Self) -> u64 {
        let v4: Vec<_> = wide(&self.v4).collect();
        let (gone_v4, addresses_v4) = lost(&v4, &wide(&newer.v4).collect::<Vec<_>>());
        let (gone_v6, addresses_v6) = lost(&self.v6, &newer.v6);
        let networks = percent((gone_v4 + gone_v6) as u128, self.len() as u128);
        networks.max(addresses_v4).max(addresses_v6)
    }

    /// One network a line, IPv4 first.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let four = self.v4.iter().flat_map(|(first, last)| {
            ipnet::Ipv4Subnets::new((*first).into(), (*last).into(), 0).map(|net| net.to_string())
        });
        let six = self.v6.iter().flat_map(|(first, last)| {
            ipnet::Ipv6Subnets::new((*first).into(), (*last).into(), 0).map(|net| net.to_string())
        });
        four.chain(six)
    }
}

fn wide(ranges: &[(u32, u32)]) -> impl Iterator<Item = (u128, u128)> {
    ranges.iter().map(|(first, last)| (u128::from(*first), u128::from(*last)))
}

/// How many of the ranges are not whole any more, and the share of addresses that went away. Both are sorted and apart.
fn lost(old: &[(u128, u128)], new: &[(u128, u128)]) -> (usize, u64) {
    let (mut gone, mut all, mut kept) = (0, 0_u128, 0_u128);
    for (first, last) in old {
        let size = (last - first).saturating_add(1);
        let from = new.partition_point(|(_, end)| end < first);
        let overlapping = new.iter().skip(from).take_while(|(start, _)| start <= last);
        let held = overlapping
            .fold(0_u128, |sum, (start, end)| sum.saturating_add((end.min(last) - start.max(first)).saturating_add(1)));
        gone += usize::from(held < size);
        all = all.saturating_add(size);
        kept = kept.saturating_add(held);
    }
    (gone, percent(all - kept.min(all), all))
}

/// Rounded up, so that nothing lost is 0 and nothing else is.
fn percent(part: u128, whole: u128) -> u64 {
    if part == 0 {
        return 0;
    }
    // IPv6 in full does not leave room for a factor of 100.
    let (part, whole) = if whole > u128::MAX / 100 { (part / 128, whole / 128) } else { (part, whole) };
    u64::try_from((part * 100).div_ceil(whole.max(1))).unwrap_or(100).min(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| text.parse::<ipnet::IpNet>().unwrap()).collect()
    }

    #[test]
    fn what_is_lost_counts_by_networks_and_by_addresses() {
        for (old, new, lost) in [
            (&["192.0.2.0/24"][..], &["192.0.2.0/24"][..], 0),
            (&["192.0.2.0/24"], &["192.0.0.0/16"], 0),
            (&["192.0.2.0/24"], &["192.0.2.0/25"], 100),
            (&["192.0.2.0/24", "198.51.100.0/24"], &["198.51.100.0/24"], 50),
            // Hardly an address, and nearly every network.
            (&["10.0.0.0/9", "192.0.2.1/32", "192.0.2.3/32", "192.0.2.5/32"], &["10.0.0.0/9"], 75),
            // One network, and nearly every address.
            (&["10.0.0.0/9", "192.0.2.1/32", "192.0.2.3/32"], &["192.0.2.1/32", "192.0.2.3/32"], 100),
            (&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.0/24"], 100),
            (&["::/0"], &["::/1"], 100),
            (&[], &["192.0.2.0/24"], 0),
        ] {
            assert_eq!(networks(old).lost_percent(&networks(new)), lost, "{old:?} {new:?}");
        }
    }

    #[test]
    fn lines_are_the_networks_again() {
        let texts = ["192.0.2.0/24", "192.0.3.1/32", "2001:db8::/33", "2001:db8:9000::1/128"];
        let lines: Vec<_> = networks(&texts).lines().collect();
        assert_eq!(lines, texts);
    }
}
