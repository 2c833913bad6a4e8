//! `stages`, `stage`, `parallel`, `matrix`, `when`, `post`, `input`.

use std::collections::BTreeMap;

use crate::error::place_of;
use crate::groovy::{Arg, Expr, ExprKind, Stmt};
use crate::plan::{Body, Condition, Matrix, Post, PostWhen, Stage};

use super::{Directive, Read, Reader, Seen};

const STAGE: [&str; 11] = [
    "agent",
    "environment",
    "options",
    "tools",
    "when",
    "input",
    "steps",
    "stages",
    "parallel",
    "matrix",
    "post",
];
const CONDITIONS: [&str; 14] = [
    "branch",
    "expression",
    "anyOf",
    "allOf",
    "not",
    "buildingTag",
    "tag",
    "changeRequest",
    "changeset",
    "changelog",
    "triggeredBy",
    "environment",
    "equals",
    "isRestartedRun",
];
const POST: [(&str, PostWhen); 10] = [
    ("always", PostWhen::Always),
    ("changed", PostWhen::Changed),
    ("fixed", PostWhen::Fixed),
    ("regression", PostWhen::Regression),
    ("aborted", PostWhen::Aborted),
    ("failure", PostWhen::Failure),
    ("success", PostWhen::Success),
    ("unstable", PostWhen::Unstable),
    ("unsuccessful", PostWhen::Unsuccessful),
    ("cleanup", PostWhen::Cleanup),
];

