//! The exposition formats: Prometheus text 0.0.4, OpenMetrics 1.0 and Prometheus' protobuf, read and written.
//!
//! [`Parser`] walks over a body without an allocation: a sample is a slice of the body, its value and its time. Whoever
//! scrapes the same target again knows the slice already, and asks for labels ([`read_labels`]) only where it is new.
//! Protobuf bodies are turned into OpenMetrics text first ([`protobuf::to_text`]), so that there is one way to samples.
//! Native histograms are refused with a word ([`protobuf::Decoded::warnings`]): the store keeps floats alone.
//! **Invariant:** whatever the body holds, parsing ends without a panic, and an error names its line.

use crate::labels::LabelsBuilder;
use crate::storage::MetricKind;
use memchr::{memchr, memchr_iter, memchr2};
use std::borrow::Cow;

pub mod protobuf;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use value::parse_value;
pub use write::{Writer, write_labels, write_value};

/// A format of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4, and 1.0.0 with its quoted names.
    Text,
    /// OpenMetrics 1.0 text (0.0.1 reads the same).
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// The format that a `Content-Type` names. What is not known is `None`; the scraper then falls back to text.
    #[must_use]
    pub fn of_content_type(header: &str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        match parts.next()?.to_ascii_lowercase().as_str() {
            "text/plain" => Some(Self::Text),
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "application/vnd.google.protobuf" => {
                let named = |name: &str, value: &str| {
                    header
                        .split(';')
                        .filter_map(|part| part.split_once('='))
                        .any(|(key, found)| {
                            key.trim() == name && found.trim().trim_matches('"') == value
                        })
                };
                (named("proto", "io.prometheus.client.MetricFamily")
                    && named("encoding", "delimited"))
                .then_some(Self::Protobuf)
            }
            _ => None,
        }
    }

    /// The best format that an `Accept` header takes: the one with the highest weight, the first among equals. Text
    /// where it names none that we write.
    #[must_use]
    pub fn of_accept(header: &str) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for entry in header.split(',') {
            let weight = entry
                .split(';')
                .filter_map(|part| part.trim().strip_prefix("q="))
                .find_map(|q| q.trim().parse().ok())
                .unwrap_or(1.0);
            let Some(format) = Self::of_content_type(entry.trim()) else {
                continue;
            };
            if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
                best = Some((weight, format));
            }
        }
        best.map_or(Self::Text, |(_, format)| format)
    }

    /// The `Content-Type` under which this format is served.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Why a body is not in its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpositionError {
    /// The line, counted from 1; of protobuf the message's number.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
    /// What was expected and what is there.
    pub message: String,
}

/// An entry of a body. All texts are as they stand there, escapes included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// `# TYPE name kind`
    Type(&'a str, MetricKind),
    /// `# HELP name text`; [`unescape_help`] reads the text.
    Help(&'a str, &'a str),
    /// `# UNIT name unit`
    Unit(&'a str, &'a str),
    /// A sample.
    Sample(Sample<'a>),
}

/// A sample of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they are written: the key under which a scraper knows the series. [`read_labels`] reads it.
    pub series: &'a str,
    /// The value.
    pub value: f64,
    /// The time, ms since 1970, where the body gives one.
    pub timestamp: Option<i64>,
    /// Its exemplar, where it has one (OpenMetrics).
    pub exemplar: Option<ExemplarText<'a>>,
}

/// An exemplar of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExemplarText<'a> {
    /// Its labels in braces; [`read_labels`] reads them.
    pub labels: &'a str,
    /// The value.
    pub value: f64,
    /// The time, ms since 1970.
    pub timestamp: Option<i64>,
}

/// Walks over a body in one of the two text formats.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    text: &'a str,
    at: usize,
    open_metrics: bool,
    ended: bool,
}

type Parsed<T> = Result<T, ExpositionError>;

