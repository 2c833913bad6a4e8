//! The `[[stage]]` tables of launchway.toml, lowered to the plan's stages.

use std::collections::BTreeMap;
use std::ops::Range;

use launchway_model::agent::LabelExpression;
use toml::de::DeValue;

use super::launchway_toml;
use super::services;
use super::toml_reader::{self, Table};
use crate::error::{DescribeError, place_of};
use crate::persist;
use crate::plan::{
    Agent, Body, Condition, Make, Matrix, Options, Post, PostWhen, Stage, Step, Text, Variable,
};

const KEYS: [&str; 22] = [
    "name",
    "run",
    "env",
    "timeout",
    "folder",
    "retry",
    "when",
    "makes",
    "from",
    "tools",
    "tests",
    "artifacts",
    "parallel",
    "fail_fast",
    "stage",
    "matrix",
    "exclude",
    "agent",
    "after",
    "allow_failure",
    "services",
    "input",
];
const WHEN_KEYS: [&str; 11] = [
    "branch",
    "tag",
    "pull_request",
    "changed",
    "exists",
    "env",
    "command",
    "cause",
    "not",
    "any",
    "all",
];
pub(super) const AFTER: [(&str, PostWhen); 9] = [
    ("always", PostWhen::Always),
    ("changed", PostWhen::Changed),
    ("fixed", PostWhen::Fixed),
    ("regression", PostWhen::Regression),
    ("aborted", PostWhen::Aborted),
    ("failure", PostWhen::Failure),
    ("success", PostWhen::Success),
    ("unstable", PostWhen::Unstable),
    ("cleanup", PostWhen::Cleanup),
];

/// How deep stages may be nested.
const MAX_DEPTH: u32 = 8;
/// The most stages of a plan, matrix cells included.
const MAX_STAGES: u32 = 1000;

/// The `[[stage]]` tables of a document.
pub(super) fn read(table: &Table<'_>) -> Result<Vec<Stage>, DescribeError> {
    let stages = list(table, 0)?;
    if stages.iter().map(Stage::size).fold(0, u32::saturating_add) > MAX_STAGES {
        return Err(table.error(
            table.span_of("stage"),
            format!("there are more than {MAX_STAGES} stages"),
            "fewer stages, or a smaller matrix",
        ));
    }
    Ok(stages)
}

fn list(table: &Table<'_>, depth: u32) -> Result<Vec<Stage>, DescribeError> {
    let tables = table.tables("stage")?;
    if depth > MAX_DEPTH {
        return Err(table.error(
            table.span_of("stage"),
            format!("stages are nested more than {MAX_DEPTH} deep"),
            "fewer levels",
        ));
    }
    let mut stages = Vec::new();
    for table in tables {
        stages.push(stage(&table, depth)?);
    }
    Ok(stages)
}

fn stage(table: &Table<'_>, depth: u32) -> Result<Stage, DescribeError> {
    table.only(&KEYS)?;
    let Some((name, _)) = table.word("name")? else {
        return Err(table.error_hint(
            table.span.clone(),
            "[[stage]] has no `name`",
            "expected name = \"…\"",
            "Every stage has a name, which people see on the build's page: `name = \"Test\"`.",
        ));
    };
    let inner = list(table, depth + 1)?;
    let run = table.texts("run")?;
    let parallel = table.flag("parallel")?.unwrap_or(false);
    let fail_fast = table.flag("fail_fast")?.unwrap_or(false);
    if !inner.is_empty() && run.is_some() {
        return Err(table.error(
            table.span_of("run"),
            format!("stage `{name}` has both `run` and stages of its own"),
            "either a command or stages",
        ));
    }
    if inner.is_empty() && parallel {
        return Err(table.error_hint(
            table.span_of("parallel"),
            format!("stage `{name}` is parallel but has no stages of its own"),
            "needs [[stage.stage]] tables",
            "Write the stages that shall run side by side as [[stage.stage]] below it.",
        ));
    }
    let body = match (inner.is_empty(), parallel) {
        (false, true) => Body::Parallel {
            stages: inner,
            fail_fast,
        },
        (false, false) => Body::Stages(inner),
        (true, _) => Body::Steps(steps(table, &name, run)?),
    };
    let mut stage = Stage::new(name, Vec::new());
    stage.body = body;
    stage.env = table
        .variables("env")?
        .into_iter()
        .map(|(name, value)| Variable::plain(name, value))
        .collect();
    stage.options = Options {
        timeout_ms: table.duration("timeout")?,
        attempts: table.count("retry", 0..=100)?.map(|again| again + 1),
        ..Options::default()
    };
    stage.agent = agent(table)?;
    stage.when = table
        .table("when")?
        .map(|when| condition(&when, 0))
        .transpose()?;
    stage.services = services::services(table)?;
    stage.input = services::input(table)?;
    stage.post = after(table)?;
    results(table, &mut stage)?;
    stage.place = Some(place_of(
        table.source.file,
        table.source.text,
        table.span.start,
    ));
    matrix(table, stage)
}

