//! The Groovy of a Jenkinsfile's steps as plain steps, as far as that goes, so that a launchway.toml can be written of it.
//!
//! `sh`, `echo`, `dir`, `withEnv`, `junit`, `archiveArtifacts`, `retry` and `timeout` with known texts are converted;
//! what has no effect here (`checkout scm`, `cleanWs`) is dropped; everything else is named as left out, with its text.

use crate::groovy::{Arg, Expr, ExprKind, Stmt, StmtKind, StringPart};
use crate::plan::{Body, Post, PostWhen, Script, Stage, Step, Text};

/// Steps that mean nothing in a launchway.toml.
const DROPPED: [&str; 6] = [
    "checkout",
    "cleanWs",
    "deleteDir",
    "timestamps",
    "git",
    "milestone",
];

/// What was made of a stage.
#[derive(Debug, Default)]
pub(crate) struct Converted {
    /// Commands, each for a shell of its own.
    pub(crate) run: Vec<String>,
    /// Patterns of test reports.
    pub(crate) tests: Vec<String>,
    /// Patterns of files to keep.
    pub(crate) artifacts: Vec<String>,
    /// How often in all, where the whole stage is tried again.
    pub(crate) attempts: Option<u32>,
    /// What was not converted, in the words of the file.
    pub(crate) left_out: Vec<String>,
}

/// Converts steps.
pub(crate) fn steps(steps: &[Step]) -> Converted {
    let mut made = Converted::default();
    for step in steps {
        match step {
            Step::Run {
                script: Text::Plain(script),
                ..
            } => made.run.push(script.clone()),
            Step::Tests { reports, .. } => made.tests.extend(reports.iter().cloned()),
            Step::Archive { files, .. } => made.artifacts.extend(files.iter().cloned()),
            Step::Script(script) => {
                let base = script_start(script);
                made.statements(script, base, &script.code);
            }
            Step::CatchError { steps: inner, .. } => made.absorb(self::steps(inner)),
            _ => {}
        }
    }
    made
}

/// Where the script's text begins in the file: its statements' spans count from the file's start.
fn script_start(script: &Script) -> usize {
    // The text begins at the block's brace or at the first statement; either way the first statement's text is in it.
    script.code.first().map_or(0, |first| {
        let inner = script
            .text
            .find(|c: char| c != '{' && !c.is_whitespace())
            .unwrap_or(0);
        first.span.start.saturating_sub(inner)
    })
}

impl Converted {
    fn absorb(&mut self, other: Self) {
        self.run.extend(other.run);
        self.tests.extend(other.tests);
        self.artifacts.extend(other.artifacts);
        self.left_out.extend(other.left_out);
    }

    fn statements(&mut self, script: &Script, base: usize, code: &[Stmt]) {
        for statement in code {
            if !self.statement(script, base, statement) {
                let start = statement.span.start.saturating_sub(base);
                let end = statement.span.end.saturating_sub(base);
                let text = script.text.get(start..end).unwrap_or("a statement");
                self.left_out.push(text.trim().to_owned());
            }
        }
    }

    /// Converts one statement; false where that cannot be done.
    fn statement(&mut self, script: &Script, base: usize, statement: &Stmt) -> bool {
        let StmtKind::Expr(Expr {
            kind:
                ExprKind::Call {
                    object: None,
                    name,
                    args,
                    ..
                },
            ..
        }) = &statement.kind
        else {
            return false;
        };
        let block = args.last().and_then(|arg| match &arg.value.kind {
            ExprKind::Closure(closure) => Some(closure.body.as_slice()),
            _ => None,
        });
        let main = |parameter: &str| main_text(args, parameter);
        match (name.as_str(), block) {
            (dropped, None) if DROPPED.contains(&dropped) => true,
            ("sh", None) if !has(args, "returnStdout") && !has(args, "returnStatus") => {
                main("script")
                    .map(|script| self.run.push(unindented(&script)))
                    .is_some()
            }
            ("echo", None) => main("message")
                .map(|message| {
                    self.run.push(format!(
                        "echo \"{}\"",
                        message.replace(['"', '`', '\\'], "")
                    ))
                })
                .is_some(),
            ("junit", None) => main("testResults")
                .map(|reports| self.tests.push(reports))
                .is_some(),
            ("archiveArtifacts", None) => main("artifacts")
                .map(|files| self.artifacts.push(files))
                .is_some(),
            ("script" | "timestamps" | "ansiColor" | "node", Some(body)) => {
                self.statements(script, base, body);
                true
            }
            ("retry", Some(body)) => {
                self.attempts = main("count").and_then(|count| count.parse().ok());
                self.statements(script, base, body);
                true
            }
            ("dir" | "withEnv", Some(body)) => {
                let before = match name.as_str() {
                    "dir" => {
                        main("path").map(|path| format!("cd {}", super::detect::quoted(&path)))
                    }
                    _ => exports(args),
                };
                let Some(before) = before else { return false };
                let mut inner = Self::default();
                inner.statements(script, base, body);
                inner.run = inner
                    .run
                    .iter()
                    .map(|run| format!("{before}\n{run}"))
                    .collect();
                self.absorb(inner);
                true
            }
            _ => false,
        }
    }
}