impl Reader<'_> {
    pub(super) fn stages(&mut self, directive: &Directive<'_>) -> Read<Vec<Stage>> {
        let mut stages = Vec::new();
        for statement in self.block(directive)? {
            stages.push(self.stage(statement)?);
        }
        if stages.is_empty() {
            return Err(self.wrong(
                directive.span,
                format!("`{}` holds no stage", directive.name),
                "expected `stage('…') { … }`",
            ));
        }
        Ok(stages)
    }

    fn stage(&mut self, statement: &Stmt) -> Read<Stage> {
        let directive = self.directive(statement)?;
        if directive.name != "stage" {
            return Err(self.unknown(&directive, "directive here", &["stage"]));
        }
        let mut stage = Stage::new(self.text_arg(&directive)?, Vec::new());
        stage.place = Some(place_of(self.file, self.text, directive.span.start));
        let mut seen = Seen::default();
        let mut bodies = 0;
        let mut fail_fast = false;
        let mut before_input = false;
        for statement in self.block(&directive)? {
            let part = self.directive(statement)?;
            self.once(&mut seen, &part)?;
            match part.name {
                "agent" => stage.agent = Some(self.agent(&part)?),
                "environment" => stage.env = self.environment(&part)?,
                "options" => stage.options = self.options(&part)?,
                "tools" => {
                    self.tools(&part)?;
                }
                "when" => {
                    stage.when = self.when(&part)?;
                    before_input = self.says(&part, "beforeInput")?;
                }
                "post" => stage.post = self.post(&part)?,
                "failFast" => fail_fast = self.text_arg(&part)? == "true",
                "input" => stage.input = Some(self.input(&part)?),
                "steps" => {
                    bodies += 1;
                    stage.body = Body::Steps(self.script_steps(&part)?);
                }
                "stages" => {
                    bodies += 1;
                    stage.body = Body::Stages(self.stages(&part)?);
                }
                "parallel" => {
                    bodies += 1;
                    stage.body = Body::Parallel {
                        stages: self.stages(&part)?,
                        fail_fast: false,
                    };
                }
                "matrix" => {
                    bodies += 1;
                    stage.body = Body::Parallel {
                        stages: self.matrix(&part, &stage.name)?,
                        fail_fast: false,
                    };
                }
                _ => return Err(self.unknown(&part, "directive of `stage`", &STAGE)),
            }
        }
        if let Some(input) = &mut stage.input {
            input.after_when = before_input;
        }
        if bodies != 1 {
            return Err(self.wrong(
                directive.name_span,
                format!("the stage `{}` has {bodies} bodies", stage.name),
                "expected exactly one of steps, stages, parallel, matrix",
            ));
        }
        if let Body::Parallel {
            fail_fast: first_fails,
            ..
        } = &mut stage.body
        {
            *first_fails = fail_fast;
        }
        Ok(stage)
    }

    fn matrix(&mut self, directive: &Directive<'_>, name: &str) -> Read<Vec<Stage>> {
        let mut matrix = Matrix::default();
        let mut template = Stage::new(name, Vec::new());
        for statement in self.block(directive)? {
            let part = self.directive(statement)?;
            match part.name {
                "axes" => {
                    for statement in self.block(&part)? {
                        let (axis, values, _) = self.axis(statement)?;
                        matrix.axes.push((axis, values));
                    }
                }
                "excludes" => {
                    for statement in self.block(&part)? {
                        let exclude = self.directive(statement)?;
                        let mut axes = BTreeMap::new();
                        for statement in self.block(&exclude)? {
                            let (axis, mut values, negated) = self.axis(statement)?;
                            if negated {
                                let all = matrix.axes.iter().find(|(name, _)| *name == axis);
                                let all = all.map(|(_, all)| all.clone()).unwrap_or_default();
                                values = all
                                    .into_iter()
                                    .filter(|value| !values.contains(value))
                                    .collect();
                            }
                            axes.insert(axis, values);
                        }
                        matrix.excludes.push(axes);
                    }
                }
                "agent" => template.agent = Some(self.agent(&part)?),
                "environment" => template.env = self.environment(&part)?,
                "options" => template.options = self.options(&part)?,
                "tools" => {
                    self.tools(&part)?;
                }
                "when" => template.when = self.when(&part)?,
                "post" => template.post = self.post(&part)?,
                "stages" => template.body = Body::Stages(self.stages(&part)?),
                _ => {
                    const KNOWN: [&str; 9] = [
                        "axes",
                        "excludes",
                        "agent",
                        "environment",
                        "options",
                        "tools",
                        "when",
                        "post",
                        "stages",
                    ];
                    return Err(self.unknown(&part, "directive of `matrix`", &KNOWN));
                }
            }
        }
        let cells = matrix.cells();
        let stages = matrix.expand(&template);
        if stages.is_empty() {
            let message = if matrix.axes.is_empty() {
                "the matrix has no axes".to_owned()
            } else {
                format!(
                    "the matrix has {cells} cells, and after its excludes none or more than {}",
                    Matrix::MAX_CELLS
                )
            };
            return Err(self.wrong(
                directive.name_span,
                message,
                "expected `axes { axis { name '…'; values '…', '…' } }`",
            ));
        }
        Ok(stages)
    }

    fn axis(&self, statement: &Stmt) -> Read<(String, Vec<String>, bool)> {
        let axis = self.directive(statement)?;
        let (mut name, mut values, mut negated) = (String::new(), Vec::new(), false);
        for statement in self.block(&axis)? {
            let part = self.directive(statement)?;
            match part.name {
                "name" => name = self.text_arg(&part)?,
                "values" | "notValues" => {
                    negated = part.name == "notValues";
                    values = part
                        .args
                        .iter()
                        .map(|arg| self.constant(&arg.value))
                        .collect::<Read<_>>()?;
                }
                _ => {
                    return Err(self.unknown(
                        &part,
                        "part of `axis`",
                        &["name", "values", "notValues"],
                    ));
                }
            }
        }
        if axis.name != "axis" || name.is_empty() || values.is_empty() {
            return Err(self.wrong(
                axis.span,
                "an axis needs a name and values",
                "expected `axis { name '…'; values '…', '…' }`",
            ));
        }
        Ok((name, values, negated))
    }

    pub(super) fn post(&mut self, directive: &Directive<'_>) -> Read<Vec<Post>> {
        let mut seen = Seen::default();
        let mut posts = Vec::new();
        for statement in self.block(directive)? {
            let part = self.directive(statement)?;
            self.once(&mut seen, &part)?;
            let Some((_, when)) = POST.iter().find(|(name, _)| *name == part.name) else {
                return Err(self.unknown(
                    &part,
                    "condition of `post`",
                    &POST.map(|(name, _)| name),
                ));
            };
            posts.push(Post {
                when: *when,
                steps: self.script_steps(&part)?,
            });
        }
        posts.sort_by_key(|post| post.when);
        Ok(posts)
    }

    /// Every condition of a `when` must hold.
    pub(super) fn when(&mut self, directive: &Directive<'_>) -> Read<Option<Condition>> {
        let mut all = Vec::new();
        for statement in self.block(directive)? {
            let part = self.directive(statement)?;
            // The order of `when` and `agent` makes no difference here: the condition is always asked first.
            if matches!(part.name, "beforeAgent" | "beforeInput" | "beforeOptions") {
                continue;
            }
            all.push(self.condition(&part)?);
        }
        Ok(match all.len() {
            0 => None,
            1 => all.pop(),
            _ => Some(Condition::All(all)),
        })
    }

    fn condition(&mut self, directive: &Directive<'_>) -> Read<Condition> {
        let several = |reader: &mut Self| -> Read<Vec<Condition>> {
            let mut conditions = Vec::new();
            for statement in reader.block(directive)? {
                let part = reader.directive(statement)?;
                conditions.push(reader.condition(&part)?);
            }
            Ok(conditions)
        };
        Ok(match directive.name {
            "allOf" => Condition::All(several(self)?),
            "anyOf" => Condition::Any(several(self)?),
            "not" => match several(self)?.as_mut_slice() {
                [one] => Condition::Not(Box::new(one.clone())),
                _ => {
                    return Err(self.wrong(
                        directive.span,
                        "`not` takes one condition",
                        "expected `not { … }`",
                    ));
                }
            },
            "branch" => Condition::Branch(self.pattern(directive)?),
            "tag" => Condition::Tag(Some(self.pattern(directive)?)),
            "buildingTag" => Condition::Tag(None),
            "changeRequest" => {
                if !directive.args.is_empty() {
                    self.notes.push("`changeRequest` holds for every pull request: its arguments are not compared.".into());
                }
                Condition::ChangeRequest
            }
            "changeset" => Condition::Changed(self.pattern(directive)?),
            "triggeredBy" => {
                let cause = self.text_arg(directive)?;
                Condition::Cause(match cause.as_str() {
                    "TimerTrigger" | "TimerTriggerCause" => "timer".into(),
                    "SCMTrigger" | "SCMTriggerCause" => "push".into(),
                    "UserIdCause" => "deploy".into(),
                    _ => cause,
                })
            }
            "environment" => {
                self.only(directive, &["name", "value", "ignoreCase"])?;
                let name = self.named_text(directive, "name")?;
                let value = self.named(directive, "value");
                match (name, value) {
                    (Some(name), Some(value)) => Condition::Environment {
                        name,
                        value: self.text(value),
                    },
                    _ => {
                        return Err(self.wrong(
                            directive.span,
                            "`environment` needs a name and a value",
                            "expected `name: '…', value: '…'`",
                        ));
                    }
                }
            }
            "equals" => {
                self.only(directive, &["expected", "actual"])?;
                match (
                    self.named(directive, "expected"),
                    self.named(directive, "actual"),
                ) {
                    (Some(expected), Some(actual)) => Condition::Equals {
                        expected: self.text(expected),
                        actual: self.text(actual),
                    },
                    _ => {
                        return Err(self.wrong(
                            directive.span,
                            "`equals` compares two values",
                            "expected `expected: …, actual: …`",
                        ));
                    }
                }
            }
            "expression" => {
                let code = self.block(directive)?;
                let span = directive.block.map_or(directive.span, |block| block.span);
                Condition::Script(self.script(code, span))
            }
            "changelog" | "isRestartedRun" => {
                return Err(self
                    .wrong(
                        directive.name_span,
                        format!("the condition `{}` is not supported", directive.name),
                        "not supported",
                    )
                    .hint(Some(
                        "Write an `expression { … }` over environment variables instead.".into(),
                    )));
            }
            _ => return Err(self.unknown(directive, "condition of `when`", &CONDITIONS)),
        })
    }

    /// `branch 'x'`, `branch pattern: 'x', comparator: 'GLOB'`.
    fn pattern(&self, directive: &Directive<'_>) -> Read<String> {
        self.only(
            directive,
            &["pattern", "comparator", "caseSensitive", "glob", "regexp"],
        )?;
        if let Some(comparator) = self.named(directive, "comparator") {
            let name = self.constant(comparator)?;
            if !matches!(name.as_str(), "GLOB" | "EQUALS") {
                return Err(self
                    .wrong(
                        comparator.span,
                        format!("the comparator `{name}` is not supported"),
                        "expected GLOB or EQUALS",
                    )
                    .hint(Some(
                        "Write `expression { env.BRANCH_NAME ==~ /…/ }` for a regular expression."
                            .into(),
                    )));
            }
        }
        match self
            .named(directive, "pattern")
            .or(self.named(directive, "glob"))
        {
            Some(pattern) => self.constant(pattern),
            None => match directive.args {
                [
                    Arg {
                        name: None,
                        value:
                            Expr {
                                kind: ExprKind::Text(text),
                                ..
                            },
                        ..
                    },
                ] => Ok(text.clone()),
                _ => self.text_arg(directive),
            },
        }
    }
}
