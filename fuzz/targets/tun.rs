#![no_main]

#[path = "../bodies/tun.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
