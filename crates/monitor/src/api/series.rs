//! `series`, `labels`, `label/…/values`, `metadata`.

use super::parameters::percent_decode;
use super::{Api, Data, Failure, Kind, Request, json};
use crate::promql::parse_selector;
use crate::storage::{Matcher, Metadata};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// The selectors of `match[]`.
pub(super) fn selectors(request: &Request<'_>) -> Result<Vec<Vec<Matcher>>, Failure> {
    let all = request
        .parameters
        .all("match[]")
        .map(|text| parse_selector(text).map_err(|error| Failure::bad_parameter("match[]", error)));
    all.collect()
}

/// The first `limit` of the names as JSON, with a warning if there were more.
fn limited(
    request: &Request<'_>,
    names: impl IntoIterator<Item = String>,
) -> Result<Data, Failure> {
    let limit = request.parameters.limit()?;
    let mut names: Vec<String> = names.into_iter().collect();
    let warnings = truncate(&mut names, limit);
    let mut out = String::new();
    json::list(&mut out, &names, |out, name| json::text(out, name));
    Ok(Data {
        json: out,
        warnings,
        infos: Vec::new(),
    })
}

fn truncate<T>(list: &mut Vec<T>, limit: usize) -> Vec<String> {
    if list.len() <= limit {
        return Vec::new();
    }
    list.truncate(limit);
    vec!["results truncated due to limit".to_owned()]
}

impl Api {
    pub(super) fn series(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let selectors = selectors(request)?;
        if selectors.is_empty() {
            return Err(Failure::new(Kind::BadData, "no match[] parameter provided"));
        }
        let (start, end) = request.parameters.wide_range()?;
        let limit = request.parameters.limit()?;
        let mut found = BTreeSet::new();
        for matchers in &selectors {
            found.extend(self.store.series(matchers, start, end));
        }
        let mut found: Vec<_> = found.into_iter().collect();
        let warnings = truncate(&mut found, limit);
        let mut out = String::new();
        json::list(&mut out, &found, json::labels);
        Ok(Data {
            json: out,
            warnings,
            infos: Vec::new(),
        })
    }

    pub(super) fn labels(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let (start, end) = request.parameters.wide_range()?;
        let selectors = selectors(request)?;
        let mut names = BTreeSet::new();
        if selectors.is_empty() {
            names.extend(self.store.label_names(&[], start, end));
        }
        for matchers in &selectors {
            names.extend(self.store.label_names(matchers, start, end));
        }
        limited(request, names)
    }

    pub(super) fn label_values(&self, request: &Request<'_>, name: &str) -> Result<Data, Failure> {
        let name = label_name(&percent_decode(name, false));
        if name.is_empty() {
            return Err(Failure::new(Kind::BadData, "invalid label name: \"\""));
        }
        let (start, end) = request.parameters.wide_range()?;
        let selectors = selectors(request)?;
        let mut values = BTreeSet::new();
        if selectors.is_empty() {
            values.extend(self.store.label_values(&name, &[], start, end));
        }
        for matchers in &selectors {
            values.extend(self.store.label_values(&name, matchers, start, end));
        }
        limited(request, values)
    }

    pub(super) fn metadata(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let limit = request.parameters.limit()?;
        let wanted = request.parameters.get("metric");
        let all = self.store.metadata();
        let chosen = all
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
            .take(limit);
        let map: serde_json::Map<_, _> = chosen
            .map(|(name, entry)| (name.clone(), json!([entry])))
            .collect();
        Ok(Data::from(Json::Object(map)))
    }

    /// One entry a metric, not a target: the store keeps metadata by metric.
    pub(super) fn targets_metadata(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let limit = request.parameters.limit()?;
        let wanted = request.parameters.get("metric");
        let all = self.store.metadata();
        let chosen = all
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
            .take(limit);
        let list = chosen.map(|(name, Metadata { kind, unit, help })| {
            json!({"target": {}, "metric": name, "type": kind, "help": help, "unit": unit})
        });
        Ok(Data::from(Json::Array(list.collect())))
    }
}

/// Names that are not plain come as `U__` with their other characters escaped as `_hex_` (Prometheus' "values" escaping).
fn label_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else {
        return name.to_owned();
    };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let code = after
            .find('_')
            .and_then(|end| Some((u32::from_str_radix(after.get(..end)?, 16).ok()?, end)));
        match code.and_then(|(code, end)| Some((char::from_u32(code)?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &after[end + 1..];
            }
            None => return name.to_owned(),
        }
    }
    out + rest
}
