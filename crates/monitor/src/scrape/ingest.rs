//! From a body to samples: what one target's scrape writes into the store.
//!
//! A [`Cache`] knows the series of its target by their text in the body, in the order of the last body, so that a scrape
//! that looks like the one before costs one comparison of bytes per sample. It also knows which series are gone, to mark
//! them stale.
//! **Invariant:** a body with any mistake stores nothing but staleness markers and the report of its failure.

use super::config::Job;
use super::relabel;
use crate::exposition::{
    Entry as Line, ExpositionError, Format, Parser, Sample, protobuf, read_labels, unescape_help,
};
use crate::labels::{Labels, LabelsBuilder, METRIC_NAME, stale_nan};
use crate::storage::{
    AppendError, Appender, Exemplar, Metadata, MetricKind, SeriesRef, Store, StoreError,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Scrapes for which a series that is gone is remembered.
const MEMORY: u64 = 4;
/// No entry.
const NONE: u32 = u32::MAX;

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The body is not in its format.
    #[error("{0}")]
    Body(#[from] ExpositionError),
    /// A series is not acceptable.
    #[error("line {line}: {message}")]
    Series {
        /// The line of the body.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// More samples than the job allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// The store takes no more series.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// The store cannot write.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a scrape came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingested {
    /// Samples of the body.
    pub scraped: usize,
    /// Of these, left after relabelling.
    pub kept: usize,
    /// Series that were not there at the scrape before.
    pub added: usize,
    /// Samples that the store did not take: late, twice, in the future.
    pub refused: usize,
    /// What was left out, in words.
    pub warnings: Vec<String>,
}

struct Series {
    text: Box<str>,
    /// The labels in the store; `None` where relabelling drops it.
    labels: Option<Labels>,
    reference: Option<SeriesRef>,
    /// The last scrape with it, and the last before this one.
    seen: u64,
    seen_before: u64,
    /// Whether it is to be marked stale when it goes: it has no timestamps of its own.
    tracked: bool,
    /// The next with the same hash.
    next: u32,
}

/// What is known of one target's series.
pub struct Cache {
    series: Vec<Series>,
    by_hash: HashMap<u64, u32>,
    hasher: RandomState,
    /// Where the next sample of the body is expected.
    expected: usize,
    round: u64,
    metadata: HashMap<u64, u64>,
    report: [(Labels, Option<SeriesRef>); 5],
}

/// The series that tell of a scrape itself.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// The head of the family that is being read.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    kind: MetricKind,
    help: &'a str,
    unit: &'a str,
}

impl Cache {
    /// An empty cache for a target with these labels.
    #[must_use]
    pub fn new(target: &Labels) -> Self {
        Self {
            series: Vec::new(),
            by_hash: HashMap::new(),
            hasher: RandomState::new(),
            expected: 0,
            round: 1,
            metadata: HashMap::new(),
            report: REPORT.map(|name| (target.with(METRIC_NAME, name), None)),
        }
    }

    /// How many series it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Stores the samples of a body that was asked for at `at` (ms), and marks those stale that it has no more.
    ///
    /// # Errors
    /// The body as a whole is refused; all series are marked stale then.
    pub fn ingest(
        &mut self,
        store: &Store,
        job: &Job,
        target: &Labels,
        body: &[u8],
        format: Format,
        at: i64,
    ) -> Result<Ingested, ScrapeError> {
        self.round += 1;
        self.expected = 0;
        let mut appender = store.appender();
        let read = self.read(store, &mut appender, job, target, body, format, at);
        match read {
            Ok(mut done) => {
                self.stale(&mut appender, at);
                let report = appender.commit()?;
                done.refused += report.refused;
                self.forget();
                Ok(done)
            }
            Err(error) => {
                appender.rollback();
                // Nothing of this body was stored, so its series were seen for the last time before it.
                for series in self
                    .series
                    .iter_mut()
                    .filter(|series| series.seen == self.round)
                {
                    series.seen = series.seen_before;
                }
                self.stale(&mut appender, at);
                appender.commit()?;
                Err(error)
            }
        }
    }

    /// Marks all series stale: the target did not answer, or is no more.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn end(&mut self, store: &Store, at: i64) -> Result<(), StoreError> {
        self.round += 1;
        let mut appender = store.appender();
        self.stale(&mut appender, at);
        appender.commit().map(drop)
    }

    /// Stores `up` and the other series that tell of a scrape; of one that failed, all counts are zero.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn report(
        &mut self,
        store: &Store,
        at: i64,
        up: bool,
        seconds: f64,
        done: &Ingested,
    ) -> Result<(), StoreError> {
        let values = [
            f64::from(u8::from(up)),
            seconds,
            done.scraped as f64,
            done.kept as f64,
            done.added as f64,
        ];
        self.write_report(store, at, values)
    }

    /// Marks `up` and its like stale: the target is no more.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn end_report(&mut self, store: &Store, at: i64) -> Result<(), StoreError> {
        self.write_report(store, at, [stale_nan(); 5])
    }

    fn write_report(&mut self, store: &Store, at: i64, values: [f64; 5]) -> Result<(), StoreError> {
        let mut appender = store.appender();
        for ((labels, reference), value) in self.report.iter_mut().zip(values) {
            // A report that the store does not take (the clock went back) has nobody to tell.
            let _ = append(&mut appender, labels, reference, at, value);
        }
        appender.commit().map(drop)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is what one scrape consists of"
    )]
    fn read(
        &mut self,
        store: &Store,
        appender: &mut Appender,
        job: &Job,
        target: &Labels,
        body: &[u8],
        format: Format,
        at: i64,
    ) -> Result<Ingested, ScrapeError> {
        let mut done = Ingested::default();
        let decoded;
        let (body, open_metrics) = match format {
            Format::Text => (body, false),
            Format::OpenMetrics => (body, true),
            Format::Protobuf => {
                decoded = protobuf::to_text(body)?;
                done.warnings = decoded.warnings;
                (decoded.text.as_bytes(), true)
            }
        };
        let mut parser = Parser::new(body, open_metrics)?;
        let mut family = Family::default();
        while let Some(line) = parser.next()? {
            match line {
                Line::Sample(sample) => {
                    done.scraped += 1;
                    let sample_at = sample.timestamp.filter(|_| job.honor_timestamps);
                    let known = self.position(&sample, job, target, body)?;
                    let series = &mut self.series[known];
                    let fresh = series.seen + 1 < self.round;
                    if series.seen != self.round {
                        series.seen_before = series.seen;
                        series.seen = self.round;
                    }
                    series.tracked = sample_at.is_none() || job.track_timestamps_staleness;
                    let Some(labels) = &series.labels else {
                        continue;
                    };
                    done.kept += 1;
                    if job.limits.samples > 0 && done.kept > job.limits.samples {
                        return Err(ScrapeError::SampleLimit);
                    }
                    done.added += usize::from(fresh);
                    let time = sample_at.unwrap_or(at);
                    match append(appender, labels, &mut series.reference, time, sample.value) {
                        Ok(()) => {}
                        Err(error @ AppendError::TooManySeries { .. }) => return Err(error.into()),
                        Err(_) => done.refused += 1,
                    }
                    if let (Some(exemplar), Some(reference)) = (sample.exemplar, series.reference) {
                        let mut labels = LabelsBuilder::default();
                        if read_labels(exemplar.labels, &mut labels).is_ok() {
                            let labels = labels.build();
                            let timestamp_ms = exemplar.timestamp.unwrap_or(time);
                            let exemplar = Exemplar {
                                labels,
                                value: exemplar.value,
                                timestamp_ms,
                            };
                            // The series was appended just now.
                            let _ = appender.append_exemplar(reference, exemplar);
                        }
                    }
                }
                Line::Type(name, kind) => {
                    self.head(store, &mut family, name, open_metrics);
                    family.kind = kind;
                }
                Line::Help(name, help) => {
                    self.head(store, &mut family, name, open_metrics);
                    family.help = help;
                }
                Line::Unit(name, unit) => {
                    self.head(store, &mut family, name, open_metrics);
                    family.unit = unit;
                }
            }
        }
        self.head(store, &mut family, "", open_metrics);
        Ok(done)
    }

    /// Begins a family; what is known of the one before is stored where it changed.
    fn head<'a>(
        &mut self,
        store: &Store,
        family: &mut Family<'a>,
        name: &'a str,
        open_metrics: bool,
    ) {
        if family.name == name {
            return;
        }
        let before = std::mem::take(family);
        family.name = name;
        if before.name.is_empty() {
            return;
        }
        let content = self
            .hasher
            .hash_one((before.kind, before.help, before.unit));
        let known = self
            .metadata
            .insert(self.hasher.hash_one(before.name), content);
        if known != Some(content) {
            let help = unescape_help(before.help, open_metrics).into_owned();
            store.set_metadata(
                before.name,
                Metadata {
                    kind: before.kind,
                    unit: before.unit.to_owned(),
                    help,
                },
            );
        }
    }

    /// The place of a sample's series in the cache; it is made where it is new.
    fn position(
        &mut self,
        sample: &Sample<'_>,
        job: &Job,
        target: &Labels,
        body: &[u8],
    ) -> Result<usize, ScrapeError> {
        let text = sample.series;
        if self
            .series
            .get(self.expected)
            .is_some_and(|series| *series.text == *text)
        {
            self.expected += 1;
            return Ok(self.expected - 1);
        }
        let hash = self.hasher.hash_one(text);
        let first = self.by_hash.get(&hash).copied().unwrap_or(NONE);
        let mut at = first;
        while let Some(series) = self.series.get(at as usize) {
            if *series.text == *text {
                self.expected = at as usize + 1;
                return Ok(at as usize);
            }
            at = series.next;
        }
        let labels = series_labels(text, job, target).map_err(|message| {
            let before = text.as_ptr() as usize - body.as_ptr() as usize;
            let line = 1 + memchr::memchr_iter(b'\n', &body[..before]).count();
            ScrapeError::Series { line, message }
        })?;
        let position = self.series.len();
        self.series.push(Series {
            text: text.into(),
            labels,
            reference: None,
            seen: 0,
            seen_before: 0,
            tracked: false,
            next: first,
        });
        self.by_hash.insert(hash, position as u32);
        Ok(position)
    }

    /// Marks those stale that the scrape before had and this one has not.
    fn stale(&mut self, appender: &mut Appender, at: i64) {
        let gone = self
            .series
            .iter_mut()
            .filter(|series| series.seen + 1 == self.round && series.tracked);
        for series in gone {
            if let (Some(labels), Some(_)) = (&series.labels, series.reference) {
                // A marker that comes too late has no use.
                let _ = append(appender, labels, &mut series.reference, at, stale_nan());
            }
        }
    }

    /// Drops what has been gone for some scrapes, once it is worth the work.
    fn forget(&mut self) {
        let gone = self
            .series
            .iter()
            .filter(|series| series.seen + MEMORY < self.round)
            .count();
        if gone * 4 < self.series.len().max(64) {
            return;
        }
        let round = self.round;
        self.series.retain(|series| series.seen + MEMORY >= round);
        self.series.shrink_to_fit();
        self.by_hash.clear();
        for at in 0..self.series.len() {
            let hash = self.hasher.hash_one(&*self.series[at].text);
            self.series[at].next = self.by_hash.insert(hash, at as u32).unwrap_or(NONE);
        }
    }
}

