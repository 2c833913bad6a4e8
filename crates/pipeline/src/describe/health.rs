//! `health` in launchway.toml: of the app (`[health]`) or of one process type.

use std::collections::BTreeMap;
use std::ops::Range;

use launchway_model::app::{StatusRange, Statuses};
use launchway_model::route::{HOP_FIELDS, is_token};
use regex::Regex;
use toml::de::DeValue;

use super::draft::HealthDraft;
use super::toml_reader::Table;
use crate::error::DescribeError;

const KEYS: [&str; 14] = [
    "path",
    "method",
    "status",
    "body",
    "body_matches",
    "headers",
    "host",
    "command",
    "interval",
    "timeout",
    "start",
    "rise",
    "fall",
    "run",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "POST"];

/// Reads a path or a table.
pub(super) fn read(table: &Table<'_>, key: &str) -> Result<HealthDraft, DescribeError> {
    if let Some(value) = table.get(key)
        && let DeValue::String(path) = value.get_ref()
    {
        return Ok(HealthDraft {
            path: Some(checked_path(
                table,
                path.clone().into_owned(),
                value.span(),
            )?),
            ..HealthDraft::default()
        });
    }
    let Some(inner) = table.table(key)? else {
        return Ok(HealthDraft::default());
    };
    inner.only(&KEYS)?;
    let path = inner
        .word("path")?
        .map(|(path, span)| checked_path(&inner, path, span))
        .transpose()?;
    let command = match inner.word("command")? {
        Some(command) => Some(command),
        None => inner.word("run")?,
    };
    if let (Some((_, span)), Some(_)) = (&command, &path) {
        return Err(inner.error(
            span.clone(),
            "the health check has a path and a command",
            "one of the two",
        ));
    }
    Ok(HealthDraft {
        path,
        method: method(&inner)?,
        statuses: statuses(&inner)?,
        body: inner.text("body")?.map(|(body, _)| body),
        body_matches: expression(&inner)?,
        headers: headers(&inner)?,
        host: inner.word("host")?.map(|(host, _)| host),
        command: command.map(|(command, _)| command.trim().to_owned()),
        interval_ms: inner.duration("interval")?,
        timeout_ms: inner.duration("timeout")?,
        start_ms: inner.duration("start")?,
        rise: inner.count("rise", 1..=100)?,
        fall: inner.count("fall", 1..=100)?,
    })
}

fn checked_path(
    table: &Table<'_>,
    path: String,
    span: Range<usize>,
) -> Result<String, DescribeError> {
    if path.starts_with('/') && !path.contains(char::is_whitespace) {
        return Ok(path);
    }
    let hint = if path.contains("://") {
        "Write the path alone: the host and port are Launchway's.".to_owned()
    } else {
        format!("Write \"/{}\".", path.trim_start_matches('/').trim())
    };
    Err(table.error_hint(
        span,
        format!("the health check's path `{path}` does not start with `/`"),
        "a path such as \"/healthz\"",
        hint,
    ))
}

fn method(table: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some((method, span)) = table.word("method")? else {
        return Ok(None);
    };
    let method = method.trim().to_ascii_uppercase();
    if METHODS.contains(&method.as_str()) {
        return Ok(Some(method));
    }
    Err(table.error(
        span,
        format!("a health check cannot ask with `{method}`"),
        "GET, HEAD, OPTIONS or POST",
    ))
}

fn headers(table: &Table<'_>) -> Result<Option<BTreeMap<String, String>>, DescribeError> {
    let Some(inner) = table.table("headers")? else {
        return Ok(None);
    };
    let mut headers = BTreeMap::new();
    for (name, span, _) in inner.entries() {
        let lower = name.to_ascii_lowercase();
        if lower == "host" {
            return Err(inner.error(span, "`host` is a key of its own", "host = \"…\""));
        }
        if !is_token(name) || HOP_FIELDS.contains(&lower.as_str()) {
            return Err(inner.error(
                span,
                format!("the field `{name}` cannot be set"),
                "the name of a header field",
            ));
        }
        let (value, at) = inner.text(name)?.unwrap_or_default();
        if !value.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
            return Err(inner.error(at, "a header field has plain text", "plain text"));
        }
        headers.insert(name.to_owned(), value);
    }
    Ok(Some(headers))
}

fn expression(table: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some((expression, span)) = table.word("body_matches")? else {
        return Ok(None);
    };
    match Regex::new(&expression) {
        Ok(_) => Ok(Some(expression)),
        Err(error) => {
            let words = error.to_string();
            let words = words.lines().last().unwrap_or_default();
            let words = words.trim_start_matches("error:").trim().to_owned();
            Err(table.error(
                span,
                format!("`body_matches` is not a regular expression: {words}"),
                "a regular expression",
            ))
        }
    }
}

fn statuses(table: &Table<'_>) -> Result<Option<Statuses>, DescribeError> {
    let Some(value) = table.get("status") else {
        return Ok(None);
    };
    let one = |value: &DeValue<'_>| -> Option<Vec<StatusRange>> {
        match value {
            DeValue::Integer(number) => range(number.as_str()).map(|range| vec![range]),
            DeValue::String(text) => text.split(',').map(range).collect(),
            _ => None,
        }
    };
    let ranges = match value.get_ref() {
        DeValue::Array(items) => items
            .iter()
            .map(|item| one(item.get_ref()))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        other => one(other),
    };
    match ranges.filter(|ranges| !ranges.is_empty()) {
        Some(ranges) => Ok(Some(Statuses(ranges))),
        None => Err(table.error(
            value.span(),
            "`status` is not an HTTP status or a range of them",
            "expected 200, \"200-299\" or [\"200-299\", 401]",
        )),
    }
}

fn range(text: &str) -> Option<StatusRange> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (100 <= from && from <= to && to <= 599).then_some(StatusRange { from, to })
}
