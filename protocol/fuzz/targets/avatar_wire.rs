//! See `avatar_wire` in the library: this file only hands it to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| voxline_protocol_fuzz::avatar_wire(data));
