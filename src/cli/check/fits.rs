//! Whether what the file allows fits the host: its memory and the store's disk. The sums go by the file alone, whoever calls.

use std::path::Path;

use rustix::fs::statvfs;

use crate::config::Problem;
use crate::control::app::Memory;
use crate::runtime::snapshot::Snapshot;

const MIB: u64 = 1 << 20;

pub(super) fn warnings(file: &Path, snapshot: &Snapshot, memory: &Memory) -> Vec<Problem> {
    let problem = |key: &str, (what, help): (String, String)| Problem {
        file: file.to_path_buf(),
        at: None,
        key: key.to_owned(),
        what,
        help: Some(help),
    };
    let installed = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let mut found = Vec::new();
    found.extend(installed.and_then(|has| beyond_memory(memory, has)).map(|words| problem("limits", words)));
    if let Some(store) = &snapshot.store {
        let folder = store.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let disk = statvfs(folder).ok().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        let beyond = disk.and_then(|disk| beyond_disk(store.keep_size, store.reserve, disk));
        found.extend(beyond.map(|words| problem("store.keep.size", words)));
    }
    found
}

/// `MemTotal` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is wrong and what helps, where the process may become larger than the host.
fn beyond_memory(memory: &Memory, has: u64) -> Option<(String, String)> {
    (memory.bytes > has).then(|| {
        let parts = [
            (memory.requests, "limits.body_memory"),
            (memory.connections, "limits.max_connections or max_head"),
            (memory.replay, "limits.replay_entries"),
            (memory.store, "the routes' concurrency or max_body"),
        ];
        let largest = parts.into_iter().max_by_key(|(bytes, _)| *bytes).map_or("limits.body_memory", |(_, name)| name);
        let what = format!("allows {} MiB of memory, and this host has {} MiB", memory.bytes.div_ceil(MIB), has / MIB);
        (what, format!("lower {largest}, which is most of it; --format json shows each part"))
    })
}

/// The same, where the store may become larger than its disk. Its log beside it takes what the reserve keeps free.
fn beyond_disk(keep: u64, reserve: u64, disk: u64) -> Option<(String, String)> {
    (keep.saturating_add(reserve) > disk).then(|| {
        let (keep, reserve, disk) = (keep / MIB, reserve / MIB, disk / MIB);
        let what =
            format!("may take {keep} MiB and {reserve} MiB stay free (store.reserve), and the disk has {disk} MiB");
        let fits = (disk.saturating_sub(reserve) / 10 * 9).max(16);
        let help = if reserve.saturating_add(16) > disk {
            format!("use a larger disk, or lower reserve below {} MiB", disk / 4)
        } else {
            format!("write keep = {{ size = \"{fits}MiB\" }}")
        };
        (what, help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * MIB;

    fn memory(bytes: u64) -> Memory {
        Memory { bytes, connections: 1, requests: bytes / 2, replay: 1, rates: 1, store: 1, program: 1 }
    }

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 * MIB));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn a_ceiling_above_the_host_names_its_largest_part() {
        assert_eq!(beyond_memory(&memory(GIB), 2 * GIB), None);
        let (what, help) = beyond_memory(&memory(3 * GIB), 2 * GIB).expect("too much");
        assert!(what.contains("3072 MiB") && what.contains("2048 MiB"), "{what}");
        assert!(help.contains("body_memory"), "{help}");
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
