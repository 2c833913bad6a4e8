//! The declarative front end: a plan or an error with a place.
#![no_main]

use launchway_pipeline::describe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = describe::check("Jenkinsfile", text) {
        assert!(error.to_problem().place.is_some());
    }
});
