//! Any request to the HTTP API: path in the first line, query string in the second, form in the rest.
#![no_main]

use launchway_monitor::api::{Api, Request};
use launchway_monitor::promql::{Engine, Limits};
use launchway_monitor::storage::{Options, Store};
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (path, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (query, form) = rest.split_once('\n').unwrap_or((rest, ""));
    let limits = Limits {
        max_points: 200_000,
        timeout: Duration::from_secs(5),
    };
    let api = Api::new(
        Store::in_memory(Options::default()),
        Engine {
            limits,
            ..Engine::default()
        },
    );
    for method in ["GET", "POST"] {
        let response = api.handle(&Request::new(method, path, query, form));
        assert!(response.status >= 200);
    }
});
