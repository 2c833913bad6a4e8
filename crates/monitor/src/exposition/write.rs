//! Writes exposition text, for our own endpoints.

use super::Format;
use crate::labels::{is_legacy_label_name, is_legacy_metric_name};
use crate::storage::MetricKind;
use std::fmt::Write;

/// Writes families one after the other. A family's samples follow its head; nothing checks their order.
#[derive(Clone, Debug)]
pub struct Writer {
    out: String,
    format: Format,
}

impl Writer {
    /// An empty body. Protobuf is written as text, for [`super::protobuf::from_text`] to turn at the end.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self::onto(String::new(), format)
    }

    /// Goes on with a body, whose memory is so used again.
    #[must_use]
    pub fn onto(out: String, format: Format) -> Self {
        Self { out, format }
    }

    /// Begins a family. In OpenMetrics a counter's family is named without `_total`.
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let open_metrics = self.format == Format::OpenMetrics;
        let family = match kind {
            MetricKind::Counter if open_metrics => name.strip_suffix("_total").unwrap_or(name),
            MetricKind::Info if open_metrics => name.strip_suffix("_info").unwrap_or(name),
            _ => name,
        };
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::Summary => "summary",
            MetricKind::GaugeHistogram if open_metrics => "gaugehistogram",
            MetricKind::Info if open_metrics => "info",
            MetricKind::StateSet if open_metrics => "stateset",
            MetricKind::Info | MetricKind::StateSet => "gauge",
            _ if open_metrics => "unknown",
            _ => "untyped",
        };
        if !help.is_empty() {
            self.out.push_str("# HELP ");
            self.name(family);
            self.out.push(' ');
            for character in help.chars() {
                match character {
                    '\\' => self.out.push_str("\\\\"),
                    '\n' => self.out.push_str("\\n"),
                    '"' if open_metrics => self.out.push_str("\\\""),
                    character => self.out.push(character),
                }
            }
            self.out.push('\n');
        }
        self.out.push_str("# TYPE ");
        self.name(family);
        self.out.push(' ');
        self.out.push_str(kind);
        self.out.push('\n');
    }

    /// A sample, as it is now.
    pub fn sample<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
    ) {
        write_labels(&mut self.out, name, labels);
        self.out.push(' ');
        write_value(&mut self.out, value);
        self.out.push('\n');
    }

    /// A sample of a time (ms since 1970).
    pub fn sample_at<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
        timestamp_ms: i64,
    ) {
        write_labels(&mut self.out, name, labels);
        self.out.push(' ');
        write_value(&mut self.out, value);
        self.out.push(' ');
        self.time(timestamp_ms);
        self.out.push('\n');
    }

    /// Lines of samples without times, written by [`write_labels`] and [`write_value`]: the same in both formats.
    pub(crate) fn raw_samples(&mut self, lines: &str) {
        self.out.push_str(lines);
    }

    /// Adds an exemplar to the sample written last (OpenMetrics; elsewhere it has no place and is left out).
    pub fn exemplar<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
        timestamp_ms: Option<i64>,
    ) {
        if self.format != Format::OpenMetrics || !self.out.ends_with('\n') {
            return;
        }
        self.out.pop();
        self.out.push_str(" # ");
        let before = self.out.len();
        write_labels(&mut self.out, "", labels);
        if self.out.len() == before {
            self.out.push_str("{}");
        }
        self.out.push(' ');
        write_value(&mut self.out, value);
        if let Some(time) = timestamp_ms {
            self.out.push(' ');
            self.time(time);
        }
        self.out.push('\n');
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn name(&mut self, name: &str) {
        if is_legacy_metric_name(name) {
            self.out.push_str(name);
        } else {
            write_quoted(&mut self.out, name);
        }
    }

    fn time(&mut self, ms: i64) {
        let _ = match self.format {
            Format::OpenMetrics => {
                let sign = if ms < 0 { "-" } else { "" };
                let ms = ms.unsigned_abs();
                write!(self.out, "{sign}{}.{:03}", ms / 1000, ms % 1000)
            }
            _ => write!(self.out, "{ms}"),
        };
    }
}

/// A metric's name with its labels, names in quotes where they need them. Labels with an empty value are written too: a
/// scraper reads them as absent.
pub fn write_labels<'l>(
    out: &mut String,
    name: &str,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
) {
    let legacy = is_legacy_metric_name(name);
    let mut between = '{';
    if legacy {
        out.push_str(name);
    } else if !name.is_empty() {
        out.push('{');
        write_quoted(out, name);
        between = ',';
    }
    for (label, value) in labels {
        out.push(between);
        between = ',';
        if is_legacy_label_name(label) {
            out.push_str(label);
        } else {
            write_quoted(out, label);
        }
        out.push('=');
        write_quoted(out, value);
    }
    if between == ',' {
        out.push('}');
    }
}

fn write_quoted(out: &mut String, value: &str) {
    out.push('"');
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// A number so that reading it gives the same bits (but for which NaN it is).
pub fn write_value(out: &mut String, value: f64) {
    let size = value.abs();
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if size != 0.0 && !(1e-6..1e17).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
}