impl<'a> Parser<'a> {
    /// A walk over a text; `open_metrics` is stricter and knows exemplars.
    ///
    /// # Errors
    /// The body is not UTF-8.
    pub fn new(body: &'a [u8], open_metrics: bool) -> Parsed<Self> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self {
                text,
                at: 0,
                open_metrics,
                ended: false,
            }),
            Err(error) => Err(error_at(
                body,
                error.valid_up_to(),
                "expected UTF-8, found other bytes",
            )),
        }
    }

    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    /// What is there is no entry; the walk cannot go on.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would be read on after its first error"
    )]
    pub fn next(&mut self) -> Parsed<Option<Entry<'a>>> {
        let bytes = self.text.as_bytes();
        loop {
            if !self.open_metrics {
                self.skip_blanks();
            }
            let Some(&first) = bytes.get(self.at) else {
                if self.open_metrics && !self.ended {
                    return Err(self.error("the body does not end with # EOF"));
                }
                return Ok(None);
            };
            if self.ended {
                return Err(self.error("expected nothing after # EOF"));
            }
            match first {
                b'\n' if !self.open_metrics => self.at += 1,
                b'\r' if !self.open_metrics && bytes.get(self.at + 1) == Some(&b'\n') => {
                    self.at += 2
                }
                b'#' => {
                    if let Some(entry) = self.comment()? {
                        return Ok(Some(entry));
                    }
                }
                _ => return self.sample().map(|sample| Some(Entry::Sample(sample))),
            }
        }
    }

    fn error(&self, message: impl Into<String>) -> ExpositionError {
        error_at(self.text.as_bytes(), self.at, message)
    }

    fn expected(&self, what: &str) -> ExpositionError {
        let rest = &self.text[self.at.min(self.text.len())..];
        let line = rest.split('\n').next().unwrap_or("");
        let found: String = line.chars().take(40).collect();
        if found.is_empty() {
            return self.error(format!("expected {what}, found the end of the line"));
        }
        self.error(format!(
            "expected {what}, found {}",
            crate::labels::quoted(&found)
        ))
    }

    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// The rest of the line without its end; moves behind it.
    fn rest_of_line(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let length = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        self.at = (self.at + length + 1).min(self.text.len());
        rest[..length].strip_suffix('\r').unwrap_or(&rest[..length])
    }

    fn comment(&mut self) -> Parsed<Option<Entry<'a>>> {
        let start = self.at;
        let (text, open_metrics) = (self.text, self.open_metrics);
        let fail = |message: String| error_at(text.as_bytes(), start, message);
        let line = self.rest_of_line();
        let rest = &line[1..];
        if open_metrics && rest == " EOF" {
            self.ended = true;
            return Ok(None);
        }
        let strange = || fail("expected # HELP, # TYPE, # UNIT or # EOF".to_owned());
        let rest = match rest.strip_prefix([' ', '\t']) {
            Some(rest) => rest.trim_start_matches([' ', '\t']),
            None if open_metrics => return Err(strange()),
            None => return Ok(None),
        };
        let Some((word, rest)) = rest.split_once([' ', '\t']) else {
            return if open_metrics {
                Err(strange())
            } else {
                Ok(None)
            };
        };
        if !matches!(word, "HELP" | "TYPE" | "UNIT") || (word == "UNIT" && !open_metrics) {
            return if open_metrics {
                Err(strange())
            } else {
                Ok(None)
            };
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        let (name, value) = split_name(rest)
            .ok_or_else(|| fail(format!("expected a metric's name after # {word}")))?;
        let value = value.trim_start_matches([' ', '\t']);
        match word {
            "HELP" => Ok(Some(Entry::Help(name, value))),
            "UNIT" => {
                let value = value.trim_end();
                if !value.is_empty() && !name.ends_with(value) {
                    return Err(fail(format!(
                        "unit {value} is not a suffix of the metric {name}"
                    )));
                }
                Ok(Some(Entry::Unit(name, value)))
            }
            _ => {
                let word = value.trim_end();
                let kind = kind_of(word, open_metrics).ok_or_else(|| {
                    fail(format!(
                        "invalid metric type {}",
                        crate::labels::quoted(word)
                    ))
                })?;
                Ok(Some(Entry::Type(name, kind)))
            }
        }
    }

    fn sample(&mut self) -> Parsed<Sample<'a>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while bytes
            .get(self.at)
            .is_some_and(|byte| NAME[*byte as usize] & COLON != 0)
        {
            self.at += 1;
        }
        if self.at > start && bytes[start].is_ascii_digit() {
            self.at = start;
            return Err(self.expected("a metric's name"));
        }
        let mut end = self.at;
        let named = end > start;
        if !self.open_metrics {
            self.skip_blanks();
        }
        if bytes.get(self.at) == Some(&b'{') {
            let quoted_name = self.braces(!named)?;
            if !named && !quoted_name {
                self.at = start;
                return Err(self.expected("a metric's name"));
            }
            end = self.at;
        } else if !named {
            return Err(self.expected("a metric's name"));
        }
        let series = &self.text[start..end];
        let value = self.number("a value")?;
        let mut sample = Sample {
            series,
            value,
            timestamp: None,
            exemplar: None,
        };
        if self.end_of_line() {
            return Ok(sample);
        }
        if !(self.open_metrics && self.text[self.at..].starts_with(" # ")) {
            sample.timestamp = self.timestamp()?;
            if self.end_of_line() {
                return Ok(sample);
            }
        }
        if self.open_metrics && self.text[self.at..].starts_with(" # {") {
            self.at += 3;
            let start = self.at;
            self.braces(false)?;
            let labels = &self.text[start..self.at];
            let value = self.number("an exemplar's value")?;
            let mut exemplar = ExemplarText {
                labels,
                value,
                timestamp: None,
            };
            if !self.end_of_line() {
                exemplar.timestamp = self.timestamp()?;
                if !self.end_of_line() {
                    return Err(self.expected("the end of the line"));
                }
            }
            sample.exemplar = Some(exemplar);
            return Ok(sample);
        }
        Err(self.expected("the end of the line"))
    }

    /// Moves behind the end of the line, if only that follows.
    fn end_of_line(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        if !self.open_metrics {
            while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r')) {
                at += 1;
            }
        }
        match bytes.get(at) {
            None if !self.open_metrics => self.at = at,
            Some(b'\n') => self.at = at + 1,
            _ => return false,
        }
        true
    }

    /// The word after at least one blank (a brace needs none in the text format).
    fn word(&mut self, what: &str) -> Parsed<&'a str> {
        let bytes = self.text.as_bytes();
        if self.open_metrics {
            if bytes.get(self.at) != Some(&b' ') {
                return Err(self.expected("a blank"));
            }
            self.at += 1;
        } else {
            self.skip_blanks();
        }
        let start = self.at;
        while !matches!(
            bytes.get(self.at),
            None | Some(b' ' | b'\t' | b'\n' | b'\r')
        ) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected(what));
        }
        Ok(&self.text[start..self.at])
    }

    fn number(&mut self, what: &str) -> Parsed<f64> {
        let before = self.at;
        let word = self.word(what)?;
        match parse_value(word) {
            Some(value) => Ok(value),
            None => {
                self.at = before;
                self.skip_blanks();
                Err(self.expected(what))
            }
        }
    }

    fn timestamp(&mut self) -> Parsed<Option<i64>> {
        let before = self.at;
        let word = self.word("a timestamp")?;
        let time = if self.open_metrics {
            parse_value(word)
                .map(|seconds| (seconds * 1e3).round())
                .filter(|ms| ms.abs() < 9e15)
                .map(|ms| ms as i64)
        } else {
            word.parse().ok()
        };
        if time.is_none() {
            self.at = before;
            self.skip_blanks();
            return Err(self.expected("a timestamp"));
        }
        Ok(time)
    }

    /// Moves over `{…}`, and tells whether it holds a quoted metric's name, which is taken only where `may_name`.
    fn braces(&mut self, may_name: bool) -> Parsed<bool> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let mut named = false;
        loop {
            self.skip_blanks();
            let start = self.at;
            match bytes.get(self.at) {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(named);
                }
                Some(b'"') => self.string()?,
                _ => {
                    while bytes
                        .get(self.at)
                        .is_some_and(|byte| NAME[*byte as usize] & LABEL != 0)
                    {
                        self.at += 1;
                    }
                    if self.at == start || bytes[start].is_ascii_digit() {
                        self.at = start;
                        return Err(self.expected("a label's name"));
                    }
                }
            }
            self.skip_blanks();
            if bytes.get(self.at) == Some(&b'=') {
                self.at += 1;
                self.skip_blanks();
                if bytes.get(self.at) != Some(&b'"') {
                    return Err(self.expected("a label's value in double quotes"));
                }
                self.string()?;
                self.skip_blanks();
            } else if bytes[start] == b'"' && may_name && !named {
                named = true;
            } else {
                return Err(self.expected("= after a label's name"));
            }
            match bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return Err(self.expected("a comma or a closing brace")),
            }
        }
    }

    /// Moves over a text in double quotes.
    fn string(&mut self) -> Parsed<()> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        loop {
            match memchr2(b'"', b'\\', &bytes[at..]) {
                Some(skipped) if bytes[at + skipped] == b'"' => {
                    self.at = at + skipped + 1;
                    return Ok(());
                }
                // The escaped character may be longer than a byte, whose rest is then skipped as text.
                Some(skipped) if at + skipped + 2 <= bytes.len() => at += skipped + 2,
                _ => {
                    return Err(error_at(bytes, start, "a text in double quotes has no end"));
                }
            }
        }
    }
}

