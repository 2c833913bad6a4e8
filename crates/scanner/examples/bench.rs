//! Measures the scanner: `cargo run --release -p launchway-scanner --example bench [-- --json]`.
//!
//! Figures are of whole processes, start-up included, as a person or a build meets them: the bench makes its data in
//! a temporary folder, starts itself as a child for each measurement, and reads the child's peak memory. Cold means
//! that the index and the lock file have been dropped from the page cache first.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, reason = "a bench ends where its premise fails")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use launchway_scanner::advisory::source::Source;
use launchway_scanner::command::{Options, run};
use launchway_scanner::index::builder::build;
use launchway_scanner::index::{CURRENT, publish};

const RECORDS: usize = 20_000;
const LOCKED: usize = 1_000;
const FILES: usize = 100_000;
const LOCK_FILES: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["build", records, folder] => build_index(Path::new(records), Path::new(folder)),
        ["scan", tree, database] => scan(Path::new(tree), Path::new(database)),
        ["--json"] => measure(true),
        _ => measure(false),
    }
}

/// One figure with its limit from the product's promise.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    limit: f64,
}

fn measure(as_json: bool) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_records(&at("all.zip"));
    fs::create_dir(at("db")).unwrap();
    let mut figures = Vec::new();
    let cost_of = cost(
        3,
        &["build", &text(&at("all.zip")), &text(&at("db"))],
        || (),
    );
    figures.push(Figure {
        name: "index build, 20,000 records",
        value: cost_of.time,
        unit: "ms",
        limit: 2_000.0,
    });
    figures.push(Figure {
        name: "index build, processor time",
        value: cost_of.processor,
        unit: "ms",
        limit: f64::INFINITY,
    });
    figures.push(Figure {
        name: "index build, peak memory",
        value: cost_of.memory,
        unit: "MiB",
        limit: 150.0,
    });
    let size = fs::metadata(at("db").join(CURRENT)).unwrap().len() as f64 / 1e6;
    figures.push(Figure {
        name: "index size",
        value: size,
        unit: "MB",
        limit: 25.0,
    });
    fs::create_dir(at("one")).unwrap();
    write_lock(&at("one/requirements.txt"), 0, LOCKED);
    let scan = ["scan", &text(&at("one")), &text(&at("db"))];
    let cost_of = cost(15, &scan, || ());
    figures.push(Figure {
        name: "scan of 1,000 packages, warm",
        value: cost_of.time,
        unit: "ms",
        limit: 10.0,
    });
    figures.push(Figure {
        name: "scan of 1,000 packages, processor time",
        value: cost_of.processor,
        unit: "ms",
        limit: f64::INFINITY,
    });
    figures.push(Figure {
        name: "scan of 1,000 packages, peak memory",
        value: cost_of.memory,
        unit: "MiB",
        limit: 30.0,
    });
    let cost_of = cost(5, &scan, || {
        drop_from_cache(&at("db").join(CURRENT));
        drop_from_cache(&at("one/requirements.txt"));
    });
    figures.push(Figure {
        name: "scan of 1,000 packages, cold",
        value: cost_of.time,
        unit: "ms",
        limit: 50.0,
    });
    write_tree(&at("tree"));
    let cost_of = cost(3, &["scan", &text(&at("tree")), &text(&at("db"))], || ());
    figures.push(Figure {
        name: "tree of 100,000 files, 200 lock files",
        value: cost_of.time,
        unit: "ms",
        limit: 1_000.0,
    });
    figures.push(Figure {
        name: "tree of 100,000 files, processor time",
        value: cost_of.processor,
        unit: "ms",
        limit: f64::INFINITY,
    });
    figures.push(Figure {
        name: "tree of 100,000 files, peak memory",
        value: cost_of.memory,
        unit: "MiB",
        limit: f64::INFINITY,
    });
    for figure in figures {
        let limit = if figure.limit.is_finite() {
            format!("{}", figure.limit)
        } else {
            String::new()
        };
        if as_json {
            let limit = if limit.is_empty() {
                "null".to_owned()
            } else {
                limit
            };
            println!(
                "{{\"name\": \"{}\", \"value\": {:.2}, \"unit\": \"{}\", \"limit\": {limit}}}",
                figure.name, figure.value, figure.unit
            );
        } else {
            println!(
                "{:<42} {:>9.2} {:<4} {}",
                figure.name,
                figure.value,
                figure.unit,
                if limit.is_empty() {
                    limit
                } else {
                    format!("(at most {limit})")
                }
            );
        }
    }
}

/// What some runs of a child took.
struct Cost {
    /// The median time from start to end, in milliseconds.
    time: f64,
    /// The median processor time, in milliseconds.
    processor: f64,
    /// The greatest peak memory, in MiB.
    memory: f64,
}

