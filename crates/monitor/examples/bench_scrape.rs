//! Measures scraping: `cargo run --profile quick -p launchway-monitor --example bench_scrape -- [--body FILE]`.
//!
//! It prints the CPU of one collection of this host, beside node_exporter's where `prometheus-node-exporter` is
//! installed; the speed of reading exposition text; and the CPU per sample of a scrape into a store. `--body` names a body
//! in text format; without it this host's own is taken. CPU time is the process's own, so that other load does not count.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use launchway_monitor::collectors::{Host, HostOptions};
use launchway_monitor::exposition::{Entry, Format, Parser};
use launchway_monitor::labels::Labels;
use launchway_monitor::scrape::config::Job;
use launchway_monitor::scrape::ingest::Cache;
use launchway_monitor::storage::{Options, Store, SyncPolicy};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// CPU seconds of this process.
fn cpu() -> f64 {
    seconds("/proc/self/stat", 2)
}

/// User and system time of a line as `/proc/PID/stat` has it, and with it the ended children's where asked for four.
fn seconds(path: &str, fields: usize) -> f64 {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = rest
        .split_whitespace()
        .skip(11)
        .take(fields)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn node_exporter(rounds: u32) -> Option<f64> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut child = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let path = format!("/proc/{}/stat", child.id());
    while get(port).is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = seconds(&path, 2);
    for _ in 0..rounds {
        get(port);
    }
    let used = seconds(&path, 2) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    Some(used / f64::from(rounds))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let host = Host::new(HostOptions::default()).unwrap();
    let own = host.collect(Format::Text);
    let rounds = 200;
    let before = cpu();
    for _ in 0..rounds {
        std::hint::black_box(host.collect(Format::Text));
    }
    println!(
        "one collection of this host: {:.2} ms CPU, {} bytes",
        (cpu() - before) / f64::from(rounds) * 1e3,
        own.len()
    );
    match node_exporter(rounds) {
        Some(seconds) => println!("one scrape of node_exporter: {:.2} ms CPU", seconds * 1e3),
        None => println!("node_exporter is not installed"),
    }

    let body = match arguments.iter().position(|argument| argument == "--body") {
        Some(at) => std::fs::read(&arguments[at + 1]).unwrap(),
        None => own.into_bytes(),
    };
    let (mut samples, rounds) = (0u64, 3000);
    let before = cpu();
    for _ in 0..rounds {
        let mut parser = Parser::new(std::hint::black_box(&body), false).unwrap();
        while let Some(entry) = parser.next().unwrap() {
            samples += u64::from(matches!(entry, Entry::Sample(_)));
        }
    }
    let used = cpu() - before;
    let bytes = body.len() as f64 * f64::from(rounds);
    println!(
        "reading text: {:.2} GB/s, {:.0} ns a sample",
        bytes / used / 1e9,
        used * 1e9 / samples as f64
    );

    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        future_limit: None,
        sync: SyncPolicy::Never,
        ..Options::default()
    };
    let store = Store::open(folder.path(), options).unwrap();
    let target = Labels::from_pairs([("job", "node"), ("instance", "host")]);
    let (job, mut cache) = (Job::new("node"), Cache::new(&target));
    let (start, rounds) = (1_767_225_600_000, 2000);
    let mut scrape = |round: i64| {
        cache
            .ingest(
                &store,
                &job,
                &target,
                &body,
                Format::Text,
                start + round * 15_000,
            )
            .unwrap()
            .kept
    };
    let kept = scrape(0);
    let before = cpu();
    for round in 1..rounds {
        scrape(round);
    }
    println!(
        "a scrape into the store: {:.3} µs CPU a sample ({kept} samples)",
        (cpu() - before) * 1e6 / (rounds as f64 * kept as f64)
    );
}
