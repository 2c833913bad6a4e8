//! Targets from files that somebody else writes, and from HTTP endpoints: Prometheus' `file_sd` and `http_sd`.

use super::config::{FileDiscovery, HttpDiscovery, TargetGroup, static_group};
use crate::http::{Call, Client};
use crate::yaml::{self, YamlError, noted};
use std::path::{Path, PathBuf};

/// The files that a pattern names: `*` and `?` stand in the last part alone.
pub fn matching_files(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = folder.join(pattern);
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![path];
    }
    let parent = path.parent().unwrap_or(folder);
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|other| matches(name.as_bytes(), other.as_bytes()))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a name matches a pattern of `*`, `?` and plain characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            matches(&pattern[1..], name) || (!name.is_empty() && matches(pattern, &name[1..]))
        }
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &name[1..]),
        (Some(expected), Some(found)) if expected == found => matches(&pattern[1..], &name[1..]),
        _ => false,
    }
}

/// Reads a list of groups, JSON or YAML.
///
/// # Errors
/// All mistakes, each with its place.
pub fn groups(text: &str, source: &str) -> Result<Vec<TargetGroup>, Vec<YamlError>> {
    // JSON is YAML, but for tabs between its parts.
    let node = yaml::parse(text).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for (at, item) in noted(&mut errors, node.list())
        .unwrap_or(&[])
        .iter()
        .enumerate()
    {
        found.extend(static_group(item, &format!("{source}:{at}"), &mut errors));
    }
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(errors)
    }
}

/// Reads the groups of a file discovery. What cannot be read is told, and `kept` gives what it held before.
pub fn of_files(
    discovery: &FileDiscovery,
    folder: &Path,
    kept: &[TargetGroup],
    mut tell: impl FnMut(String),
) -> Vec<TargetGroup> {
    let mut found = Vec::new();
    for path in discovery
        .files
        .iter()
        .flat_map(|pattern| matching_files(folder, pattern))
    {
        let source = path.display().to_string();
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => groups(&text, &source).map_err(|errors| {
                let lines: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{source}:{error}"))
                    .collect();
                lines.join("; ")
            }),
            // A file that is gone has no targets any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("{source}: {error}")),
        };
        match read {
            Ok(groups) => found.extend(groups.into_iter().map(|mut group| {
                group
                    .labels
                    .push(("__meta_filepath".to_owned(), source.clone()));
                group
            })),
            Err(message) => {
                tell(message);
                let prefix = format!("{source}:");
                found.extend(
                    kept.iter()
                        .filter(|group| group.source.starts_with(&prefix))
                        .cloned(),
                );
            }
        }
    }
    found
}

/// Asks an HTTP discovery for its groups.
///
/// # Errors
/// In words.
pub async fn of_http(
    discovery: &HttpDiscovery,
    client: &Client,
) -> Result<Vec<TargetGroup>, String> {
    let mut call = Call::get(&discovery.url).with(http::header::ACCEPT, "application/json");
    call.limit = 16 << 20;
    let answer = client
        .send(&call)
        .await
        .map_err(|error| format!("{}: {error}", discovery.url))?;
    if answer.status != http::StatusCode::OK {
        return Err(format!(
            "{}: server returned HTTP status {}",
            discovery.url, answer.status
        ));
    }
    let text =
        std::str::from_utf8(&answer.body).map_err(|error| format!("{}: {error}", discovery.url))?;
    let found = groups(text, &discovery.url).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        format!("{}:{first}", discovery.url)
    })?;
    Ok(found
        .into_iter()
        .map(|mut group| {
            group
                .labels
                .push(("__meta_url".to_owned(), discovery.url.clone()));
            group
        })
        .collect())
}