/// The commands of a stage, in its folder, cached where `makes` says so.
fn steps(
    table: &Table<'_>,
    name: &str,
    run: Option<Vec<toml_reader::Text>>,
) -> Result<Vec<Step>, DescribeError> {
    let Some(run) = run.filter(|run| !run.is_empty()) else {
        if table.has("tests") || table.has("artifacts") {
            return Ok(Vec::new());
        }
        return Err(table.error_hint(
            table.span.clone(),
            format!("stage `{name}` has no `run`"),
            "expected run = \"COMMAND\"",
            "Write the stage's command, or several lines between three quotes.",
        ));
    };
    let mut steps: Vec<Step> = run.into_iter().map(|(run, _)| Step::run(run)).collect();
    if let Some(folder) = launchway_toml::folder(table, "folder")? {
        steps = vec![Step::InFolder {
            folder: Text::Plain(folder),
            steps,
        }];
    }
    match (table.texts("makes")?, table.texts("from")?) {
        (Some(makes), Some(from)) => {
            let makes = inside(table, "makes", makes)?;
            let from = inside(table, "from", from)?;
            let tools = table.texts("tools")?.unwrap_or_default();
            steps = vec![Step::Make(Make {
                makes,
                from,
                tools: tools.into_iter().map(|(tool, _)| tool).collect(),
                steps,
            })];
        }
        (None, None) => {
            if table.has("tools") {
                return Err(table.error(
                    table.span_of("tools"),
                    format!("stage `{name}` has `tools` but no `makes` and `from`"),
                    "goes with makes = […] and from = […]",
                ));
            }
        }
        (makes, _) => {
            let (given, missing) = if makes.is_some() {
                ("makes", "from")
            } else {
                ("from", "makes")
            };
            return Err(table.error_hint(
                table.span_of(given),
                format!("stage `{name}` has `{given}` but no `{missing}`"),
                format!("also needs {missing} = […]"),
                "`makes` names what the stage makes, `from` the files that decide it, such as a lock file: while those are unchanged, the result of an earlier build is taken.",
            ));
        }
    }
    if table.flag("allow_failure")?.unwrap_or(false) {
        steps = vec![Step::CatchError {
            steps,
            build: launchway_model::build::BuildResult::Success,
            stage: launchway_model::build::BuildResult::Unstable,
            message: None,
        }];
    }
    Ok(steps)
}

fn inside(
    table: &Table<'_>,
    key: &str,
    paths: Vec<toml_reader::Text>,
) -> Result<Vec<String>, DescribeError> {
    paths
        .into_iter()
        .map(|(path, span)| {
            if persist::is_inside(&path) {
                Ok(path)
            } else {
                Err(table.error(
                    span,
                    format!("`{key}` names `{path}`, which is not inside the repository"),
                    "a relative path without `..`",
                ))
            }
        })
        .collect()
}

/// `tests` and `artifacts` are read whether the commands succeeded or not, before anything else that follows.
fn results(table: &Table<'_>, stage: &mut Stage) -> Result<(), DescribeError> {
    let mut steps = Vec::new();
    if let Some(reports) = table.texts("tests")? {
        steps.push(Step::Tests {
            reports: reports.into_iter().map(|(report, _)| report).collect(),
            allow_empty: false,
        });
    }
    if let Some(files) = table.texts("artifacts")? {
        steps.push(Step::Archive {
            files: files.into_iter().map(|(file, _)| file).collect(),
            except: Vec::new(),
            allow_empty: false,
        });
    }
    if !steps.is_empty() {
        stage.post.insert(
            0,
            Post {
                when: PostWhen::Always,
                steps,
            },
        );
    }
    Ok(())
}

/// The stage, or one stage with a parallel one for every cell.
fn matrix(table: &Table<'_>, stage: Stage) -> Result<Stage, DescribeError> {
    let Some(axes) = table.table("matrix")? else {
        if table.has("exclude") {
            return Err(table.error(
                table.span_of("exclude"),
                "`exclude` goes with a `matrix`",
                "there is no matrix",
            ));
        }
        return Ok(stage);
    };
    let mut matrix = Matrix::default();
    for (axis, span, _) in axes.entries() {
        toml_reader::check_variable(&axes, axis, span)?;
        let values = axes.texts(axis)?.unwrap_or_default();
        if values.is_empty() {
            return Err(axes.error(
                axes.span_of(axis),
                format!("the axis `{axis}` has no values"),
                "a list of texts",
            ));
        }
        matrix.axes.push((
            axis.to_owned(),
            values.into_iter().map(|(value, _)| value).collect(),
        ));
    }
    let known: Vec<&str> = matrix.axes.iter().map(|(axis, _)| axis.as_str()).collect();
    let mut excludes = Vec::new();
    for exclude in table.tables("exclude")? {
        exclude.only(&known)?;
        let mut cell = BTreeMap::new();
        for axis in &known {
            if let Some(values) = exclude.texts(axis)? {
                cell.insert(
                    (*axis).to_owned(),
                    values.into_iter().map(|(value, _)| value).collect(),
                );
            }
        }
        excludes.push(cell);
    }
    matrix.excludes = excludes;
    if matrix.cells() > Matrix::MAX_CELLS {
        return Err(axes.error(
            axes.span.clone(),
            format!("the matrix has {} cells", matrix.cells()),
            format!("at most {}", Matrix::MAX_CELLS),
        ));
    }
    let cells = matrix.expand(&stage);
    if cells.is_empty() {
        return Err(axes.error(
            axes.span.clone(),
            "nothing is left of the matrix",
            "at least one cell",
        ));
    }
    let mut outer = Stage::new(stage.name.clone(), Vec::new());
    outer.place.clone_from(&stage.place);
    outer.body = Body::Parallel {
        stages: cells,
        fail_fast: table.flag("fail_fast")?.unwrap_or(false),
    };
    Ok(outer)
}

