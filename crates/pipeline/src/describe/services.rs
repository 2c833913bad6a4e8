//! `services` and `input` of a `[[stage]]`.
//!
//! ```toml
//! services = ["postgres", "redis"]
//! services.mail = { run = "mailpit --smtp 127.0.0.1:$PORT", ready = "…", within = "30s", env = { SMTP_PORT = "$PORT" } }
//! input = "Deploy it?"
//! ```

use toml::de::DeValue;

use super::toml_reader::Table;
use crate::error::DescribeError;
use crate::plan::{Input, Service, Text};

/// How long a service may take to be ready where nothing is said.
const WITHIN_MS: u64 = 30_000;

/// The services of a stage.
pub(super) fn services(table: &Table<'_>) -> Result<Vec<Service>, DescribeError> {
    match table.get("services").map(|value| value.get_ref()) {
        None => Ok(Vec::new()),
        Some(DeValue::Table(_)) => {
            let Some(all) = table.table("services")? else {
                return Ok(Vec::new());
            };
            let mut services = Vec::new();
            for (name, span, value) in all.entries() {
                let usable = !name.is_empty()
                    && name.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
                    })
                    && name.starts_with(|c: char| c.is_ascii_lowercase());
                if !usable {
                    return Err(all.error(
                        span,
                        format!("`{name}` cannot be the name of a service"),
                        "lower-case letters, digits and _",
                    ));
                }
                services.push(match value.get_ref() {
                    DeValue::String(run) => Service {
                        name: name.to_owned(),
                        run: run.to_string(),
                        ready: None,
                        within_ms: WITHIN_MS,
                        env: Vec::new(),
                    },
                    _ => {
                        let Some(inner) = all.table(name)? else {
                            continue;
                        };
                        inner.only(&["run", "ready", "within", "env"])?;
                        let run = match (inner.word("run")?, Service::known(name)) {
                            (Some((run, _)), _) => run,
                            (None, Some(known)) => known.run,
                            (None, None) => {
                                return Err(inner.error_hint(
                                    inner.span.clone(),
                                    format!("the service `{name}` has no `run`"),
                                    "expected run = \"COMMAND\"",
                                    "Write the command that runs it in the foreground, on the port `$PORT`.",
                                ));
                            }
                        };
                        Service {
                            name: name.to_owned(),
                            run,
                            ready: inner.word("ready")?.map(|(ready, _)| ready),
                            within_ms: inner.duration("within")?.unwrap_or(WITHIN_MS),
                            env: inner.variables("env")?.into_iter().collect(),
                        }
                    }
                });
            }
            Ok(services)
        }
        Some(_) => {
            let mut services = Vec::new();
            for (name, span) in table.texts("services")?.unwrap_or_default() {
                let Some(service) = Service::known(&name) else {
                    let hint = launchway_model::suggest::did_you_mean(&name, Service::KNOWN)
                        .unwrap_or_else(|| format!("Known by name are {}; any other is written as services.NAME = \"COMMAND\".", Service::KNOWN.join(" and ")));
                    return Err(table.error_hint(
                        span,
                        format!("no service is known as `{name}`"),
                        "postgres or redis",
                        &hint,
                    ));
                };
                services.push(service);
            }
            Ok(services)
        }
    }
}

/// The question of a stage.
pub(super) fn input(table: &Table<'_>) -> Result<Option<Input>, DescribeError> {
    Ok(table.word("input")?.map(|(message, _)| Input {
        message: Text::Plain(message),
        ok: None,
        submitter: None,
        submitter_parameter: None,
        parameters: Vec::new(),
        after_when: true,
    }))
}
