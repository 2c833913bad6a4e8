//! Requests of the remote protocols with any content: no panic, and what is stored can be read again.
#![no_main]

use launchway_monitor::remote::{pack, read, write_v1, write_v2};
use launchway_monitor::storage::{Options, Store};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let store = Store::in_memory(Options { background: false, ..Options::default() });
    let packed = pack(data);
    let _ = write_v1(&store, &packed);
    let _ = write_v2(&store, &packed);
    let _ = read(&store, &packed);
    let _ = write_v1(&store, data);
});
