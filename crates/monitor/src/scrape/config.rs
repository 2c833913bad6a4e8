//! Prometheus' configuration file, read as it is: what to scrape and how, rule files, Alertmanagers, remote storage.
//!
//! What is not supported (other service discoveries, OAuth, proxies) is refused with a word and its place rather than
//! passed over: a target that nobody scrapes would otherwise look like a target that is fine.

use super::relabel::{self, Rule};
use crate::exposition::Format;
use crate::http::ClientSpec;
use crate::yaml::{self, Node, YamlError, noted, text_pairs, unknown};
use client::client_field;
use outside::{alerting, remote_write};

mod client;
mod outside;

#[cfg(test)]
mod tests;

/// A configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How often rules are evaluated, ms.
    pub evaluation_interval: i64,
    /// How far in the past rules are evaluated, ms.
    pub rule_query_offset: i64,
    /// Labels added to whatever leaves this server.
    pub external_labels: Vec<(String, String)>,
    /// Names of rule files, with wildcards, relative to the configuration's folder.
    pub rule_files: Vec<String>,
    /// Names of files with further `scrape_configs`.
    pub scrape_config_files: Vec<String>,
    /// What to scrape.
    pub jobs: Vec<Job>,
    /// Rewrites alerts before they are sent.
    pub alert_relabel: Vec<Rule>,
    /// The Alertmanagers that alerts are handed to.
    pub alertmanagers: Vec<Alertmanager>,
    /// Where samples are sent on to.
    pub remote_write: Vec<RemoteWrite>,
    /// How late samples may be, ms, where the file says so.
    pub out_of_order: Option<i64>,
}

/// Alertmanagers that are told of alerts.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// `http` or `https`.
    pub scheme: String,
    /// Put before `/api/v2/alerts`.
    pub path_prefix: String,
    /// How long sending may take, ms.
    pub timeout: i64,
    /// How it is reached.
    pub client: ClientSpec,
}

/// A server that takes a copy of all samples.
#[derive(Clone, Debug)]
pub struct RemoteWrite {
    /// Its address.
    pub url: String,
    /// Its name in metrics and logs.
    pub name: String,
    /// Whether the second version of the protocol is spoken.
    pub version_2: bool,
    /// How long sending may take, ms.
    pub timeout: i64,
    /// Rewrites or drops series.
    pub relabel: Vec<Rule>,
    /// How it is reached.
    pub client: ClientSpec,
    /// Samples per request at most.
    pub batch: usize,
}

/// Bounds of what one target may send; zero is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, unpacked.
    pub body: u64,
    /// Samples after relabelling.
    pub samples: usize,
    /// Labels of a series.
    pub labels: usize,
    /// Bytes of a label's name.
    pub label_name: usize,
    /// Bytes of a label's value.
    pub label_value: usize,
    /// Targets of the job.
    pub targets: usize,
}

/// Targets with labels in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Their labels.
    pub labels: Vec<(String, String)>,
    /// Where the group is from, for people.
    pub source: String,
}

/// Targets from files that somebody else writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Names, with wildcards in the last part.
    pub files: Vec<String>,
    /// How often they are looked at, ms.
    pub refresh: i64,
}

/// Targets from an HTTP endpoint.
#[derive(Clone, Debug)]
pub struct HttpDiscovery {
    /// Its address.
    pub url: String,
    /// How often it is asked, ms.
    pub refresh: i64,
    /// How it is reached.
    pub client: ClientSpec,
}

/// One `scrape_config`.
#[derive(Clone, Debug)]
pub struct Job {
    /// The value of the label `job`, unless relabelled.
    pub name: String,
    /// How often targets are scraped, ms.
    pub interval: i64,
    /// How long one scrape may take, ms.
    pub timeout: i64,
    /// The formats asked for, the best first.
    pub formats: Vec<Format>,
    /// The format of a body whose type is missing or unknown; without one such a scrape fails.
    pub fallback: Option<Format>,
    /// The path, `/metrics` unless relabelled.
    pub path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// URL parameters.
    pub params: Vec<(String, Vec<String>)>,
    /// Whether scraped labels win over the target's.
    pub honor_labels: bool,
    /// Whether timestamps of the body are kept.
    pub honor_timestamps: bool,
    /// Whether series with timestamps of their own are marked stale too.
    pub track_timestamps_staleness: bool,
    /// Whether a packed body is asked for.
    pub compression: bool,
    /// How targets are reached.
    pub client: ClientSpec,
    /// Bounds.
    pub limits: Limits,
    /// Rewrites targets.
    pub relabel: Vec<Rule>,
    /// Rewrites series.
    pub metric_relabel: Vec<Rule>,
    /// Targets named in the configuration.
    pub static_groups: Vec<TargetGroup>,
    /// Targets from files.
    pub files: Vec<FileDiscovery>,
    /// Targets from HTTP endpoints.
    pub http: Vec<HttpDiscovery>,
}

