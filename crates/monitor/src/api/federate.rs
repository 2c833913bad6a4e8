//! `/federate`: the newest sample of each chosen series in the text format, for another server to scrape.

use super::series::selectors;
use super::{Api, Failure, Kind, Request, now};
use crate::exposition::{Format, Writer};
use crate::labels::{Labels, METRIC_NAME, is_stale_nan};
use crate::storage::MetricKind;
use std::collections::BTreeMap;

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
        let mut out = Writer::new(Format::Text);
        for (name, all) in by_name {
            if name.is_empty() {
                continue;
            }
            let kind = metadata
                .get(name)
                .map_or(MetricKind::Unknown, |entry| entry.kind);
            // The text format knows five types; one of OpenMetrics is untyped there.
            let kind = match kind {
                MetricKind::Info | MetricKind::StateSet => MetricKind::Unknown,
                kind => kind,
            };
            out.family(name, kind, "");
            for (labels, (time, value)) in all {
                // An empty instance label keeps the scraping server from adding its own.
                let instance = labels.get("instance").is_none().then_some(("instance", ""));
                let pairs = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
                out.sample_at(name, pairs.chain(instance), value, time);
            }
        }
        Ok(out.finish())
    }
}
