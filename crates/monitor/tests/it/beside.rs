//! Debian's Prometheus beside ours on the same data: queries generated from the grammar, answers compared, differences
//! shrunk. Says that it is skipped where `prometheus` or `promtool` is not installed.

use crate::dataset;
use crate::reference::difference;
use launchway_monitor::labels::Labels;
use launchway_monitor::promql::{Dialect, Engine, Limits};
use launchway_monitor::storage::Store;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START: i64 = 1_767_225_600_000;
const STEPS: i64 = 240;
const INTERVAL: i64 = 15_000;

/// A small generator of numbers (xorshift), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

fn data() -> Vec<dataset::Series> {
    let mut random = Random(7);
    let mut all = Vec::new();
    let mut add = |name: &str, labels: &[(&str, &str)], samples: Vec<(i64, f64)>| {
        let mut pairs = vec![("__name__", name)];
        pairs.extend_from_slice(labels);
        all.push(dataset::Series {
            labels: Labels::from_pairs(pairs),
            samples,
        });
    };
    for instance in ["h1", "h2", "h3"] {
        let jitter = random.below(900) as i64;
        let time = |step: i64| START + step * INTERVAL + jitter;
        for job in ["web", "db"] {
            let mut total = 0.0;
            let mut counter = Vec::new();
            let mut gauge = Vec::new();
            for step in 0..STEPS {
                total += random.below(40) as f64 / 4.0;
                if random.below(60) == 0 {
                    total = 0.0;
                }
                // Now and then nothing is scraped.
                if random.below(25) > 0 {
                    counter.push((time(step), total));
                    gauge.push((time(step), random.below(200) as f64 / 4.0 - 20.0));
                }
            }
            add(
                "hits_total",
                &[("instance", instance), ("job", job)],
                counter,
            );
            add("heat", &[("instance", instance), ("job", job)], gauge);
        }
        let special = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            1e300,
            1.5,
        ];
        let odd = (0..STEPS)
            .step_by(2)
            .map(|step| (time(step), special[random.below(special.len())]));
        add("odd", &[("instance", instance)], odd.collect());
        add(
            "info",
            &[
                ("instance", instance),
                ("version", &format!("1.{}", instance.len())),
            ],
            (0..STEPS).map(|s| (time(s), 1.0)).collect(),
        );
        let mut counts = [0.0; 4];
        let mut buckets = vec![Vec::new(); 4];
        for step in 0..STEPS {
            let from = random.below(4);
            (from..4).for_each(|at| counts[at] += 3.0);
            (0..4).for_each(|at| buckets[at].push((time(step), counts[at])));
        }
        for (bound, samples) in ["0.1", "0.5", "2", "+Inf"].into_iter().zip(buckets) {
            add(
                "delay_bucket",
                &[("instance", instance), ("le", bound)],
                samples,
            );
        }
    }
    // A series that ends early, and one that begins late.
    add(
        "short",
        &[("instance", "h1")],
        (0..60).map(|s| (START + s * INTERVAL, s as f64)).collect(),
    );
    add(
        "short",
        &[("instance", "h2")],
        (120..STEPS)
            .map(|s| (START + s * INTERVAL, s as f64))
            .collect(),
    );
    all
}

/// An expression as a tree, so that it can be shrunk. `#` in the form is the place of the next child.
#[derive(Clone)]
struct Tree {
    form: String,
    children: Vec<Tree>,
}