impl Job {
    /// A job with Prometheus' defaults: every minute, ten seconds, `/metrics`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            interval: 60_000,
            timeout: 10_000,
            formats: vec![Format::OpenMetrics, Format::Text],
            fallback: None,
            path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            compression: true,
            client: ClientSpec::default(),
            limits: Limits::default(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
            static_groups: Vec::new(),
            files: Vec::new(),
            http: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// All mistakes that can be told apart, each with its line and column.
    pub fn parse(text: &str) -> Result<Self, Vec<YamlError>> {
        let node = yaml::parse(text).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        let config = file(&node, &mut errors);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// Adds the `scrape_configs` of a further file.
    ///
    /// # Errors
    /// All mistakes that can be told apart, each with its line and column.
    pub fn add_scrape_configs(&mut self, text: &str, defaults: &Job) -> Result<(), Vec<YamlError>> {
        let node = yaml::parse(text).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        for (key, value) in noted(&mut errors, node.map()).unwrap_or(&[]) {
            match key.text().unwrap_or("") {
                "scrape_configs" => jobs(value, defaults, &mut self.jobs, &mut errors),
                _ => errors.push(unknown(
                    key,
                    "a file of scrape configurations",
                    &["scrape_configs"],
                )),
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

const TOP: [&str; 10] = [
    "global",
    "rule_files",
    "scrape_config_files",
    "scrape_configs",
    "alerting",
    "remote_write",
    "remote_read",
    "storage",
    "tracing",
    "runtime",
];

fn file(node: &Node, errors: &mut Vec<YamlError>) -> Config {
    let mut config = Config {
        evaluation_interval: 60_000,
        ..Config::default()
    };
    let mut defaults = Job::new("");
    let top = noted(errors, node.map()).unwrap_or(&[]);
    for (key, value) in top {
        if key.text() == Ok("global") {
            global(value, &mut config, &mut defaults, errors);
        }
    }
    for (key, value) in top {
        match key.text().unwrap_or("") {
            "global" => {}
            "rule_files" => config.rule_files = texts(value, errors),
            "scrape_config_files" => config.scrape_config_files = texts(value, errors),
            "scrape_configs" => jobs(value, &defaults, &mut config.jobs, errors),
            "alerting" => alerting(value, &mut config, errors),
            "remote_write" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    config.remote_write.extend(remote_write(item, errors));
                }
            }
            "storage" => storage(value, &mut config, errors),
            "remote_read" | "tracing" => errors.push(unsupported(key, "")),
            // Garbage collection of another runtime: nothing to set here.
            "runtime" => {}
            _ => errors.push(unknown(key, "the configuration", &TOP)),
        }
    }
    config
}

fn unsupported(key: &Node, instead: &str) -> YamlError {
    let name = key.text().unwrap_or("this");
    YamlError::at(key.place, format!("{name} is not supported{instead}"))
}

fn texts(node: &Node, errors: &mut Vec<YamlError>) -> Vec<String> {
    let items = noted(errors, node.list()).unwrap_or(&[]);
    items
        .iter()
        .filter_map(|item| noted(errors, item.text()).map(str::to_owned))
        .collect()
}

fn global(node: &Node, config: &mut Config, defaults: &mut Job, errors: &mut Vec<YamlError>) {
    for (key, value) in noted(errors, node.map()).unwrap_or(&[]) {
        match key.text().unwrap_or("") {
            "evaluation_interval" => config.evaluation_interval = positive(value, errors),
            "rule_query_offset" => {
                config.rule_query_offset = noted(errors, value.duration()).unwrap_or(0)
            }
            "external_labels" => config.external_labels = text_pairs(value, errors),
            "query_log_file"
            | "scrape_failure_log_file"
            | "keep_dropped_targets"
            | "metric_name_validation_scheme"
            | "metric_name_escaping_scheme"
            | "scrape_native_histograms"
            | "convert_classic_histograms_to_nhcb"
            | "always_scrape_classic_histograms"
            | "extra_scrape_metrics" => {}
            name if job_field(name, value, defaults, errors) => {}
            _ => errors.push(YamlError::at(
                key.place,
                format!("{} is no field of global", key.kind()),
            )),
        }
    }
    defaults.timeout = defaults.timeout.min(defaults.interval);
}

fn positive(node: &Node, errors: &mut Vec<YamlError>) -> i64 {
    let value = noted(errors, node.duration()).unwrap_or(60_000);
    if value <= 0 {
        errors.push(YamlError::at(node.place, "expected a duration above zero"));
    }
    value.max(1)
}

/// The fields that `global` and a job have in common; `false` for another.
fn job_field(name: &str, value: &Node, job: &mut Job, errors: &mut Vec<YamlError>) -> bool {
    match name {
        "scrape_interval" => job.interval = positive(value, errors),
        "scrape_timeout" => job.timeout = positive(value, errors),
        "scrape_protocols" => job.formats = formats(value, errors),
        "body_size_limit" => job.limits.body = bytes(value, errors),
        "sample_limit" => job.limits.samples = noted(errors, value.number()).unwrap_or(0),
        "target_limit" => job.limits.targets = noted(errors, value.number()).unwrap_or(0),
        "label_limit" => job.limits.labels = noted(errors, value.number()).unwrap_or(0),
        "label_name_length_limit" => {
            job.limits.label_name = noted(errors, value.number()).unwrap_or(0)
        }
        "label_value_length_limit" => {
            job.limits.label_value = noted(errors, value.number()).unwrap_or(0)
        }
        _ => return false,
    }
    true
}

fn protocol(node: &Node, errors: &mut Vec<YamlError>) -> Option<Format> {
    match noted(errors, node.text())? {
        "PrometheusText0.0.4" | "PrometheusText1.0.0" => Some(Format::Text),
        "OpenMetricsText0.0.1" | "OpenMetricsText1.0.0" => Some(Format::OpenMetrics),
        "PrometheusProto" => Some(Format::Protobuf),
        other => {
            let known = "PrometheusProto, OpenMetricsText0.0.1, OpenMetricsText1.0.0, PrometheusText0.0.4, PrometheusText1.0.0";
            errors.push(YamlError::at(
                node.place,
                format!("unknown scrape protocol {other:?}, expected one of {known}"),
            ));
            None
        }
    }
}

fn formats(node: &Node, errors: &mut Vec<YamlError>) -> Vec<Format> {
    let mut found = Vec::new();
    for item in noted(errors, node.list()).unwrap_or(&[]) {
        if let Some(format) = protocol(item, errors).filter(|format| !found.contains(format)) {
            found.push(format);
        }
    }
    found
}

/// A size such as `10MB`, in bytes; units are powers of 1024, as in Prometheus.
fn bytes(node: &Node, errors: &mut Vec<YamlError>) -> u64 {
    let text = noted(errors, node.text()).unwrap_or("0").trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let factor: u64 = match text[digits..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" | "KIB" => 1 << 10,
        "MB" | "MIB" => 1 << 20,
        "GB" | "GIB" => 1 << 30,
        "TB" | "TIB" => 1 << 40,
        _ => 0,
    };
    match text[..digits].parse::<f64>() {
        Ok(number) if factor > 0 => (number * factor as f64) as u64,
        _ => {
            errors.push(YamlError::at(
                node.place,
                format!("expected a size such as 10MB, found {}", node.kind()),
            ));
            0
        }
    }
}

fn jobs(node: &Node, defaults: &Job, into: &mut Vec<Job>, errors: &mut Vec<YamlError>) {
    for item in noted(errors, node.list()).unwrap_or(&[]) {
        let Some(job) = job(item, defaults, errors) else {
            continue;
        };
        if into.iter().any(|other| other.name == job.name) {
            let message = format!("found multiple scrape configs with job name {:?}", job.name);
            errors.push(YamlError::at(item.place, message));
        }
        into.push(job);
    }
}

fn job(node: &Node, defaults: &Job, errors: &mut Vec<YamlError>) -> Option<Job> {
    let mut job = defaults.clone();
    let before = errors.len();
    let mut timeout_given = false;
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "job_name" => job.name = noted(errors, value.text())?.to_owned(),
            "metrics_path" => job.path = noted(errors, value.text())?.to_owned(),
            "scheme" => job.scheme = scheme(value, errors),
            "params" => job.params = parameters(value, errors),
            "honor_labels" => job.honor_labels = noted(errors, value.boolean()).unwrap_or(false),
            "honor_timestamps" => {
                job.honor_timestamps = noted(errors, value.boolean()).unwrap_or(true)
            }
            "track_timestamps_staleness" => {
                job.track_timestamps_staleness = noted(errors, value.boolean()).unwrap_or(false)
            }
            "enable_compression" => {
                job.compression = noted(errors, value.boolean()).unwrap_or(true)
            }
            "fallback_scrape_protocol" => job.fallback = protocol(value, errors),
            "relabel_configs" => job.relabel = relabel::rules(value, errors),
            "metric_relabel_configs" => job.metric_relabel = relabel::rules(value, errors),
            "static_configs" => {
                for (at, item) in noted(errors, value.list())
                    .unwrap_or(&[])
                    .iter()
                    .enumerate()
                {
                    job.static_groups
                        .extend(static_group(item, &at.to_string(), errors));
                }
            }
            "file_sd_configs" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    job.files.extend(file_discovery(item, errors));
                }
            }
            "http_sd_configs" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    job.http.extend(http_discovery(item, errors));
                }
            }
            // Native histograms are never kept; see `exposition`.
            "scrape_classic_histograms"
            | "always_scrape_classic_histograms"
            | "native_histogram_bucket_limit"
            | "native_histogram_min_bucket_factor"
            | "keep_dropped_targets"
            | "scrape_native_histograms"
            | "convert_classic_histograms_to_nhcb"
            | "metric_name_validation_scheme"
            | "extra_scrape_metrics"
            | "metric_name_escaping_scheme"
            | "scrape_failure_log_file" => {}
            name if name.ends_with("_sd_configs") => errors.push(unsupported(
                key,
                ": targets come from static_configs, file_sd_configs and http_sd_configs",
            )),
            name if client_field(name, key, value, &mut job.client, errors) => {}
            name if job_field(name, value, &mut job, errors) => {
                timeout_given |= name == "scrape_timeout"
            }
            _ => errors.push(YamlError::at(
                key.place,
                format!("{} is no field of a scrape configuration", key.kind()),
            )),
        }
    }
    if job.name.is_empty() {
        errors.push(YamlError::at(node.place, "job_name is empty"));
    }
    if job.timeout > job.interval {
        if timeout_given {
            let message = format!(
                "scrape timeout greater than scrape interval for scrape config with job name {:?}",
                job.name
            );
            errors.push(YamlError::at(node.place, message));
        }
        job.timeout = job.interval;
    }
    (errors.len() == before).then_some(job)
}