/// A stage without Groovy: its converted steps, with what its `post` reads as reports and keeps as files.
pub(crate) fn stage(stage: &Stage) -> (Converted, Vec<(PostWhen, Vec<String>)>) {
    let mut made = match &stage.body {
        Body::Steps(steps) => self::steps(steps),
        _ => Converted::default(),
    };
    let after = posts(&stage.post, &mut made);
    (made, after)
}

/// What follows: commands by condition; reports and artifacts go to the stage itself.
pub(crate) fn posts(posts: &[Post], made: &mut Converted) -> Vec<(PostWhen, Vec<String>)> {
    let mut after = Vec::new();
    for post in posts {
        let inner = steps(&post.steps);
        made.tests.extend(inner.tests);
        made.artifacts.extend(inner.artifacts);
        made.left_out.extend(inner.left_out);
        if !inner.run.is_empty() {
            after.push((post.when, inner.run));
        }
    }
    after
}

fn has(args: &[Arg], parameter: &str) -> bool {
    args.iter()
        .any(|arg| arg.name.as_ref().is_some_and(|(name, _)| name == parameter))
}

/// The main parameter as text, where it is known or made of variables alone.
fn main_text(args: &[Arg], parameter: &str) -> Option<String> {
    let named = args
        .iter()
        .find(|arg| arg.name.as_ref().is_some_and(|(name, _)| name == parameter));
    let arg = named.or_else(|| args.iter().find(|arg| arg.name.is_none()))?;
    text(&arg.value)
}

fn text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Text(text) => Some(text.clone()),
        ExprKind::Int(number) => Some(number.to_string()),
        ExprKind::Interpolated(parts) => {
            let mut made = String::new();
            for part in parts {
                match part {
                    StringPart::Text(text) => made.push_str(text),
                    StringPart::Expr(expr) => {
                        made.push_str("${");
                        made.push_str(variable(expr)?);
                        made.push('}');
                    }
                }
            }
            Some(made)
        }
        _ => None,
    }
}

/// The variable that an expression names: `NAME`, `env.NAME`, `params.NAME`.
fn variable(expr: &Expr) -> Option<&str> {
    let name = match &expr.kind {
        ExprKind::Name(name) => name,
        ExprKind::Property { object, name, .. } => match (&object.kind, &name.kind) {
            (ExprKind::Name(object), ExprKind::Text(name))
                if object == "env" || object == "params" =>
            {
                name
            }
            _ => return None,
        },
        _ => return None,
    };
    super::toml_reader::is_variable(name).then_some(name)
}

/// `withEnv(['A=b'])` as `export A=b`.
fn exports(args: &[Arg]) -> Option<String> {
    let ExprKind::List(items) = &args.first()?.value.kind else {
        return None;
    };
    let mut lines = Vec::new();
    for item in items {
        let entry = text(item)?;
        let (name, value) = entry.split_once('=')?;
        let value = value.replace(['"', '`', '\\'], "");
        lines.push(match name.split_once('+') {
            Some((name, _)) => format!("export {name}=\"{value}:${name}\""),
            None => format!("export {name}=\"{value}\""),
        });
    }
    Some(lines.join("\n"))
}

/// A script of several lines without the indent that all of them share.
fn unindented(script: &str) -> String {
    let lines: Vec<&str> = script.trim_matches('\n').trim_end().lines().collect();
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let lines: Vec<&str> = lines
        .iter()
        .map(|line| line.get(indent..).unwrap_or(""))
        .collect();
    lines.join("\n")
}
