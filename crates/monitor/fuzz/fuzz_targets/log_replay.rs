//! Any bytes as a log segment: the store opens, says what it cut, and opens without damage the second time.
#![no_main]

use launchway_monitor::storage::{Options, Store};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = folder.path().join("log");
    std::fs::create_dir(&log).expect("the folder is empty");
    let mut file = b"LWWAL001".to_vec();
    file.extend_from_slice(bytes);
    std::fs::write(log.join("00000001.wal"), file).expect("the file can be written");
    let options = Options {
        background: false,
        ..Options::default()
    };
    drop(Store::open(folder.path(), options.clone()).expect("a torn log is cut"));
    let store = Store::open(folder.path(), options).expect("a cut log is whole");
    assert!(store.damages().is_empty(), "{:?}", store.damages());
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    while selection.next_series().is_some() {}
});
