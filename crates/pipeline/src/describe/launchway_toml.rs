//! `launchway.toml`: everything about an app in one short file. Its format is described in docs/launchway-toml.md.

use std::collections::BTreeMap;
use std::ops::Range;

use launchway_model::app::{FilesSpec, references};
use launchway_model::{AppName, ProcessType};
use toml::de::DeValue;

use super::draft::{Draft, HealthDraft, ProcessDraft};
use super::toml_reader::{self, Source, Table};
use super::triggers;
use super::{health, rollout, routing, scan, stages, timed};
use crate::error::DescribeError;
use crate::persist;

mod network;

/// The file's name.
pub(crate) const FILE: &str = "launchway.toml";

const KEYS: [&str; 28] = [
    "name",
    "branch",
    "process",
    "release",
    "health",
    "scan",
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
    "http",
    "route",
    "deploy",
    "once",
    "cron",
    "scale",
    "triggers",
    "network",
];
const PROCESS_KEYS: [&str; 18] = [
    "run",
    "instances",
    "folder",
    "grace",
    "health",
    "memory",
    "cpu",
    "pids",
    "open_files",
    "http",
    "schedule",
    "time_zone",
    "timeout",
    "overlap",
    "missed",
    "network",
    "allow",
    "port",
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
    draft.release = rollout::command(&table, "release", 600_000)?;
    draft.once = rollout::command(&table, "once", 600_000)?;
    draft.rollout = rollout::read(&table)?;
    if table.has("health") {
        draft.health = health::read(&table, "health")?;
    }
    draft.scan = scan::read(&table)?;
    draft.network = network::of_app(&table)?;
    draft.persist = persistent(&table)?;
    draft.domains = domains(&table)?;
    draft.env = table.variables("env")?;
    wiring(&table, &mut draft)?;
    draft.required_env = required(&table)?;
    routing::read(&table, &mut draft)?;
    files(&table, &mut draft)?;
    if table.has("cron") {
        let jobs = timed::cron(&table)?;
        draft.cron.get_or_insert_default().extend(jobs);
    }
    if table.has("scale") {
        draft.scaling = Some(timed::scaling(&table)?);
    }
    draft.timeout_ms = table.duration("timeout")?;
    draft.agent = stages::agent(&table)?;
    draft.post = stages::after(&table)?;
    if table.has("stage") {
        draft.stages = Some(stages::read(&table)?);
    }
    (draft.units, draft.aliases) = stand_ins(&table)?;
    draft.jenkinsfile = table.flag("jenkinsfile")?;
    draft.install = table.flag("install")?;
    draft.triggers = triggers::read(&table)?;
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
    let routed = routed(table);
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
                let mut process = process(&inner)?;
                if let Some(command) = &process.command
                    && let Some(job) = timed::job(
                        &inner,
                        kind.clone(),
                        command.clone(),
                        process.folder.clone(),
                    )?
                {
                    draft.cron.get_or_insert_default().push(job);
                    continue;
                }
                if let Some(key) = timed::OF_PROCESS.iter().find(|key| inner.has(key)) {
                    return Err(inner.error(
                        inner.span_of(key),
                        format!("`{key}` is for a process with `run` and `schedule`"),
                        "expected `schedule` and `run` beside it",
                    ));
                }
                if inner.has("health") {
                    let health = health::read(&inner, "health")?;
                    let asked = kind.is_web() || process.http || routed.contains(&name);
                    if !asked && health.command.is_none() {
                        return Err(inner.error_hint(
                            inner.span_of("health"),
                            format!("`health` asks `{name}` by HTTP, which takes no requests"),
                            "only `web` and processes with a [[route]] or `http = true` are asked by HTTP",
                            "Remove the line, give a command instead (`health = { command = \"./check\" }`), or write `http = true`.",
                        ));
                    }
                    if kind.is_web() {
                        web_health = Some(health);
                    } else {
                        process.health = Some(health);
                    }
                }
                process
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

/// The process types that the file's routes lead to.
fn routed<'a>(table: &Table<'a>) -> Vec<&'a str> {
    let Some(DeValue::Array(routes)) = table.get("route").map(toml::Spanned::get_ref) else {
        return Vec::new();
    };
    let tables = routes.iter().filter_map(|route| match route.get_ref() {
        DeValue::Table(route) => route.get("process"),
        _ => None,
    });
    tables
        .filter_map(|process| match process.get_ref() {
            DeValue::String(name) => Some(name.as_ref()),
            _ => None,
        })
        .collect()
}

/// The variables that ask for another process's address, `${process.NAME.url}`.
fn wiring(table: &Table<'_>, draft: &mut Draft) -> Result<(), DescribeError> {
    let Some(inner) = table.table("env")? else {
        return Ok(());
    };
    for (name, value) in draft.env.clone() {
        let span = inner.span_of(&name);
        let asked = references(&value);
        if value.matches("${process.").count() > asked.len() {
            let whole = value.matches("${process.").count();
            let known: usize = asked
                .iter()
                .map(|process| {
                    value
                        .matches(&format!("${{process.{process}.url}}"))
                        .count()
                })
                .sum();
            if whole > known {
                return Err(inner.error_hint(
                    span,
                    format!("`{name}` asks a process for something that it does not have"),
                    "expected ${process.NAME.url}",
                    "Only the address can be asked for: `${process.backend.url}`.",
                ));
            }
        }
        for process in asked {
            let process = routing::process(&inner, &process, span.clone())?;
            draft.expect_process(
                &inner,
                &process,
                span.clone(),
                "this variable asks for its address",
            );
            draft.wired.insert(process);
        }
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
        http: table.flag("http")?.unwrap_or(false),
        network: network::of_process(table)?,
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
        .map(|(name, span)| domain(table, &name, span))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// A host name, exact or `*.` and a name.
pub(super) fn domain(
    table: &Table<'_>,
    name: &str,
    span: Range<usize>,
) -> Result<String, DescribeError> {
    let domain = name.trim().trim_end_matches('.').to_ascii_lowercase();
    let labels_hold = domain.len() <= 253
        && domain
            .strip_prefix("*.")
            .unwrap_or(&domain)
            .split('.')
            .all(|label| {
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

/// `static`: a folder that answers every path, or those below a `path`, beside the app's processes.
fn files(table: &Table<'_>, draft: &mut Draft) -> Result<(), DescribeError> {
    let Some(value) = table.get("static") else {
        return Ok(());
    };
    if let DeValue::String(_) = value.get_ref() {
        draft.files = folder(table, "static")?.map(|folder| FilesSpec {
            folder,
            fallback: None,
        });
        return Ok(());
    }
    let Some(inner) = table.table("static")? else {
        return Ok(());
    };
    inner.only(&["folder", "fallback", "path"])?;
    let files = FilesSpec {
        folder: folder(&inner, "folder")?.unwrap_or_else(|| ".".to_owned()),
        fallback: folder(&inner, "fallback")?,
    };
    match routing::path(&inner)? {
        Some(path) if path != "/" => draft
            .routes
            .get_or_insert_default()
            .push(routing::files_below(path, files)),
        _ => draft.files = Some(files),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
