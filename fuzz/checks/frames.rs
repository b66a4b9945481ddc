//! The budget of frames beside requests: the same count however the bytes were cut.

use dmz_relay::edge::probe;

pub fn check(data: &[u8]) {
    let whole = probe::frames(data, data.len().max(1));
    for piece in [1, 5, 9, 1000] {
        assert_eq!(probe::frames(data, piece), whole, "in pieces of {piece}");
    }
}
