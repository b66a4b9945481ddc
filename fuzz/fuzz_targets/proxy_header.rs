#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::proxy_header::check(data));

#[path = ".."]
mod shared {
    pub mod checks;
}
use shared::checks;
