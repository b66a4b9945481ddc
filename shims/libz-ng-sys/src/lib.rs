//! `pingora-core` asks `flate2` for its zlib-ng backend, and `libz-ng-sys` builds that with cmake, which a machine with only
//! Rust and a C compiler does not have. The relay never compresses; this gives `flate2` the same names from stock zlib
//! (`libz-sys`, the sister crate from the same repository), which a C compiler alone can build.

pub use libz_sys::*;
