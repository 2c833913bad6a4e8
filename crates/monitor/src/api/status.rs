//! `status/*`: what runs here.

use super::{Api, Data, Failure, Request, not_found};
use crate::promql::rfc3339;
use serde_json::{Value as Json, json};
use std::time::{Duration, SystemTime};

fn time(at: SystemTime) -> String {
    rfc3339(
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_millis() as i64,
    )
}

impl Api {
    pub(super) fn status(&self, request: &Request<'_>, what: &str) -> Result<Data, Failure> {
        let data = match what {
            "buildinfo" => json!({
                // Clients such as Grafana choose features by this number: it is Prometheus' version that we follow.
                "version": "3.0.0",
                "revision": self.version,
                "branch": "launchway",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            }),
            "config" => {
                json!({"yaml": self.sources.config.as_ref().map(|config| config()).unwrap_or_default()})
            }
            "flags" => self.flags(),
            "runtimeinfo" => self.runtime_info(),
            "tsdb" => self.head_statistics(request.parameters.limit()?.min(10_000)),
            "tsdb/blocks" => self.blocks(),
            "walreplay" => json!({"min": 0, "max": 0, "current": 0, "state": "done"}),
            _ => return Err(not_found(&format!("/api/v1/status/{what}"))),
        };
        Ok(Data::from(data))
    }

    fn flags(&self) -> Json {
        let engine = &self.engine;
        json!({
            "query.lookback-delta": format!("{}s", engine.lookback.as_secs()),
            "query.timeout": format!("{}s", engine.limits.timeout.as_secs()),
            "query.max-samples": engine.limits.max_points.to_string(),
            "web.enable-admin-api": "false",
            "web.enable-lifecycle": "false",
        })
    }

    fn runtime_info(&self) -> Json {
        let damages = self.store.damages();
        json!({
            "startTime": time(self.started),
            "CWD": "",
            "reloadConfigSuccess": true,
            "lastConfigTime": time(self.started),
            // Damage found in the store's files, in Prometheus' words.
            "corruptionCount": damages.len(),
            "storageRetention": "",
            "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    fn head_statistics(&self, limit: usize) -> Json {
        let limit = if limit == usize::MAX {
            10
        } else {
            limit.min(1000)
        };
        let stats = self.store.stats();
        let named = |list: Vec<(String, usize)>| -> Vec<Json> {
            list.into_iter()
                .take(limit)
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect()
        };
        let names = self.store.label_names(&[], i64::MIN, i64::MAX);
        let mut value_counts: Vec<(String, usize)> = Vec::new();
        let mut bytes: Vec<(String, usize)> = Vec::new();
        let mut pairs: Vec<(String, usize)> = Vec::new();
        for name in names {
            let values = self.store.series_per_value(&name);
            value_counts.push((name.clone(), values.len()));
            bytes.push((
                name.clone(),
                values
                    .iter()
                    .map(|(value, count)| value.len() * count)
                    .sum(),
            ));
            pairs.extend(
                values
                    .into_iter()
                    .take(limit)
                    .map(|(value, count)| (format!("{name}={value}"), count)),
            );
        }
        for list in [&mut value_counts, &mut bytes, &mut pairs] {
            list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        }
        json!({
            "headStats": {
                "numSeries": stats.series,
                "numLabelPairs": stats.label_pairs,
                "chunkCount": stats.chunks,
                "minTime": stats.min_time.unwrap_or(0),
                "maxTime": stats.max_time.unwrap_or(0),
            },
            "seriesCountByMetricName": named(self.store.series_per_value(crate::labels::METRIC_NAME)),
            "labelValueCountByLabelName": named(value_counts),
            "memoryInBytesByLabelName": named(bytes),
            "seriesCountByLabelValuePair": named(pairs),
        })
    }

    fn blocks(&self) -> Json {
        let list =
            self.store
                .block_list()
                .into_iter()
                .map(|(start, end, series, samples, bytes)| {
                    json!({
                        "ulid": format!("{start}_{end}"),
                        "minTime": start,
                        "maxTime": end,
                        "stats": {"numSamples": samples, "numSeries": series, "numBytes": bytes},
                        "version": 1,
                    })
                });
        json!({"blocks": list.collect::<Vec<_>>()})
    }
}
