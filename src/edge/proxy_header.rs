//! The PROXY protocol, versions 1 and 2 (HAProxy's `doc/proxy-protocol.txt`), from listed peers only.
//!
//! A listed peer must send the header: without it the relay would take the balancer's address for the sender's. Bytes are
//! read exactly to the header's end, so that the TLS handshake behind it stays on the socket. TLVs are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt};

use self::Untold::Malformed;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest version 1 header, line end included.
const V1_MAX: usize = 107;
/// Addresses and TLVs of a version 2 header. Balancers send a few hundred bytes.
const V2_MAX: usize = 4096;

/// What a header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The sender's address.
    Source(IpAddr),
    /// The balancer speaks for itself (`LOCAL`, `UNKNOWN`): its own health check.
    Itself,
}

/// Why there is no source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// The peer went away before it sent anything.
    Silent,
    /// What came is not the beginning of a header.
    Missing,
    /// It began as one and is none.
    Malformed,
}

/// Whether these bytes begin as a header does.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PROXY ") || bytes.starts_with(&SIGNATURE)
}

/// The same behind the empty lines that a reader of HTTP skips: a version 2 header begins with two.
pub(super) fn is_left_of(bytes: &[u8]) -> bool {
    begins(bytes) || SIGNATURE.get(4..).is_some_and(|rest| bytes.starts_with(rest))
}

/// Reads a header.
pub(super) async fn read<S: AsyncRead + Unpin>(io: &mut S) -> Result<Told, Untold> {
    // Both versions are longer than this, so nothing behind the header is touched.
    let mut start = [0_u8; 12];
    let mut room = &mut start[..];
    let mut why = Untold::Silent;
    while room.has_remaining_mut() {
        match io.read_buf(&mut room).await {
            Ok(1..) => why = Untold::Missing,
            Ok(0) | Err(_) => return Err(why),
        }
    }
    if start == SIGNATURE {
        read_v2(io).await
    } else if start.starts_with(b"PROXY ") {
        read_v1(io, start).await
    } else {
        Err(Untold::Missing)
    }
}

async fn read_v2<S: AsyncRead + Unpin>(io: &mut S) -> Result<Told, Untold> {
    let mut rest = [0_u8; 4];
    io.read_exact(&mut rest).await.map_err(|_| Malformed)?;
    let [version_command, family, high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Err(Malformed);
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await.map_err(|_| Malformed)?;
    match (version_command, family) {
        (0x20, _) => Ok(Told::Itself),
        (0x21, 0x11 | 0x12) => first::<4>(&body, 12).map(|ip| Told::Source(Ipv4Addr::from(ip).into())),
        (0x21, 0x21 | 0x22) => {
            first::<16>(&body, 36).map(|ip| Told::Source(IpAddr::from(Ipv6Addr::from(ip)).to_canonical()))
        }
        (0x21, 0x00) => Ok(Told::Itself),
        _ => Err(Malformed),
    }
}

/// The source address stands first; the block must be whole.
fn first<const N: usize>(body: &[u8], least: usize) -> Result<[u8; N], Untold> {
    if body.len() < least {
        return Err(Malformed);
    }
    body.first_chunk().copied().ok_or(Malformed)
}

async fn read_v1<S: AsyncRead + Unpin>(io: &mut S, start: [u8; 12]) -> Result<Told, Untold> {
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_MAX {
            return Err(Malformed);
        }
        line.push(io.read_u8().await.map_err(|_| Malformed)?);
    }
    parse_v1(std::str::from_utf8(&line).map_err(|_| Malformed)?.trim_end_matches("\r\n"))
}

fn parse_v1(line: &str) -> Result<Told, Untold> {
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(Malformed);
    }
    let family = words.next().ok_or(Malformed)?;
    if family == "UNKNOWN" {
        return Ok(Told::Itself);
    }
    let (Some(source), Some(target), Some(source_port), Some(target_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed);
    };
    let address = |ip: &str, port: &str| -> Result<SocketAddr, Untold> {
        let ip: IpAddr = ip.parse().map_err(|_| Malformed)?;
        let plain = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = if plain { port.parse().map_err(|_| Malformed)? } else { return Err(Malformed) };
        if ip.is_ipv4() == (family == "TCP4") { Ok(SocketAddr::new(ip, port)) } else { Err(Malformed) }
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(Malformed);
    }
    let source = address(source, source_port)?;
    address(target, target_port)?;
    Ok(Told::Source(source.ip().to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> (Result<Told, Untold>, Vec<u8>) {
        let mut io = bytes;
        let told = read(&mut io).await;
        (told, io.to_vec())
    }

    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn headers_are_read_to_their_end_and_no_further() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 1, 187, 1, 187];
        let six = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 20]].concat();
        let mapped = [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1][..], &[0; 20]].concat();
        let source = |ip: &str| Told::Source(ip.parse().unwrap());
        for (header, told) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 443\r\n".to_vec(), source("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 51000 443\r\n".to_vec(), source("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Told::Itself),
            (b"PROXY UNKNOWN whatever it says\r\n".to_vec(), Told::Itself),
            (v2(0x21, 0x11, &four), source("192.0.2.1")),
            (v2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat()), source("192.0.2.1")),
            (v2(0x21, 0x21, &six), source("2001:db8::1")),
            (v2(0x21, 0x21, &mapped), source("192.0.2.1")),
            (v2(0x20, 0x00, &[]), Told::Itself),
        ] {
            let (result, rest) = read_all(&[&header[..], b"\x16\x03"].concat()).await;
            assert_eq!(result, Ok(told), "{header:?}");
            assert_eq!(rest, b"\x16\x03", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_at_all() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00",
            b"PROX",
        ] {
            assert_eq!(read_all(bytes).await.0, Err(Untold::Missing), "{bytes:?}");
        }
        assert_eq!(read_all(b"").await.0, Err(Untold::Silent));
    }

    #[tokio::test]
    async fn malformed_headers() {
        for header in [
            b"PROXY TCP4 192.0.2.1 10.0.0.1 51000\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 443 1\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 10.0.0.1 51000 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n".to_vec(),
            b"PROXY TCP5 192.0.2.1 10.0.0.1 1 443\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 10.0.0.1 1 443\r\n".to_vec(),
            [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat(),
            b"PROXY TCP4 192.0".to_vec(),
            v2(0x21, 0x11, &[1, 2, 3]),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x31, &[0; 216]),
            v2(0x21, 0x11, &[0; 5000]),
            SIGNATURE.to_vec(),
        ] {
            assert_eq!(read_all(&header).await.0, Err(Malformed), "{header:?}");
        }
    }
}
