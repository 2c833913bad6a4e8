//! Measures the store and PromQL: `cargo run --profile quick -p launchway-monitor --example bench_monitor -- [options]`.
//!
//! Options: `--series N` (10000), `--hours N` (24), `--folder PATH` (a temporary one), `--data FILE` (captured series as
//! JSON lines, gzipped or not, to take the shapes from; without it they are made up), `--queries FILE` (one a line).
//! It prints CPU per sample, the worst stall of an append, memory, disk, the start after the process is gone without
//! closing, and the time of queries. Everything is bounded; nothing leaves the machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use launchway_monitor::labels::Labels;
use launchway_monitor::promql::{Engine, Value};
use launchway_monitor::storage::{Options, SeriesRef, Store, SyncPolicy};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const START: i64 = 1_767_225_600_137;
const INTERVAL: i64 = 15_000;

/// A shape that series follow.
struct Shape {
    labels: Vec<(String, String)>,
    values: Vec<f64>,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Half constants, a quarter counters, a quarter gauges: what a host's metrics look like.
fn made_up() -> Vec<Shape> {
    let mut random = Random(42);
    let mut shapes = Vec::new();
    for number in 0..580 {
        let kind = number % 8;
        let (mut value, mut values) = ((random.next() % 100_000) as f64, Vec::new());
        for _ in 0..170 {
            let noise = random.next();
            value = match kind {
                0..=3 => value,
                4 => value + (noise % 50) as f64,
                5 => ((value * 100.0).round() + (noise % 300) as f64) / 100.0,
                6 => (noise % 4096) as f64 * 4096.0,
                _ => value * (0.9 + (noise % 200) as f64 / 1000.0),
            };
            values.push(value);
        }
        let name = match kind {
            5 => "node_cpu_seconds_total".to_owned(),
            _ => format!(
                "metric_{}{}",
                number / 20,
                if kind == 4 { "_total" } else { "" }
            ),
        };
        let pairs = [
            ("__name__", name),
            ("job", "node".into()),
            ("mode", format!("m{}", number / 8 % 8)),
            ("cpu", format!("{}", number / 64)),
        ];
        shapes.push(Shape {
            labels: pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            values,
        });
    }
    shapes
}

fn captured(path: &Path) -> Vec<Shape> {
    let file = std::fs::File::open(path).unwrap();
    let reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut shapes = Vec::new();
    for line in BufReader::new(reader).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let labels: Vec<_> = line["m"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()))
            .collect();
        let values: Vec<f64> = line["v"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|v| v.as_str().unwrap().parse().ok())
            .collect();
        if values.len() > 50 && values.iter().all(|v| v.is_finite()) {
            shapes.push(Shape {
                labels: labels
                    .into_iter()
                    .filter(|(n, _)| n != "instance")
                    .collect(),
                values,
            });
        }
    }
    shapes.sort_by(|a, b| a.labels.cmp(&b.labels));
    shapes
}

/// Many hosts that follow the shapes at their own pace.
struct Hosts {
    shapes: Vec<Shape>,
    labels: Vec<Labels>,
    state: Vec<(usize, f64)>,
    counter: Vec<bool>,
    random: Vec<Random>,
    values: Vec<f64>,
}

impl Hosts {
    fn new(shapes: Vec<Shape>, series: usize) -> Self {
        let per_host = shapes.len();
        let counter = shapes
            .iter()
            .map(|s| {
                s.values.windows(2).all(|w| w[0] <= w[1]) && s.values.first() != s.values.last()
            })
            .collect();
        let mut labels = Vec::with_capacity(series);
        let mut state = Vec::with_capacity(series);
        for at in 0..series {
            let (host, shape) = (at / per_host, &shapes[at % per_host]);
            let instance = (
                "instance".to_owned(),
                format!("10.0.{}.{}:9100", host / 250, host % 250),
            );
            labels.push(Labels::from_pairs(
                shape.labels.iter().cloned().chain([instance]),
            ));
            state.push(((host * 37) % shape.values.len(), shape.values[0]));
        }
        let hosts = series.div_ceil(per_host);
        let random = (0..hosts as u64)
            .map(|host| Random(0x9e37_79b9 ^ ((host + 1) * 7919)))
            .collect();
        Self {
            shapes,
            labels,
            state,
            counter,
            random,
            values: vec![0.0; series],
        }
    }

