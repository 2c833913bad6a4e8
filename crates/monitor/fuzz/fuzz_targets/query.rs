//! Any text as a query: it is answered or refused, within its limits.
#![no_main]

use launchway_monitor::labels::Labels;
use launchway_monitor::promql::{Engine, Limits};
use launchway_monitor::storage::{Options, Store};
use std::sync::LazyLock;
use std::time::Duration;

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let store = Store::in_memory(Options {
        future_limit: None,
        ..Options::default()
    });
    let mut appender = store.appender();
    for step in 0..100i64 {
        for number in 0..5 {
            let labels =
                Labels::from_pairs([("__name__", "m"), ("n", &number.to_string()), ("le", "1")]);
            let _ = appender.append(&labels, step * 15_000, (step * number) as f64);
        }
    }
    appender
        .commit()
        .expect("a store in memory has no log that could fail");
    store
});

libfuzzer_sys::fuzz_target!(|query: &str| {
    let limits = Limits {
        max_points: 200_000,
        timeout: Duration::from_secs(5),
    };
    let engine = Engine {
        limits,
        ..Engine::default()
    };
    let _ = engine.instant(&STORE, query, 900_000);
    let _ = engine.range(&STORE, query, 0, 1_500_000, 60_000);
});
