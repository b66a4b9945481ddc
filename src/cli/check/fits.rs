//! Whether what the file allows fits the host and the unit: memory, open files, and the store's disk. The sums go by the file alone,
//! whoever calls.

use std::path::Path;

use rustix::fs::statvfs;

use super::unit::Unit;
use crate::base::folder_of;
use crate::config::Problem;
use crate::control::app::{Memory, open_files};
use crate::runtime::snapshot::{Limits, Snapshot};

const MIB: u64 = 1 << 20;
/// The percentage of all memory that the process may take. The rest is for what the sum does not have, such as buffers of sockets
/// and pages of files, which the kernel counts to the unit.
const MOST_OF_ALL: u64 = 96;
/// Connections that there may be beyond the limit (docs/operating.md, "Memory").
const LEAVING: usize = 256;

pub(super) fn warnings(
    file: &Path,
    snapshot: &Snapshot,
    memory: &Memory,
    ram: Option<u64>,
    unit: Option<&Unit>,
) -> Vec<Problem> {
    let problem = |key: &str, (what, help): (String, String)| Problem::of(file, key, what, Some(help));
    let mut found = Vec::new();
    found.extend(beyond_memory(memory, &snapshot.limits, ram, unit).map(|words| problem("limits", words)));
    found.extend(beyond_open_files(snapshot, unit).map(|words| problem("limits.max_connections", words)));
    if let Some(store) = &snapshot.store {
        let folder = folder_of(&store.path);
        let disk = statvfs(folder).ok().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        let beyond = disk.and_then(|disk| beyond_disk(store.keep_size, store.disk_reserve, disk));
        found.extend(beyond.map(|words| problem("store.keep.size", words)));
    }
    found
}

/// The memory of this host, in bytes.
pub(super) fn ram() -> Option<u64> {
    std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text))
}

/// `MemTotal` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is wrong and what helps, where the process may become as large as the host, or as its unit lets it be, or nearly so.
fn beyond_memory(memory: &Memory, limits: &Limits, ram: Option<u64>, unit: Option<&Unit>) -> Option<(String, String)> {
    let most = memory.bytes.div_ceil(MIB);
    let bound = unit.and_then(|unit| unit.memory);
    let beyond = |all: u64, named: String| {
        let rest = match memory.bytes > all {
            true => String::new(),
            false => format!(", of which {}% should stay free", 100 - MOST_OF_ALL),
        };
        (memory.bytes > part(all)).then(|| format!("{named}{rest}"))
    };
    // The system and the page cache have a quarter.
    let host = ram.and_then(|ram| Some((beyond(ram, format!("this host has {} MiB", ram / MIB))?, ram / 4 * 3)));
    let unit = bound.and_then(|bound| {
        let named = format!("the unit has {}={}M", bound.key, bound.bytes / MIB);
        Some((beyond(bound.bytes, named)?, part(bound.bytes)))
    });
    let (what, fits) = match (&host, &unit) {
        (Some(_), Some((unit, bytes))) if bound.is_some_and(|bound| ram.is_some_and(|ram| bound.bytes < ram)) => {
            (unit, *bytes)
        }
        (Some((host, bytes)), _) => (host, *bytes),
        (None, Some((unit, bytes))) => (unit, *bytes),
        (None, None) => return None,
    };
    let mut help = lower(memory, limits, fits);
    if let (None, Some(bound)) = (&host, bound) {
        let least = (memory.bytes / MOST_OF_ALL * 100).div_ceil(MIB) + 1;
        help = format!("set {}={least}M or more (systemctl edit dmz-relay), or {help}", bound.key);
    }
    Some((format!("allows {most} MiB of memory, and {what}"), format!("{help}; --format json shows each part")))
}

/// What of all that there is the process may take.
fn part(all: u64) -> u64 {
    all / 100 * MOST_OF_ALL
}

