//! Prometheus' remote protocols: samples written to us (remote write 1.0 and 2.0), read from us (remote read), and the
//! bodies of samples that we send on.
//!
//! Bodies are protobuf in Snappy's block format. This module turns bytes into samples of a store and back; HTTP is
//! somebody else's. Native histograms have no place in the store: they are counted and refused with a word.
//! **Invariant:** a request that is not understood stores nothing; one whose samples are refused one by one stores the
//! others, and says so.

use crate::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::storage::{
    AppendError, Exemplar, MatchOp, Matcher, Metadata, MetricKind, Store, StoreError,
};
use crate::wire::{self, Value, WireError, fields};

#[cfg(test)]
mod tests;

/// The most bytes of a request, unpacked.
const UNPACKED: usize = 64 << 20;
/// The most samples that one answer of remote read holds, as Prometheus has it.
const READ: usize = 50_000_000;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is not packed as it should be.
    #[error("snappy: {0}")]
    Packed(String),
    /// It is no message.
    #[error("protobuf: {0}")]
    Wire(#[from] WireError),
    /// A symbol that does not exist, a series without a name, and the like.
    #[error("{0}")]
    Content(String),
    /// The store cannot take anything now; the sender tries again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RemoteError {
    /// Whether the sender should send the same again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// What came of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples stored.
    pub samples: usize,
    /// Exemplars kept.
    pub exemplars: usize,
    /// Samples and histograms refused.
    pub refused: usize,
    /// The first reason for that.
    pub reason: Option<String>,
}

/// Unpacks a body.
///
/// # Errors
/// It is not Snappy's block format, or too large.
pub fn unpack(body: &[u8]) -> Result<Vec<u8>, RemoteError> {
    let length =
        snap::raw::decompress_len(body).map_err(|error| RemoteError::Packed(error.to_string()))?;
    if length > UNPACKED {
        return Err(RemoteError::Packed(format!(
            "the request has {length} bytes, at most {UNPACKED} are taken"
        )));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|error| RemoteError::Packed(error.to_string()))
}

/// Packs a body.
#[must_use]
pub fn pack(body: &[u8]) -> Vec<u8> {
    // The only error is a body of more than four gigabytes.
    snap::raw::Encoder::new()
        .compress_vec(body)
        .unwrap_or_default()
}

/// Series as a request holds them.
#[derive(Default)]
struct Series {
    labels: Labels,
    samples: Vec<(i64, f64)>,
    exemplars: Vec<Exemplar>,
    histograms: usize,
}

/// Stores the samples of a request of version 1 (`prometheus.WriteRequest`).
///
/// # Errors
/// Nothing of it was stored.
pub fn write_v1(store: &Store, body: &[u8]) -> Result<Written, RemoteError> {
    let message = unpack(body)?;
    let mut all = Vec::new();
    let mut request = fields(&message);
    while let Some(field) = request.next()? {
        match field.number {
            1 => all.push(series_v1(field.bytes()?)?),
            3 => metadata_v1(store, field.bytes()?)?,
            _ => {}
        }
    }
    keep(store, &all)
}

fn series_v1(message: &[u8]) -> Result<Series, RemoteError> {
    let mut series = Series::default();
    let mut labels = LabelsBuilder::default();
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => label_v1(field.bytes()?, &mut labels)?,
            2 => series.samples.push(sample(field.bytes()?)?),
            3 => {
                let (mut own, mut exemplar) = (LabelsBuilder::default(), exemplar(field.bytes()?)?);
                let mut parts = fields(field.bytes()?);
                while let Some(part) = parts.next()? {
                    if part.number == 1 {
                        label_v1(part.bytes()?, &mut own)?;
                    }
                }
                exemplar.labels = own.build();
                series.exemplars.push(exemplar);
            }
            4 => series.histograms += 1,
            _ => {}
        }
    }
    series.labels = named(&mut labels)?;
    Ok(series)
}

fn label_v1(message: &[u8], into: &mut LabelsBuilder) -> Result<(), RemoteError> {
    let (mut name, mut value) = ("", "");
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    into.set(name, value);
    Ok(())
}

fn named(labels: &mut LabelsBuilder) -> Result<Labels, RemoteError> {
    let labels = labels.build();
    if labels.metric_name().is_empty() {
        return Err(RemoteError::Content(format!(
            "a series without a metric's name: {labels}"
        )));
    }
    Ok(labels)
}

/// Value (field 1) and time (field 2), the same in both versions.
fn sample(message: &[u8]) -> Result<(i64, f64), RemoteError> {
    let (mut time, mut value) = (0, 0.0);
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => time = field.integer()? as i64,
            _ => {}
        }
    }
    Ok((time, value))
}

/// Value (field 2) and time (field 3) of an exemplar, the same in both versions.
fn exemplar(message: &[u8]) -> Result<Exemplar, RemoteError> {
    let mut exemplar = Exemplar {
        labels: Labels::empty(),
        value: 0.0,
        timestamp_ms: 0,
    };
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.integer()? as i64,
            _ => {}
        }
    }
    Ok(exemplar)
}

