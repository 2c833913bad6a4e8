//! `dependencyCheck` and `dependencyCheckPublisher` as a Jenkinsfile writes them.

use super::super::dependency_check::{Check, Publish, check, publish};
use super::host::ScriptHost;
use crate::dependency_check::{Limits, Thresholds};
use crate::groovy::{Args, Span, Thrown, Value};

/// Runs one of the two; `None` where it is neither.
pub(super) fn call(
    host: &ScriptHost<'_>,
    name: &str,
    args: &Args,
    span: Span,
) -> Option<Result<Value, Thrown>> {
    let text = |name: &str| {
        args.get(name)
            .filter(|value| !matches!(value, Value::Null))
            .map(Value::to_text)
    };
    let flag = |name: &str| args.get(name).is_some_and(Value::is_true);
    Some(match name {
        "dependencyCheck" | "dependencycheck" => {
            for name in ["skipOnScmChange", "skipOnUpstreamChange"] {
                if flag(name) {
                    host.context.log.say(&format!(
                        "`{name}` is not heeded: a scan takes a blink here, and each commit is looked at"
                    ));
                }
            }
            let step = Check {
                arguments: text("additionalArguments").unwrap_or_default(),
                installation: text("odcInstallation"),
                stop_build: flag("stopBuild"),
            };
            host.done(check(host.context, host.outcome, &step), span)
        }
        "dependencyCheckPublisher" => thresholds(host, args, span).and_then(|thresholds| {
            let step = Publish {
                pattern: text("pattern"),
                thresholds,
                stop_build: flag("stopBuild"),
            };
            host.done(publish(host.context, host.outcome, &step), span)
        }),
        _ => return None,
    })
}

fn thresholds(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Thresholds, Thrown> {
    let limit = |name: &str| -> Result<Option<u64>, Thrown> {
        let text = match args.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value.to_text(),
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        text.trim()
            .parse()
            .map(Some)
            .map_err(|_| host.fail(format!("`{name}: {text}` is no number of findings"), span))
    };
    let limits = |prefix: &str| -> Result<Limits, Thrown> {
        Ok(Limits {
            critical: limit(&format!("{prefix}Critical"))?,
            high: limit(&format!("{prefix}High"))?,
            medium: limit(&format!("{prefix}Medium"))?,
            low: limit(&format!("{prefix}Low"))?,
        })
    };
    Ok(Thresholds {
        failed_total: limits("failedTotal")?,
        unstable_total: limits("unstableTotal")?,
        failed_new: limits("failedNew")?,
        unstable_new: limits("unstableNew")?,
    })
}