/// The name before the first blank, in quotes or not, and what follows.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('"') {
        let end = rest.find('"')?;
        return Some((&rest[..end], &rest[end + 1..]));
    }
    let length = text
        .bytes()
        .take_while(|byte| NAME[*byte as usize] & COLON != 0)
        .count();
    let (name, rest) = text.split_at(length);
    let ended = rest.is_empty() || rest.starts_with([' ', '\t']);
    (length > 0 && ended).then_some((name, rest))
}

fn kind_of(word: &str, open_metrics: bool) -> Option<MetricKind> {
    Some(match word {
        "counter" => MetricKind::Counter,
        "gauge" => MetricKind::Gauge,
        "histogram" => MetricKind::Histogram,
        "summary" => MetricKind::Summary,
        "unknown" if open_metrics => MetricKind::Unknown,
        "gaugehistogram" if open_metrics => MetricKind::GaugeHistogram,
        "info" if open_metrics => MetricKind::Info,
        "stateset" if open_metrics => MetricKind::StateSet,
        "untyped" if !open_metrics => MetricKind::Unknown,
        _ => return None,
    })
}

fn error_at(bytes: &[u8], at: usize, message: impl Into<String>) -> ExpositionError {
    let before = &bytes[..at.min(bytes.len())];
    let line = 1 + memchr_iter(b'\n', before).count();
    let column = 1 + before.len()
        - before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
    ExpositionError {
        line,
        column,
        message: message.into(),
    }
}

