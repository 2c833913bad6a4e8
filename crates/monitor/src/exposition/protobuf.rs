//! Prometheus' protobuf exposition (`io.prometheus.client.MetricFamily`, each after its length), read into OpenMetrics
//! text and written from exposition text.
//!
//! A native histogram's buckets have no form in text and none in the store. Its count and sum are kept, the classic
//! buckets too where it has them, and a warning names it.

use super::{
    Entry, ExemplarText, ExpositionError, Parser, Sample, Writer, read_labels, unescape_help,
    write_value,
};
use crate::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::storage::MetricKind;
use crate::wire::{self, Field, Fields, WireError, fields};

/// A body read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// OpenMetrics text.
    pub text: String,
    /// What could not be kept, in words.
    pub warnings: Vec<String>,
}

/// Reads a body.
///
/// # Errors
/// It is not a list of metric families; the error's line is the number of the family.
pub fn to_text(body: &[u8]) -> Result<Decoded, ExpositionError> {
    let mut writer = Writer::new(super::Format::OpenMetrics);
    let mut warnings = Vec::new();
    let mut rest = body;
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let column = body.len() - rest.len() + 1;
        let family = wire::number(&mut rest).and_then(|length| wire::take(&mut rest, length));
        family
            .and_then(|message| family_text(message, &mut writer, &mut warnings))
            .map_err(|error| ExpositionError {
                line,
                column,
                message: format!("not a metric family: {error}"),
            })?;
    }
    Ok(Decoded {
        text: writer.finish(),
        warnings,
    })
}

/// The fields of a family that come before its metrics are used.
fn family_text(
    message: &[u8],
    writer: &mut Writer,
    warnings: &mut Vec<String>,
) -> Result<(), WireError> {
    let (mut name, mut help, mut kind) = ("", "", 0);
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => kind = field.integer()?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(WireError::Truncated);
    }
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Summary,
        4 => MetricKind::Histogram,
        5 => MetricKind::GaugeHistogram,
        _ => MetricKind::Unknown,
    };
    writer.family(name, kind, help);
    let mut native = false;
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        if field.number == 4 {
            native |= metric_text(name, field.bytes()?, writer)?;
        }
    }
    if native {
        warnings.push(format!(
            "native histogram {name}: only its count, sum and classic buckets are kept"
        ));
    }
    Ok(())
}

struct MetricText<'a, 'w> {
    labels: Vec<(&'a str, &'a str)>,
    time: Option<i64>,
    writer: &'w mut Writer,
}

impl<'a> MetricText<'a, '_> {
    fn sample(&mut self, name: &str, extra: Option<(&str, &str)>, value: f64) {
        let labels = self.labels.iter().copied().chain(extra);
        match self.time {
            Some(time) => self.writer.sample_at(name, labels, value, time),
            None => self.writer.sample(name, labels, value),
        }
    }

    fn exemplar(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let (mut labels, mut value, mut time) = (Vec::new(), 0.0, None);
        let mut all = fields(message);
        while let Some(field) = all.next()? {
            match field.number {
                1 => labels.push(pair(field)?),
                2 => value = field.double()?,
                3 => time = Some(time_of(field.bytes()?)?),
                _ => {}
            }
        }
        self.writer.exemplar(labels, value, time);
        Ok(())
    }
}

fn pair(field: Field<'_>) -> Result<(&str, &str), WireError> {
    let (mut name, mut value) = ("", "");
    let mut all = fields(field.bytes()?);
    while let Some(field) = all.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// A `google.protobuf.Timestamp` in ms.
fn time_of(message: &[u8]) -> Result<i64, WireError> {
    let mut ms = 0i64;
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        let value = field.integer()? as i64;
        match field.number {
            1 => ms = ms.saturating_add(value.saturating_mul(1000)),
            2 => ms = ms.saturating_add(value / 1_000_000),
            _ => {}
        }
    }
    Ok(ms)
}