fn scheme(node: &Node, errors: &mut Vec<YamlError>) -> String {
    match noted(errors, node.text()) {
        Some(text @ ("http" | "https")) => text.to_owned(),
        _ => {
            errors.push(YamlError::at(
                node.place,
                format!("expected http or https, found {}", node.kind()),
            ));
            "http".to_owned()
        }
    }
}

fn parameters(node: &Node, errors: &mut Vec<YamlError>) -> Vec<(String, Vec<String>)> {
    let pairs = noted(errors, node.map()).unwrap_or(&[]);
    let pairs = pairs
        .iter()
        .map(|(key, value)| (key.text().unwrap_or("").to_owned(), texts(value, errors)));
    pairs.collect()
}

pub(super) fn static_group(
    node: &Node,
    source: &str,
    errors: &mut Vec<YamlError>,
) -> Option<TargetGroup> {
    let mut group = TargetGroup {
        source: source.to_owned(),
        ..TargetGroup::default()
    };
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "targets" => group.targets = texts(value, errors),
            "labels" => group.labels = text_pairs(value, errors),
            _ => errors.push(unknown(key, "a group of targets", &["targets", "labels"])),
        }
    }
    Some(group)
}

fn file_discovery(node: &Node, errors: &mut Vec<YamlError>) -> Option<FileDiscovery> {
    let mut found = FileDiscovery {
        files: Vec::new(),
        refresh: 300_000,
    };
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "files" => found.files = texts(value, errors),
            "refresh_interval" => found.refresh = positive(value, errors),
            _ => errors.push(unknown(
                key,
                "a file discovery",
                &["files", "refresh_interval"],
            )),
        }
    }
    for name in &found.files {
        if !name.ends_with(".json") && !name.ends_with(".yml") && !name.ends_with(".yaml") {
            errors.push(YamlError::at(node.place, format!("path name {name:?} is not valid for file discovery: it ends in .json, .yml or .yaml")));
        }
    }
    Some(found)
}

