#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| evs_fuzz::fuzz("shm", input));
