//! What the host is and does, under node_exporter's own names, labels, types and help, from `/proc` and `/sys`.
//!
//! Every collector that node_exporter 1.5 has on by default is here, but for those of hardware and file systems named in
//! [`LEFT_OUT`]. A collector that finds nothing of its kind succeeds with nothing or fails as node_exporter's does:
//! `node_scrape_collector_success` tells. The names are those of node_exporter (Apache-2.0, the Prometheus authors).
//! Nothing here keeps state but for mounts that hang: one collection is a function of the files.

use crate::exposition::{Format, Writer, write_labels, write_value};
use crate::storage::MetricKind;
use regex::Regex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

mod cpu;
mod disk;
mod filesystem;
mod hardware;
mod memory;
mod net;
mod netclass;
mod options;
mod system;
mod textfile;

#[cfg(test)]
mod tests;

pub use options::{HostOptions, OptionError};

/// Collectors that node_exporter has on by default and we have not, with the reason.
pub const LEFT_OUT: [(&str, &str); 10] = [
    (
        "bcache",
        "a block cache that hosts of web applications do not have",
    ),
    ("btrfs", "space is told by the filesystem collector"),
    ("fibrechannel", "storage networks"),
    ("infiniband", "cluster networks"),
    (
        "ipvs",
        "the kernel's load balancer; the proxy balances here",
    ),
    ("nfs", "the client's counters of calls"),
    ("nfsd", "the server's counters of calls"),
    ("tapestats", "tape drives"),
    ("xfs", "the file system's internal counters"),
    ("zfs", "the file system's internal counters"),
];

/// Why a collector has nothing to give.
#[derive(Debug)]
enum Failure {
    /// The host has nothing of the kind.
    NoData,
    /// A file is not as expected.
    Broken(String),
}

type Collected = Result<(), Failure>;
type Collector = fn(&Host, &mut Out) -> Collected;

const COLLECTORS: [(&str, Collector); 35] = [
    ("arp", net::arp),
    ("bonding", net::bonding),
    ("conntrack", net::conntrack),
    ("cpu", cpu::cpu),
    ("cpufreq", cpu::cpufreq),
    ("diskstats", disk::diskstats),
    ("dmi", hardware::dmi),
    ("edac", hardware::edac),
    ("entropy", system::entropy),
    ("filefd", system::filefd),
    ("filesystem", filesystem::filesystem),
    ("hwmon", hardware::hwmon),
    ("loadavg", cpu::loadavg),
    ("mdadm", disk::mdadm),
    ("meminfo", memory::meminfo),
    ("netclass", netclass::netclass),
    ("netdev", net::netdev),
    ("netstat", net::netstat),
    ("nvme", disk::nvme),
    ("os", system::os),
    ("powersupplyclass", hardware::power_supply),
    ("pressure", cpu::pressure),
    ("rapl", hardware::rapl),
    ("schedstat", cpu::schedstat),
    ("selinux", system::selinux),
    ("sockstat", net::sockstat),
    ("softnet", cpu::softnet),
    ("stat", cpu::stat),
    ("textfile", textfile::textfile),
    ("thermal_zone", hardware::thermal_zone),
    ("time", system::time),
    ("timex", system::timex),
    ("udp_queues", net::udp_queues),
    ("uname", system::uname),
    ("vmstat", memory::vmstat),
];

/// Reads a host.
pub struct Host {
    options: HostOptions,
    filters: options::Filters,
    hanging: filesystem::Hanging,
}

impl Host {
    /// A host as the options describe it.
    ///
    /// # Errors
    /// An option's expression is wrong, or it names a collector that does not exist.
    pub fn new(options: HostOptions) -> Result<Self, OptionError> {
        for name in options.disabled.iter().chain(options.only.iter().flatten()) {
            let known = COLLECTORS.iter().any(|(known, _)| known == name)
                || LEFT_OUT.iter().any(|(known, _)| known == name);
            if !known && name != "systemd" {
                return Err(OptionError::Collector(name.clone()));
            }
        }
        let filters = options::Filters::new(&options)?;
        Ok(Self {
            options,
            filters,
            hanging: filesystem::Hanging::default(),
        })
    }

