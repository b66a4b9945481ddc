//! Addresses and instants as text on the stack: every request writes some of each, and `core::fmt` takes ten times as long
//! and an allocation. Integers are the `itoa` crate's.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::fmt::temporal::DateTimePrinter;

use super::UnixMillis;

const DAY: u64 = 86_400_000;
/// The day on which jiff's instants end, in December 9999.
const LAST_DAY: u64 = 2_932_895;

/// A text of at most `N` bytes, all of them ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The same as a string; looks at every byte once more.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
    }
}

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An address as [`std::fmt::Display`] writes it; IPv6 in the form of RFC 5952.
pub fn address(ip: IpAddr) -> Text<39> {
    let mut text = Text::EMPTY;
    match ip {
        IpAddr::V4(ip) => push_v4(&mut text, ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(inner) => {
                text.extend(b"::ffff:");
                push_v4(&mut text, inner);
            }
            None => push_v6(&mut text, ip),
        },
    }
    text
}

fn push_v4(text: &mut Text<39>, ip: Ipv4Addr) {
    for octet in ip.octets() {
        let (digits, length) = OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
        if let Some(place) = text.bytes.get_mut(text.length..).and_then(<[u8]>::first_chunk_mut) {
            *place = digits;
            text.length += usize::from(length);
        }
    }
    // There is no full stop behind the last one.
    text.length -= 1;
}

/// Each octet with a full stop behind it, and how long that is.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < octets.len() {
        let [hundreds, tens, ones] = [octet / 100, octet / 10 % 10, octet % 10];
        let [hundreds, tens, ones] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        octets[octet] = match octet {
            100.. => ([hundreds, tens, ones, b'.'], 4),
            10.. => ([tens, ones, b'.', 0], 3),
            _ => ([ones, b'.', 0, 0], 2),
        };
        octet += 1;
    }
    octets
};

/// The longest run of zeros, the first of equals, is left out where it is longer than one.
fn push_v6(text: &mut Text<39>, ip: Ipv6Addr) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let segments = ip.segments();
    let (mut from, mut zeros, mut run) = (0, 0, 0);
    for (place, segment) in segments.into_iter().enumerate() {
        run = if segment == 0 { run + 1 } else { 0 };
        if run > zeros {
            (from, zeros) = (place + 1 - run, run);
        }
    }
    if zeros < 2 {
        (from, zeros) = (segments.len(), 0);
    }
    for (place, segment) in segments.into_iter().enumerate() {
        if place == from {
            text.extend(b"::");
        }
        if (from..from + zeros).contains(&place) {
            continue;
        }
        if place > 0 && place != from + zeros {
            text.push(b':');
        }
        let digits = 4 - segment.leading_zeros().min(12) / 4;
        for digit in (0..digits).rev() {
            text.push(HEX.get(usize::from(segment >> (4 * digit) & 0xf)).copied().unwrap_or_default());
        }
    }
}

/// RFC 3339 in UTC with milliseconds, `2026-11-22T10:15:30.123Z`; `None` outside the years that jiff knows, -9999 to 9999.
pub fn rfc3339(at: UnixMillis) -> Option<Text<27>> {
    let Some((day, millis)) = u64::try_from(at.0).ok().map(|at| (at / DAY, at % DAY)).filter(|at| at.0 < LAST_DAY)
    else {
        return rare(at);
    };
    let [y0, y1, y2, y3, d0, m0, m1, d1, day0, day1] = date(day)?;
    let [hour0, hour1] = pair(millis / 3_600_000);
    let [minute0, minute1] = pair(millis / 60_000 % 60);
    let [second0, second1] = pair(millis / 1000 % 60);
    let [milli0, milli1] = pair(millis % 1000 / 10);
    let [_, milli2] = pair(millis % 10);
    #[rustfmt::skip]
    let bytes = [
        y0, y1, y2, y3, d0, m0, m1, d1, day0, day1, b'T', hour0, hour1, b':', minute0, minute1, b':', second0, second1, b'.',
        milli0, milli1, milli2, b'Z', 0, 0, 0,
    ];
    Some(Text { bytes, length: 24 })
}

/// The date of a day since the epoch, worked out once per day and thread.
fn date(day: u64) -> Option<[u8; 10]> {
    thread_local! {
        static LAST: Cell<(u64, [u8; 10])> = const { Cell::new((0, *b"1970-01-01")) };
    }
    let (known, date) = LAST.get();
    if known == day {
        return Some(date);
    }
    let written = rare(UnixMillis(i64::try_from(day * DAY).ok()?))?;
    let date = *written.as_bytes().first_chunk()?;
    LAST.set((day, date));
    Some(date)
}

/// Any instant, at length.
fn rare(at: UnixMillis) -> Option<Text<27>> {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let mut text = Text::EMPTY;
    text.extend(PRINTER.timestamp_to_string(&at).as_bytes());
    Some(text)
}

/// A number below 100 as two digits.
fn pair(number: u64) -> [u8; 2] {
    let number = u8::try_from(number).unwrap_or_default();
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_jiff_has_it(at: i64) -> Option<String> {
        jiff::Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"))
    }

    #[test]
    fn addresses_that_are_special() {
        for ip in [
            "::",
            "::1",
            "1::",
            "1:0:0:2::",
            "1:0:0:2:0:0:3:4",
            "1:0:2:3:4:5:6:7",
            "::ffff:192.0.2.1",
            "0:1::",
            "1::2:0:0",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b::192.0.2.33",
            "255.255.255.255",
            "0.0.0.0",
            "10.100.9.99",
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(address(ip).as_str(), ip.to_string());
        }
    }

    #[test]
    fn instants_at_the_edges() {
        let last = i64::try_from(LAST_DAY * DAY).unwrap();
        for at in [
            0,
            -1,
            1,
            last - 1,
            last,
            last + 1,
            951_782_399_999,
            951_782_400_000,
            i64::MAX,
            i64::MIN,
            -62_135_596_800_001,
        ] {
            assert_eq!(rfc3339(UnixMillis(at)).map(|text| text.as_str().to_owned()), as_jiff_has_it(at), "{at}");
        }
        assert_eq!(rfc3339(UnixMillis(1_767_225_600_007)).unwrap().as_str(), "2026-01-01T00:00:00.007Z");
    }

    proptest::proptest! {
        #[test]
        fn every_address_as_the_standard_library_has_it(v4 in proptest::prelude::any::<u32>(), v6: [u16; 8], zeros: u8) {
            let v4 = IpAddr::V4(v4.into());
            proptest::prop_assert_eq!(address(v4).as_str().to_owned(), v4.to_string());
            // Runs of zeros are what is written differently, and chance alone makes none.
            let with_zeros: [u16; 8] = std::array::from_fn(|place| if zeros >> place & 1 == 1 { 0 } else { v6[place] });
            for segments in [v6, with_zeros] {
                let v6 = IpAddr::V6(segments.into());
                proptest::prop_assert_eq!(address(v6).as_str().to_owned(), v6.to_string());
            }
        }

        #[test]
        fn every_instant_as_jiff_has_it(at in -400_000_000_000_000_i64..400_000_000_000_000) {
            let text = rfc3339(UnixMillis(at)).map(|text| text.as_str().to_owned());
            proptest::prop_assert_eq!(text, as_jiff_has_it(at));
        }
    }
}