fn http_discovery(node: &Node, errors: &mut Vec<YamlError>) -> Option<HttpDiscovery> {
    let mut found = HttpDiscovery {
        url: String::new(),
        refresh: 60_000,
        client: ClientSpec::default(),
    };
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "url" => found.url = noted(errors, value.text())?.to_owned(),
            "refresh_interval" => found.refresh = positive(value, errors),
            name if client_field(name, key, value, &mut found.client, errors) => {}
            _ => errors.push(unknown(
                key,
                "an HTTP discovery",
                &["url", "refresh_interval"],
            )),
        }
    }
    Some(found)
}

fn storage(node: &Node, config: &mut Config, errors: &mut Vec<YamlError>) {
    for (key, value) in noted(errors, node.map()).unwrap_or(&[]) {
        match key.text().unwrap_or("") {
            "tsdb" => {
                for (key, value) in noted(errors, value.map()).unwrap_or(&[]) {
                    match key.text().unwrap_or("") {
                        "out_of_order_time_window" => {
                            config.out_of_order = noted(errors, value.duration())
                        }
                        "retention" | "stale_series_compaction_threshold" => {}
                        _ => {
                            errors.push(unknown(key, "storage.tsdb", &["out_of_order_time_window"]))
                        }
                    }
                }
            }
            // Exemplars have a bound of their own.
            "exemplars" => {}
            _ => errors.push(unknown(key, "storage", &["tsdb", "exemplars"])),
        }
    }
}
