//! `[[cron]]`, `schedule` of a process type, and `[[scale]]` in launchway.toml: what happens by the clock.

use launchway_model::ProcessType;
use launchway_model::app::{CronSpec, Missed, Overlap, ScaleRule};
use launchway_model::schedule::Schedule;

use super::launchway_toml::folder;
use super::routing;
use super::toml_reader::Table;
use crate::error::DescribeError;

const CRON: [&str; 8] = [
    "name",
    "schedule",
    "run",
    "folder",
    "time_zone",
    "timeout",
    "overlap",
    "missed",
];
/// The keys that a process type with a `schedule` may have beside its command.
pub(super) const OF_PROCESS: [&str; 5] = ["schedule", "time_zone", "timeout", "overlap", "missed"];
/// The longest that a run may take where nothing is said: a day.
const TIMEOUT_MS: u64 = 24 * 3_600_000;

/// Reads `[[cron]]`.
pub(super) fn cron(table: &Table<'_>) -> Result<Vec<CronSpec>, DescribeError> {
    let mut jobs: Vec<CronSpec> = Vec::new();
    for inner in table.tables("cron")? {
        inner.only(&CRON)?;
        let missing = |key: &str| {
            inner.error(
                inner.span.clone(),
                format!("this [[cron]] has no `{key}`"),
                format!("expected {key} = \"…\""),
            )
        };
        let (name, span) = inner.word("name")?.ok_or_else(|| missing("name"))?;
        let name = routing::process(&inner, &name, span.clone())?;
        if jobs.iter().any(|job| job.name == name) {
            return Err(inner.error(
                span,
                format!("another [[cron]] is called `{name}`"),
                "a name of its own",
            ));
        }
        let (run, _) = inner.word("run")?.ok_or_else(|| missing("run"))?;
        let folder = folder(&inner, "folder")?;
        jobs.push(
            job(&inner, name, run.trim().to_owned(), folder)?.ok_or_else(|| missing("schedule"))?,
        );
    }
    Ok(jobs)
}

/// The job that a table with a `schedule` describes.
pub(super) fn job(
    table: &Table<'_>,
    name: ProcessType,
    command: String,
    folder: Option<String>,
) -> Result<Option<CronSpec>, DescribeError> {
    let Some(schedule) = schedule(table)? else {
        return Ok(None);
    };
    Ok(Some(CronSpec {
        name,
        schedule,
        time_zone: time_zone(table)?,
        command,
        folder,
        timeout_ms: table.duration("timeout")?.unwrap_or(TIMEOUT_MS),
        overlap: choice(
            table,
            "overlap",
            &[
                ("allow", Overlap::Allow),
                ("forbid", Overlap::Forbid),
                ("replace", Overlap::Replace),
            ],
        )?,
        missed: choice(
            table,
            "missed",
            &[("skip", Missed::Skip), ("run-once", Missed::RunOnce)],
        )?,
    }))
}

/// Reads `[[scale]]`.
pub(super) fn scaling(table: &Table<'_>) -> Result<Vec<ScaleRule>, DescribeError> {
    table
        .tables("scale")?
        .iter()
        .map(|inner| {
            inner.only(&["process", "schedule", "time_zone", "instances"])?;
            let missing = |key: &str| {
                inner.error(
                    inner.span.clone(),
                    format!("this [[scale]] has no `{key}`"),
                    format!("expected `{key}`"),
                )
            };
            let process = match inner.word("process")? {
                Some((name, span)) => routing::process(inner, &name, span)?,
                None => ProcessType::web(),
            };
            Ok(ScaleRule {
                process,
                schedule: schedule(inner)?.ok_or_else(|| missing("schedule"))?,
                time_zone: time_zone(inner)?,
                instances: inner
                    .count("instances", 0..=500)?
                    .ok_or_else(|| missing("instances"))?,
            })
        })
        .collect()
}

fn schedule(table: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some((text, span)) = table.word("schedule")? else {
        return Ok(None);
    };
    match Schedule::parse(&text, "") {
        Ok(_) => Ok(Some(text)),
        Err(error) => {
            let problem = error.problem();
            let hint = problem.hint.unwrap_or_else(|| {
                "Write five fields: minute, hour, day of month, month, day of week.".to_owned()
            });
            Err(table.error_hint(
                span,
                problem.message,
                "such as \"15 3 * * *\" or \"@daily\"",
                hint,
            ))
        }
    }
}

fn time_zone(table: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some((name, span)) = table.word("time_zone")? else {
        return Ok(None);
    };
    if jiff::tz::TimeZone::get(&name).is_ok() {
        return Ok(Some(name));
    }
    Err(table.error_hint(
        span,
        format!("there is no time zone `{name}` on this machine"),
        "an IANA name such as \"Europe/Berlin\"",
        "The names are those below /usr/share/zoneinfo.",
    ))
}

fn choice<T: Copy + Default>(
    table: &Table<'_>,
    key: &str,
    known: &[(&str, T)],
) -> Result<T, DescribeError> {
    let Some((word, span)) = table.word(key)? else {
        return Ok(T::default());
    };
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(*value);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    Err(table.error_hint(
        span,
        format!("`{key}` cannot be `{word}`"),
        format!("expected {}", names.join(", ")),
        launchway_model::suggest::did_you_mean(&word, names.iter().copied())
            .unwrap_or_else(|| format!("It is one of {}.", names.join(", "))),
    ))
}
