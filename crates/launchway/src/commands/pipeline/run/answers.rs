//! Answers what a build asks where there is no server: a person at the terminal says yes or no, and what only a server could do
//! is left out with a word.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use launchway_model::Problem;
use launchway_model::request::{Answer, AnswerOutcome, Ask, InputQuestion, answer_path};

/// How inputs are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inputs {
    /// At the terminal.
    Ask,
    /// With yes and the defaults.
    Yes,
}

/// Answers one request and gives what to show to the person; an input at a terminal is answered by a thread of its own, so
/// that the log goes on meanwhile.
pub(super) fn answer(build: &Path, number: u32, ask: Ask, inputs: Inputs) -> Vec<String> {
    let answer = match ask {
        Ask::Input(question) => return input(build, number, question, inputs),
        Ask::Deploy => Answer::done(vec![
            "There is no server here: on one, this build would be deployed now.".to_owned(),
        ]),
        Ask::Build { job, .. } => Answer::done(vec![format!(
            "There is no server here: on one, `{job}` would be built now."
        )])
        .value("result", "SUCCESS")
        .value("number", 0)
        .value("job", job),
        Ask::AppStatus => {
            Answer::done(vec!["There is no server here.".to_owned()]).value("active", "active")
        }
        Ask::AppLog { .. } => {
            Answer::done(vec!["There is no server here, and so no log.".to_owned()])
        }
        Ask::Mail(mail) => Answer::done(vec![format!(
            "There is no server here: on one, a mail \"{}\" would go to {}.",
            mail.subject, mail.to
        )]),
        Ask::Chat(chat) => Answer::done(vec![format!(
            "There is no server here: on one, the chat would be told \"{}\".",
            chat.message
        )]),
    };
    write(build, number, &answer);
    Vec::new()
}

fn input(build: &Path, number: u32, question: InputQuestion, inputs: Inputs) -> Vec<String> {
    let mut lines = vec![format!("? {}", question.message)];
    for field in &question.parameters {
        let about = if field.description.is_empty() {
            String::new()
        } else {
            format!(" ({})", field.description)
        };
        lines.push(format!(
            "    {}={}{about}",
            field.name,
            field.default_value()
        ));
    }
    if inputs == Inputs::Yes {
        lines.push("    yes, as --yes says".to_owned());
        write(build, number, &said(&question, true, BTreeMap::new()));
        return lines;
    }
    if !std::io::stdin().is_terminal() {
        let problem = Problem::failed(format!(
            "nobody is there to answer \"{}\"",
            question.message
        ))
        .hint("Run it in a terminal, or say yes to every input with `--yes`.");
        write(build, number, &Answer::failed(problem));
        return lines;
    }
    let fields = if question.parameters.is_empty() {
        ""
    } else {
        ", NAME=VALUE to set a field"
    };
    lines.push(format!("    y: {}, n: abort{fields}", question.ok));
    let build = build.to_owned();
    std::thread::spawn(move || at_terminal(&build, number, &question));
    lines
}

/// Reads lines until one says yes or no.
fn at_terminal(build: &Path, number: u32, question: &InputQuestion) {
    let mut values = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let line = line.trim();
        match line.to_lowercase().as_str() {
            "y" | "yes" => return write(build, number, &said(question, true, values)),
            "n" | "no" | "abort" => return write(build, number, &said(question, false, values)),
            lower if lower == question.ok.to_lowercase() => {
                return write(build, number, &said(question, true, values));
            }
            _ => {}
        }
        let field = line.split_once('=').and_then(|(name, value)| {
            let field = question
                .parameters
                .iter()
                .find(|field| field.name == name.trim())?;
            Some((field, value.trim()))
        });
        match field {
            Some((field, value)) => match field.check(value) {
                Ok(()) => {
                    values.insert(field.name.clone(), value.to_owned());
                }
                Err(problem) => tracing::warn!("{problem}"),
            },
            None => tracing::warn!("type y or n"),
        }
    }
    write(build, number, &said(question, false, values));
}

fn said(question: &InputQuestion, yes: bool, mut values: BTreeMap<String, String>) -> Answer {
    for field in &question.parameters {
        values
            .entry(field.name.clone())
            .or_insert_with(|| field.default_value());
    }
    Answer {
        outcome: if yes {
            AnswerOutcome::Done
        } else {
            AnswerOutcome::Aborted
        },
        by: std::env::var("USER").ok(),
        values,
        lines: Vec::new(),
        problem: None,
    }
}

fn write(build: &Path, number: u32, answer: &Answer) {
    let path = answer_path(build, number);
    let half = path.with_extension("new");
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&half, serde_json::to_vec(answer).unwrap_or_default()))
        .and_then(|()| std::fs::rename(&half, &path));
    if let Err(error) = written {
        tracing::error!(%error, "an answer cannot be written");
    }
}
