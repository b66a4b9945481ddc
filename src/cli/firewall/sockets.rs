//! Where the relay listens and whom it is connected to, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::Unusable;
use super::flows::{Direction, Flow, Protocol};
use super::{Difference, What};
use crate::domain::source::canonical;

/// proc(5): states of the kernel's table of TCP sockets.
const ESTABLISHED: u8 = 0x01;
const LISTEN: u8 = 0x0a;

/// One TCP socket of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: u64,
}

/// Every process that runs `dmz-relay run`.
pub(super) fn relays() -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<u32> = all
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0);
            let program = words.next().unwrap_or_default();
            (program == b"dmz-relay" || program.ends_with(b"/dmz-relay")) && words.any(|word| word == b"run")
        })
        .collect();
    found.sort_unstable();
    found
}

/// How the sockets of these processes differ from the flows.
pub(super) fn differences(flows: &[Flow], processes: &[u32]) -> Result<Vec<Difference>, Unusable> {
    let wanted: Vec<SocketAddr> = flows
        .iter()
        .filter(|flow| flow.direction == Direction::In)
        .filter_map(|flow| Some(SocketAddr::new(flow.local?, flow.port)))
        .collect();
    if processes.is_empty() {
        let detail = "sockets were not compared".to_owned();
        return Ok(vec![Difference { what: What::NotRunning, detail }]);
    }
    let mut sockets = Vec::new();
    for pid in processes {
        sockets.extend(of(*pid)?);
    }
    let listening: Vec<SocketAddr> = sockets.iter().filter(|at| at.state == LISTEN).map(|at| at.local).collect();
    let mut found = Vec::new();
    for address in wanted.iter().filter(|address| !listening.contains(address)) {
        found.push(Difference { what: What::NotListening, detail: address.to_string() });
    }
    let other = |address: &&SocketAddr| !wanted.contains(address) && !address.ip().is_loopback();
    for address in listening.iter().filter(other) {
        found.push(Difference { what: What::UnexpectedListener, detail: address.to_string() });
    }
    // What was accepted has a listener's port at this end.
    let peers: BTreeSet<SocketAddr> = sockets
        .iter()
        .filter(|socket| socket.state == ESTABLISHED)
        .filter(|socket| !listening.iter().any(|address| address.port() == socket.local.port()))
        .map(|socket| SocketAddr::new(canonical(socket.remote.ip()), socket.remote.port()))
        .collect();
    for peer in peers.into_iter().filter(|peer| !is_expected(flows, *peer)) {
        found.push(Difference { what: What::UnexpectedPeer, detail: peer.to_string() });
    }
    Ok(found)
}

fn is_expected(flows: &[Flow], peer: SocketAddr) -> bool {
    let out = |flow: &&Flow| flow.direction == Direction::Out && flow.protocol == Protocol::Tcp;
    flows.iter().filter(out).any(|flow| flow.port == peer.port() && flow.peers.hold(peer.ip()))
}

/// The TCP sockets of one process.
fn of(pid: u32) -> Result<Vec<Socket>, Unusable> {
    let folder = format!("/proc/{pid}/fd");
    let open =
        fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}; ask as root or as the relay's user"))?;
    let inodes: BTreeSet<u64> = open
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect();
    // By the process, because it may live in a network namespace of its own.
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let sockets = [table("tcp"), table("tcp6")];
    let sockets = sockets.iter().flat_map(|text| text.lines().skip(1).filter_map(row));
    Ok(sockets.filter(|socket| inodes.contains(&socket.inode)).collect())
}

fn row(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket { local, remote, state, inode })
}

/// `0100007F:1F90`: the address in words of the host's byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Option<Vec<[u8; 4]>> = address
        .as_bytes()
        .chunks(8)
        .map(|word| {
            let word = std::str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
            Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
        })
        .collect();
    let bytes = words?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_kernels_table_is_read() {
        let four =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100";
        let socket = row(four).unwrap();
        assert_eq!((socket.local, socket.state, socket.inode), ("127.0.0.1:8080".parse().unwrap(), LISTEN, 4711));
        assert_eq!(address("B80D0120000000000000000001000000:01BB"), Some("[2001:db8::1]:443".parse().unwrap()));
        assert_eq!(address("7F:1"), None);
    }
}
