//! `app.json`: what Heroku and Dokku keep beside the Procfile. Read are `name`, `env`, `formation`, `healthchecks` and
//! `scripts`; everything else in it is about their platforms and is left alone.

use std::collections::BTreeMap;
use std::fmt;

use launchway_model::app::CommandSpec;
use launchway_model::{AppName, ProcessType};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::draft::{Draft, HealthDraft, ProcessDraft};
use super::toml_reader::{Source, is_variable};
use crate::error::DescribeError;
use crate::plan::{Stage, Step};

/// The file's name.
pub(crate) const FILE: &str = "app.json";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppJson {
    name: Option<String>,
    env: BTreeMap<String, Variable>,
    formation: BTreeMap<String, Formation>,
    healthchecks: BTreeMap<String, Vec<HealthCheck>>,
    scripts: Scripts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Formation {
    quantity: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scripts {
    test: Option<String>,
    #[serde(rename = "test-setup")]
    test_setup: Option<String>,
    postdeploy: Option<String>,
    dokku: Dokku,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dokku {
    predeploy: Option<String>,
    postdeploy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HealthCheck {
    #[serde(rename = "type")]
    kind: Option<String>,
    path: Option<String>,
    content: Option<String>,
    /// Seconds, as are `wait` and `initialDelay`.
    timeout: Option<u32>,
    wait: Option<u32>,
    attempts: Option<u32>,
    #[serde(rename = "initialDelay")]
    initial_delay: Option<u32>,
}

/// `"NAME": "value"` or `"NAME": { "value": …, "required": …, "description": … }`.
#[derive(Debug, Default)]
struct Variable {
    value: Option<String>,
    required: bool,
    description: String,
    generated: bool,
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Variable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an object with `value`, `required`, `description`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Variable, E> {
                Ok(Variable {
                    value: Some(text.to_owned()),
                    ..Variable::default()
                })
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Variable, E> {
                self.visit_str(&flag.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Variable, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Variable, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Variable, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Variable, M::Error> {
                let mut variable = Variable {
                    required: true,
                    ..Variable::default()
                };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "value" => {
                            variable.value = map
                                .next_value::<Option<Self::Value>>()?
                                .and_then(|inner| inner.value);
                        }
                        "required" => variable.required = map.next_value()?,
                        "description" => variable.description = map.next_value()?,
                        "generator" => {
                            map.next_value::<de::IgnoredAny>()?;
                            variable.generated = true;
                        }
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(variable)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Reads an app.json.
pub(crate) fn read(text: &str) -> Result<Draft, DescribeError> {
    let json: AppJson = serde_json::from_str(text).map_err(|error| syntax_error(text, &error))?;
    let mut draft = Draft {
        sources: vec![FILE.to_owned()],
        name: json.name.as_deref().map(AppName::from_any),
        ..Draft::default()
    };
    for (name, variable) in json.env {
        if !is_variable(&name) {
            return Err(at_key(
                text,
                &name,
                format!("`{name}` is not the name of a variable"),
                "letters, digits and underscores",
            ));
        }
        match variable.value {
            Some(value) => {
                draft.env.insert(name, value);
            }
            None if variable.required => {
                let mut about = variable.description;
                if variable.generated {
                    about = format!("{about} (a secret of your own making)")
                        .trim_start()
                        .to_owned();
                }
                draft.required_env.insert(name, about);
            }
            None => {}
        }
    }
    for (name, formation) in json.formation {
        let kind = process_type(text, &name)?;
        if let Some(quantity) = formation.quantity {
            if quantity > 1000 {
                return Err(at_key(
                    text,
                    "quantity",
                    format!(
                        "{quantity} instances of `{name}` are more than the 1000 that are allowed"
                    ),
                    "at most 1000",
                ));
            }
            draft.processes.entry(kind).or_default().instances = Some(quantity);
        }
    }
    for (name, checks) in json.healthchecks {
        if process_type(text, &name)?.is_web() {
            draft.health = health(text, &checks)?;
        }
    }
    scripts(json.scripts, &mut draft);
    Ok(draft)
}

fn scripts(scripts: Scripts, draft: &mut Draft) {
    if let Some(command) = scripts
        .dokku
        .predeploy
        .filter(|text| !text.trim().is_empty())
    {
        draft.release = Some(CommandSpec {
            command,
            timeout_ms: 600_000,
        });
    }
    let tests: Vec<Step> = [scripts.test_setup, scripts.test]
        .into_iter()
        .flatten()
        .filter(|text| !text.trim().is_empty())
        .map(Step::run)
        .collect();
    if !tests.is_empty() {
        draft.more_stages.push(Stage::new("Test", tests));
    }
    if scripts.postdeploy.is_some() || scripts.dokku.postdeploy.is_some() {
        draft.notes.push(
            "The postdeploy script of app.json is not run; a command that belongs to every release goes into `release:` of the Procfile.".to_owned(),
        );
    }
}

fn process_type(text: &str, name: &str) -> Result<ProcessType, DescribeError> {
    name.parse()
        .map_err(|error: launchway_model::names::NameError| {
            at_key(text, name, error.to_string(), "a process type")
        })
}

fn health(text: &str, checks: &[HealthCheck]) -> Result<HealthDraft, DescribeError> {
    let chosen = checks
        .iter()
        .find(|check| check.kind.as_deref() == Some("startup"))
        .or_else(|| checks.iter().find(|check| check.path.is_some()))
        .or(checks.first());
    let Some(check) = chosen else {
        return Ok(HealthDraft::default());
    };
    if let Some(path) = check.path.as_ref().filter(|path| !path.starts_with('/')) {
        return Err(at_key(
            text,
            "path",
            format!("the health check's path `{path}` does not start with `/`"),
            "a path such as \"/healthz\"",
        ));
    }
    let seconds = |seconds: u32| u64::from(seconds) * 1000;
    // Dokku tries `attempts` times, `wait` seconds apart, each try as long as `timeout`.
    let start = check.attempts.map(|attempts| {
        let each = seconds(check.timeout.unwrap_or(5)) + seconds(check.wait.unwrap_or(5));
        (u64::from(attempts) * each + seconds(check.initial_delay.unwrap_or(0))).max(1_000)
    });
    Ok(HealthDraft {
        path: check.path.clone(),
        body: check.content.clone(),
        timeout_ms: check.timeout.filter(|timeout| *timeout > 0).map(seconds),
        start_ms: start,
        ..HealthDraft::default()
    })
}

/// An error of the JSON reader, which knows line and column.
fn syntax_error(text: &str, error: &serde_json::Error) -> DescribeError {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let start = line_start + error.column().saturating_sub(1);
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    let hint = message
        .contains("trailing comma")
        .then(|| "Remove the comma before the closing bracket.".to_owned());
    let source = Source::new(FILE, text);
    Box::new(source.error(start..start + 1, message, "here").hint(hint)).into()
}

/// An error at the first place where a text stands as a key or value.
fn at_key(text: &str, key: &str, message: String, label: &str) -> DescribeError {
    let quoted = format!("\"{key}\"");
    let start = text.find(&quoted).map_or(0, |at| at + 1);
    Box::new(Source::new(FILE, text).error(start..start + key.len(), message, label)).into()
}

impl Draft {
    /// Process types that are only given a number here get their command from elsewhere; those that nobody gives a command
    /// are noted.
    pub(crate) fn note_commandless(&mut self) {
        let without: Vec<String> = self
            .processes
            .iter()
            .filter(|(_, process)| process.command.is_none())
            .map(|(name, _)| name.to_string())
            .collect();
        for name in without {
            self.notes.push(format!(
                "`{name}` is given settings but no command; it is left out."
            ));
        }
        self.processes
            .retain(|_, process: &mut ProcessDraft| process.command.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_concern_us_are_read() {
        let draft = read(
            r#"{
              "name": "My Shop", "stack": "heroku-22", "addons": ["x"],
              "env": {"A": "1", "N": 5, "SECRET": {"generator": "secret", "description": "Signs sessions"},
                      "OPT": {"required": false}, "V": {"value": true}},
              "formation": {"web": {"quantity": 2, "size": "basic"}},
              "healthchecks": {"web": [{"type": "startup", "path": "/up", "attempts": 3, "timeout": 2, "wait": 1, "content": "ok"}]},
              "scripts": {"test": "pytest", "postdeploy": "seed", "dokku": {"predeploy": "migrate"}}
            }"#,
        )
        .unwrap();
        assert_eq!(draft.name.unwrap().as_str(), "my-shop");
        assert_eq!(draft.env["N"], "5");
        assert_eq!(draft.env["V"], "true");
        assert!(draft.required_env["SECRET"].starts_with("Signs sessions"));
        assert!(!draft.required_env.contains_key("OPT"));
        assert_eq!(draft.processes[&ProcessType::web()].instances, Some(2));
        assert_eq!(draft.health.path.as_deref(), Some("/up"));
        assert_eq!(draft.health.start_ms, Some(9_000));
        assert_eq!(draft.release.unwrap().command, "migrate");
        assert_eq!(draft.more_stages.len(), 1);
        assert_eq!(draft.notes.len(), 1);
    }

    #[test]
    fn mistakes_have_places() {
        let place = |text: &str| {
            let place = read(text).unwrap_err().to_problem().place.unwrap();
            (place.line, place.column)
        };
        assert_eq!(place("{\n  \"name\": \"x\",\n}").0, 3);
        assert_eq!(
            place("{\"formation\": {\"web\": {\"quantity\": \"two\"}}}").0,
            1
        );
        assert_eq!(place("{\n\"formation\": {\"Web!\": {}}}"), (2, 16));
        assert_eq!(place("{\n\"env\": {\"A B\": \"\"}}"), (2, 10));
        assert_eq!(place("").0, 1);
        assert!(read(&"[".repeat(10_000)).is_err());
    }
}
