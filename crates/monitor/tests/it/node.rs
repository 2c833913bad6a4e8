//! Debian's node_exporter and ours, asked at the same moment: the same names, labels, types and help, and the same values
//! where nothing moves. What differs has its reason in [`REASONS`].

use launchway_monitor::collectors::{Host, HostOptions, LEFT_OUT};
use launchway_monitor::exposition::{Entry, Format, Parser, read_labels, unescape_help};
use launchway_monitor::labels::LabelsBuilder;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Families that only node_exporter has, or that differ, by the start of their name; each with the reason.
const REASONS: [(&str, &str); 6] = [
    (
        "go_",
        "the runtime of the language that node_exporter is written in",
    ),
    ("promhttp_", "its web server's own counters"),
    ("node_exporter_build_info", "who built it"),
    (
        "process_",
        "each is a process of its own, with values of its own",
    ),
    (
        "node_systemd_",
        "a collector that Debian switches on and that asks over D-Bus",
    ),
    ("node_xfs_", "see LEFT_OUT"),
];

struct Family {
    kind: String,
    help: String,
    samples: BTreeMap<String, f64>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    let (mut kinds, mut helps) = (BTreeMap::new(), BTreeMap::new());
    let mut parser = Parser::new(text.as_bytes(), false).unwrap();
    while let Some(entry) = parser.next().unwrap() {
        match entry {
            Entry::Type(name, kind) => {
                kinds.insert(name, format!("{kind:?}"));
            }
            Entry::Help(name, help) => {
                helps.insert(name, unescape_help(help, false).into_owned());
            }
            Entry::Unit(..) => {}
            Entry::Sample(sample) => {
                let mut labels = LabelsBuilder::default();
                read_labels(sample.series, &mut labels).unwrap();
                let labels = labels.build();
                let name = labels.metric_name().to_owned();
                let family = all.entry(name.clone()).or_insert_with(|| Family {
                    kind: kinds.get(name.as_str()).cloned().unwrap_or_default(),
                    help: helps.get(name.as_str()).cloned().unwrap_or_default(),
                    samples: BTreeMap::new(),
                });
                family.samples.insert(labels.to_string(), sample.value);
            }
        }
    }
    all
}

/// Node_exporter's answer, or `None` where it is not installed.
fn theirs() -> Option<(String, impl Drop)> {
    struct Ended(std::process::Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let ended = Ended(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            return Some((body.to_owned(), ended));
        }
        assert!(Instant::now() < deadline, "node_exporter does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_exporter_beside_node_exporter_tells_the_same() {
    let Some((text, running)) = theirs() else {
        eprintln!("skipped: prometheus-node-exporter is not installed");
        return;
    };
    drop((text, running));
    let host = Host::new(HostOptions::default()).unwrap();
    let mut differences = Vec::new();
    // Mounts and devices of other programs come and go between the two: what differs for a reason differs again.
    for _ in 0..5 {
        let (theirs, _running) = theirs().unwrap();
        let own = families(&host.collect(Format::Text));
        assert!(own.len() > 150, "only {} families", own.len());
        differences = differ(&families(&theirs), &own);
        if differences.is_empty() {
            return;
        }
    }
    panic!("{}", differences.join("\n"));
}

fn differ(theirs: &BTreeMap<String, Family>, own: &BTreeMap<String, Family>) -> Vec<String> {
    let excused = |name: &str| REASONS.iter().any(|(start, _)| name.starts_with(start));
    // Collectors of ours that are left out, and systemd's, have no line of success.
    let left_out = |series: &str| {
        series.starts_with("node_scrape_collector")
            && (series.contains("\"systemd\"")
                || LEFT_OUT
                    .iter()
                    .any(|(name, _)| series.contains(&format!("\"{name}\""))))
    };
    let mut differences = Vec::new();
    for (name, family) in theirs {
        if excused(name) {
            continue;
        }
        let Some(mine) = own.get(name) else {
            differences.push(format!("{name} is missing"));
            continue;
        };
        if (&mine.kind, &mine.help) != (&family.kind, &family.help) {
            differences.push(format!(
                "{name}: {} {:?} instead of {} {:?}",
                mine.kind, mine.help, family.kind, family.help
            ));
        }
        for (series, value) in family
            .samples
            .iter()
            .filter(|(series, _)| !left_out(series))
        {
            match mine.samples.get(series) {
                None => differences.push(format!("{series} is missing")),
                Some(own) if !close(name, *value, *own) => {
                    differences.push(format!("{series} is {own} instead of {value}"))
                }
                Some(_) => {}
            }
        }
        for series in mine
            .samples
            .keys()
            .filter(|series| !family.samples.contains_key(*series))
        {
            differences.push(format!("{series} is not theirs"));
        }
    }
    for name in own
        .keys()
        .filter(|name| !theirs.contains_key(*name) && !excused(name))
    {
        differences.push(format!("{name} is not theirs"));
    }
    differences
}

/// Whether two values of a family may be of the same host within a second. What counts activity moves with the machine;
/// what says how things are does not.
fn close(name: &str, theirs: f64, own: f64) -> bool {
    if theirs.to_bits() == own.to_bits() || (theirs.is_nan() && own.is_nan()) {
        return true;
    }
    let moves = [
        "node_scrape_collector_duration",
        "node_load",
        "node_procs_",
        "node_memory_",
        "node_sockstat_",
        "node_udp_queues",
        "node_arp_entries",
        "node_nf_conntrack_entries",
        "node_filefd_allocated",
        "node_disk_io_now",
        "node_filesystem_",
        "node_entropy_available",
        "node_timex_",
    ];
    if name == "node_netstat_Tcp_CurrEstab" {
        return true;
    }
    if name.ends_with("_total")
        || name.starts_with("node_netstat_")
        || name.starts_with("node_vmstat_")
        || name == "node_time_seconds"
    {
        // Both count from the same moment, and ours was asked later.
        return own >= theirs * 0.999
            && own <= theirs * 1.2 + 100_000.0 + if name.contains("bytes") { 2e9 } else { 0.0 };
    }
    moves.iter().any(|prefix| name.starts_with(prefix))
}
