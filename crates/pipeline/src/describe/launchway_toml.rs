//! `launchway.toml`: everything about an app in one short file. Its format is described in docs/launchway-toml.md.

use std::collections::BTreeMap;
use std::ops::Range;

use launchway_model::app::{CommandSpec, FilesSpec, StatusRange};
use launchway_model::{AppName, ProcessType};
use toml::de::DeValue;

use super::draft::{Draft, HealthDraft, ProcessDraft};
use super::stages;
use super::toml_reader::{self, Source, Table};
use crate::error::DescribeError;
use crate::persist;

/// The file's name.
pub(crate) const FILE: &str = "launchway.toml";

const KEYS: [&str; 19] = [
    "name",
    "branch",
    "process",
    "release",
    "health",
    "persist",
    "domains",
    "env",
    "required_env",
    "static",
    "stage",
    "timeout",
    "after",
    "agent",
    "skip_stages",
    "install",
    "units",
    "aliases",
    "jenkinsfile",
];
const PROCESS_KEYS: [&str; 9] = [
    "run",
    "instances",
    "folder",
    "grace",
    "health",
    "memory",
    "cpu",
    "pids",
    "open_files",
];
const HEALTH_KEYS: [&str; 8] = [
    "path", "status", "body", "interval", "timeout", "start", "rise", "fall",
];

/// The most instances of one process type.
const MAX_INSTANCES: u32 = 1000;

/// Reads a launchway.toml.
pub(crate) fn read(file: &str, text: &str) -> Result<Draft, DescribeError> {
    let source = Source::new(file, text);
    let document = source.parse()?;
    let table = Table {
        source,
        table: document.get_ref(),
        span: 0..0,
        title: file.to_owned(),
    };
    table.only(&KEYS)?;
    let mut draft = Draft {
        sources: vec![file.to_owned()],
        ..Draft::default()
    };
    draft.name = table
        .word("name")?
        .map(|(name, span)| {
            name.parse::<AppName>().map_err(|error| {
                let hint = format!("`{}` would do.", AppName::from_any(&name));
                table.error_hint(span, error.to_string(), "an app's name", hint)
            })
        })
        .transpose()?;
    draft.branch = table.word("branch")?.map(|(branch, _)| branch);
    processes(&table, &mut draft)?;
    draft.release = release(&table)?;
    if table.has("health") {
        draft.health = health(&table, "health")?;
    }
    draft.persist = persistent(&table)?;
    draft.domains = domains(&table)?;
    draft.env = table.variables("env")?;
    draft.required_env = required(&table)?;
    draft.files = files(&table)?;
    draft.timeout_ms = table.duration("timeout")?;
    draft.agent = stages::agent(&table)?;
    draft.post = stages::after(&table)?;
    if table.has("stage") {
        draft.stages = Some(stages::read(&table)?);
    }
    (draft.units, draft.aliases) = stand_ins(&table)?;
    draft.jenkinsfile = table.flag("jenkinsfile")?;
    draft.install = table.flag("install")?;
    draft.skip_stages = table
        .texts("skip_stages")?
        .map(|names| names.into_iter().map(|(name, _)| name).collect());
    Ok(draft)
}

fn processes(table: &Table<'_>, draft: &mut Draft) -> Result<(), DescribeError> {
    let Some(processes) = table.table("process")? else {
        return Ok(());
    };
    let mut web_health: Option<HealthDraft> = None;
    for (name, span, value) in processes.entries() {
        let kind: ProcessType =
            name.parse()
                .map_err(|error: launchway_model::names::NameError| {
                    processes.error_hint(
                        span.clone(),
                        error.to_string(),
                        "a process type's name",
                        "Process types are named as in a Procfile: web, worker, release-tasks.",
                    )
                })?;
        let process = match value.get_ref() {
            DeValue::String(command) => {
                ProcessDraft::command(checked_command(&processes, name, command, value.span())?)
            }
            DeValue::Table(inner) => {
                let inner = processes.below(name, inner, value.span());
                inner.only(&PROCESS_KEYS)?;
                if inner.has("health") {
                    if !kind.is_web() {
                        return Err(inner.error_hint(
                            inner.span_of("health"),
                            format!("`health` is for `web` alone, not for `{name}`"),
                            "only [process.web] is asked by HTTP",
                            "Remove the line; other processes count as ready when they keep running.",
                        ));
                    }
                    web_health = Some(health(&inner, "health")?);
                }
                process(&inner)?
            }
            other => {
                return Err(processes.error(
                    value.span(),
                    format!(
                        "`{name}` must be a command or a table, not {}",
                        toml_reader::found(other)
                    ),
                    "expected a command in quotes",
                ));
            }
        };
        draft.processes.insert(kind, process);
    }
    if let Some(health) = web_health {
        if table.has("health") {
            return Err(table.error(
                table.span_of("health"),
                "`health` is set twice: here and in [process.web]",
                "one of the two is enough",
            ));
        }
        draft.health = health;
    }
    Ok(())
}

