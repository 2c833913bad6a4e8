//! The steps that control answers: `input` and `build`.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use launchway_model::build::BuildResult;
use launchway_model::request::{Ask, InputKind, InputParameter, InputQuestion};

use super::super::asking;
use super::super::input;
use super::super::steps::Interrupt;
use super::files;
use super::host::ScriptHost;
use super::result_of;
use super::steps::list;
use crate::groovy::{Args, Map, Span, Thrown, Value};

/// `input message: '…', parameters: […]`: gives the field's value where there is one, a map where there are several.
pub(super) fn input(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let text = |name: &str| args.get(name).map(Value::to_text);
    let mut parameters = Vec::new();
    for value in list(args.get("parameters")) {
        let Value::Map(map) = &value else {
            return Err(host.fail(
                "the parameters of `input` are calls such as string(name: 'X')",
                span,
            ));
        };
        parameters.push(field(&map.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    let question = InputQuestion {
        stage: host.context.stage,
        message: files::main(host, args, "message", span)?,
        ok: text("ok").unwrap_or_else(|| "Proceed".to_owned()),
        submitter: input::names(&text("submitter").unwrap_or_default()),
        parameters,
    };
    let kinds = question.parameters.clone();
    let answer =
        input::ask(host.context, question).map_err(|interrupt| host.throw(interrupt, span))?;
    let mut values: Vec<(String, Value)> = Vec::new();
    for field in &kinds {
        let given = answer.values.get(&field.name).cloned().unwrap_or_default();
        let value = match field.kind {
            InputKind::Bool { .. } => Value::Bool(given == "true"),
            _ => Value::text(given),
        };
        values.push((field.name.clone(), value));
    }
    if let Some(name) = text("submitterParameter") {
        values.push((name, Value::text(answer.by.unwrap_or_default())));
    }
    Ok(match values.len() {
        0 => Value::Null,
        1 => values.remove(0).1,
        _ => Value::map(values.into_iter().map(|(name, value)| (name.into(), value))),
    })
}

fn field(map: &Map) -> InputParameter {
    let text = |key: &str| map.get_text(key).map(Value::to_text);
    let default = text("defaultValue")
        .or_else(|| text("value"))
        .unwrap_or_default();
    InputParameter {
        name: text("name").unwrap_or_default(),
        description: text("description").unwrap_or_default(),
        kind: match text("$class").unwrap_or_default().as_str() {
            "booleanParam" => InputKind::Bool {
                default: default == "true",
            },
            "choice" => InputKind::Choice {
                choices: match map.get_text("choices") {
                    Some(Value::List(_)) => list(map.get_text("choices"))
                        .iter()
                        .map(Value::to_text)
                        .collect(),
                    Some(text) => text
                        .to_text()
                        .lines()
                        .map(|line| line.trim().to_owned())
                        .collect(),
                    None => Vec::new(),
                },
            },
            "password" => InputKind::Password { default },
            kind => InputKind::Text {
                default,
                lines: kind == "text",
            },
        },
    }
}

/// `build job: 'x', parameters: […], wait: true, propagate: true`.
pub(super) fn build(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let job = files::main(host, args, "job", span)?;
    let is = |name: &str| args.get(name).is_none_or(Value::is_true);
    let (wait, propagate) = (is("wait"), is("propagate"));
    let mut parameters = BTreeMap::new();
    for value in list(args.get("parameters")) {
        if let Value::Map(map) = &value {
            let map = map.lock().unwrap_or_else(PoisonError::into_inner);
            let text = |key: &str| map.get_text(key).map(Value::to_text);
            parameters.insert(
                text("name").unwrap_or_default(),
                text("value").unwrap_or_default(),
            );
        }
    }
    let context = host.context;
    context.log.say(&format!("Asking for a build of {job}"));
    let ask = Ask::Build {
        job: job.clone(),
        parameters,
        wait,
    };
    let answer = context
        .build
        .permits
        .without(|| asking::ask(context, ask))
        .map_err(|interrupt| host.throw(interrupt, span))?;
    for line in &answer.lines {
        context.log.say(line);
    }
    let value = |name: &str| answer.values.get(name).cloned().unwrap_or_default();
    let word = value("result");
    let result = result_of(&word);
    if let Some(result) = result.filter(|result| propagate && *result != BuildResult::Success) {
        let problem = launchway_model::Problem::failed(format!(
            "build {} of {} ended as {word}",
            value("number"),
            value("job")
        ));
        if result == BuildResult::Unstable {
            context.build.remember(BuildResult::Unstable, problem);
            host.outcome.worsen(BuildResult::Unstable);
        } else if result == BuildResult::Aborted {
            return Err(host.throw(Interrupt::Aborted(problem), span));
        } else {
            return Err(host.throw(Interrupt::Failed(problem), span));
        }
    }
    if !wait {
        return Ok(Value::Null);
    }
    let number: i64 = value("number").parse().unwrap_or(0);
    let result = || {
        if word.is_empty() {
            Value::Null
        } else {
            Value::text(word.as_str())
        }
    };
    Ok(Value::map([
        ("number".into(), Value::Int(number)),
        ("id".into(), value("number").into()),
        ("result".into(), result()),
        ("currentResult".into(), result()),
        ("projectName".into(), value("job").into()),
        ("fullProjectName".into(), value("job").into()),
        ("displayName".into(), format!("#{number}").into()),
        (
            "fullDisplayName".into(),
            format!("{} #{number}", value("job")).into(),
        ),
        ("absoluteUrl".into(), value("url").into()),
        (
            "duration".into(),
            Value::Int(value("duration").parse().unwrap_or(0)),
        ),
    ]))
}
