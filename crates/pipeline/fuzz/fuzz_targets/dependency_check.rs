//! Reports of Dependency-Check in any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = launchway_pipeline::dependency_check::read(data);
});
