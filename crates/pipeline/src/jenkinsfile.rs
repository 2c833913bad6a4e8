//! A declarative Jenkinsfile, unmodified, to a [`Plan`].
//!
//! The whole file is parsed as Groovy; its `pipeline { … }` is read directive by directive. Everything that can be known
//! before the build is checked here: unknown directives, options, conditions, steps and their parameters, and what this
//! product does not honour. What stands in `steps`, `script`, `post` and `expression` stays Groovy ([`Step::Script`]) and runs in the
//! engine's interpreter; its host turns each step reached into a [`Step`].
//!
//! The order of meaning follows the Jenkins handbook, "Pipeline Syntax": <https://www.jenkins.io/doc/book/pipeline/syntax/>.
//!
//! **Invariant:** a file that [`read`] accepts names no directive, option or condition that is silently ignored: what
//! changes nothing here is listed in [`Jenkinsfile::notes`].

use std::collections::BTreeMap;
use std::sync::Arc;

use launchway_model::trigger::TriggerSpec;

use crate::error::{DescribeError, FileError, place_of};
use crate::groovy::{self, Arg, Expr, ExprKind, Span, Stmt, StmtKind};
use crate::plan::{Plan, Script, Step, Text, Variable};

pub(crate) mod directives;
mod input;
mod stages;
pub mod steps;

pub use input::field;

/// The name of the file in a repository.
pub const FILE: &str = "Jenkinsfile";

/// A Jenkinsfile, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Jenkinsfile {
    /// What the build does.
    pub plan: Plan,
    /// The whole script: its functions and definitions are loaded before the first stage.
    pub script: Arc<groovy::Script>,
    /// The text of the file, into which spans point.
    pub text: Arc<str>,
    /// The parameters that a person can give, in order.
    pub parameters: Vec<Parameter>,
    /// What starts a build by itself.
    pub triggers: Vec<TriggerSpec>,
    /// Tools asked for: (kind, name), such as `maven`, `Maven 3`.
    pub tools: Vec<(String, String)>,
    /// What was read and changes nothing here, in words.
    pub notes: Vec<String>,
}

/// A parameter of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in `params.NAME`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What may be given.
    pub kind: ParameterKind,
}

/// What a parameter takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterKind {
    /// A text of one line, or of several.
    Text {
        /// Its value where none is given.
        default: String,
        /// Whether it may have several lines.
        lines: bool,
    },
    /// True or false.
    Bool {
        /// Its value where none is given.
        default: bool,
    },
    /// One of some texts; the first where none is given.
    Choice {
        /// The texts.
        choices: Vec<String>,
    },
    /// A secret text.
    Password {
        /// Its value where none is given.
        default: String,
    },
}

/// Reads a Jenkinsfile. `file` is its name in errors.
pub fn read(file: &str, text: &str) -> Result<Jenkinsfile, DescribeError> {
    groovy::with_stack(|| {
        Reader {
            file,
            text,
            notes: Vec::new(),
            tools: Vec::new(),
        }
        .read()
    })
    .map_err(|error| Box::new(error).into())
}

/// What directives are read with.
struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    notes: Vec<String>,
    /// Tools of the pipeline and of its stages.
    tools: Vec<(String, String)>,
}

type Read<T> = Result<T, FileError>;

/// A directive: a call with its arguments and, where it has one, its block.
struct Directive<'s> {
    name: &'s str,
    name_span: Span,
    args: &'s [Arg],
    block: Option<&'s groovy::ClosureExpr>,
    span: Span,
}

impl<'t> Reader<'t> {
    fn read(mut self) -> Read<Jenkinsfile> {
        let script = groovy::parse(self.text).map_err(|error| {
            self.wrong(error.span, error.message.clone(), "")
                .hint(error.hint)
        })?;
        for (name, _, span) in &script.annotations {
            if name == "Library" {
                return Err(self
                    .wrong(
                        *span,
                        "shared libraries are not loaded",
                        "this names a library outside the repository",
                    )
                    .hint(Some(
                        "Copy the functions that you use from the library's `vars` into this file."
                            .into(),
                    )));
            }
        }
        let pipeline = script
            .statements
            .iter()
            .find_map(|statement| self.pipeline(statement));
        let Some(pipeline) = pipeline else {
            let span = script.statements.first().map_or(Span::default(), |first| {
                Span::new(first.span.start, first.span.start)
            });
            return Err(self
                .wrong(span, "this is not a declarative pipeline", "expected `pipeline { … }`")
                .hint(Some("A scripted pipeline (`node { … }`) goes into `pipeline { agent any; stages { stage('…') { steps { script { … } } } } }`.".into())));
        };
        steps::check(&self, &script)?;
        let mut made = Jenkinsfile {
            plan: Plan::default(),
            script: Arc::new(groovy::Script::default()),
            text: Arc::from(self.text),
            parameters: Vec::new(),
            triggers: Vec::new(),
            tools: Vec::new(),
            notes: Vec::new(),
        };
        self.top(&pipeline, &mut made)?;
        made.notes = self.notes;
        made.tools = self.tools;
        made.script = Arc::new(script);
        Ok(made)
    }

