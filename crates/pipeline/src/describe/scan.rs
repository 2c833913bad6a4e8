//! `[scan]` of a launchway.toml: which known vulnerabilities of its dependencies keep a build from becoming a release.

use launchway_model::scan::ScanPolicy;
use toml::de::DeValue;

use super::toml_reader::{self, Table};
use crate::error::DescribeError;
use crate::persist;

const KEYS: [&str; 9] = [
    "fail_on",
    "fixable_only",
    "grace_days",
    "warnings",
    "dev",
    "max_data_age_days",
    "paths",
    "exclude",
    "ignore_file",
];
/// The words of `fail_on`, beside a CVSS score.
const WORDS: [&str; 6] = ["any", "low", "medium", "high", "critical", "never"];
/// Ten years: more is a mistake.
const MAX_DAYS: u32 = 3650;

/// Reads the section, where there is one.
pub(super) fn read(table: &Table<'_>) -> Result<Option<ScanPolicy>, DescribeError> {
    let Some(section) = table.table("scan")? else {
        return Ok(None);
    };
    section.only(&KEYS)?;
    let mut policy = ScanPolicy::default();
    if let Some(threshold) = fail_on(&section)? {
        policy.fail_on = threshold;
    }
    policy.fixable_only = section.flag("fixable_only")?.unwrap_or(false);
    policy.grace_days = section.count("grace_days", 0..=MAX_DAYS)?;
    policy.warnings = section.flag("warnings")?.unwrap_or(false);
    policy.dev = section.flag("dev")?.unwrap_or(true);
    policy.max_data_age_days = section.count("max_data_age_days", 1..=MAX_DAYS)?;
    let inside = |key: &'static str, path: String, span| {
        if path == "." || persist::is_inside(&path) {
            return Ok(path);
        }
        Err(section.error_hint(
            span,
            format!("`{key}` names `{path}`, which is not inside the repository"),
            "a relative path without `..`",
            "Paths are relative to the repository's root.",
        ))
    };
    if let Some(paths) = section.texts("paths")? {
        policy.paths = paths
            .into_iter()
            .map(|(path, span)| inside("paths", path, span))
            .collect::<Result<_, _>>()?;
    }
    policy.exclude = section
        .texts("exclude")?
        .unwrap_or_default()
        .into_iter()
        .map(|(pattern, _)| pattern)
        .collect();
    policy.ignore_file = section
        .word("ignore_file")?
        .map(|(path, span)| inside("ignore_file", path, span))
        .transpose()?;
    Ok(Some(policy))
}

/// A level, a score or a word, as text.
fn fail_on(section: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some(value) = section.get("fail_on") else {
        return Ok(None);
    };
    let score = |text: &str| {
        text.parse::<f64>()
            .is_ok_and(|score| (0.0..=10.0).contains(&score))
    };
    let text = match value.get_ref() {
        DeValue::String(text) => text.trim().to_ascii_lowercase(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        other => {
            return Err(section.error(
                value.span(),
                format!(
                    "`fail_on` must be a level or a CVSS score, not {}",
                    toml_reader::found(other)
                ),
                "expected \"high\" or 7.5",
            ));
        }
    };
    if WORDS.contains(&text.as_str()) || score(&text) {
        return Ok(Some(text));
    }
    Err(section.error_hint(
        value.span(),
        format!("`{text}` is no level of severity"),
        "a level or a CVSS score from 0 to 10",
        format!("Known are {}, and scores such as 7.5.", WORDS.join(", ")),
    ))
}

#[cfg(test)]
mod tests;
