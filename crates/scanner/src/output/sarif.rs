//! SARIF 2.1.0, for code hosts that show findings beside lines. A rule per vulnerability, a result per place.

use serde_json::{Value, json};

use crate::finding::{Finding, Verdict};
use crate::report::{DataQuality, Report};
use crate::severity::Level;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn render(report: &Report) -> String {
    let mut rules: Vec<Value> = Vec::new();
    let mut rule_ids: Vec<&str> = Vec::new();
    let mut results = Vec::new();
    for finding in &report.findings {
        let index = match rule_ids.iter().position(|id| *id == finding.id) {
            Some(index) => index,
            None => {
                rules.push(rule(finding));
                rule_ids.push(&finding.id);
                rules.len() - 1
            }
        };
        for location in &finding.locations {
            results.push(result(finding, index, &location.file, location.line));
        }
    }
    let errors = report.problems.iter().map(|problem| {
        let mut place =
            json!({"physicalLocation": {"artifactLocation": {"uri": uri(&problem.file)}}});
        if problem.line > 0 {
            place["physicalLocation"]["region"] = json!({"startLine": problem.line});
        }
        json!({"level": "error", "message": {"text": problem.message}, "locations": [place]})
    });
    let gaps = report
        .data
        .iter()
        .filter(|data| data.state != DataQuality::Usable);
    let gaps = gaps.map(|data| json!({"level": "error", "message": {"text": format!("no usable advisory data for {}", data.ecosystem)}}));
    let notes = report
        .notes
        .iter()
        .map(|note| json!({"level": "note", "message": {"text": note}}));
    let notifications: Vec<Value> = errors.chain(gaps).chain(notes).collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Launchway",
                "version": report.scanner_version,
                "semanticVersion": report.scanner_version,
                "rules": rules,
            }},
            "invocations": [{
                // A scan with gaps has not succeeded, whatever it found.
                "executionSuccessful": report.problems.is_empty() && report.data.iter().all(|data| data.state == DataQuality::Usable),
                "exitCode": report.verdict.code(),
                "endTimeUtc": report.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "toolExecutionNotifications": notifications,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&document).expect("a JSON value can always be written")
}

fn rule(finding: &Finding) -> Value {
    let mut tags = vec!["security".to_owned(), finding.kind.as_str().to_owned()];
    tags.extend(
        finding
            .cwes
            .iter()
            .map(|cwe| format!("external/cwe/{}", cwe.to_ascii_lowercase())),
    );
    let mut properties = json!({"tags": tags, "aliases": finding.aliases});
    if let Some(score) = finding.severity.score {
        // GitHub reads a level from this number, given as text.
        properties["security-severity"] = json!(format!("{score:.1}"));
    }
    let summary = if finding.summary.is_empty() {
        finding.id.as_str()
    } else {
        finding.summary.as_str()
    };
    json!({
        "id": finding.id,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": summary},
        "helpUri": finding.url,
        "help": {"text": help(finding)},
        "defaultConfiguration": {"level": level(finding)},
        "properties": properties,
    })
}

fn help(finding: &Finding) -> String {
    match (&finding.upgrade, &finding.command) {
        (Some(upgrade), Some(command)) => {
            format!("Upgrade {} to {upgrade}: {command}", finding.package)
        }
        (Some(upgrade), None) => format!("Upgrade {} to {upgrade}.", finding.package),
        _ => format!("No version of {} mends this yet.", finding.package),
    }
}

fn level(finding: &Finding) -> &'static str {
    match finding.severity.level {
        _ if finding.kind.is_warning() => "note",
        Level::Critical | Level::High | Level::Unknown => "error",
        Level::Medium => "warning",
        Level::Low | Level::None => "note",
    }
}

fn result(finding: &Finding, rule: usize, file: &str, line: u32) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
    if line > 0 {
        physical["region"] = json!({"startLine": line});
    }
    let mut result = json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level(finding),
        "message": {"text": format!("{} {} has {}: {} {}", finding.package, finding.version, finding.id, finding.summary, help(finding))},
        "locations": [{"physicalLocation": physical}],
        // The same finding in the same package stays one alert when lines move.
        "partialFingerprints": {"packageAndAdvisory/v1": format!("{}|{}|{}|{file}", finding.ecosystem, finding.package, finding.id)},
    });
    if let Verdict::Ignored { reason, .. } = &finding.verdict {
        result["suppressions"] =
            json!([{"kind": "external", "status": "accepted", "justification": reason}]);
    }
    result
}

/// A relative path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b'+')
        {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