    /// The names of the collectors that are on.
    pub fn collectors(&self) -> impl Iterator<Item = &'static str> {
        COLLECTORS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| self.options.is_on(name))
    }

    /// Reads everything and gives it as a body.
    #[must_use]
    pub fn collect(&self, format: Format) -> String {
        let mut out = Out::default();
        for (name, collector) in COLLECTORS
            .iter()
            .filter(|(name, _)| self.options.is_on(name))
        {
            let begun = Instant::now();
            let outcome = collector(self, &mut out);
            let seconds = begun.elapsed().as_secs_f64();
            let labels = [("collector", *name)];
            if let Err(Failure::Broken(message)) = &outcome {
                tracing::debug!(collector = name, message, "a collector failed");
            }
            out.gauge(
                "node_scrape_collector_duration_seconds",
                "node_exporter: Duration of a collector scrape.",
                &labels,
                seconds,
            );
            let success = f64::from(u8::from(outcome.is_ok()));
            out.gauge(
                "node_scrape_collector_success",
                "node_exporter: Whether a collector succeeded.",
                &labels,
                success,
            );
        }
        let build = [
            ("branch", ""),
            ("goarch", std::env::consts::ARCH),
            ("goos", "linux"),
            ("goversion", ""),
            ("revision", concat!("launchway ", env!("CARGO_PKG_VERSION"))),
            ("version", "1.5.0"),
        ];
        let help = "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.";
        out.gauge("node_exporter_build_info", help, &build, 1.0);
        system::this_process(&mut out);
        out.finish(format)
    }

    fn proc(&self, path: &str) -> PathBuf {
        self.options.proc.join(path)
    }

    fn sys(&self, path: &str) -> PathBuf {
        self.options.sys.join(path)
    }

    /// The text of a file below `/proc` that has to be there.
    fn read_proc(&self, path: &str) -> Result<String, Failure> {
        let path = self.proc(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::NoData),
            Err(error) => Err(Failure::Broken(format!("{}: {error}", path.display()))),
        }
    }
}

/// The text of a small file without the white space around it; `None` where it cannot be read.
fn read_text(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The number in a small file.
fn read_number(path: &Path) -> Option<f64> {
    read_text(path)?.parse().ok()
}

/// The entries of a folder whose names begin with a prefix, in order; none where it cannot be read.
fn entries(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let Ok(all) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(String, PathBuf)> = all
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    found.sort();
    found
}

/// A metric's name from any text: letters, digits and `_`, in lower case.
fn metric_part(text: &str) -> String {
    let cleaned: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == ':' || c == '_' {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    cleaned.trim_matches('_').to_owned()
}

/// Families while they are collected, each with its samples' text.
#[derive(Default)]
struct Out {
    families: Vec<Family>,
    by_name: HashMap<Cow<'static, str>, usize>,
}

struct Family {
    name: Cow<'static, str>,
    kind: MetricKind,
    help: Cow<'static, str>,
    samples: String,
}

impl Out {
    fn add(
        &mut self,
        kind: MetricKind,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let name = name.into();
        let at = match self.by_name.get(&name) {
            Some(at) => *at,
            None => {
                let samples = String::new();
                self.families.push(Family {
                    name: name.clone(),
                    kind,
                    help: help.into(),
                    samples,
                });
                self.by_name.insert(name, self.families.len() - 1);
                self.families.len() - 1
            }
        };
        let family = &mut self.families[at];
        write_labels(&mut family.samples, &family.name, labels.iter().copied());
        family.samples.push(' ');
        write_value(&mut family.samples, value);
        family.samples.push('\n');
    }

    fn counter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.add(MetricKind::Counter, name, help, labels, value);
    }

    fn gauge(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.add(MetricKind::Gauge, name, help, labels, value);
    }

    fn untyped(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.add(MetricKind::Unknown, name, help, labels, value);
    }

    /// The body, families in order of their names.
    fn finish(mut self, format: Format) -> String {
        self.families
            .sort_by(|one, other| one.name.cmp(&other.name));
        let mut writer = Writer::new(format);
        for family in &self.families {
            writer.family(&family.name, family.kind, &family.help);
            writer.raw_samples(&family.samples);
        }
        writer.finish()
    }
}

/// Whether a name passes an include and an exclude expression; both may be absent.
fn passes(name: &str, include: Option<&Regex>, exclude: Option<&Regex>) -> bool {
    include.is_none_or(|include| include.is_match(name))
        && !exclude.is_some_and(|exclude| exclude.is_match(name))
}