    fn pipeline<'s>(&self, statement: &'s Stmt) -> Option<Directive<'s>> {
        self.directive(statement)
            .ok()
            .filter(|directive| directive.name == "pipeline")
    }

    fn top(&mut self, pipeline: &Directive<'_>, made: &mut Jenkinsfile) -> Read<()> {
        const KNOWN: [&str; 9] = [
            "agent",
            "environment",
            "options",
            "parameters",
            "triggers",
            "tools",
            "stages",
            "post",
            "libraries",
        ];
        let mut seen = Seen::default();
        for statement in self.block(pipeline)? {
            let directive = self.directive(statement)?;
            self.once(&mut seen, &directive)?;
            match directive.name {
                "agent" => made.plan.agent = self.agent(&directive)?,
                "environment" => made.plan.env = self.environment(&directive)?,
                "options" => made.plan.options = self.options(&directive)?,
                "parameters" => made.parameters = self.parameters(&directive)?,
                "triggers" => made.triggers = self.triggers(&directive)?,
                "tools" => {
                    self.tools(&directive)?;
                }
                "stages" => made.plan.stages = self.stages(&directive)?,
                "post" => made.plan.post = self.post(&directive)?,
                "libraries" => {
                    return Err(self
                        .wrong(directive.name_span, "shared libraries are not loaded", "not supported")
                        .hint(Some("Copy the functions that you use from the library's `vars` into this file.".into())));
                }
                _ => return Err(self.unknown(&directive, "directive of `pipeline`", &KNOWN)),
            }
        }
        for required in ["agent", "stages"] {
            if !seen.0.contains_key(required) {
                return Err(self.wrong(
                    pipeline.name_span,
                    format!("`pipeline` has no `{required}`"),
                    format!("expected `{required}` in this block"),
                ));
            }
        }
        Ok(())
    }

    // ---- what all directives are read with ----------------------------------------------------------------------

    fn wrong(&self, span: Span, message: impl Into<String>, label: impl Into<String>) -> FileError {
        FileError::new(self.file, self.text, span.start..span.end, message, label)
    }

    fn unknown(&self, found: &Directive<'_>, what: &str, known: &[&str]) -> FileError {
        let hint = launchway_model::suggest::did_you_mean(found.name, known.iter().copied())
            .unwrap_or_else(|| format!("Known are {}.", known.join(", ")));
        self.wrong(
            found.name_span,
            format!("`{}` is no {what}", found.name),
            "not known here",
        )
        .hint(Some(hint))
    }

    fn once(&self, seen: &mut Seen, found: &Directive<'_>) -> Read<()> {
        match seen.0.insert(found.name.to_owned(), found.name_span) {
            None => Ok(()),
            Some(_) => Err(self.wrong(
                found.name_span,
                format!("`{}` stands here twice", found.name),
                "expected once in this block",
            )),
        }
    }

    /// A statement as a directive: `name`, `name args`, `name { … }`, `name(args) { … }`.
    fn directive<'s>(&self, statement: &'s Stmt) -> Read<Directive<'s>> {
        let StmtKind::Expr(expr) = &statement.kind else {
            return Err(self
                .wrong(
                    statement.span,
                    "a statement stands where a directive belongs",
                    "expected a directive",
                )
                .hint(Some(
                    "Groovy code goes into `script { … }` inside `steps`.".into(),
                )));
        };
        self.directive_expr(expr)
    }

    fn directive_expr<'s>(&self, expr: &'s Expr) -> Read<Directive<'s>> {
        match &expr.kind {
            ExprKind::Call {
                object: None,
                name,
                name_span,
                args,
                ..
            } => {
                let (args, block) = match args.split_last() {
                    Some((last, rest)) => match &last.value.kind {
                        ExprKind::Closure(closure) if last.name.is_none() => {
                            (rest, Some(closure.as_ref()))
                        }
                        _ => (args.as_slice(), None),
                    },
                    None => (args.as_slice(), None),
                };
                Ok(Directive {
                    name,
                    name_span: *name_span,
                    args,
                    block,
                    span: expr.span,
                })
            }
            ExprKind::Name(name) => Ok(Directive {
                name,
                name_span: expr.span,
                args: &[],
                block: None,
                span: expr.span,
            }),
            _ => Err(self.wrong(
                expr.span,
                "an expression stands where a directive belongs",
                "expected a directive",
            )),
        }
    }

    fn block<'s>(&self, directive: &Directive<'s>) -> Read<&'s [Stmt]> {
        match directive.block {
            Some(block) => Ok(&block.body),
            None => Err(self.wrong(
                directive.span,
                format!("`{}` has no block", directive.name),
                format!("expected `{} {{ … }}`", directive.name),
            )),
        }
    }

    /// The one argument without a name, a constant text.
    fn text_arg(&self, directive: &Directive<'_>) -> Read<String> {
        match directive.args {
            [
                Arg {
                    name: None, value, ..
                },
            ] => self.constant(value),
            _ => Err(self.wrong(
                directive.span,
                format!("`{}` takes one text", directive.name),
                format!("expected `{} '…'`", directive.name),
            )),
        }
    }

    /// A text, number or truth value that is known now.
    fn constant(&self, expr: &Expr) -> Read<String> {
        match &expr.kind {
            ExprKind::Text(text) => Ok(text.clone()),
            ExprKind::Int(number) => Ok(number.to_string()),
            ExprKind::Bool(value) => Ok(value.to_string()),
            _ => Err(self.wrong(
                expr.span,
                "the value is not known before the build",
                "expected a text in quotes, without `${…}`",
            )),
        }
    }

    /// The value of a named argument, where it is given.
    fn named<'s>(&self, directive: &Directive<'s>, name: &str) -> Option<&'s Expr> {
        directive
            .args
            .iter()
            .find(|arg| arg.name.as_ref().is_some_and(|(found, _)| found == name))
            .map(|arg| &arg.value)
    }

    fn named_text(&self, directive: &Directive<'_>, name: &str) -> Read<Option<String>> {
        self.named(directive, name)
            .map(|value| self.constant(value))
            .transpose()
    }

    /// Refuses arguments whose names are not known.
    fn only(&self, directive: &Directive<'_>, known: &[&str]) -> Read<()> {
        for arg in directive.args {
            if let Some((name, span)) = &arg.name
                && !known.contains(&name.as_str())
            {
                let hint = launchway_model::suggest::did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("Known are {}.", known.join(", ")));
                return Err(self
                    .wrong(
                        *span,
                        format!("`{}` has no parameter `{name}`", directive.name),
                        "not known here",
                    )
                    .hint(Some(hint)));
            }
        }
        Ok(())
    }

    /// An expression whose value is known now, or else only when it is reached.
    fn text(&self, expr: &Expr) -> Text {
        match &expr.kind {
            ExprKind::Text(text) => Text::Plain(text.clone()),
            ExprKind::Int(number) => Text::Plain(number.to_string()),
            ExprKind::Bool(value) => Text::Plain(value.to_string()),
            _ => Text::Script(self.script(
                &[Stmt {
                    kind: StmtKind::Expr(expr.clone()),
                    span: expr.span,
                }],
                expr.span,
            )),
        }
    }

    fn script(&self, code: &[Stmt], span: Span) -> Script {
        Script {
            text: self
                .text
                .get(span.start..span.end)
                .unwrap_or_default()
                .to_owned(),
            place: place_of(self.file, self.text, span.start),
            code: Arc::from(code),
        }
    }

    /// The statements of a block as one step.
    fn script_steps(&self, directive: &Directive<'_>) -> Read<Vec<Step>> {
        let code = self.block(directive)?;
        let span = directive.block.map_or(directive.span, |block| block.span);
        if code.is_empty() {
            Ok(Vec::new())
        } else {
            Ok(vec![Step::Script(self.script(code, span))])
        }
    }

    fn environment(&self, directive: &Directive<'_>) -> Read<Vec<Variable>> {
        let mut variables = Vec::new();
        for statement in self.block(directive)? {
            match &statement.kind {
                StmtKind::Expr(Expr {
                    kind:
                        ExprKind::Assign {
                            target,
                            op: None,
                            value,
                        },
                    ..
                }) => {
                    let name = match &target.kind {
                        ExprKind::Name(name) => name.clone(),
                        _ => {
                            return Err(self.wrong(
                                target.span,
                                "a variable's name is expected",
                                "expected a name",
                            ));
                        }
                    };
                    variables.push(Variable {
                        name,
                        value: self.text(value),
                    });
                }
                _ => {
                    return Err(self.wrong(
                        statement.span,
                        "`environment` holds assignments alone",
                        "expected `NAME = 'value'`",
                    ));
                }
            }
        }
        Ok(variables)
    }
}

/// Directives met in one block.
#[derive(Default)]
struct Seen(BTreeMap<String, Span>);

#[cfg(test)]
mod tests;
