//! `Procfile`: one process type a line, `web: gunicorn app:app`, as Heroku, Dokku and foreman have it.

use std::ops::Range;

use launchway_model::ProcessType;
use launchway_model::app::CommandSpec;
use launchway_model::suggest;

use super::draft::{Draft, ProcessDraft};
use super::toml_reader::Source;
use crate::error::{DescribeError, FileError};

/// The file's name.
pub(crate) const FILE: &str = "Procfile";

/// Reads a Procfile. Whether it has a `web` is asked with [`require_web`], once it is known that nothing else has.
pub(crate) fn read(text: &str) -> Result<Draft, DescribeError> {
    let source = Source::new(FILE, text);
    let mut draft = Draft {
        sources: vec![FILE.to_owned()],
        ..Draft::default()
    };
    for (span, line) in lines(text) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let start = span.start + (line.len() - line.trim_start().len());
        let whole = start..start + trimmed.len();
        let Some((name, command)) = trimmed.split_once(':') else {
            let hint = format!("Write the process type and a colon first: `web: {trimmed}`.");
            return Err(wrong(
                source
                    .error(
                        whole,
                        "a line without a process type",
                        "expected TYPE: COMMAND",
                    )
                    .hint(Some(hint)),
            ));
        };
        let at = start..start + name.len();
        let (name, command) = (name.trim_end(), command.trim());
        let kind: ProcessType =
            name.parse()
                .map_err(|error: launchway_model::names::NameError| {
                    let hint = if name.contains(char::is_whitespace) {
                        format!("If the whole line is a command, write `web: {trimmed}`.")
                    } else {
                        format!("`{}` would do.", near_name(name))
                    };
                    wrong(
                        source
                            .error(at.clone(), error.to_string(), "a process type")
                            .hint(Some(hint)),
                    )
                })?;
        if command.is_empty() {
            return Err(wrong(source.error(
                whole,
                format!("`{name}` has no command"),
                "expected a command after the colon",
            )));
        }
        if kind.as_str() == "release" {
            if draft.release.is_some() {
                return Err(twice(source, at, name));
            }
            draft.release = Some(CommandSpec {
                command: command.to_owned(),
                timeout_ms: 600_000,
            });
        } else if draft
            .processes
            .insert(kind, ProcessDraft::command(command))
            .is_some()
        {
            return Err(twice(source, at, name));
        }
    }
    Ok(draft)
}

/// Refuses a Procfile that leaves an app without anything to serve.
pub(crate) fn require_web(text: &str, draft: &Draft) -> Result<(), DescribeError> {
    let source = Source::new(FILE, text);
    let others: Vec<&str> = draft.processes.keys().map(ProcessType::as_str).collect();
    let near = others.iter().find(|name| {
        suggest::nearest(name, ["web"]).is_some()
            || ["server", "app", "http", "www", "start"].contains(name)
    });
    let (span, hint) = match near {
        Some(name) => {
            let at = lines(text)
                .find(|(_, line)| line.trim_start().starts_with(name))
                .map_or(0..0, |(span, _)| span.start..span.start + name.len());
            (at, format!("Did you mean `web` where it says `{name}`?"))
        }
        None => (
            0..text.lines().next().map_or(0, str::len),
            "Add a line such as `web: gunicorn app:app`; the command must listen on $PORT."
                .to_owned(),
        ),
    };
    let there = if others.is_empty() {
        "it has no process types".to_owned()
    } else {
        format!("it has {}", others.join(", "))
    };
    Err(wrong(
        source
            .error(
                span,
                format!("the Procfile has no `web`: {there}"),
                "the process type that takes requests is called web",
            )
            .hint(Some(hint)),
    ))
}

/// Lines with their spans, without the line ends.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        (start..start + line.len(), line)
    })
}

fn near_name(name: &str) -> String {
    let name: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = name
        .trim_matches('-')
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    name.chars().take(ProcessType::MAX).collect()
}

fn twice(source: Source<'_>, span: Range<usize>, name: &str) -> DescribeError {
    wrong(source.error(span, format!("`{name}` is there twice"), "the second one"))
}

fn wrong(error: FileError) -> DescribeError {
    Box::new(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> launchway_model::Problem {
        read(text).unwrap_err().to_problem()
    }

    #[test]
    fn lines_become_process_types() {
        let draft = read("# our app\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\n\nworker : python w.py\nrelease: flask db upgrade").unwrap();
        let types: Vec<_> = draft.processes.keys().map(ProcessType::as_str).collect();
        assert_eq!(types, ["web", "worker"]);
        assert_eq!(draft.release.unwrap().command, "flask db upgrade");
        assert_eq!(
            draft.processes[&ProcessType::web()].command.as_deref(),
            Some("gunicorn app:app --bind 0.0.0.0:$PORT")
        );
    }

    #[test]
    fn each_mistake_has_its_place() {
        let at = |text: &str| {
            let place = problem(text).place.unwrap();
            (place.line, place.column)
        };
        assert_eq!(at("web: x\n  gunicorn app\n"), (2, 3));
        assert_eq!(at("web: x\nWorker_1: y"), (2, 1));
        assert_eq!(at("web:   "), (1, 1));
        assert_eq!(at("web: a\nweb: b"), (2, 1));
        assert!(
            problem("Celery_Beat: y")
                .hint
                .unwrap()
                .contains("`celery-beat`")
        );
    }

    #[test]
    fn a_missing_web_names_what_is_there() {
        let text = "wbe: x\nworker: y";
        let problem = require_web(text, &read(text).unwrap())
            .unwrap_err()
            .to_problem();
        assert_eq!(
            problem.message,
            "the Procfile has no `web`: it has wbe, worker"
        );
        assert_eq!(
            problem.hint.as_deref(),
            Some("Did you mean `web` where it says `wbe`?")
        );
        assert_eq!(problem.place.unwrap().line, 1);
        assert!(require_web("", &read("").unwrap()).is_err());
    }
}
