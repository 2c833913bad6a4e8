//! Any bytes as a block: it is set aside, or what it gives is read without a panic.
#![no_main]

use launchway_monitor::storage::{Options, Store};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let blocks = folder.path().join("blocks");
    std::fs::create_dir(&blocks).expect("the folder is empty");
    std::fs::write(blocks.join("0_7200000.block"), bytes).expect("the file can be written");
    let Ok(store) = Store::open(
        folder.path(),
        Options {
            background: false,
            ..Options::default()
        },
    ) else {
        return;
    };
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    while selection.next_series().is_some() {}
    let _ = store.label_names(&[], i64::MIN, i64::MAX);
});