/// A character may stand in a label's name.
const LABEL: u8 = 1;
/// A character may stand in a metric's name.
const COLON: u8 = 2;

static NAME: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte == b'_' as usize || (byte as u8).is_ascii_alphanumeric() {
            table[byte] = LABEL | COLON;
        }
        if byte == b':' as usize {
            table[byte] = COLON;
        }
        byte += 1;
    }
    table
};

/// Sets the labels of a series (or exemplar) text that [`Parser`] gave, its metric's name among them.
///
/// # Errors
/// A label is given twice; its name is the error.
pub fn read_labels<'a>(series: &'a str, into: &mut LabelsBuilder) -> Result<(), Cow<'a, str>> {
    let (name, mut rest) = match series.find('{') {
        Some(at) => (series[..at].trim_end(), &series[at + 1..]),
        None => (series, ""),
    };
    if !name.is_empty() {
        into.set(crate::labels::METRIC_NAME, name);
    }
    let mut known: Vec<Cow<'_, str>> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() || rest.starts_with('}') {
            return Ok(());
        }
        let name: Cow<'a, str> = if rest.starts_with('"') {
            let (text, after) = quoted_text(rest);
            rest = after;
            text
        } else {
            let end = rest.find(['=', ' ', '\t']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            rest = after;
            name.into()
        };
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = quoted_text(after.trim_start_matches([' ', '\t']));
                rest = after;
                if known.contains(&name) {
                    return Err(name);
                }
                into.set(&name, &value);
                known.push(name);
            }
            None => {
                into.set(crate::labels::METRIC_NAME, &name);
            }
        }
    }
}

/// The content of the text in double quotes at the start, and what follows it.
fn quoted_text(text: &str) -> (Cow<'_, str>, &str) {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let bytes = inner.as_bytes();
    let mut at = 0;
    let mut escaped = false;
    while let Some(skipped) = memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += skipped;
        if bytes[at] == b'"' {
            let content = &inner[..at];
            let content = if escaped {
                unescape(content, true)
            } else {
                content.into()
            };
            return (content, &inner[at + 1..]);
        }
        escaped = true;
        at += 2;
    }
    (inner.into(), "")
}

/// The text of a `# HELP` line with its escapes read.
#[must_use]
pub fn unescape_help(text: &str, open_metrics: bool) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return text.into();
    }
    unescape(text, open_metrics)
}

/// Reads `\\`, `\n` and, where asked, `\"`; any other backslash stands for itself, as Prometheus reads it.
fn unescape(text: &str, quote: bool) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quote => out.push('"'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out.into()
}
