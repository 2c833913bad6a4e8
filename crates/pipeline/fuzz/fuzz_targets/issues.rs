//! Reports of linters: whatever the bytes, findings or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = launchway_pipeline::issues::read(bytes) {
        for issue in &found {
            let _ = launchway_pipeline::issues::fingerprint(issue);
        }
    }
});
