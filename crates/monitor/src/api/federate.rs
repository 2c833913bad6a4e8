//! `/federate`: the newest sample of each chosen series in the text format, for another server to scrape.

use super::series::selectors;
use super::{Api, Failure, Kind, Request, now};
use crate::labels::{Labels, is_legacy_label_name, is_legacy_metric_name, is_stale_nan};
use crate::promql::format_value;
use crate::storage::MetricKind;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A series with its newest time and value.
type Newest<'a> = (&'a Labels, (i64, f64));

impl Api {
    pub(super) fn federate(&self, request: &Request<'_>) -> Result<String, Failure> {
        if !matches!(request.method, "GET" | "HEAD") {
            return Err(Failure::new(
                Kind::MethodNotAllowed,
                "only GET is allowed here",
            ));
        }
        let end = now();
        let start = end - self.engine.lookback.as_millis() as i64;
        let mut newest: BTreeMap<Labels, (i64, f64)> = BTreeMap::new();
        for matchers in &selectors(request)? {
            let mut selection = self.store.select(matchers, start + 1, end);
            while let Some(series) = selection.next_series() {
                if let (Some(time), Some(value)) = (series.times.last(), series.values.last())
                    && !is_stale_nan(*value)
                {
                    newest.insert(series.labels.clone(), (*time, *value));
                }
            }
        }
        let metadata = self.store.metadata();
        let mut by_name: BTreeMap<&str, Vec<Newest<'_>>> = BTreeMap::new();
        for (labels, sample) in &newest {
            by_name
                .entry(labels.metric_name())
                .or_default()
                .push((labels, *sample));
        }
        let mut out = String::new();
        for (name, all) in by_name {
            if name.is_empty() {
                continue;
            }
            let kind = metadata
                .get(name)
                .map_or(MetricKind::Unknown, |entry| entry.kind);
            let _ = writeln!(out, "# TYPE {} {}", quoted_name(name), type_name(kind));
            for (labels, (time, value)) in all {
                sample(&mut out, name, labels);
                let _ = writeln!(out, " {} {time}", format_value(value));
            }
        }
        Ok(out)
    }
}

/// The text format knows five types; a type of OpenMetrics is `untyped` there.
fn type_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::Summary => "summary",
        _ => "untyped",
    }
}

fn quoted_name(name: &str) -> String {
    if is_legacy_metric_name(name) {
        name.to_owned()
    } else {
        crate::labels::quoted(name)
    }
}

fn sample(out: &mut String, name: &str, labels: &Labels) {
    let legacy = is_legacy_metric_name(name);
    if legacy {
        out.push_str(name);
    }
    out.push('{');
    let mut first = true;
    if !legacy {
        out.push_str(&crate::labels::quoted(name));
        first = false;
    }
    let mut instance = false;
    for (label, value) in labels
        .iter()
        .filter(|(label, _)| *label != crate::labels::METRIC_NAME)
    {
        instance |= label == "instance";
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        if is_legacy_label_name(label) {
            out.push_str(label)
        } else {
            out.push_str(&crate::labels::quoted(label))
        }
        out.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                character => out.push(character),
            }
        }
        out.push('"');
    }
    if !instance {
        // An empty instance label keeps the scraping server from adding its own.
        out.push_str(if first {
            "instance=\"\""
        } else {
            ",instance=\"\""
        });
    }
    out.push('}');
}
