//! A file that is only half written is refused or taken, and never a panic.

use crate::material::{Material, fixtures};

#[test]
fn a_file_cut_at_any_byte_never_panics() {
    let material = Material::new();
    let whole = fixtures("good").into_iter().find(|(name, _)| name == "own-scheme-and-provider").expect("one").1;
    let mut taken = 0;
    for end in 0..=whole.len() {
        let cut = String::from_utf8_lossy(&whole.as_bytes()[..end]);
        match material.load(cut.as_bytes()) {
            Ok(_) => taken += 1,
            Err(report) => assert!(!report.problems.is_empty()),
        }
    }
    // The whole file, and what is left of it when only comments, blanks or optional lines are missing.
    assert!(taken >= 1);
}

#[test]
fn a_file_with_any_byte_replaced_never_panics() {
    let material = Material::new();
    let whole = fixtures("good").into_iter().find(|(name, _)| name == "least").expect("one").1;
    for at in 0..whole.len() {
        for byte in [b'"', b'[', b'\n', 0xff] {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = byte;
            let _ = material.load(&bytes);
        }
    }
}