/// Writes the samples of one metric; tells whether it is a native histogram.
fn metric_text<'a>(name: &str, message: &'a [u8], writer: &mut Writer) -> Result<bool, WireError> {
    let mut metric = MetricText {
        labels: Vec::new(),
        time: None,
        writer,
    };
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => metric.labels.push(pair(field)?),
            6 => metric.time = Some(field.integer()? as i64).filter(|time| *time != 0),
            _ => {}
        }
    }
    let mut native = false;
    let mut all: Fields<'a> = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            2 | 3 | 5 => {
                let (mut value, mut exemplar) = (0.0, None);
                let mut inner = fields(field.bytes()?);
                while let Some(part) = inner.next()? {
                    match part.number {
                        1 => value = part.double()?,
                        2 => exemplar = Some(part.bytes()?),
                        _ => {}
                    }
                }
                metric.sample(name, None, value);
                if let Some(exemplar) = exemplar {
                    metric.exemplar(exemplar)?;
                }
            }
            4 => summary(name, field.bytes()?, &mut metric)?,
            7 => native |= histogram(name, field.bytes()?, &mut metric)?,
            _ => {}
        }
    }
    Ok(native)
}

fn number_text(value: f64) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn summary(name: &str, message: &[u8], metric: &mut MetricText<'_, '_>) -> Result<(), WireError> {
    let (mut count, mut sum) = (0.0, 0.0);
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => count = field.integer()? as f64,
            2 => sum = field.double()?,
            3 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                let mut inner = fields(field.bytes()?);
                while let Some(part) = inner.next()? {
                    match part.number {
                        1 => quantile = part.double()?,
                        2 => value = part.double()?,
                        _ => {}
                    }
                }
                metric.sample(name, Some(("quantile", &number_text(quantile))), value);
            }
            _ => {}
        }
    }
    metric.sample(&format!("{name}_sum"), None, sum);
    metric.sample(&format!("{name}_count"), None, count);
    Ok(())
}

fn histogram<'a>(
    name: &str,
    message: &'a [u8],
    metric: &mut MetricText<'a, '_>,
) -> Result<bool, WireError> {
    let (mut count, mut sum, mut native, mut infinite, mut buckets) = (0.0, 0.0, false, false, 0);
    let bucket_name = format!("{name}_bucket");
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => count = field.integer()? as f64,
            4 => count = field.double()?,
            2 => sum = field.double()?,
            3 => {
                let (mut bound, mut below, mut exemplar) = (0.0, 0.0, None);
                let mut inner = fields(field.bytes()?);
                while let Some(part) = inner.next()? {
                    match part.number {
                        1 => below = part.integer()? as f64,
                        4 => below = part.double()?,
                        2 => bound = part.double()?,
                        3 => exemplar = Some(part.bytes()?),
                        _ => {}
                    }
                }
                infinite |= bound == f64::INFINITY;
                buckets += 1;
                metric.sample(&bucket_name, Some(("le", &number_text(bound))), below);
                if let Some(exemplar) = exemplar {
                    metric.exemplar(exemplar)?;
                }
            }
            5 | 6 | 9 | 10 | 11 | 12 | 13 | 14 => native = true,
            _ => {}
        }
    }
    if !infinite && (buckets > 0 || !native) {
        metric.sample(&bucket_name, Some(("le", "+Inf")), count);
    }
    metric.sample(&format!("{name}_sum"), None, sum);
    metric.sample(&format!("{name}_count"), None, count);
    Ok(native)
}

