//! Whether a stage's condition holds.

use launchway_model::Problem;

use super::checkout;
use super::script;
use super::stages::Context;
use super::steps::{Interrupt, Outcome};
use crate::glob::Pattern;
use crate::plan::Condition;

/// Whether it holds. A command in it is run as a step, and may meet a time limit or be stopped.
pub(crate) fn holds(context: &Context<'_>, condition: &Condition) -> Result<bool, Problem> {
    Ok(match condition {
        Condition::All(all) => {
            for condition in all {
                if !holds(context, condition)? {
                    return Ok(false);
                }
            }
            true
        }
        Condition::Any(any) => {
            for condition in any {
                if holds(context, condition)? {
                    return Ok(true);
                }
            }
            false
        }
        Condition::Not(not) => !holds(context, not)?,
        Condition::Branch(pattern) => context
            .build
            .job
            .branch
            .as_ref()
            .is_some_and(|branch| Pattern::new(pattern).matches(branch)),
        Condition::Tag(pattern) => context.environment.get("TAG_NAME").is_some_and(|tag| {
            pattern
                .as_ref()
                .is_none_or(|pattern| Pattern::new(pattern).matches(tag))
        }),
        Condition::ChangeRequest => context.environment.contains_key("CHANGE_ID"),
        Condition::Environment { name, value } => {
            let expected = context.text(value)?;
            context
                .environment
                .get(name)
                .is_some_and(|value| *value == expected)
        }
        Condition::Equals { expected, actual } => {
            context.text(expected)? == context.text(actual)?
        }
        Condition::Changed(pattern) => {
            let pattern = Pattern::new(pattern);
            context
                .build
                .changed
                .get_or_init(|| checkout::changed_files(context.build.job))
                .iter()
                .any(|file| pattern.matches(file))
        }
        Condition::Exists(path) => context.folder.join(path).exists(),
        Condition::Command(command) => context.succeeds(command)?,
        Condition::Cause(cause) => {
            let known = context.build.job.cause.as_str();
            // A push is told of by a webhook, a poll, or git itself; Jenkins' `SCMTrigger` is any of them.
            let is_push = matches!(known, "push" | "webhook" | "poll");
            known.eq_ignore_ascii_case(cause) || (is_push && cause.eq_ignore_ascii_case("push"))
        }
        Condition::Script(script) => match script::run(context, &Outcome::default(), script) {
            Ok(value) => value.is_true(),
            Err(Interrupt::Failed(problem) | Interrupt::Aborted(problem)) => return Err(problem),
        },
    })
}
