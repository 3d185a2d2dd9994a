//! libFuzzer's entry to the target `token` of `lockgate_fuzz::TARGETS`; all that it checks is there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::run("token", data));