fn append(
    appender: &mut Appender,
    labels: &Labels,
    reference: &mut Option<SeriesRef>,
    at: i64,
    value: f64,
) -> Result<(), AppendError> {
    if let Some(known) = *reference {
        match appender.append_ref(known, at, value) {
            Err(AppendError::UnknownSeries) => {}
            outcome => return outcome,
        }
    }
    *reference = Some(appender.append(labels, at, value)?);
    Ok(())
}

/// The labels under which a series is stored: its own and its target's, relabelled. `None` where it is dropped.
fn series_labels(text: &str, job: &Job, target: &Labels) -> Result<Option<Labels>, String> {
    let mut labels = LabelsBuilder::default();
    read_labels(text, &mut labels).map_err(|name: Cow<'_, str>| {
        format!("label name \"{name}\" is not unique: invalid sample")
    })?;
    let mut moved = Vec::new();
    for (name, value) in target {
        if !labels.is_set(name) {
            labels.set(name, value);
        } else if !job.honor_labels {
            if let Some(scraped) = labels.get(name) {
                moved.push((name.to_owned(), scraped.to_owned()));
            }
            labels.set(name, value);
        }
    }
    for (name, value) in moved {
        let mut name = format!("exported_{name}");
        while labels.get(&name).is_some() || target.get(&name).is_some() {
            name = format!("exported_{name}");
        }
        labels.set(&name, &value);
    }
    if !relabel::apply(&job.metric_relabel, &mut labels) {
        return Ok(None);
    }
    let labels = labels.build();
    if labels.metric_name().is_empty() {
        return Err("missing metric name (__name__ label)".to_owned());
    }
    check_limits(&labels, job)?;
    Ok(Some(labels))
}

fn check_limits(labels: &Labels, job: &Job) -> Result<(), String> {
    let limits = &job.limits;
    let name = labels.metric_name();
    if limits.labels > 0 && labels.len() > limits.labels {
        return Err(format!(
            "label_limit exceeded (metric: {name:.50}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        ));
    }
    if limits.label_name == 0 && limits.label_value == 0 {
        return Ok(());
    }
    for (label, value) in labels {
        let exceeded = |what: &str, length: usize, limit: usize| {
            Err(format!(
                "{what} exceeded (metric: {name:.50}, label name: {label:.50}, length: {length}, limit: {limit})"
            ))
        };
        if limits.label_name > 0 && label.len() > limits.label_name {
            return exceeded("label_name_length_limit", label.len(), limits.label_name);
        }
        if limits.label_value > 0 && value.len() > limits.label_value {
            return exceeded("label_value_length_limit", value.len(), limits.label_value);
        }
    }
    Ok(())
}
