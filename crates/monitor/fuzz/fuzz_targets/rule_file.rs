//! Any text as a rule file.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = launchway_monitor::rules::parse_rule_file(text);
});
