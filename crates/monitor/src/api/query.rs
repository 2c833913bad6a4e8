//! `query`, `query_range`, `query_exemplars`, `format_query`, `parse_query`.

use super::{Api, Data, Failure, Kind, Request, ast, json, now};
use crate::promql::{self, Answer, Engine, QueryError};
use promql_parser::parser::Expr;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Most steps of a range query, as in Prometheus.
const MAX_STEPS: i64 = 11_000;

fn failure(error: QueryError) -> Failure {
    let kind = match &error {
        QueryError::Parse(_) => return Failure::bad_parameter("query", error),
        QueryError::Execution(_) | QueryError::TooManyPoints { .. } => Kind::Execution,
        QueryError::Timeout { .. } => Kind::Timeout,
        QueryError::Canceled => Kind::Canceled,
    };
    Failure::new(kind, error.to_string())
}

impl Api {
    /// The engine with the request's own timeout and look-back; a client can lower the timeout only.
    fn engine_for(&self, request: &Request<'_>) -> Result<Engine, Failure> {
        let mut engine = self.engine.clone();
        if let Some(timeout) = request.parameters.duration("timeout")? {
            engine.limits.timeout = engine
                .limits
                .timeout
                .min(Duration::from_millis(timeout as u64));
        }
        if let Some(lookback) = request.parameters.duration("lookback_delta")? {
            engine.lookback = Duration::from_millis(lookback as u64);
        }
        Ok(engine)
    }

    pub(super) fn query(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let time = request.parameters.time("time", now())?;
        let engine = self.engine_for(request)?;
        let query = request.parameters.get("query").unwrap_or("");
        let started = Instant::now();
        let answer = engine
            .instant_with(&self.store, query, time, &request.cancellation)
            .map_err(failure)?;
        Ok(answered(request, answer, started))
    }

    pub(super) fn query_range(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let parameters = &request.parameters;
        let (start, end) = (
            parameters.required_time("start")?,
            parameters.required_time("end")?,
        );
        if end < start {
            return Err(Failure::bad_parameter(
                "end",
                "end timestamp must not be before start time",
            ));
        }
        let step = parameters.duration("step")?.unwrap_or(0);
        if step <= 0 {
            let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(Failure::bad_parameter("step", message));
        }
        if (end - start) / step > MAX_STEPS {
            let message = "exceeded maximum resolution of 11,000 points per timeseries. \
                           Try decreasing the query resolution (?step=XX)";
            return Err(Failure::new(Kind::BadData, message));
        }
        let engine = self.engine_for(request)?;
        let query = parameters.get("query").unwrap_or("");
        let started = Instant::now();
        let times = (start, end, step);
        let answer = engine
            .range_with(&self.store, query, times, &request.cancellation)
            .map_err(failure)?;
        Ok(answered(request, answer, started))
    }

    pub(super) fn format_query(&self, request: &Request<'_>) -> Result<Data, Failure> {
        Ok(Data::from(serde_json::Value::from(with_expression(
            request,
            Expr::prettify,
        )?)))
    }

    pub(super) fn parse_query(&self, request: &Request<'_>) -> Result<Data, Failure> {
        Ok(Data::from(with_expression(request, ast::to_json)?))
    }

    pub(super) fn query_exemplars(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let (start, end) = request.parameters.wide_range()?;
        let selectors = with_expression(request, |expression| {
            let mut selectors = Vec::new();
            ast::each_selector(expression, &mut |selector| {
                selectors.extend(promql::selector_matchers(selector).ok());
            });
            selectors
        })?;
        let mut by_series: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (labels, exemplar) in self.store.exemplars() {
            let matches = |matchers: &Vec<crate::storage::Matcher>| {
                matchers
                    .iter()
                    .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
            };
            if (start..=end).contains(&exemplar.timestamp_ms) && selectors.iter().any(matches) {
                by_series.entry(labels).or_default().push(exemplar);
            }
        }
        let mut out = String::new();
        let all: Vec<_> = by_series.into_iter().collect();
        json::list(&mut out, &all, |out, (labels, exemplars)| {
            out.push_str("{\"seriesLabels\":");
            json::labels(out, labels);
            out.push_str(",\"exemplars\":");
            json::list(out, exemplars, |out, exemplar| {
                out.push_str("{\"labels\":");
                json::labels(out, &exemplar.labels);
                let _ = write!(
                    out,
                    ",\"value\":\"{}\",\"timestamp\":",
                    promql::format_value(exemplar.value)
                );
                json::time(out, exemplar.timestamp_ms);
                out.push('}');
            });
            out.push('}');
        });
        Ok(Data {
            json: out,
            ..Data::default()
        })
    }
}

/// Does something with the expression of a request, where there is stack enough for it.
fn with_expression<T: Send>(
    request: &Request<'_>,
    work: impl FnOnce(&Expr) -> T + Send,
) -> Result<T, Failure> {
    let query = request.parameters.get("query").unwrap_or("");
    promql::with_room(query, || {
        promql::parse(query).map(|expression| work(&expression))
    })
    .and_then(|outcome| outcome)
    .map_err(|error| Failure::bad_parameter("query", error))
}

fn answered(request: &Request<'_>, answer: Answer, started: Instant) -> Data {
    let evaluated = started.elapsed().as_secs_f64();
    let mut out = String::with_capacity(json::estimate(&answer.value) + 256);
    json::result(&mut out, &answer.value);
    if request.parameters.get("stats").is_some() {
        let samples = answer.samples;
        let _ = write!(
            out,
            ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluated:.9},\"resultSortTime\":0,\"queryPreparationTime\":0,\
             \"innerEvalTime\":{evaluated:.9},\"execQueueTime\":0,\"execTotalTime\":{evaluated:.9}}},\
             \"samples\":{{\"totalQueryableSamples\":{samples},\"peakSamples\":{samples}}}}}"
        );
    }
    out.push('}');
    Data {
        json: out,
        warnings: answer.warnings,
        infos: answer.infos,
    }
}
