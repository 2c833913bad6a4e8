//! launchway.toml, Procfile and app.json: each error has a place in the text.
#![no_main]

use launchway_pipeline::describe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for file in ["launchway.toml", "Procfile", "app.json"] {
        if let Err(error) = describe::check(file, text) {
            let place = error.to_problem().place.expect("an error in a text has a place");
            assert!(place.line >= 1 && place.column >= 1);
        }
    }
});
