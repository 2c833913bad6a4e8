//! Archives of records: zip and gzipped tar.
#![no_main]

use launchway_scanner::advisory::source::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["all.zip", "all.tar.gz"] {
        let path = folder.path().join(name);
        std::fs::write(&path, data).expect("a temporary file can be written");
        let source = Source::detect(&path).expect("the name tells the kind");
        let _ = source.each(&mut |_| ());
    }
});