impl Tree {
    fn leaf(text: &str) -> Self {
        Self {
            form: text.to_owned(),
            children: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let mut parts = self.form.split('#');
        let mut out = parts.next().unwrap_or("").to_owned();
        for (child, part) in self.children.iter().zip(parts) {
            out.push_str(&child.text());
            out.push_str(part);
        }
        out
    }
}

fn selector(random: &mut Random) -> String {
    let name = random.of(&[
        "hits_total",
        "heat",
        "odd",
        "info",
        "delay_bucket",
        "short",
        "nothing",
    ]);
    let matcher = random.of(&[
        "",
        "",
        "{job=\"web\"}",
        "{instance=~\"h1|h2\"}",
        "{instance!=\"h3\"}",
        "{job!~\"d.*\",instance=\"h1\"}",
    ]);
    format!("{name}{matcher}")
}

fn modifier(random: &mut Random) -> String {
    let at = START / 1000 + 600 + random.below(1200) as i64;
    match random.below(14) {
        0 => " offset 45s".to_owned(),
        1 => " offset -1m".to_owned(),
        2 => format!(" @ {at}"),
        3 => " @ start()".to_owned(),
        4 => " @ end() offset 30s".to_owned(),
        _ => String::new(),
    }
}

fn scalar(random: &mut Random, depth: usize) -> Tree {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0..=3 => Tree::leaf(random.of(&["0", "1", "2.5", "-3", "NaN", "+Inf", "0.5", "100"])),
        4 => Tree::leaf("time()"),
        5 => Tree {
            form: "scalar(#)".into(),
            children: vec![vector(random, depth - 1)],
        },
        _ => {
            let operator = random.of(&["+", "-", "*", "/", "%", "^", "> bool", "== bool", "atan2"]);
            Tree {
                form: format!("(#) {operator} (#)"),
                children: vec![scalar(random, depth - 1), scalar(random, depth - 1)],
            }
        }
    }
}

fn matrix(random: &mut Random, depth: usize) -> Tree {
    let (range, shift) = (
        random.of(&["31s", "1m", "2m", "5m", "10m"]),
        modifier(random),
    );
    if depth > 0 && random.below(4) == 0 {
        let step = random.of(&["", "10s", "30s", "1m"]);
        return Tree {
            form: format!("(#)[{range}:{step}]{shift}"),
            children: vec![vector(random, depth - 1)],
        };
    }
    Tree::leaf(&format!("{}[{range}]{shift}", selector(random)))
}

