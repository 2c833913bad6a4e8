//! Patterns of paths end in time, whatever they are.
#![no_main]

use launchway_pipeline::glob::Pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, path) = input;
    let _ = Pattern::new(pattern).matches(path);
});
