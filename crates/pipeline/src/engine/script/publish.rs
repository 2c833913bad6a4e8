//! `publishHTML` and `recordIssues`, as a Jenkinsfile names them; `results` keeps what they find.

use std::sync::PoisonError;

use launchway_model::build::BuildResult;

use super::super::html_report::{self, HtmlReport};
use super::super::recorded::{self, Gate, Recording, Source};
use super::host::ScriptHost;
use super::result_of;
use super::steps::list;
use crate::groovy::{Args, Map, Span, Thrown, Value};
use crate::jenkinsfile::steps::{ISSUE_TOOLS, tool_pattern};

/// Named arguments, also where they stand in a map: `publishHTML([reportDir: 'x'])`, `publishHTML(target: […])`.
fn options(args: &Args, main: &str) -> Map {
    let mut map = match args.main(main) {
        Some(Value::Map(map)) => map.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        _ => Map::default(),
    };
    for (name, value) in &args.named {
        if name != main {
            map.insert(name.as_str().into(), value.clone());
        }
    }
    map
}

pub(super) fn html(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let map = options(args, "target");
    let text = |key: &str| map.get_text(key).map(Value::to_text);
    let report = HtmlReport {
        folder: text("reportDir").unwrap_or_default(),
        files: text("reportFiles").unwrap_or_else(|| "index.html".to_owned()),
        includes: text("includes").unwrap_or_else(|| "**/*".to_owned()),
        title: text("reportName").unwrap_or_else(|| "HTML Report".to_owned()),
        allow_missing: map.get_text("allowMissing").is_some_and(Value::is_true),
    };
    host.done(html_report::keep(host.context, &report), span)
}

pub(super) fn issues(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let map = options(args, "tools");
    let text = |key: &str| {
        map.get_text(key)
            .map(Value::to_text)
            .filter(|text| !text.is_empty())
    };
    let mut sources = Vec::new();
    let given = list(args.main("tools"))
        .into_iter()
        .chain(list(args.get("tool")));
    for tool in given {
        let Value::Map(tool) = &tool else { continue };
        let tool = tool.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = |key: &str| {
            tool.get_text(key)
                .map(Value::to_text)
                .filter(|text| !text.is_empty())
        };
        let kind = own("$class").unwrap_or_default();
        let Some(known) = ISSUE_TOOLS.iter().find(|(name, _, _)| *name == kind) else {
            continue;
        };
        sources.push(Source {
            id: own("id").unwrap_or_else(|| known.0.to_ascii_lowercase()),
            name: own("name").unwrap_or_else(|| known.1.to_owned()),
            pattern: own("pattern").unwrap_or_else(|| tool_pattern(&kind).to_owned()),
        });
    }
    if let ([source], Some(id)) = (sources.as_mut_slice(), text("id")) {
        source.id = id;
    }
    if let ([source], Some(name)) = (sources.as_mut_slice(), text("name")) {
        source.name = name;
    }
    let mut gates = Vec::new();
    for gate in list(map.get_text("qualityGates")) {
        let Value::Map(gate) = &gate else { continue };
        let gate = gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = |key: &str| gate.get_text(key).map(Value::to_text);
        let kind = own("type").unwrap_or_else(|| "TOTAL".to_owned());
        let unstable = own("unstable").is_some_and(|word| word == "true")
            || own("criticality").is_some_and(|word| {
                result_of(&word) == Some(BuildResult::Unstable) || word == "NOTE"
            })
            || (own("unstable").is_none() && own("criticality").is_none());
        let threshold = own("threshold")
            .and_then(|text| text.trim().parse::<f64>().ok())
            .unwrap_or(1.0);
        gates.push(Gate {
            kind,
            threshold,
            result: if unstable {
                BuildResult::Unstable
            } else {
                BuildResult::Failure
            },
        });
    }
    let recording = Recording {
        sources,
        gates,
        enabled_for_failure: map
            .get_text("enabledForFailure")
            .is_some_and(Value::is_true),
        fail_on_error: map.get_text("failOnError").is_some_and(Value::is_true),
    };
    host.done(
        recorded::record(host.context, host.outcome, &recording),
        span,
    )
}
