//! libFuzzer's entry to the target `control` of `lockgate_fuzz::TARGETS`; all that it checks is there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::run("control", data));