/// A value for the part that is most of it, so that the sum fits; or what to look at, where that part alone is not enough.
fn lower(memory: &Memory, limits: &Limits, fits: u64) -> String {
    let parts = [
        (memory.requests, "body_memory"),
        (memory.connections, "max_connections"),
        (memory.dedupe, "dedupe_entries"),
        (memory.store, "store"),
    ];
    let (part, name) = parts.into_iter().max_by_key(|(bytes, _)| *bytes).unwrap_or_default();
    // The sum has an eighth on top.
    let above = (memory.bytes.saturating_sub(fits) / 9 * 8).saturating_add(MIB);
    let left = part.saturating_sub(above);
    let share =
        |count: usize| u64::try_from(u128::from(left) * count as u128 / u128::from(part.max(1))).unwrap_or_default();
    let pages = "lower max_connections, max_head, max_h2_streams and body_memory together (docs/tasks/host-sizes.md)";
    match name {
        _ if left < part / 16 => pages.to_owned(),
        "max_connections" => {
            // An eighth more may be on their way out, but no more than that.
            let places = share(limits.max_connections + LEAVING.min(limits.max_connections / 8));
            let most = places.saturating_sub(LEAVING as u64).max(places / 9 * 8);
            format!("write max_connections = {}", rounded(most))
        }
        "dedupe_entries" => format!("write dedupe_entries = {}", rounded(share(limits.dedupe_entries))),
        "body_memory" => format!("write body_memory = \"{}MiB\"", rounded(left / MIB)),
        _ => "lower concurrency or max_body of the routes that deliver from the store".to_owned(),
    }
}

/// Down to two digits.
fn rounded(value: u64) -> u64 {
    let unit = 10_u64.pow(value.checked_ilog10().unwrap_or(0).saturating_sub(1));
    value / unit * unit
}

/// The same, where the service may open fewer files than its senders may hold connections.
fn beyond_open_files(snapshot: &Snapshot, unit: Option<&Unit>) -> Option<(String, String)> {
    let (has, wants) = (unit?.open_files?, open_files(snapshot));
    (has < wants).then(|| {
        let max = snapshot.limits.max_connections;
        let what = format!(
            "{max} connections need {wants} open files, and the unit has LimitNOFILE={has}: there will be fewer"
        );
        (
            what,
            format!(
                "set LimitNOFILE={} (systemctl edit dmz-relay), or lower max_connections",
                wants.next_power_of_two()
            ),
        )
    })
}

/// The same, where the store may become larger than its disk. Its log beside it takes what the reserve keeps free.
fn beyond_disk(keep: u64, reserve: u64, disk: u64) -> Option<(String, String)> {
    (keep.saturating_add(reserve) > disk).then(|| {
        let (keep, reserve, disk) = (keep / MIB, reserve / MIB, disk / MIB);
        let what = format!(
            "may take {keep} MiB and {reserve} MiB stay free (store.disk_reserve), and the disk has {disk} MiB"
        );
        let fits = (disk.saturating_sub(reserve) / 10 * 9).max(16);
        let help = if reserve.saturating_add(16) > disk {
            format!("use a larger disk, or lower disk_reserve below {} MiB", disk / 4)
        } else {
            format!("write keep = {{ size = \"{fits}MiB\" }}")
        };
        (what, help)
    })
}

#[cfg(test)]
mod tests {
    use super::super::unit::Bound;
    use super::*;
    use crate::base::UnixMillis;
    use crate::config::{Environment, load};
    use crate::runtime::state::State;

    const GIB: u64 = 1024 * MIB;

