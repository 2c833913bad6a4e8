//! `env`, `params`, `currentBuild` and `scm`.

use std::sync::PoisonError;

use super::super::stages::worse;
use super::host::ScriptHost;
use super::{result_name, result_of};
use crate::groovy::{Args, Span, Thrown, Value};

/// A variable of the environment as the script sees it.
pub(super) fn variable(host: &ScriptHost<'_>, name: &str) -> Option<String> {
    if !host.context.pinned.contains(name) {
        let set = host
            .scripts
            .variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = set.get(name) {
            return Some(value.clone());
        }
    }
    host.context.environment.get(name).cloned()
}

/// A property; one that the object does not have is null, as in Groovy's maps.
pub(super) fn property(host: &ScriptHost<'_>, object: &str, name: &str) -> Option<Value> {
    Some(match object {
        "env" => variable(host, name).map_or(Value::Null, Value::text),
        "params" => host
            .scripts
            .parameters
            .get(name)
            .cloned()
            .unwrap_or_default(),
        "currentBuild" => return current_build(host, name),
        "scm" => match name {
            "branches" => Value::list([Value::text(
                host.context.build.job.branch.clone().unwrap_or_default(),
            )]),
            _ => return None,
        },
        _ => return None,
    })
}

fn current_build(host: &ScriptHost<'_>, name: &str) -> Option<Value> {
    let current = host.scripts.current();
    let build = host.context.build;
    let number = i64::try_from(build.job.build.0).unwrap_or(i64::MAX);
    let took = i64::try_from(build.started.elapsed().as_millis()).unwrap_or(i64::MAX);
    let so_far = worse(
        worse(current.reached, host.outcome.get()),
        current
            .result
            .unwrap_or(launchway_model::build::BuildResult::Success),
    );
    let began = jiff::Timestamp::now().as_millisecond().saturating_sub(took);
    Some(match name {
        "result" => current
            .result
            .map_or(Value::Null, |result| result_name(result).into()),
        "currentResult" => result_name(so_far).into(),
        "resultIsBetterOrEqualTo" => return None,
        "number" => number.into(),
        "id" => build.job.build.0.to_string().into(),
        "displayName" => current
            .display_name
            .unwrap_or_else(|| format!("#{number}"))
            .into(),
        "description" => current.description.map_or(Value::Null, Value::text),
        "fullDisplayName" => format!("{} #{number}", build.job.app).into(),
        "projectName" | "fullProjectName" => build.job.app.to_string().into(),
        "duration" => took.into(),
        "durationString" => {
            crate::describe::quantity::show_ms(u64::try_from(took).unwrap_or(0)).into()
        }
        "startTimeInMillis" | "timeInMillis" => began.into(),
        "absoluteUrl" => variable(host, "BUILD_URL").map_or(Value::Null, Value::text),
        "previousBuild" | "previousCompletedBuild" | "previousBuiltBuild" => match build.last {
            Some(last) => Value::map([
                ("result".into(), result_name(last).into()),
                ("currentResult".into(), result_name(last).into()),
            ]),
            None => Value::Null,
        },
        "previousSuccessfulBuild" | "rawBuild" | "upstreamBuilds" => Value::Null,
        "changeSets" | "buildCauses" => Value::list([]),
        "buildVariables" => Value::map([]),
        "keepLog" => Value::Bool(false),
        _ => return None,
    })
}

/// `env.X = …`, `currentBuild.result = …`.
pub(super) fn set_property(
    host: &ScriptHost<'_>,
    object: &str,
    name: &str,
    value: &Value,
) -> Result<(), Thrown> {
    let wrong = |message: String| {
        Err(Thrown::new(
            "java.lang.IllegalArgumentException",
            message,
            Span::default(),
        ))
    };
    match (object, name) {
        ("env", name) => {
            let mut variables = host
                .scripts
                .variables
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if matches!(value, Value::Null) {
                variables.remove(name);
            } else {
                variables.insert(name.to_owned(), value.to_text().replace('\0', ""));
            }
            Ok(())
        }
        ("currentBuild", "result") => {
            let Some(result) = result_of(&value.to_text()) else {
                return wrong(format!(
                    "`{}` is no result: SUCCESS, UNSTABLE, FAILURE, NOT_BUILT or ABORTED",
                    value.to_text()
                ));
            };
            // As in Jenkins, a result only ever becomes worse.
            host.scripts.change(|current| {
                current.result = Some(current.result.map_or(result, |old| old.max(result)));
            });
            if result > launchway_model::build::BuildResult::Success {
                let problem = launchway_model::Problem::failed(format!(
                    "the script set the build's result to {}",
                    result_name(result)
                ));
                host.context.build.remember(result, problem);
            }
            Ok(())
        }
        ("currentBuild", "displayName") => {
            host.scripts
                .change(|current| current.display_name = Some(value.to_text()));
            host.context
                .log
                .say(&format!("This build is called {}", value.to_text()));
            Ok(())
        }
        ("currentBuild", "description") => {
            host.scripts
                .change(|current| current.description = Some(value.to_text()));
            host.context
                .log
                .say(&format!("This build is described as {}", value.to_text()));
            Ok(())
        }
        _ => wrong(format!("`{object}.{name}` cannot be set")),
    }
}

/// `env.getProperty('X')`, `params.get('X')`, `currentBuild.resultIsBetterOrEqualTo('UNSTABLE')`.
pub(super) fn method(
    host: &ScriptHost<'_>,
    object: &str,
    method: &str,
    args: &Args,
) -> Option<Result<Value, Thrown>> {
    let first = args.positional.first().map(Value::to_text);
    let value = match (object, method) {
        ("env", "getEnvironment") | ("env", "toMap") => {
            let environment = host.context.effective().into_owned();
            Value::map(
                environment
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into())),
            )
        }
        ("params", "toMap") => Value::map(
            host.scripts
                .parameters
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.clone())),
        ),
        ("env" | "params", "getProperty" | "get" | "getAt") => property(host, object, &first?)?,
        ("params", "containsKey") => host.scripts.parameters.contains_key(&first?).into(),
        ("currentBuild", "resultIsBetterOrEqualTo" | "resultIsWorseOrEqualTo") => {
            let now = result_of(&current_build(host, "currentResult")?.to_text())?;
            let other = result_of(&first?)?;
            if method == "resultIsBetterOrEqualTo" {
                (now <= other).into()
            } else {
                (now >= other).into()
            }
        }
        ("currentBuild", "getPreviousBuild") => current_build(host, "previousBuild")?,
        ("currentBuild", "getBuildCauses") => Value::list([]),
        ("currentBuild", getter) => {
            let name = getter.strip_prefix("get")?;
            let mut letters = name.chars();
            let first = letters.next()?.to_ascii_lowercase();
            current_build(host, &format!("{first}{}", letters.as_str()))?
        }
        _ => return None,
    };
    Some(Ok(value))
}
