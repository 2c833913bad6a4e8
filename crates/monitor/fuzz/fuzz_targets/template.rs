//! Any text as a template of an annotation.
#![no_main]

use launchway_monitor::labels::Labels;
use launchway_monitor::rules::{Environment, Template};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(template) = Template::parse(text) {
        let labels = Labels::from_pairs([("job", "a"), ("instance", "b:1")]);
        let query = |_: &str| Ok(vec![(labels.clone(), 1.5)]);
        let environment = Environment {
            query: &query,
            external_url: "http://localhost/x",
        };
        let _ = template.expand(&labels, 1.25, &environment);
    }
});