    /// A configuration with these lines in `[limits]`.
    fn compiled(limits: &str) -> Snapshot {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let text = format!(
            "[limits]\n{limits}\n[[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
             [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
             [routes.a]\npath = \"/a\"\nverify.dangerously_none = true\nupstream = \"app\"\n"
        );
        std::fs::write(&file, text).unwrap();
        load(&file, &Environment::default(), &State::default(), UnixMillis(1_780_315_200_000)).unwrap().snapshot
    }

    fn told(limits: &str, ram: u64, unit: Option<&Unit>) -> Option<(String, String)> {
        let snapshot = compiled(limits);
        beyond_memory(&Memory::most(&snapshot), &snapshot.limits, Some(ram), unit)
    }

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 * MIB));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn a_ceiling_above_the_host_gets_a_value_that_fits_it() {
        assert_eq!(told("", 64 * GIB, None), None);
        for (limits, ram) in [
            ("", 8 * GIB),
            ("", 16 * GIB),
            ("max_connections = 100\nbody_memory = \"4GiB\"", 3 * GIB),
            ("max_connections = 100\nbody_memory = \"64MiB\"\ndedupe_entries = 20000000", 2 * GIB),
        ] {
            let (what, help) = told(limits, ram, None).expect("too much");
            assert!(what.contains(&format!("{} MiB", ram / MIB)), "{what}");
            let line = help.strip_prefix("write ").unwrap().split(';').next().unwrap();
            let kept = limits.lines().filter(|kept| kept.split(' ').next() != line.split(' ').next());
            let limits = kept.chain([line]).collect::<Vec<_>>().join("\n");
            let memory = Memory::most(&compiled(&limits)).bytes;
            assert!(memory <= ram / 4 * 3 && memory > ram / 2, "{limits}: {memory} of {ram}");
        }
        let (_, help) = told("max_connections = 100\nbody_memory = \"600MiB\"", GIB / 4, None).expect("too much");
        assert!(help.contains("host-sizes.md"), "{help}");
    }

    #[test]
    fn a_ceiling_above_the_unit_names_its_limit() {
        let unit = |mib: u64| Unit { memory: Some(Bound { key: "MemoryMax", bytes: mib * MIB }), ..Unit::default() };
        let limits = "max_connections = 100\nbody_memory = \"1GiB\"";
        assert_eq!(told(limits, 4 * GIB, Some(&unit(3000))), None);
        let (what, help) = told(limits, 4 * GIB, Some(&unit(700))).expect("too much");
        assert!(what.contains("the unit has MemoryMax=700M"), "{what}");
        assert!(help.starts_with("set MemoryMax=") && help.contains("write body_memory = "), "{help}");
        // Where the host is too small as well, a larger limit of the unit is no help.
        let (what, help) = told(limits, GIB, Some(&unit(700))).expect("too much");
        assert!(what.contains("MemoryMax=700M") && !help.contains("set MemoryMax"), "{what}: {help}");
        let (what, _) = told(limits, GIB, Some(&unit(1100))).expect("too much");
        assert!(what.contains("this host has 1024 MiB"), "{what}");
    }

    /// On both sides of the bound, of the unit and of the host; and what is proposed lies on the right one.
    #[test]
    fn a_ceiling_that_leaves_nearly_nothing_is_told() {
        let unit = |bytes: u64| Unit { memory: Some(Bound { key: "MemoryHigh", bytes }), ..Unit::default() };
        let limits = "max_connections = 100\nbody_memory = \"1GiB\"";
        let ceiling = Memory::most(&compiled(limits)).bytes;
        let fits = (ceiling / MOST_OF_ALL + 1) * 100;
        assert_eq!(told(limits, 64 * GIB, Some(&unit(fits))), None);
        assert_eq!(told(limits, fits, None), None);
        let (what, help) = told(limits, 64 * GIB, Some(&unit(fits - 200))).expect("too little is left");
        assert!(
            what.contains("the unit has MemoryHigh=") && what.ends_with(", of which 4% should stay free"),
            "{what}"
        );
        let proposed = help.strip_prefix("set MemoryHigh=").unwrap().split('M').next().unwrap();
        assert_eq!(told(limits, 64 * GIB, Some(&unit(proposed.parse::<u64>().unwrap() * MIB))), None);
        let lower = help.split("write ").nth(1).unwrap().split(';').next().unwrap();
        assert_eq!(
            told(&format!("max_connections = 100\n{lower}"), 64 * GIB, Some(&unit(fits - 200))),
            None,
            "{lower}"
        );
        let (what, help) = told(limits, fits - 200, None).expect("too little is left");
        assert!(what.contains("this host has ") && what.ends_with(" should stay free"), "{what}");
        assert!(help.starts_with("write body_memory = "), "{help}");
        let (what, _) = told(limits, ceiling - 1, None).expect("more than there is");
        assert!(!what.contains("stay free"), "{what}");
    }

    #[test]
    fn more_connections_than_open_files_are_named() {
        let unit = |files: u64| Unit { open_files: Some(files), ..Unit::default() };
        let snapshot = compiled("max_connections = 20000");
        assert_eq!(beyond_open_files(&snapshot, Some(&unit(65_536))), None);
        assert_eq!(beyond_open_files(&snapshot, None), None);
        let (what, help) = beyond_open_files(&snapshot, Some(&unit(1024))).expect("too many");
        assert!(what.contains("26667 open files") && help.contains("LimitNOFILE=32768"), "{what}: {help}");
    }

    #[test]
    fn a_store_beyond_its_disk_gets_a_size_that_fits() {
        assert_eq!(beyond_disk(2 * GIB, 256 * MIB, 10 * GIB), None);
        let (_, help) = beyond_disk(2 * GIB, 256 * MIB, GIB).expect("too much");
        assert!(help.contains("684MiB"), "{help}");
        let (_, help) = beyond_disk(2 * GIB, 256 * MIB, 24 * MIB).expect("too much");
        assert!(help.contains("larger disk"), "{help}");
    }
}