fn vector(random: &mut Random, depth: usize) -> Tree {
    if depth == 0 {
        return Tree::leaf(&format!("{}{}", selector(random), modifier(random)));
    }
    let down = depth - 1;
    match random.below(13) {
        0 => Tree::leaf(&format!("{}{}", selector(random), modifier(random))),
        1 | 2 => {
            let function = random.of(&[
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "deriv",
                "changes",
                "resets",
                "sum_over_time",
                "avg_over_time",
                "min_over_time",
                "max_over_time",
                "count_over_time",
                "last_over_time",
                "present_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "absent_over_time",
            ]);
            Tree {
                form: format!("{function}(#)"),
                children: vec![matrix(random, down)],
            }
        }
        3 => match random.below(3) {
            0 => {
                let form = format!(
                    "quantile_over_time({}, #)",
                    random.of(&["0", "0.3", "1", "-1", "2", "NaN"])
                );
                Tree {
                    form,
                    children: vec![matrix(random, down)],
                }
            }
            // Without `@`: there Prometheus moves the window with the step, against its own documentation.
            1 => Tree {
                form: format!("predict_linear({}[5m], #)", selector(random)),
                children: vec![scalar(random, 0)],
            },
            _ => Tree {
                form: "holt_winters(#, 0.3, 0.6)".into(),
                children: vec![matrix(random, down)],
            },
        },
        4 | 5 => {
            let operator = random.of(&[
                "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
            ]);
            let grouping = random.of(&[
                "",
                " by (job)",
                " by (instance)",
                " without (job)",
                " by (instance, job, le)",
                " without (instance, le)",
            ]);
            Tree {
                form: format!("{operator}{grouping}(#)"),
                children: vec![vector(random, down)],
            }
        }
        6 => {
            let form = match random.below(5) {
                0 => "topk(#, #)",
                1 => "bottomk by (job) (#, #)",
                2 => "quantile(#, #)",
                3 => "quantile by (instance) (#, #)",
                // Of plain values only: rounding would make another label of the last digit.
                _ => {
                    return Tree {
                        form: "count_values(\"v\", #)".into(),
                        children: vec![vector(random, 0)],
                    };
                }
            };
            // Of stored series only: those of other nodes come in the order of a Go map, by which ties are decided.
            Tree {
                form: form.into(),
                children: vec![scalar(random, 0), vector(random, 0)],
            }
        }
        7 => {
            let function = random.of(&[
                "abs",
                "ceil",
                "floor",
                "exp",
                "sqrt",
                "ln",
                "log2",
                "log10",
                "sin",
                "cos",
                "sgn",
                "deg",
                "rad",
                "-",
                "+",
                "round",
                "absent",
                "timestamp",
                "hour",
                "day_of_week",
                "month",
                "days_in_month",
                "sort",
                "sort_desc",
            ]);
            Tree {
                form: format!("{function}(#)"),
                children: vec![vector(random, down)],
            }
        }
        8 => match random.below(4) {
            0 => Tree {
                form: "clamp(#, #, #)".into(),
                children: vec![vector(random, down), scalar(random, 0), scalar(random, 0)],
            },
            1 => Tree {
                form: "clamp_min(#, #)".into(),
                children: vec![vector(random, down), scalar(random, 0)],
            },
            2 => Tree {
                form: "round(#, #)".into(),
                children: vec![vector(random, down), scalar(random, 0)],
            },
            _ => Tree {
                form: "vector(#)".into(),
                children: vec![scalar(random, down)],
            },
        },
        9 => match random.below(4) {
            0 => Tree {
                form: "label_replace(#, \"x\", \"$1\", \"instance\", \"h(.*)\")".into(),
                children: vec![vector(random, down)],
            },
            1 => Tree {
                form: "label_join(#, \"job\", \"-\", \"instance\", \"job\")".into(),
                children: vec![vector(random, down)],
            },
            2 => Tree {
                form: "histogram_quantile(#, #)".into(),
                children: vec![scalar(random, 0), vector(random, down)],
            },
            _ => Tree {
                form: "histogram_quantile(0.9, sum by (le) (rate(delay_bucket[#])))"
                    .replace('#', random.of(&["1m", "5m"])),
                children: vec![],
            },
        },
        10 => {
            let operator = random.of(&[
                "+", "-", "*", "/", "%", "^", ">", "<=", "==", "!=", "> bool", "!= bool",
            ]);
            let (a, b) = (vector(random, down), scalar(random, 0));
            let children = if random.below(2) == 0 {
                vec![a, b]
            } else {
                vec![b, a]
            };
            Tree {
                form: format!("(#) {operator} (#)"),
                children,
            }
        }
        11 => {
            let operator = random.of(&["and", "or", "unless"]);
            let matching = random.of(&["", "on(job)", "on(instance)", "ignoring(job)", "on()"]);
            Tree {
                form: format!("(#) {operator} {matching} (#)"),
                children: vec![vector(random, down), vector(random, down)],
            }
        }
        _ => {
            let operator = random.of(&["+", "-", "*", "/", ">", "<", "==", ">= bool", "%"]);
            let matching = random.of(&[
                "",
                "",
                "on(instance)",
                "on(instance, job)",
                "ignoring(job)",
                "ignoring(le)",
                "on(instance) group_left",
                "on(instance) group_left(version)",
                "on(instance) group_right",
                "ignoring(version) group_left",
            ]);
            Tree {
                form: format!("(#) {operator} {matching} (#)"),
                children: vec![vector(random, down), vector(random, down)],
            }
        }
    }
}

/// A Prometheus that we started; ended when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(folder: &Path, series: &[dataset::Series]) -> Option<Self> {
        for program in ["prometheus", "promtool"] {
            if Command::new(program).arg("--version").output().is_err() {
                eprintln!("skipped: {program} is not installed");
                return None;
            }
        }
        let text = folder.join("data.txt");
        std::fs::write(&text, open_metrics(series)).unwrap();
        let blocks = folder.join("tsdb");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, &blocks])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        std::fs::write(folder.join("prometheus.yml"), "{}\n").unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let child = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.retention.time=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !prometheus
            .post("/api/v1/query", "query=1")
            .is_some_and(|body| body.contains("success"))
        {
            assert!(Instant::now() < deadline, "prometheus does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(prometheus)
    }

    fn post(&self, path: &str, form: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .ok()?;
        let request = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }
}