fn checked_command(
    table: &Table<'_>,
    name: &str,
    command: &str,
    span: Range<usize>,
) -> Result<String, DescribeError> {
    if command.trim().is_empty() {
        return Err(table.error(
            span,
            format!("the command of `{name}` is empty"),
            "a command",
        ));
    }
    Ok(command.trim().replace('\0', ""))
}

fn process(table: &Table<'_>) -> Result<ProcessDraft, DescribeError> {
    let mut process = ProcessDraft {
        command: table.word("run")?.map(|(run, _)| run.trim().to_owned()),
        instances: table.count("instances", 0..=MAX_INSTANCES)?,
        folder: folder(table, "folder")?,
        grace_ms: table.duration("grace")?,
        ..ProcessDraft::default()
    };
    process.limits.memory_bytes = table.size("memory")?;
    process.limits.cpu_millis = table.thousandths("cpu")?;
    process.limits.pids = table.count("pids", 1..=4_000_000)?;
    process.limits.open_files = table.count("open_files", 16..=4_000_000)?;
    Ok(process)
}

/// A folder inside the tree.
pub(super) fn folder(table: &Table<'_>, key: &str) -> Result<Option<String>, DescribeError> {
    match table.word(key)? {
        Some((folder, span)) if folder != "." && !persist::is_inside(&folder) => {
            Err(outside(table, key, &folder, span))
        }
        Some((folder, _)) => Ok(Some(folder)),
        None => Ok(None),
    }
}

fn outside(table: &Table<'_>, key: &str, path: &str, span: Range<usize>) -> DescribeError {
    table.error_hint(
        span,
        format!("`{key}` names `{path}`, which is not inside the repository"),
        "a relative path without `..`",
        "Paths are relative to the repository's root.",
    )
}

fn release(table: &Table<'_>) -> Result<Option<CommandSpec>, DescribeError> {
    let Some(value) = table.get("release") else {
        return Ok(None);
    };
    let command = |command: String, timeout_ms: Option<u64>| CommandSpec {
        command,
        timeout_ms: timeout_ms.unwrap_or(600_000),
    };
    if let DeValue::String(text) = value.get_ref() {
        let text = checked_command(table, "release", text, value.span())?;
        return Ok(Some(command(text, None)));
    }
    let Some(inner) = table.table("release")? else {
        return Ok(None);
    };
    inner.only(&["run", "timeout"])?;
    let (run, _) = inner.word("run")?.ok_or_else(|| {
        inner.error(
            inner.span.clone(),
            "[release] has no `run`",
            "expected run = \"COMMAND\"",
        )
    })?;
    Ok(Some(command(run, inner.duration("timeout")?)))
}