/// `agent = "linux && docker"`.
pub(super) fn agent(table: &Table<'_>) -> Result<Option<Agent>, DescribeError> {
    let Some((label, span)) = table.word("agent")? else {
        return Ok(None);
    };
    Ok(Some(match label.trim() {
        "any" => Agent::Any,
        label => match label.parse::<LabelExpression>() {
            Ok(_) => Agent::Label(label.to_owned()),
            Err(error) => {
                let expected = format!(
                    "at column {} of the expression: {}, such as `linux && !arm`",
                    error.column, error.expected
                );
                return Err(table.error(span, "this is no expression of labels", expected));
            }
        },
    }))
}

/// `after = { always = "…", failure = "…" }`.
pub(super) fn after(table: &Table<'_>) -> Result<Vec<Post>, DescribeError> {
    let Some(after) = table.table("after")? else {
        return Ok(Vec::new());
    };
    after.only(&AFTER.map(|(key, _)| key))?;
    let mut post = Vec::new();
    for (key, when) in AFTER {
        if let Some(run) = after.texts(key)? {
            post.push(Post {
                when,
                steps: run.into_iter().map(|(run, _)| Step::run(run)).collect(),
            });
        }
    }
    Ok(post)
}

fn condition(table: &Table<'_>, depth: u32) -> Result<Condition, DescribeError> {
    table.only(&WHEN_KEYS)?;
    if depth > MAX_DEPTH {
        return Err(table.error(
            table.span.clone(),
            "the condition is nested too deep",
            "fewer levels",
        ));
    }
    let mut all = Vec::new();
    let any_of = |texts: Option<Vec<toml_reader::Text>>,
                  make: fn(String) -> Condition,
                  all: &mut Vec<Condition>| {
        if let Some(texts) = texts {
            let mut choices: Vec<Condition> =
                texts.into_iter().map(|(text, _)| make(text)).collect();
            match choices.len() {
                1 => all.append(&mut choices),
                _ => all.push(Condition::Any(choices)),
            }
        }
    };
    any_of(table.texts("branch")?, Condition::Branch, &mut all);
    match table.get("tag").map(toml::Spanned::get_ref) {
        Some(DeValue::Boolean(true)) => all.push(Condition::Tag(None)),
        Some(DeValue::Boolean(false)) => all.push(Condition::Not(Box::new(Condition::Tag(None)))),
        _ => any_of(
            table.texts("tag")?,
            |tag| Condition::Tag(Some(tag)),
            &mut all,
        ),
    }
    match table.flag("pull_request")? {
        Some(true) => all.push(Condition::ChangeRequest),
        Some(false) => all.push(Condition::Not(Box::new(Condition::ChangeRequest))),
        None => {}
    }
    any_of(table.texts("changed")?, Condition::Changed, &mut all);
    any_of(table.texts("exists")?, Condition::Exists, &mut all);
    any_of(table.texts("command")?, Condition::Command, &mut all);
    any_of(table.texts("cause")?, Condition::Cause, &mut all);
    for (name, value) in table.variables("env")? {
        all.push(Condition::Environment {
            name,
            value: Text::Plain(value),
        });
    }
    if let Some(not) = table.table("not")? {
        all.push(Condition::Not(Box::new(condition(&not, depth + 1)?)));
    }
    let mut several =
        |key: &str, make: fn(Vec<Condition>) -> Condition| -> Result<(), DescribeError> {
            if table.has(key) {
                let inner = table.tables(key)?;
                let inner: Result<Vec<_>, _> = inner
                    .iter()
                    .map(|inner| condition(inner, depth + 1))
                    .collect();
                all.push(make(inner?));
            }
            Ok(())
        };
    several("any", Condition::Any)?;
    several("all", Condition::All)?;
    let span: Range<usize> = table.span.clone();
    match all.len() {
        0 => Err(table.error(
            span,
            "the condition is empty",
            "such as when = { branch = \"main\" }",
        )),
        1 => Ok(all.remove(0)),
        _ => Ok(Condition::All(all)),
    }
}

#[cfg(test)]
pub(super) mod tests;