/// Writes a body from exposition text: for a server that asks for protobuf.
///
/// # Errors
/// The text is not exposition text.
pub fn from_text(text: &str, open_metrics: bool) -> Result<Vec<u8>, ExpositionError> {
    let mut out = Vec::with_capacity(text.len());
    let mut family = Family::default();
    let mut parser = Parser::new(text.as_bytes(), open_metrics)?;
    while let Some(entry) = parser.next()? {
        match entry {
            Entry::Type(name, kind) => {
                family.head(name, &mut out);
                family.kind = kind;
            }
            Entry::Help(name, help) => {
                family.head(name, &mut out);
                family.help = unescape_help(help, open_metrics).into_owned();
            }
            Entry::Unit(name, unit) => {
                family.head(name, &mut out);
                family.unit = unit.to_owned();
            }
            Entry::Sample(sample) => {
                let mut labels = LabelsBuilder::default();
                if read_labels(sample.series, &mut labels).is_ok() {
                    family.sample(&labels.build(), &sample, &mut out);
                }
            }
        }
    }
    family.end(&mut out);
    Ok(out)
}

/// A family that is being collected.
#[derive(Default)]
struct Family {
    name: String,
    help: String,
    unit: String,
    kind: MetricKind,
    metrics: Vec<Metric>,
}

/// A metric that is being collected: of histograms and summaries all samples with the same other labels.
struct Metric {
    labels: Labels,
    time: Option<i64>,
    value: f64,
    sum: f64,
    count: f64,
    /// Bound or quantile, value, exemplar's message.
    parts: Vec<(f64, f64, Vec<u8>)>,
    exemplar: Vec<u8>,
}

impl Family {
    fn head(&mut self, name: &str, out: &mut Vec<u8>) {
        if self.name != name {
            self.end(out);
            self.name = name.to_owned();
        }
    }

    /// The label that tells a histogram's or summary's parts apart.
    fn inner_label(&self) -> Option<&'static str> {
        match self.kind {
            MetricKind::Histogram | MetricKind::GaugeHistogram => Some("le"),
            MetricKind::Summary => Some("quantile"),
            _ => None,
        }
    }

    fn sample(&mut self, labels: &Labels, sample: &Sample<'_>, out: &mut Vec<u8>) {
        let name = labels.metric_name();
        let Some(suffix) = name
            .strip_prefix(self.name.as_str())
            .filter(|_| !self.name.is_empty())
        else {
            self.head(name, out);
            return self.sample_of("", labels, sample);
        };
        let known = match self.kind {
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                matches!(suffix, "_bucket" | "_sum" | "_count" | "_gsum" | "_gcount")
            }
            MetricKind::Summary => matches!(suffix, "" | "_sum" | "_count"),
            MetricKind::Counter => matches!(suffix, "" | "_total"),
            MetricKind::Info => matches!(suffix, "" | "_info"),
            _ => suffix.is_empty(),
        };
        if suffix == "_created" {
            return;
        }
        if known {
            let suffix = suffix.to_owned();
            if matches!(self.kind, MetricKind::Counter | MetricKind::Info) && !suffix.is_empty() {
                self.name = name.to_owned();
            }
            return self.sample_of(&suffix, labels, sample);
        }
        self.head(name, out);
        self.sample_of("", labels, sample);
    }

    fn sample_of(&mut self, suffix: &str, labels: &Labels, sample: &Sample<'_>) {
        let inner = self.inner_label();
        let own = labels.filtered(|label| label != METRIC_NAME && Some(label) != inner);
        let position =
            inner.and_then(|_| self.metrics.iter().position(|metric| metric.labels == own));
        let at = position.unwrap_or_else(|| {
            self.metrics.push(Metric {
                labels: own,
                time: sample.timestamp,
                value: 0.0,
                sum: 0.0,
                count: 0.0,
                parts: Vec::new(),
                exemplar: Vec::new(),
            });
            self.metrics.len() - 1
        });
        let metric = &mut self.metrics[at];
        let exemplar = sample
            .exemplar
            .as_ref()
            .map(exemplar_message)
            .unwrap_or_default();
        match (inner, suffix) {
            (Some(_), "_sum" | "_gsum") => metric.sum = sample.value,
            (Some(_), "_count" | "_gcount") => metric.count = sample.value,
            (Some(inner), _) => {
                let bound = labels
                    .get(inner)
                    .and_then(super::parse_value)
                    .unwrap_or(f64::NAN);
                metric.parts.push((bound, sample.value, exemplar));
            }
            (None, _) => {
                metric.value = sample.value;
                metric.exemplar = exemplar;
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let family = std::mem::take(self);
        if family.metrics.is_empty() {
            return;
        }
        let mut message = Vec::new();
        wire::put_bytes(&mut message, 1, family.name.as_bytes());
        if !family.help.is_empty() {
            wire::put_bytes(&mut message, 2, family.help.as_bytes());
        }
        let kind = match family.kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => 1,
            MetricKind::Summary => 2,
            MetricKind::Unknown => 3,
            MetricKind::Histogram => 4,
            MetricKind::GaugeHistogram => 5,
        };
        wire::put_integer(&mut message, 3, kind);
        for metric in &family.metrics {
            wire::put_bytes(&mut message, 4, &metric.message(family.kind));
        }
        if !family.unit.is_empty() {
            wire::put_bytes(&mut message, 5, family.unit.as_bytes());
        }
        wire::put_number(out, message.len() as u64);
        out.extend_from_slice(&message);
    }
}