/// The types of `prometheus.MetricMetadata` and of `io.prometheus.write.v2.Metadata`.
fn kind(number: u64) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

fn metadata_v1(store: &Store, message: &[u8]) -> Result<(), RemoteError> {
    let (mut name, mut metadata) = ("", Metadata::default());
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => metadata.kind = kind(field.integer()?),
            2 => name = field.text()?,
            4 => field.text()?.clone_into(&mut metadata.help),
            5 => field.text()?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    if !name.is_empty() {
        store.set_metadata(name, metadata);
    }
    Ok(())
}

/// Stores the samples of a request of version 2 (`io.prometheus.write.v2.Request`).
///
/// # Errors
/// Nothing of it was stored.
pub fn write_v2(store: &Store, body: &[u8]) -> Result<Written, RemoteError> {
    let message = unpack(body)?;
    let mut symbols = Vec::new();
    let mut request = fields(&message);
    while let Some(field) = request.next()? {
        if field.number == 4 {
            symbols.push(field.text()?);
        }
    }
    let mut all = Vec::new();
    let mut request = fields(&message);
    while let Some(field) = request.next()? {
        if field.number == 5 {
            all.push(series_v2(store, field.bytes()?, &symbols)?);
        }
    }
    keep(store, &all)
}

fn symbol<'a>(symbols: &[&'a str], number: u64) -> Result<&'a str, RemoteError> {
    let found = usize::try_from(number)
        .ok()
        .and_then(|number| symbols.get(number));
    found
        .copied()
        .ok_or_else(|| RemoteError::Content(format!("there is no symbol {number}")))
}

/// Labels by numbers of symbols: name, value, name, value, packed or one by one.
fn labels_v2(
    value: Value<'_>,
    symbols: &[&str],
    pending: &mut Vec<u64>,
    into: &mut LabelsBuilder,
) -> Result<(), RemoteError> {
    match value {
        Value::Number(number) => pending.push(number),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                pending.push(wire::number(&mut packed)?);
            }
        }
        _ => return Err(WireError::Type(1).into()),
    }
    let whole = pending.len() / 2 * 2;
    for pair in pending[..whole].chunks_exact(2) {
        into.set(symbol(symbols, pair[0])?, symbol(symbols, pair[1])?);
    }
    pending.drain(..whole);
    Ok(())
}

fn series_v2(store: &Store, message: &[u8], symbols: &[&str]) -> Result<Series, RemoteError> {
    let mut series = Series::default();
    let (mut labels, mut pending) = (LabelsBuilder::default(), Vec::new());
    let mut metadata = None;
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => labels_v2(field.value, symbols, &mut pending, &mut labels)?,
            2 => series.samples.push(sample(field.bytes()?)?),
            3 => series.histograms += 1,
            4 => {
                let mut exemplar = exemplar(field.bytes()?)?;
                let (mut own, mut pending) = (LabelsBuilder::default(), Vec::new());
                let mut parts = fields(field.bytes()?);
                while let Some(part) = parts.next()? {
                    if part.number == 1 {
                        labels_v2(part.value, symbols, &mut pending, &mut own)?;
                    }
                }
                exemplar.labels = own.build();
                series.exemplars.push(exemplar);
            }
            5 => {
                let mut found = Metadata::default();
                let mut parts = fields(field.bytes()?);
                while let Some(part) = parts.next()? {
                    match part.number {
                        1 => found.kind = kind(part.integer()?),
                        3 => symbol(symbols, part.integer()?)?.clone_into(&mut found.help),
                        4 => symbol(symbols, part.integer()?)?.clone_into(&mut found.unit),
                        _ => {}
                    }
                }
                metadata = Some(found);
            }
            _ => {}
        }
    }
    if !pending.is_empty() {
        return Err(RemoteError::Content(
            "a label has a name and no value".to_owned(),
        ));
    }
    series.labels = named(&mut labels)?;
    if let Some(metadata) = metadata.filter(|metadata| *metadata != Metadata::default()) {
        store.set_metadata(series.labels.metric_name(), metadata);
    }
    Ok(series)
}

fn keep(store: &Store, all: &[Series]) -> Result<Written, RemoteError> {
    let mut written = Written::default();
    let mut appender = store.appender();
    for series in all {
        let mut reference = None;
        for (time, value) in &series.samples {
            let appended = match reference {
                Some(known) => appender.append_ref(known, *time, *value).map(|()| known),
                None => appender.append(&series.labels, *time, *value),
            };
            match appended {
                Ok(known) => reference = Some(known),
                Err(error) => refuse(&mut written, &series.labels, error),
            }
        }
        for exemplar in &series.exemplars {
            if let Some(known) = reference
                && appender.append_exemplar(known, exemplar.clone()).is_ok()
            {
                written.exemplars += 1;
            }
        }
        if series.histograms > 0 {
            written.refused += series.histograms;
            written.reason.get_or_insert_with(|| {
                format!("native histograms are not stored: {}", series.labels)
            });
        }
    }
    let report = appender.commit()?;
    written.samples = report.stored + report.repeated;
    written.refused += report.refused;
    Ok(written)
}