    fn step(&mut self) {
        let per_host = self.shapes.len();
        let strides: Vec<usize> = self
            .random
            .iter_mut()
            .map(|r| 1 + (r.next() % 5) as usize)
            .collect();
        for (at, state) in self.state.iter_mut().enumerate() {
            let (shape, stride) = (&self.shapes[at % per_host].values, strides[at / per_host]);
            if self.counter[at % per_host] {
                for _ in 0..stride {
                    state.0 = if state.0 + 1 >= shape.len() {
                        1
                    } else {
                        state.0 + 1
                    };
                    state.1 += shape[state.0] - shape[state.0 - 1];
                }
                if shape[0].fract() != 0.0 {
                    state.1 = (state.1 * 100.0).round() / 100.0;
                }
            } else {
                state.0 = (state.0 + stride) % shape.len();
                state.1 = shape[state.0];
            }
            self.values[at] = state.1;
        }
    }
}

/// CPU seconds of all threads of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// This thread's time on a CPU and its time waiting for one: on a busy machine the second says nothing of us.
fn thread_times() -> (Duration, Duration) {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map(|n| Duration::from_nanos(n.parse().unwrap_or(0)));
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn folder_bytes(folder: &Path, extension: &str) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        total += if path.is_dir() {
            folder_bytes(&path, extension)
        } else if path.extension().is_some_and(|e| e == extension) {
            entry.metadata().map_or(0, |m| m.len())
        } else {
            0
        };
    }
    total
}

fn options() -> Options {
    Options {
        future_limit: None,
        retention: None,
        sync: SyncPolicy::Interval(Duration::from_secs(1)),
        ..Options::default()
    }
}

