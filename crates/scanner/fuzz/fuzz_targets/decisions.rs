//! Ignore files, suppression files and Dependency-Check's arguments.
#![no_main]

use launchway_scanner::command::Options;
use launchway_scanner::dependency_check::from_text;
use launchway_scanner::policy::rules::{read_ignore_file, read_suppressions};
use launchway_scanner::severity::Severity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("decisions");
    std::fs::write(&path, text).expect("a temporary file can be written");
    let _ = read_ignore_file(&path);
    let _ = read_suppressions(&path);
    let _ = from_text(text, Options::new(".", "db"), &|name| Some(name.to_owned()));
    let _ = Severity::from_vector(text);
});