fn refuse(written: &mut Written, labels: &Labels, error: AppendError) {
    written.refused += 1;
    written
        .reason
        .get_or_insert_with(|| format!("{error}: {labels}"));
}

/// Answers a request of remote read (`prometheus.ReadRequest`) with samples, packed.
///
/// # Errors
/// It is not understood, or asks for too much.
pub fn read(store: &Store, body: &[u8]) -> Result<Vec<u8>, RemoteError> {
    let message = unpack(body)?;
    let mut answer = Vec::new();
    let mut budget = READ;
    let mut request = fields(&message);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            wire::put_bytes(&mut answer, 1, &query(store, field.bytes()?, &mut budget)?);
        }
    }
    Ok(pack(&answer))
}

fn query(store: &Store, message: &[u8], budget: &mut usize) -> Result<Vec<u8>, RemoteError> {
    let (mut start, mut end, mut matchers) = (0, 0, Vec::new());
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => start = field.integer()? as i64,
            2 => end = field.integer()? as i64,
            3 => matchers.push(matcher(field.bytes()?)?),
            _ => {}
        }
    }
    let mut result = Vec::new();
    let mut selection = store.select(&matchers, start, end);
    while let Some(series) = selection.next_series() {
        *budget = budget.checked_sub(series.times.len()).ok_or_else(|| {
            RemoteError::Content(format!("more than {READ} samples are asked for"))
        })?;
        let samples = series
            .times
            .iter()
            .copied()
            .zip(series.values.iter().copied());
        wire::put_bytes(&mut result, 1, &series_message(series.labels, samples));
    }
    Ok(result)
}

fn matcher(message: &[u8]) -> Result<Matcher, RemoteError> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    let mut all = fields(message);
    while let Some(field) = all.next()? {
        match field.number {
            1 => {
                op = match field.integer()? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    other => {
                        return Err(RemoteError::Content(format!(
                            "there is no kind of matcher {other}"
                        )));
                    }
                }
            }
            2 => name = field.text()?,
            3 => value = field.text()?,
            _ => {}
        }
    }
    Matcher::new(name, op, value).map_err(|error| RemoteError::Content(error.to_string()))
}

/// A `prometheus.TimeSeries`.
fn series_message(labels: &Labels, samples: impl Iterator<Item = (i64, f64)>) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, value) in labels {
        let mut pair = Vec::new();
        wire::put_bytes(&mut pair, 1, name.as_bytes());
        wire::put_bytes(&mut pair, 2, value.as_bytes());
        wire::put_bytes(&mut message, 1, &pair);
    }
    for (time, value) in samples {
        let mut sample = Vec::new();
        wire::put_double(&mut sample, 1, value);
        wire::put_integer(&mut sample, 2, time as u64);
        wire::put_bytes(&mut message, 2, &sample);
    }
    message
}

/// A request of version 1 with these series, packed.
#[must_use]
pub fn request_v1(all: &[(Labels, Vec<(i64, f64)>)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (labels, samples) in all {
        wire::put_bytes(
            &mut message,
            1,
            &series_message(labels, samples.iter().copied()),
        );
    }
    pack(&message)
}

/// A request of version 2 with these series, packed.
#[must_use]
pub fn request_v2(all: &[(Labels, Vec<(i64, f64)>)]) -> Vec<u8> {
    let mut symbols: Vec<&str> = vec![""];
    let mut numbers = std::collections::HashMap::from([("", 0u64)]);
    let mut series = Vec::new();
    for (labels, samples) in all {
        let mut references = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            let next = symbols.len() as u64;
            let number = *numbers.entry(text).or_insert_with(|| {
                symbols.push(text);
                next
            });
            wire::put_number(&mut references, number);
        }
        let mut message = Vec::new();
        wire::put_bytes(&mut message, 1, &references);
        for (time, value) in samples {
            let mut sample = Vec::new();
            wire::put_double(&mut sample, 1, *value);
            wire::put_integer(&mut sample, 2, *time as u64);
            wire::put_bytes(&mut message, 2, &sample);
        }
        series.push(message);
    }
    let mut message = Vec::new();
    for symbol in symbols {
        wire::put_bytes(&mut message, 4, symbol.as_bytes());
    }
    for one in series {
        wire::put_bytes(&mut message, 5, &one);
    }
    pack(&message)
}

/// The labels of a series with those that every series of this server gets where it has not its own.
#[must_use]
pub fn with_external(labels: &Labels, external: &[(String, String)]) -> Labels {
    let missing: Vec<&(String, String)> = external
        .iter()
        .filter(|(name, _)| labels.get(name).is_none() && name != METRIC_NAME)
        .collect();
    if missing.is_empty() {
        return labels.clone();
    }
    let mut builder = LabelsBuilder::from_labels(labels);
    for (name, value) in missing {
        builder.set(name, value);
    }
    builder.build()
}