fn ingest(folder: &Path, mut hosts: Hosts, steps: usize) {
    let series = hosts.labels.len();
    // What making the values costs is measured first and taken off.
    let before = cpu();
    for _ in 0..200 {
        hosts.step();
    }
    let making = (cpu() - before) / 200.0;
    let resident_before = status_kib("VmRSS");
    let store = Store::open(folder, options()).unwrap();
    let (started, before) = (Instant::now(), cpu());
    let mut references: Vec<SeriesRef> = Vec::new();
    let (mut worst, mut resident, mut most) = (Duration::ZERO, 0u64, 0u64);
    let mut stalls: Vec<Duration> = Vec::with_capacity(steps);
    for step in 0..steps {
        hosts.step();
        let time = START + step as i64 * INTERVAL;
        let mut appender = store.appender();
        if step == 0 {
            references = hosts
                .labels
                .iter()
                .zip(&hosts.values)
                .map(|(l, v)| appender.append(l, time, *v).unwrap())
                .collect();
            appender.commit().unwrap();
            continue;
        }
        // As scrapes come: one target's series at a time.
        for (references, values) in references
            .chunks(hosts.shapes.len())
            .zip(hosts.values.chunks(hosts.shapes.len()))
        {
            let (at, queued) = (Instant::now(), thread_times().1);
            for (reference, value) in references.iter().zip(values) {
                appender.append_ref(*reference, time, *value).unwrap();
            }
            appender.commit().unwrap();
            let stall = at.elapsed().saturating_sub(thread_times().1 - queued);
            worst = worst.max(stall);
            stalls.push(stall);
        }
        if step % 20 == 0 {
            let now = status_kib("VmRSS");
            resident += now;
            most = most.max(now);
        }
    }
    let samples = (series * steps) as f64;
    let used = cpu() - before - making * steps as f64;
    let wall = started.elapsed().as_secs_f64();
    println!(
        "ingest: {samples:.0} samples in {wall:.1} s; {:.3} µs CPU a sample, background work included",
        used * 1e6 / samples
    );
    stalls.sort_unstable();
    println!(
        "append of one target ({} samples), waiting for a CPU taken off: worst {worst:?}, 99.9 % {:?}, median {:?}",
        hosts.shapes.len().min(series),
        stalls[stalls.len() * 999 / 1000],
        stalls[stalls.len() / 2]
    );
    let samples_taken = (steps / 20).max(1) as u64;
    println!(
        "resident: before {resident_before} KiB, average {} KiB, most {most} KiB",
        resident / samples_taken
    );
    store.compact().unwrap();
    let waited = Instant::now();
    while store
        .stats()
        .min_time
        .is_some_and(|min| min < START + (steps as i64 - 1) * INTERVAL - 2 * 7_200_000 - 600_000)
    {
        assert!(
            waited.elapsed() < Duration::from_secs(600),
            "the background work does not end"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let in_blocks: u64 = store.block_list().iter().map(|b| b.3).sum();
    let block_bytes = folder_bytes(folder, "block");
    println!(
        "disk: {} blocks, {:.3} bytes a sample of {in_blocks}, log {} KiB; background caught up after {:?}",
        store.block_list().len(),
        block_bytes as f64 / in_blocks.max(1) as f64,
        folder_bytes(folder, "wal") / 1024,
        waited.elapsed()
    );
    // Gone without closing, as after kill -9: no destructor runs.
    std::process::exit(0);
}

fn query(
    store: &Store,
    engine: &Engine,
    name: &str,
    text: &str,
    end: i64,
    range: i64,
    step: i64,
) -> f64 {
    let mut best = f64::MAX;
    let mut series = 0;
    for _ in 0..3 {
        let started = thread_times().0;
        match engine.range(store, text, end - range, end, step) {
            Ok(answer) => {
                series = if let Value::Matrix(all) = answer.value {
                    all.len()
                } else {
                    0
                }
            }
            Err(error) => println!("{name}: {error}"),
        }
        best = best.min((thread_times().0 - started).as_secs_f64() * 1e3);
    }
    if !name.is_empty() {
        println!("query {name}: {best:.1} ms CPU, {series} series");
    }
    best
}

fn queries(folder: &Path, list: Option<&Path>) {
    let (started, before) = (Instant::now(), thread_times().0);
    let store = Store::open(folder, options()).unwrap();
    println!(
        "start after the kill: {:?} CPU, {:?} by the clock, {} series in memory, damages {}",
        thread_times().0 - before,
        started.elapsed(),
        store.stats().series,
        store.damages().len()
    );
    let end = store.time_range().unwrap().1;
    let day = 86_400_000;
    let engine = Engine::default();
    for (name, text, range, step) in [
        (
            "sum by (instance) rate, 24 h",
            "sum by (instance) (rate(node_cpu_seconds_total[1m]))",
            day,
            60_000,
        ),
        (
            "irate by instance and mode, 24 h",
            "sum by (instance, mode) (irate(node_cpu_seconds_total[5m]))",
            day,
            60_000,
        ),
        (
            "count of everything, 1 h",
            "count({__name__=~\".+\"})",
            3_600_000,
            15_000,
        ),
        (
            "one host, 24 h",
            "rate(node_cpu_seconds_total{instance=\"10.0.0.1:9100\"}[5m])",
            day,
            60_000,
        ),
        (
            "topk, 6 h",
            "topk(5, max_over_time(node_cpu_seconds_total[10m]))",
            day / 4,
            60_000,
        ),
    ] {
        query(&store, &engine, name, text, end, range, step);
    }
    if let Some(list) = list {
        let text = std::fs::read_to_string(list).unwrap();
        let all: Vec<String> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                line.replace("$__rate_interval", "1m")
                    .replace("$node", "10.0.0.1:9100")
                    .replace("$job", "node")
                    .replace("[[job]]", "node")
            })
            .collect();
        for (range, step) in [(day, 120_000), (3_600_000, 15_000)] {
            // As a whole: the system counts the time of a thread too coarsely for one small query.
            let before = thread_times().0;
            for text in &all {
                let _ = engine.range(&store, text, end - range, end, step);
            }
            let total = (thread_times().0 - before).as_secs_f64() * 1e3;
            println!(
                "{} queries over {} h: {total:.0} ms CPU",
                all.len(),
                range / 3_600_000
            );
        }
    }
    println!(
        "resident after queries: {} KiB, most {} KiB",
        status_kib("VmRSS"),
        status_kib("VmHWM")
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments
            .iter()
            .position(|a| a == name)
            .and_then(|at| arguments.get(at + 1))
    };
    let number =
        |name: &str, default: usize| option(name).map_or(default, |text| text.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = option("--folder").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    if arguments.iter().any(|a| a == "--ingest-only") {
        let shapes = option("--data").map_or_else(made_up, |path| captured(Path::new(path)));
        let steps = number("--hours", 24) * 3_600_000 / INTERVAL as usize;
        ingest(
            &folder,
            Hosts::new(shapes, number("--series", 10_000)),
            steps,
        );
        return;
    }
    // The appends run in a process of their own, which ends without closing the store.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(&arguments[1..])
        .args(["--ingest-only", "--folder"])
        .arg(&folder)
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    queries(&folder, option("--queries").map(Path::new));
}