fn cost(runs: usize, arguments: &[&str], before: impl Fn()) -> Cost {
    let program = std::env::current_exe().unwrap();
    let (mut times, mut processor, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..runs {
        before();
        let start = Instant::now();
        let output = Command::new(&program).args(arguments).output().unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let printed = String::from_utf8_lossy(&output.stdout);
        let (peak, on_processor) = printed.trim().split_once(' ').unwrap();
        memory = memory.max(peak.parse().unwrap());
        processor.push(on_processor.parse().unwrap());
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[runs / 2]
    };
    Cost {
        time: median(times),
        processor: median(processor),
        memory,
    }
}

fn build_index(records: &Path, folder: &Path) {
    let (bytes, report) = build(&[Source::detect(records).unwrap()], 0).unwrap();
    assert_eq!(report.records, RECORDS);
    publish(folder, &bytes).unwrap();
    print_own_use();
}

fn scan(tree: &Path, database: &Path) {
    let mut options = Options::new(tree, database);
    options.cache = Some(PathBuf::from("/nonexistent"));
    let outcome = run(&options).unwrap();
    assert!(outcome.report.packages.len() >= LOCKED && !outcome.report.findings.is_empty());
    print_own_use();
}

/// Prints this process's peak resident memory in MiB and the processor time that it has had, in milliseconds: on a
/// machine that does other work too, that is the figure that says something.
fn print_own_use() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0;
    let schedule = fs::read_to_string("/proc/self/schedstat").unwrap();
    let on_processor = schedule.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6;
    println!("{peak} {on_processor}");
}

fn drop_from_cache(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Records as the Python database has them: about fifty listed versions, a range or two, some text.
fn write_records(path: &Path) {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    let mut archive = rawzip::ZipArchiveWriter::new(&mut file);
    for number in 0..RECORDS {
        let package = random(6_000);
        let fixed = random(9) + 1;
        let versions: Vec<String> = (0..random(90) + 10)
            .map(|n| format!("\"{}.{}.{}\"", n / 20, n % 20, random(5)))
            .collect();
        let details: String = (0..random(250) + 50)
            .map(|_| format!("word{} ", random(4_000)))
            .collect();
        let record = format!(
            r#"{{"schema_version": "1.6.0", "id": "PYSEC-2024-{number}", "modified": "2024-06-01T00:00:00Z", "published": "2024-01-01T00:00:00Z", "aliases": ["CVE-2024-{number}", "GHSA-{number:04}-aaaa-bbbb"], "details": "{details}", "severity": [{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:H"}}], "references": [{{"type": "WEB", "url": "https://example.invalid/{number}"}}, {{"type": "FIX", "url": "https://example.invalid/{number}/fix"}}], "affected": [{{"package": {{"ecosystem": "PyPI", "name": "package-{package}"}}, "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}.0"}}, {{"introduced": "{fixed}.5"}}, {{"fixed": "{fixed}.7.1"}}]}}], "versions": [{}]}}]}}"#,
            versions.join(", ")
        );
        let (mut entry, config) = archive
            .new_file(format!("PYSEC-2024-{number}.json"))
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()
            .unwrap();
        let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
        let mut writer = config.wrap(encoder);
        writer.write_all(record.as_bytes()).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    file.flush().unwrap();
}

/// A lock file whose packages mostly are in the database and mostly are not affected, as in life.
fn write_lock(path: &Path, from: usize, count: usize) {
    let lines: String = (from..from + count)
        .map(|n| {
            format!(
                "package-{n}=={}.{}.{}\n",
                if n % 50 == 0 { 1 } else { 30 },
                n % 7,
                n % 3
            )
        })
        .collect();
    fs::write(path, lines).unwrap();
}

fn write_tree(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::write(
        root.join(".gitignore"),
        "/target/\n*.pyc\n__pycache__/\n!keep.pyc\nbuild/**/*.o\n",
    )
    .unwrap();
    let folders = FILES / 100;
    for folder in 0..folders {
        let path = root.join(format!(
            "part-{}/module-{}/code-{folder}",
            folder % 10,
            folder % 50
        ));
        fs::create_dir_all(&path).unwrap();
        for file in 0..100 {
            let name = if file % 10 == 0 {
                format!("cache-{file}.pyc")
            } else {
                format!("source_file_{file}.py")
            };
            File::create(path.join(name)).unwrap();
        }
        if folder % (folders / LOCK_FILES) == 0 {
            write_lock(&path.join("requirements.txt"), folder * 7 % 5_000, 100);
        }
    }
}
