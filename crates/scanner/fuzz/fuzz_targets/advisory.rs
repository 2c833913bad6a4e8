//! OSV records in JSON and YAML; what is read goes into an index and comes out again.
#![no_main]

use launchway_scanner::advisory::{Format, Record};
use launchway_scanner::index::builder::Builder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for format in [Format::Json, Format::Yaml, Format::RustSec] {
        if let Ok(record) = Record::parse(data, format) {
            let mut builder = Builder::new();
            builder.add(record);
            builder.finish(0).expect("one record never fills an index");
        }
    }
});
