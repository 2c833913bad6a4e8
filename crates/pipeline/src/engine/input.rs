//! Waits for a person's word.

use launchway_model::Problem;
use launchway_model::request::{Answer, AnswerOutcome, Ask, InputQuestion};

use super::asking;
use super::stages::Context;
use super::steps::Interrupt;

/// Asks a person and waits; a no ends the stage as aborted, as in Jenkins. Meanwhile another stage may have the place.
pub(crate) fn ask(context: &Context<'_>, question: InputQuestion) -> Result<Answer, Interrupt> {
    context
        .log
        .say(&format!("{} (waiting for an answer)", question.message));
    let message = question.message.clone();
    let answer = context
        .build
        .permits
        .without(|| asking::ask(context, Ask::Input(question)))?;
    let by = answer.by.as_deref().unwrap_or("somebody");
    match answer.outcome {
        AnswerOutcome::Done => {
            context.log.say(&format!("Approved by {by}"));
            Ok(answer)
        }
        AnswerOutcome::Aborted | AnswerOutcome::Failed => Err(Interrupt::Aborted(Problem::failed(
            format!("{by} said no to \"{message}\""),
        ))),
    }
}

/// What a stage asks before it runs; the fields become its variables.
pub(crate) fn of_stage(
    context: &mut Context<'_>,
    input: &crate::plan::Input,
) -> Result<(), Interrupt> {
    let text = |text| context.text(text).map_err(Interrupt::Failed);
    let submitter = input.submitter.as_ref().map(&text).transpose()?;
    let question = InputQuestion {
        stage: context.stage,
        message: text(&input.message)?,
        ok: input.ok.clone().unwrap_or_else(|| "Proceed".to_owned()),
        submitter: names(submitter.as_deref().unwrap_or_default()),
        parameters: input.parameters.clone(),
    };
    let answer = ask(context, question)?;
    let by = input.submitter_parameter.clone().zip(answer.by);
    for (name, value) in answer.values.into_iter().chain(by) {
        context.pinned.insert(name.clone());
        context.environment.insert(name, value);
    }
    Ok(())
}

/// `alice, bob` as names.
pub(crate) fn names(text: &str) -> Vec<String> {
    text.split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}
