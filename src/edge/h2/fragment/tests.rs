use super::*;

/// A field that enters the table, or one that does not.
fn field(enters: bool, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![if enters { 0x40 } else { 0 }], text(name), text(value)].concat()
}

fn walked(blocks: &[Vec<u8>]) -> Vec<Option<bool>> {
    let mut table = Table::default();
    blocks.iter().map(|block| table.walk(block)).collect()
}

#[test]
fn only_a_path_has_a_fragment() {
    let path = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    for (block, has) in [
        (path(0x44, "/a#b"), true),
        (path(0x45, "/a#b"), true),
        (path(0x04, "/#"), true),
        (path(0x14, "/a?b#"), true),
        (field(false, ":path", "/a#b"), true),
        (field(true, ":path", "#"), true),
        (path(0x04, "/a%23b"), false),
        (field(true, "x-path", "/a#b"), false),
        (path(0x41, "a#b"), false),
        (vec![0x84], false),
        // `:path` and `/a#b` in Huffman's code.
        (vec![0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 0x84, 0x60, 0x7f, 0xf5, 0x1f], true),
        (vec![0x04, 0x84, 0x60, 0x7f, 0xf5, 0x1f], true),
        (vec![0x0f, 0x2b, 0x84, 0x60, 0x7f, 0xf5, 0x1f], false),
    ] {
        assert_eq!(walked(std::slice::from_ref(&block)), [Some(has)], "{block:x?}");
    }
}

/// Entries go by size, oldest first; what is left is found where it is.
#[test]
fn a_path_is_found_again_in_the_table() {
    let fragment = field(true, ":path", "/a#b");
    let other = field(true, "x-a", "b");
    assert_eq!(walked(&[fragment.clone(), vec![0xbe]]), [Some(true); 2]);
    assert_eq!(walked(&[fragment.clone(), other.clone(), vec![0xbf], vec![0xbe]])[2..], [Some(true), Some(false)]);
    // A new value for the name of an entry.
    assert_eq!(walked(&[field(true, ":path", "/a"), vec![0x7e, 2, b'/', b'#']]), [Some(false), Some(true)]);
    // The table is emptied, and there is nothing to refer to.
    assert_eq!(walked(&[fragment.clone(), vec![0x20], vec![0xbe]]), [Some(true), Some(false), None]);
    // Entries of 36 bytes each: 112 of them leave the first one in, 113 do not.
    let full = |count: usize| [vec![fragment.clone()], vec![other.clone(); count]].concat();
    let last = |count: usize, index: u8| walked(&[full(count), vec![vec![0xff, index]]].concat()).pop().unwrap();
    assert_eq!(last(112, 47), Some(true), "112 * 36 + 41 = 4073");
    assert_eq!(last(113, 48), None, "113 * 36 + 41 = 4109");
    // One that is larger than the table empties it.
    let large = [vec![0x40, 1, b'x', 0x7f, 0x81, 0x1f], vec![b'y'; 4096]].concat();
    assert_eq!(walked(&[fragment, large, vec![0xbe]]), [Some(true), Some(false), None]);
}

#[test]
fn what_is_no_field_block_is_none() {
    for block in [
        &[0x40][..],
        &[0x40, 5, b'a'],
        &[0x44, 0x7f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x3f, 0xe2, 0x1f],
        &[0xbe],
        &[0x7e, 0],
    ] {
        assert_eq!(Table::default().walk(block), None, "{block:x?}");
    }
}

/// However a block is cut, into frames and into reads.
#[test]
fn blocks_are_walked_however_they_come() {
    let block = [field(false, "x-a", "b"), field(true, ":path", "/a#b"), field(false, "x-c", "d")].concat();
    for cut in 0..=block.len() {
        for piece in [1, 3, 100] {
            let marked = Arc::new(Marked::default());
            let mut blocks = Blocks::new(1000, Arc::clone(&marked));
            let padded = [&[2][..], &[0; 5], &block[..cut], &[0; 2]].concat();
            for (flags, payload, is_continuation) in
                [(PADDED | PRIORITY, &padded[..], false), (END_HEADERS, &block[cut..], true)]
            {
                blocks.begin(flags, 7, is_continuation);
                let count = payload.len().div_ceil(piece).max(1);
                for number in 0..count {
                    let part = &payload[number * piece..payload.len().min((number + 1) * piece)];
                    blocks.pass(part, number + 1 == count);
                }
            }
            assert!(!marked.take(5) && marked.take(7) && !marked.take(7), "cut at {cut}, read in {piece}");
        }
    }
}

#[test]
fn what_is_held_is_bounded() {
    let marked = Arc::new(Marked::default());
    let mut blocks = Blocks::new(1000, Arc::clone(&marked));
    blocks.begin(0, 1, false);
    for _ in 0..100 {
        blocks.pass(&[0; 100], false);
        assert!(blocks.payload.len() <= 1000);
    }
    assert!(blocks.lost && blocks.payload.capacity() == 0);
    (0..1000).for_each(|stream| marked.add(stream));
    assert_eq!((0..1000).filter(|stream| marked.take(*stream)).count(), MARKED_MAX);
}