impl Metric {
    fn message(&self, kind: MetricKind) -> Vec<u8> {
        let mut message = Vec::new();
        for (name, value) in &self.labels {
            wire::put_bytes(&mut message, 1, &pair_message(name, value));
        }
        let mut inner = Vec::new();
        let field = match kind {
            MetricKind::Counter => 3,
            MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => 2,
            MetricKind::Summary => 4,
            MetricKind::Unknown => 5,
            MetricKind::Histogram | MetricKind::GaugeHistogram => 7,
        };
        if matches!(field, 4 | 7) {
            wire::put_integer(&mut inner, 1, self.count as u64);
            wire::put_double(&mut inner, 2, self.sum);
            for (bound, value, exemplar) in &self.parts {
                let mut part = Vec::new();
                if field == 7 {
                    wire::put_integer(&mut part, 1, *value as u64);
                    wire::put_double(&mut part, 2, *bound);
                    if !exemplar.is_empty() {
                        wire::put_bytes(&mut part, 3, exemplar);
                    }
                } else {
                    wire::put_double(&mut part, 1, *bound);
                    wire::put_double(&mut part, 2, *value);
                }
                wire::put_bytes(&mut inner, 3, &part);
            }
        } else {
            wire::put_double(&mut inner, 1, self.value);
            if field == 3 && !self.exemplar.is_empty() {
                wire::put_bytes(&mut inner, 2, &self.exemplar);
            }
        }
        wire::put_bytes(&mut message, field, &inner);
        if let Some(time) = self.time {
            wire::put_integer(&mut message, 6, time as u64);
        }
        message
    }
}

fn pair_message(name: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    wire::put_bytes(&mut pair, 1, name.as_bytes());
    wire::put_bytes(&mut pair, 2, value.as_bytes());
    pair
}

fn exemplar_message(exemplar: &ExemplarText<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    let mut labels = LabelsBuilder::default();
    // A label given twice has its last value here; whoever stores it refuses it.
    let _ = read_labels(exemplar.labels, &mut labels);
    for (name, value) in &labels.build() {
        wire::put_bytes(&mut message, 1, &pair_message(name, value));
    }
    wire::put_double(&mut message, 2, exemplar.value);
    if let Some(time) = exemplar.timestamp {
        let mut stamp = Vec::new();
        wire::put_integer(&mut stamp, 1, time.div_euclid(1000) as u64);
        wire::put_integer(&mut stamp, 2, (time.rem_euclid(1000) * 1_000_000) as u64);
        wire::put_bytes(&mut message, 3, &stamp);
    }
    message
}
