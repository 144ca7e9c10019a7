//! See `slng_servers` in the library: this file only hands it to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| voxline_protocol_fuzz::slng_servers(data));
