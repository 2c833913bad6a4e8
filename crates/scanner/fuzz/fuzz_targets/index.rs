//! Index files: whatever they hold, opening and reading them ends in an answer or an error.
#![no_main]

use launchway_scanner::ecosystem::Ecosystem;
use launchway_scanner::index::Index;
use launchway_scanner::matching::match_package;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("advisories.index");
    std::fs::write(&path, data).expect("a temporary file can be written");
    if let Ok(index) = Index::open(&path) {
        let _ = index.verify();
        let _ = match_package(&index, &Ecosystem::PyPi, "flask", "1.0");
    }
});
