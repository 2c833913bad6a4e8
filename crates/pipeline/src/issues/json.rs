//! SARIF, and the JSON of pylint, eslint and cargo.

use serde_json::Value;

use super::{Issue, IssuesError, Severity, lines};

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Issue>, IssuesError> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(object)) if object.contains_key("runs") => {
            Ok(sarif(&Value::Object(object)))
        }
        Ok(Value::Array(items)) if items.is_empty() => Ok(Vec::new()),
        Ok(Value::Array(items)) if items[0].get("messages").is_some() => Ok(eslint(&items)),
        Ok(Value::Array(items))
            if items[0].get("message-id").is_some() || items[0].get("symbol").is_some() =>
        {
            Ok(pylint(&items))
        }
        Ok(Value::Object(object)) if object.contains_key("messages") => {
            // Pylint's second form, json2.
            Ok(pylint(
                object["messages"].as_array().map_or(&[], Vec::as_slice),
            ))
        }
        Ok(value @ Value::Object(_)) if value.get("reason").is_some() => {
            Ok(cargo(&value).into_iter().collect())
        }
        Ok(_) => Err(IssuesError(
            "it is JSON, but of no linter that is known".into(),
        )),
        Err(error) => {
            // Cargo writes one document a line.
            let text = String::from_utf8_lossy(bytes);
            let documents: Vec<Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            if documents
                .iter()
                .any(|document| document.get("reason").is_some())
            {
                Ok(documents.iter().filter_map(cargo).collect())
            } else {
                Err(IssuesError(format!("it is broken JSON: {error}")))
            }
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> u32 {
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(0)
}

fn sarif(document: &Value) -> Vec<Issue> {
    let mut issues = Vec::new();
    for run in document["runs"].as_array().into_iter().flatten() {
        for result in run["results"].as_array().into_iter().flatten() {
            if result["suppressions"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
            {
                continue;
            }
            let place = &result["locations"][0]["physicalLocation"];
            let rule = match text(result, "ruleId") {
                rule if rule.is_empty() => text(&result["rule"], "id"),
                rule => rule,
            };
            // A result without a level has its rule's, and that is a warning by default.
            let level = result["level"].as_str().or_else(|| {
                let rules = run["tool"]["driver"]["rules"].as_array()?;
                rules.iter().find(|known| text(known, "id") == rule)?["defaultConfiguration"]["level"].as_str()
            });
            issues.push(Issue {
                file: text(&place["artifactLocation"], "uri")
                    .trim_start_matches("file://")
                    .to_owned(),
                line: number(&place["region"]["startLine"]),
                severity: match level {
                    Some("error") => Severity::Error,
                    Some("note" | "none") => Severity::Low,
                    _ => Severity::Normal,
                },
                rule,
                message: text(&result["message"], "text"),
                new: false,
            });
        }
    }
    issues
}

fn eslint(files: &[Value]) -> Vec<Issue> {
    let mut issues = Vec::new();
    for file in files {
        for message in file["messages"].as_array().into_iter().flatten() {
            issues.push(Issue {
                file: text(file, "filePath"),
                line: number(&message["line"]),
                severity: if message["severity"].as_u64() == Some(2) {
                    Severity::Error
                } else {
                    Severity::Normal
                },
                rule: text(message, "ruleId"),
                message: text(message, "message"),
                new: false,
            });
        }
    }
    issues
}

fn pylint(messages: &[Value]) -> Vec<Issue> {
    messages
        .iter()
        .map(|message| Issue {
            file: text(message, "path"),
            line: number(&message["line"]),
            severity: lines::of_letter(&text(message, "type")),
            rule: text(message, "symbol"),
            message: text(message, "message"),
            new: false,
        })
        .collect()
}

fn cargo(document: &Value) -> Option<Issue> {
    if document["reason"] != "compiler-message" {
        return None;
    }
    let message = &document["message"];
    let spans = message["spans"].as_array()?;
    // What has no place is a summary: "2 warnings emitted".
    let span = spans.iter().find(|span| span["is_primary"] == true)?;
    Some(Issue {
        file: text(span, "file_name"),
        line: number(&span["line_start"]),
        severity: match text(message, "level").as_str() {
            "error" | "error: internal compiler error" => Severity::Error,
            "warning" => Severity::Normal,
            _ => Severity::Low,
        },
        rule: text(&message["code"], "code"),
        message: text(message, "message"),
        new: false,
    })
}
