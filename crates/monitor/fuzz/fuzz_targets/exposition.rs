//! Exposition bodies of any bytes: parsing ends, and what is read as labels is a label set.
#![no_main]

use launchway_monitor::exposition::{Entry, Parser, protobuf, read_labels};
use launchway_monitor::labels::LabelsBuilder;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for open_metrics in [false, true] {
        let Ok(mut parser) = Parser::new(data, open_metrics) else { continue };
        while let Ok(Some(entry)) = parser.next() {
            if let Entry::Sample(sample) = entry {
                let mut labels = LabelsBuilder::default();
                if read_labels(sample.series, &mut labels).is_ok() {
                    let labels = labels.build();
                    assert!(labels.iter().all(|(_, value)| !value.is_empty()));
                }
                if let Some(exemplar) = sample.exemplar {
                    let _ = read_labels(exemplar.labels, &mut LabelsBuilder::default());
                }
            }
        }
    }
    if let Ok(decoded) = protobuf::to_text(data) {
        assert!(decoded.text.ends_with("# EOF\n"));
    }
});