fn open_metrics(series: &[dataset::Series]) -> String {
    let mut by_name: BTreeMap<&str, Vec<&dataset::Series>> = BTreeMap::new();
    series.iter().for_each(|series| {
        by_name
            .entry(series.labels.metric_name())
            .or_default()
            .push(series)
    });
    let mut out = String::new();
    for (name, all) in by_name {
        let _ = writeln!(out, "# TYPE {name} unknown");
        for series in all {
            for (time, value) in &series.samples {
                let value = launchway_monitor::promql::format_value(*value);
                let labels = series
                    .labels
                    .iter()
                    .filter(|(label, _)| *label != "__name__");
                let labels: Vec<String> = labels
                    .map(|(label, value)| format!("{label}=\"{value}\""))
                    .collect();
                let _ = writeln!(
                    out,
                    "{name}{{{}}} {value} {}.{:03}",
                    labels.join(","),
                    time / 1000,
                    time % 1000
                );
            }
        }
    }
    out + "# EOF\n"
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                (b as char).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

struct Comparison {
    store: Store,
    engine: Engine,
    prometheus: Prometheus,
}

impl Comparison {
    /// What differs between the two answers, if anything.
    fn differs(&self, query: &str, start: i64, end: i64, step: i64) -> Option<String> {
        let ours = self.engine.range(&self.store, query, start, end, step);
        let seconds = |time: i64| format!("{}.{:03}", time / 1000, time % 1000);
        let form = format!(
            "query={}&start={}&end={}&step={}",
            encode(query),
            seconds(start),
            seconds(end),
            seconds(step)
        );
        let body = self
            .prometheus
            .post("/api/v1/query_range", &form)
            .expect("prometheus should answer");
        let theirs: serde_json::Value = serde_json::from_str(&body).unwrap();
        match (ours, theirs["status"] == "success") {
            (Err(_), false) => None,
            (Err(error), true) => Some(format!("ours fails: {error}")),
            (Ok(_), false) => Some(format!("theirs fails: {}", theirs["error"])),
            (Ok(answer), true) => {
                let mut wanted = BTreeMap::new();
                for series in theirs["data"]["result"].as_array().unwrap() {
                    let labels = series["metric"]
                        .as_object()
                        .unwrap()
                        .iter()
                        .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
                    let points = series["values"].as_array().unwrap().iter().map(|point| {
                        (
                            (point[0].as_f64().unwrap() * 1e3).round() as i64,
                            dataset::parse_value(point[1].as_str().unwrap()),
                        )
                    });
                    wanted.insert(
                        Labels::from_pairs(labels).to_string(),
                        points.collect::<Vec<_>>(),
                    );
                }
                difference(&wanted, &answer)
            }
        }
    }

    /// The smallest subtree that still differs.
    fn shrink(&self, tree: &Tree, times: (i64, i64, i64)) -> (String, String) {
        for child in &tree.children {
            if self
                .differs(&child.text(), times.0, times.1, times.2)
                .is_some()
            {
                return self.shrink(child, times);
            }
        }
        let text = tree.text();
        let what = self
            .differs(&text, times.0, times.1, times.2)
            .unwrap_or_default();
        (text, what)
    }
}

#[test]
fn random_queries_are_answered_as_prometheus_does() {
    let folder = tempfile::tempdir().unwrap();
    let series = data();
    let Some(prometheus) = Prometheus::start(folder.path(), &series) else {
        return;
    };
    let store = Store::open(&folder.path().join("ours"), dataset::options()).unwrap();
    dataset::load(&store, &series);
    let engine = Engine {
        dialect: Dialect::Prometheus2,
        limits: Limits {
            max_points: 5_000_000,
            ..Limits::default()
        },
        ..Engine::default()
    };
    let comparison = Comparison {
        store,
        engine,
        prometheus,
    };
    let number = |name: &str, default: usize| {
        std::env::var(name)
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(default)
    };
    let (count, seed) = (
        number("LAUNCHWAY_QUERIES", 600),
        number("LAUNCHWAY_SEED", 1),
    );
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed as u64);
    let mut wrong = Vec::new();
    for _ in 0..count {
        let depth = 1 + random.below(3);
        let tree = if random.below(10) == 0 {
            scalar(&mut random, depth)
        } else {
            vector(&mut random, depth)
        };
        let start = START + random.below(3000) as i64 * 1000;
        let step = [15_000, 30_000, 10_000, 61_000][random.below(4)];
        let times = (start, start + step * random.below(30) as i64, step);
        if comparison
            .differs(&tree.text(), times.0, times.1, times.2)
            .is_some()
        {
            let (query, what) = comparison.shrink(&tree, times);
            wrong.push(format!(
                "{query} from {} to {} by {}\n    {what}",
                times.0, times.1, times.2
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(25)].join("\n")
    );
}
