//! Test reports in any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = launchway_pipeline::junit::read(data);
});