fn health(table: &Table<'_>, key: &str) -> Result<HealthDraft, DescribeError> {
    let check_path = |path: String, span: Range<usize>| {
        if path.starts_with('/') && !path.contains(char::is_whitespace) {
            return Ok(Some(path));
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
    };
    if let Some(value) = table.get(key)
        && let DeValue::String(path) = value.get_ref()
    {
        return Ok(HealthDraft {
            path: check_path(path.clone().into_owned(), value.span())?,
            ..HealthDraft::default()
        });
    }
    let Some(inner) = table.table(key)? else {
        return Ok(HealthDraft::default());
    };
    inner.only(&HEALTH_KEYS)?;
    let path = match inner.word("path")? {
        Some((path, span)) => check_path(path, span)?,
        None => None,
    };
    Ok(HealthDraft {
        path,
        statuses: statuses(&inner)?,
        body: inner.text("body")?.map(|(body, _)| body),
        interval_ms: inner.duration("interval")?,
        timeout_ms: inner.duration("timeout")?,
        start_ms: inner.duration("start")?,
        rise: inner.count("rise", 1..=100)?,
        fall: inner.count("fall", 1..=100)?,
    })
}

fn statuses(table: &Table<'_>) -> Result<Option<StatusRange>, DescribeError> {
    let Some(value) = table.get("status") else {
        return Ok(None);
    };
    let range = match value.get_ref() {
        DeValue::Integer(number) => number.as_str().parse().ok().map(|at| (at, at)),
        DeValue::String(text) => match text.split_once('-') {
            Some((from, to)) => from.trim().parse().ok().zip(to.trim().parse().ok()),
            None => text.trim().parse().ok().map(|at| (at, at)),
        },
        _ => None,
    };
    match range {
        Some((from, to)) if 100 <= from && from <= to && to <= 599 => {
            Ok(Some(StatusRange { from, to }))
        }
        _ => Err(table.error(
            value.span(),
            "`status` is not an HTTP status or a range of them",
            "expected 200 or \"200-299\"",
        )),
    }
}

fn persistent(table: &Table<'_>) -> Result<Option<Vec<String>>, DescribeError> {
    let Some(paths) = table.texts("persist")? else {
        return Ok(None);
    };
    paths
        .into_iter()
        .map(|(path, span)| {
            if persist::is_inside(&path) {
                Ok(path)
            } else {
                Err(outside(table, "persist", &path, span))
            }
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

fn domains(table: &Table<'_>) -> Result<Option<Vec<String>>, DescribeError> {
    let Some(domains) = table.texts("domains")? else {
        return Ok(None);
    };
    domains
        .into_iter()
        .map(|(domain, span)| {
            let domain = domain.trim().trim_end_matches('.').to_ascii_lowercase();
            let labels_hold = domain.len() <= 253
                && domain.strip_prefix("*.").unwrap_or(&domain).split('.').all(|label| {
                    !label.is_empty()
                        && label.len() <= 63
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                });
            if labels_hold {
                return Ok(domain);
            }
            Err(table.error_hint(
                span,
                format!("`{domain}` is not a host name"),
                "a name such as \"shop.example.org\"",
                "Write the name alone: no `http://`, port or path; international names in their `xn--` form.",
            ))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// `units` and `aliases`: names that become files, so they may hold nothing that leads elsewhere.
#[expect(
    clippy::type_complexity,
    reason = "two keys of the file, each in its own form"
)]
fn stand_ins(
    table: &Table<'_>,
) -> Result<(Option<Vec<String>>, BTreeMap<String, String>), DescribeError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(['-', '.'])
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c))
    };
    let wrong = |span: Range<usize>, name: &str, what: &str| {
        table.error(
            span,
            format!("`{name}` cannot be the name of {what}"),
            "letters, digits and -_.@+ only",
        )
    };
    let units = table.texts("units")?;
    for (unit, span) in units.iter().flatten() {
        if !is_name(unit) {
            return Err(wrong(span.clone(), unit, "a unit"));
        }
    }
    let units = units.map(|units| units.into_iter().map(|(unit, _)| unit).collect());
    let mut aliases = BTreeMap::new();
    if let Some(inner) = table.table("aliases")? {
        for (name, span, _) in inner.entries() {
            let (command, at) = inner.word(name)?.unwrap_or_default();
            if !is_name(name) {
                return Err(wrong(span, name, "a command"));
            }
            if !is_name(command.rsplit('/').next().unwrap_or_default()) {
                return Err(wrong(at, &command, "a command"));
            }
            aliases.insert(name.to_owned(), command);
        }
    }
    Ok((units, aliases))
}

/// `required_env = ["NAME"]` or a table of names and descriptions.
fn required(table: &Table<'_>) -> Result<BTreeMap<String, String>, DescribeError> {
    match table.get("required_env").map(toml::Spanned::get_ref) {
        Some(DeValue::Table(_)) => table.variables("required_env"),
        _ => table
            .texts("required_env")?
            .unwrap_or_default()
            .into_iter()
            .map(|(name, span)| {
                toml_reader::check_variable(table, &name, span)?;
                Ok((name, String::new()))
            })
            .collect(),
    }
}

fn files(table: &Table<'_>) -> Result<Option<FilesSpec>, DescribeError> {
    let Some(value) = table.get("static") else {
        return Ok(None);
    };
    if let DeValue::String(_) = value.get_ref() {
        return Ok(folder(table, "static")?.map(|folder| FilesSpec {
            folder,
            fallback: None,
        }));
    }
    let Some(inner) = table.table("static")? else {
        return Ok(None);
    };
    inner.only(&["folder", "fallback"])?;
    Ok(Some(FilesSpec {
        folder: folder(&inner, "folder")?.unwrap_or_else(|| ".".to_owned()),
        fallback: folder(&inner, "fallback")?,
    }))
}

#[cfg(test)]
mod tests;
