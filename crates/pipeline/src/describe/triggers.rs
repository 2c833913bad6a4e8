//! `[triggers]` of launchway.toml: what starts builds beside commits.

use launchway_model::build::BuildResult;
use launchway_model::schedule::Schedule;
use launchway_model::trigger::TriggerSpec;

use super::toml_reader::Table;
use crate::error::DescribeError;

const KEYS: [&str; 3] = ["cron", "poll", "upstream"];

/// Reads the table; `None` where there is none.
pub(super) fn read(table: &Table<'_>) -> Result<Option<Vec<TriggerSpec>>, DescribeError> {
    let Some(table) = table.table("triggers")? else {
        return Ok(None);
    };
    table.only(&KEYS)?;
    let mut triggers = Vec::new();
    for key in ["cron", "poll"] {
        let Some((schedule, span)) = table.word(key)? else {
            continue;
        };
        if let Err(error) = Schedule::parse(&schedule, "") {
            return Err(table.error_hint(span, error.message, "a cron expression", error.hint));
        }
        triggers.push(match key {
            "cron" => TriggerSpec::Cron { schedule },
            _ => TriggerSpec::Poll { schedule },
        });
    }
    if let Some(projects) = table.texts("upstream")? {
        triggers.push(TriggerSpec::Upstream {
            projects: projects.into_iter().map(|(name, _)| name).collect(),
            threshold: BuildResult::Success,
        });
    }
    Ok(Some(triggers))
}
