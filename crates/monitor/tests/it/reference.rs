//! The recorded answers of Prometheus 2.42 to the two query lists, compared with ours.

use crate::dataset;
use launchway_monitor::promql::{Answer, Dialect, Engine, QueryError, Value};
use launchway_monitor::storage::Store;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// Relative difference that rounding may make, and the absolute one where a sum cancels out.
const TOLERANCE: f64 = 1e-9;
const NOTHING: f64 = 1e-12;

type Points = Vec<(i64, f64)>;

pub(crate) fn equal(a: f64, b: f64) -> bool {
    a == b
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= NOTHING.max(TOLERANCE * a.abs().max(b.abs()))
}

fn expected(line: &Json) -> BTreeMap<String, Points> {
    let series = line["result"].as_array().unwrap().iter().map(|series| {
        let labels = series["metric"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
        let points = series["values"].as_array().unwrap().iter();
        let points = points.map(|point| {
            (
                point[0].as_i64().unwrap(),
                dataset::parse_value(point[1].as_str().unwrap()),
            )
        });
        (
            launchway_monitor::labels::Labels::from_pairs(labels).to_string(),
            points.collect(),
        )
    });
    series.collect()
}

pub(crate) fn difference(wanted: &BTreeMap<String, Points>, answer: &Answer) -> Option<String> {
    let Value::Matrix(series) = &answer.value else {
        return Some("not a matrix".to_owned());
    };
    let got: BTreeMap<String, Points> = series
        .iter()
        .map(|s| (s.labels.to_string(), s.points.clone()))
        .collect();
    if !wanted.keys().eq(got.keys()) {
        let missing: Vec<_> = wanted
            .keys()
            .filter(|key| !got.contains_key(*key))
            .take(2)
            .collect();
        let extra: Vec<_> = got
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .take(2)
            .collect();
        return Some(format!(
            "series differ: missing {missing:?}, extra {extra:?}"
        ));
    }
    for (labels, wanted) in wanted {
        let got = &got[labels];
        if !wanted.iter().map(|p| p.0).eq(got.iter().map(|p| p.0)) {
            return Some(format!(
                "{labels}: steps differ, {} instead of {}",
                got.len(),
                wanted.len()
            ));
        }
        if let Some((wanted, got)) = wanted
            .iter()
            .zip(got)
            .find(|(wanted, got)| !equal(wanted.1, got.1))
        {
            return Some(format!("{labels}: {got:?} instead of {wanted:?}"));
        }
    }
    None
}

fn compare(
    folder: &Path,
    data: &str,
    queries: &str,
    reference: &str,
    dialect: Dialect,
) -> (usize, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), dataset::options()).unwrap();
    dataset::load(&store, &dataset::read(&folder.join(data)));
    let blocks = store.block_list();
    assert!(
        !blocks.is_empty() && store.stats().series > 0,
        "blocks and head should both be read: {blocks:?}"
    );
    let engine = Engine {
        dialect,
        ..Engine::default()
    };
    let reference: BTreeMap<String, Json> = dataset::lines(&folder.join(reference))
        .into_iter()
        .map(|l| (l["id"].as_str().unwrap().to_owned(), l))
        .collect();
    let queries: Vec<Json> =
        serde_json::from_str(&std::fs::read_to_string(folder.join(queries)).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for query in &queries {
        let (id, text) = (
            query["id"].as_str().unwrap(),
            query["expr"].as_str().unwrap(),
        );
        let time = |name: &str| query[name].as_i64().unwrap();
        let answer = engine.range(&store, text, time("start"), time("end"), time("step"));
        let line = &reference[id];
        let problem = match (line["ok"].as_bool().unwrap(), answer) {
            (true, Ok(answer)) => difference(&expected(line), &answer),
            (true, Err(error)) => Some(format!("failed: {error}")),
            (false, Ok(_)) => Some(format!("should fail: {}", line["err"])),
            (false, Err(QueryError::Timeout { .. } | QueryError::TooManyPoints { .. })) => {
                Some("stopped".to_owned())
            }
            (false, Err(_)) => None,
        };
        wrong.extend(problem.map(|problem| format!("{id} {text}: {problem}")));
    }
    (queries.len(), wrong)
}

#[test]
fn the_compliance_list_is_answered_as_prometheus_does() {
    let Some(folder) = dataset::shared() else {
        return;
    };
    let (count, wrong) = compare(
        &folder,
        "demo.jsonl.gz",
        "q_comp.json",
        "comp.ref.jsonl.gz",
        Dialect::Prometheus2,
    );
    assert_eq!(count, 539);
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_dashboard_is_answered_as_prometheus_does() {
    let Some(folder) = dataset::shared() else {
        return;
    };
    let (count, wrong) = compare(
        &folder,
        "node.jsonl.gz",
        "q_dash.json",
        "dash.ref.jsonl.gz",
        Dialect::Prometheus2,
    );
    assert_eq!(count, 276);
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Prometheus 3 opens ranges on the left; that changes two queries of the list (and `holt_winters` has another name).
#[test]
fn the_newer_dialect_differs_where_it_should() {
    let Some(folder) = dataset::shared() else {
        return;
    };
    let (_, wrong) = compare(
        &folder,
        "demo.jsonl.gz",
        "q_comp.json",
        "comp.ref.jsonl.gz",
        Dialect::Prometheus3,
    );
    assert!(
        wrong.len() < 12,
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{}", wrong.join("\n"));
}
