//! Reads sample data: JSON lines, gzipped, `{"m": labels, "t": [first ms, steps…], "v": [texts]}`.

use launchway_monitor::labels::{Labels, stale_nan};
use launchway_monitor::storage::{Options, Store, SyncPolicy};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder with the reference data, if this machine has it.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/monitoring/data");
    if folder.join("demo.jsonl.gz").exists() {
        return Some(folder);
    }
    eprintln!("skipped: {} is missing", folder.display());
    None
}

pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(i64, f64)>,
}

pub(crate) fn parse_value(text: &str) -> f64 {
    match text {
        "stale" => stale_nan(),
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap(),
    }
}

pub(crate) fn lines(path: &Path) -> Vec<serde_json::Value> {
    let file = std::fs::File::open(path).unwrap();
    let reader: Box<dyn std::io::Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    BufReader::new(reader)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

pub(crate) fn read(path: &Path) -> Vec<Series> {
    lines(path)
        .into_iter()
        .map(|line| {
            let labels = line["m"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
            let mut time = 0;
            let times = line["t"].as_array().unwrap().iter().map(|step| {
                time += step.as_i64().unwrap();
                time
            });
            let values = line["v"]
                .as_array()
                .unwrap()
                .iter()
                .map(|value| parse_value(value.as_str().unwrap()));
            Series {
                labels: Labels::from_pairs(labels),
                samples: times.zip(values).collect(),
            }
        })
        .collect()
}

/// Short windows, so that little data makes head, fresh and merged blocks.
pub(crate) fn options() -> Options {
    let (window, merged_window) = (Duration::from_secs(600), Duration::from_secs(2400));
    Options {
        window,
        merged_window,
        out_of_order: Duration::from_secs(60),
        future_limit: None,
        background: false,
        retention: None,
        sync: SyncPolicy::Never,
        ..Options::default()
    }
}

/// Appends everything in order of time, writing blocks on the way.
pub(crate) fn load(store: &Store, series: &[Series]) {
    let mut all: Vec<(i64, usize, f64)> = Vec::new();
    for (at, series) in series.iter().enumerate() {
        all.extend(
            series
                .samples
                .iter()
                .map(|(time, value)| (*time, at, *value)),
        );
    }
    all.sort_by_key(|(time, at, _)| (*time, *at));
    let mut appender = store.appender();
    for (count, (time, at, value)) in all.into_iter().enumerate() {
        appender.append(&series[at].labels, time, value).unwrap();
        if count % 1000 == 999 {
            appender.commit().unwrap();
        }
        if count % 100_000 == 99_999 {
            store.compact().unwrap();
        }
    }
    assert_eq!(appender.commit().unwrap().refused, 0);
    store.compact().unwrap();
}
