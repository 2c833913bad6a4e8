//! `agent`, `options`, `parameters`, `triggers`, `tools`.

use std::collections::BTreeMap;

use crate::groovy::{Arg, Expr, ExprKind};
use crate::plan::{Agent, Options};
use launchway_model::agent::LabelExpression;
use launchway_model::build::BuildResult;
use launchway_model::schedule::Schedule;
use launchway_model::trigger::TriggerSpec;

use super::{Directive, Parameter, ParameterKind, Read, Reader};

/// Options that are acted on elsewhere, or that hold anyway.
const NOTED: [&str; 14] = [
    "buildDiscarder",
    "disableConcurrentBuilds",
    "skipDefaultCheckout",
    "quietPeriod",
    "timestamps",
    "ansiColor",
    "preserveStashes",
    "disableResume",
    "durabilityHint",
    "checkoutToSubdirectory",
    "overrideIndexTriggers",
    "newContainerPerStage",
    "rateLimitBuilds",
    "lock",
];
/// Kinds of tools, and the command that each is here.
pub(crate) const TOOLS: [(&str, &str); 10] = [
    ("maven", "mvn"),
    ("jdk", "java"),
    ("gradle", "gradle"),
    ("ant", "ant"),
    ("nodejs", "node"),
    ("go", "go"),
    ("git", "git"),
    ("dockerTool", "docker"),
    ("terraform", "terraform"),
    ("python", "python3"),
];
/// Options that are acted on here.
const OPTIONS: [&str; 4] = [
    "timeout",
    "retry",
    "skipStagesAfterUnstable",
    "parallelsAlwaysFailFast",
];

impl Reader<'_> {
    pub(super) fn agent(&mut self, directive: &Directive<'_>) -> Read<Agent> {
        if let [
            Arg {
                name: None, value, ..
            },
        ] = directive.args
        {
            return match &value.kind {
                ExprKind::Name(name) if name == "any" => Ok(Agent::Any),
                ExprKind::Name(name) if name == "none" => Ok(Agent::None),
                _ => Err(self
                    .wrong(
                        value.span,
                        "`agent` takes `any`, `none` or a block",
                        "expected `any` or `none`",
                    )
                    .hint(Some("For a label write `agent { label 'linux' }`.".into()))),
            };
        }
        let [statement] = self.block(directive)? else {
            return Err(self.wrong(
                directive.span,
                "`agent` takes one kind of agent",
                "expected one of any, none, label, node",
            ));
        };
        let kind = self.directive(statement)?;
        match kind.name {
            "any" => Ok(Agent::Any),
            "none" => Ok(Agent::None),
            "label" => self.label(&kind),
            "node" => {
                let mut agent = Agent::Any;
                for statement in self.block(&kind)? {
                    let part = self.directive(statement)?;
                    match part.name {
                        "label" => agent = self.label(&part)?,
                        "customWorkspace" => {
                            self.notes.push("`customWorkspace` changes nothing: each app has a workspace of its own.".into());
                        }
                        _ => return Err(self.unknown(&part, "part of `node`", &["label", "customWorkspace"])),
                    }
                }
                Ok(agent)
            }
            "docker" | "dockerfile" | "kubernetes" => Err(self
                .wrong(kind.name_span, format!("an agent of kind `{}` needs a container engine", kind.name), "not supported")
                .hint(Some(
                    "Write `agent any` and install the tools on the machine, or give an agent that has them a label: `agent { label 'node20' }`."
                        .into(),
                ))),
            _ => Err(self.unknown(&kind, "kind of agent", &["any", "none", "label", "node"])),
        }
    }

    /// The agent of `label '…'`.
    fn label(&self, directive: &Directive<'_>) -> Read<Agent> {
        let text = self.text_arg(directive)?;
        // An empty label is any agent, as in Jenkins.
        if text.trim().is_empty() {
            return Ok(Agent::Any);
        }
        match text.parse::<LabelExpression>() {
            Ok(_) => Ok(Agent::Label(text)),
            Err(error) => {
                let span = directive
                    .args
                    .first()
                    .map_or(directive.span, |arg| arg.value.span);
                let label = format!("column {} of it: expected {}", error.column, error.expected);
                Err(self.wrong(span, "this is no expression of labels", label).hint(Some(
                    "Write such as `linux && !arm`, `docker || podman`, `(a || b) && \"with space\"`.".into(),
                )))
            }
        }
    }

    pub(super) fn options(&mut self, directive: &Directive<'_>) -> Read<Options> {
        let mut options = Options::default();
        for statement in self.block(directive)? {
            let option = self.directive(statement)?;
            match option.name {
                "timeout" => options.timeout_ms = Some(self.duration(&option)?),
                "retry" => options.attempts = Some(self.count(&option)?),
                "skipStagesAfterUnstable" => options.stop_on_unstable = true,
                "parallelsAlwaysFailFast" => options.fail_fast = true,
                "buildDiscarder" => {
                    for (name, value) in self.discarder(&option)? {
                        options
                            .noted
                            .insert(format!("buildDiscarder.{name}"), value);
                    }
                }
                name if NOTED.contains(&name) => {
                    let value = match option.args {
                        [
                            Arg {
                                name: None, value, ..
                            },
                        ] => self.constant(value).unwrap_or_default(),
                        _ => String::new(),
                    };
                    options.noted.insert(name.to_owned(), value);
                    for arg in option.args {
                        if let Some((part, _)) = &arg.name {
                            let value = self.constant(&arg.value).unwrap_or_default();
                            options.noted.insert(format!("{name}.{part}"), value);
                        }
                    }
                }
                _ => {
                    let known: Vec<_> = OPTIONS.iter().chain(&NOTED).copied().collect();
                    return Err(self.unknown(&option, "option", &known));
                }
            }
        }
        Ok(options)
    }

    fn discarder(&self, option: &Directive<'_>) -> Read<BTreeMap<String, String>> {
        let rotator = match option.args {
            [
                Arg {
                    name: None, value, ..
                },
            ] => self.directive_expr(value)?,
            _ => {
                return Err(self.wrong(
                    option.span,
                    "`buildDiscarder` takes a strategy",
                    "expected `logRotator(…)`",
                ));
            }
        };
        if rotator.name != "logRotator" {
            return Err(self.unknown(&rotator, "strategy of `buildDiscarder`", &["logRotator"]));
        }
        const KNOWN: [&str; 4] = [
            "numToKeepStr",
            "daysToKeepStr",
            "artifactNumToKeepStr",
            "artifactDaysToKeepStr",
        ];
        self.only(&rotator, &KNOWN)?;
        let mut kept = BTreeMap::new();
        for name in KNOWN {
            if let Some(value) = self.named(&rotator, name) {
                let number = self.constant(value)?;
                if !number.is_empty() && number.parse::<u32>().is_err() {
                    return Err(self.wrong(
                        value.span,
                        format!("`{name}` takes a number"),
                        "expected a whole number in quotes",
                    ));
                }
                kept.insert(name.to_owned(), number);
            }
        }
        Ok(kept)
    }

    /// `timeout(time: 5, unit: 'MINUTES')`, in milliseconds.
    pub(super) fn duration(&self, option: &Directive<'_>) -> Read<u64> {
        self.only(option, &["time", "unit", "activity"])?;
        let time = self.named(option, "time").or(match option.args {
            [
                Arg {
                    name: None, value, ..
                },
            ] => Some(value),
            _ => None,
        });
        let Some(time) = time else {
            return Err(self.wrong(
                option.span,
                "`timeout` has no time",
                "expected `time: 5, unit: 'MINUTES'`",
            ));
        };
        let ExprKind::Int(number) = time.kind else {
            return Err(self.wrong(
                time.span,
                "the time is not a whole number",
                "expected a number such as 5",
            ));
        };
        let unit = self.named(option, "unit");
        let name = unit
            .map(|unit| self.constant(unit))
            .transpose()?
            .unwrap_or_else(|| "MINUTES".into());
        let Some(ms) = unit_ms(&name) else {
            let span = unit.map_or(option.span, |unit| unit.span);
            let hint = launchway_model::suggest::did_you_mean(&name, UNITS);
            return Err(self
                .wrong(
                    span,
                    format!("`{name}` is no unit of time"),
                    "expected SECONDS, MINUTES or HOURS",
                )
                .hint(hint));
        };
        u64::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(ms))
            .ok_or_else(|| {
                self.wrong(
                    time.span,
                    "the time is out of range",
                    "expected a positive number",
                )
            })
    }

    fn count(&self, option: &Directive<'_>) -> Read<u32> {
        match option.args {
            [
                Arg {
                    value:
                        Expr {
                            kind: ExprKind::Int(number),
                            ..
                        },
                    ..
                },
            ] if (1..=1_000).contains(number) => Ok(u32::try_from(*number).unwrap_or(1)),
            _ => Err(self.wrong(
                option.span,
                format!("`{}` takes a number", option.name),
                "expected a number from 1 to 1000",
            )),
        }
    }

    pub(super) fn parameters(&mut self, directive: &Directive<'_>) -> Read<Vec<Parameter>> {
        const KNOWN: [&str; 5] = ["string", "text", "booleanParam", "choice", "password"];
        let mut parameters = Vec::new();
        for statement in self.block(directive)? {
            let found = self.directive(statement)?;
            if !KNOWN.contains(&found.name) {
                return Err(self.unknown(&found, "kind of parameter", &KNOWN));
            }
            self.only(
                &found,
                &["name", "defaultValue", "description", "choices", "trim"],
            )?;
            let Some(name) = self.named_text(&found, "name")? else {
                return Err(self.wrong(
                    found.span,
                    "the parameter has no name",
                    "expected `name: '…'`",
                ));
            };
            let default = self.named_text(&found, "defaultValue")?.unwrap_or_default();
            let kind = match found.name {
                "booleanParam" => ParameterKind::Bool {
                    default: default == "true",
                },
                "choice" => ParameterKind::Choice {
                    choices: self.choices(&found)?,
                },
                "password" => ParameterKind::Password { default },
                kind => ParameterKind::Text {
                    default,
                    lines: kind == "text",
                },
            };
            let description = self.named_text(&found, "description")?.unwrap_or_default();
            parameters.push(Parameter {
                name,
                description,
                kind,
            });
        }
        Ok(parameters)
    }

    fn choices(&self, parameter: &Directive<'_>) -> Read<Vec<String>> {
        let choices = match self.named(parameter, "choices") {
            Some(Expr {
                kind: ExprKind::List(items),
                ..
            }) => items
                .iter()
                .map(|item| self.constant(item))
                .collect::<Read<Vec<_>>>()?,
            Some(text) => self
                .constant(text)?
                .lines()
                .map(|line| line.trim().to_owned())
                .collect(),
            None => Vec::new(),
        };
        if choices.is_empty() {
            return Err(self.wrong(
                parameter.span,
                "the parameter has no choices",
                "expected `choices: ['a', 'b']`",
            ));
        }
        Ok(choices)
    }

    pub(super) fn triggers(&mut self, directive: &Directive<'_>) -> Read<Vec<TriggerSpec>> {
        let mut triggers = Vec::new();
        for statement in self.block(directive)? {
            let found = self.directive(statement)?;
            match found.name {
                "cron" => triggers.push(TriggerSpec::Cron {
                    schedule: self.cron(&found)?,
                }),
                "pollSCM" => triggers.push(TriggerSpec::Poll {
                    schedule: self.cron(&found)?,
                }),
                "upstream" => {
                    self.only(&found, &["upstreamProjects", "threshold"])?;
                    let projects = match self.named(&found, "upstreamProjects") {
                        Some(value) => self.constant(value)?,
                        None => self.text_arg(&found)?,
                    };
                    let projects = projects
                        .split(',')
                        .map(|name| name.trim().to_owned())
                        .collect();
                    let threshold = match self.named(&found, "threshold") {
                        Some(value) => self.threshold(&found, value)?,
                        None => BuildResult::Success,
                    };
                    triggers.push(TriggerSpec::Upstream {
                        projects,
                        threshold,
                    });
                }
                "githubPush" | "gitlab" | "bitbucketPush" | "genericTrigger" => {
                    self.notes.push(format!(
                        "`{}` changes nothing: every push that a webhook tells of is built.",
                        found.name
                    ));
                }
                _ => {
                    return Err(self.unknown(
                        &found,
                        "trigger",
                        &["cron", "pollSCM", "upstream", "githubPush", "gitlab"],
                    ));
                }
            }
        }
        Ok(triggers)
    }

    /// `hudson.model.Result.SUCCESS`, or the word alone.
    fn threshold(&self, found: &Directive<'_>, value: &Expr) -> Read<BuildResult> {
        let written = self
            .text
            .get(value.span.start..value.span.end)
            .unwrap_or_default();
        let word = written
            .trim_matches(['\'', '"'])
            .rsplit('.')
            .next()
            .unwrap_or_default();
        Ok(match word {
            "SUCCESS" => BuildResult::Success,
            "UNSTABLE" => BuildResult::Unstable,
            "FAILURE" => BuildResult::Failure,
            _ => {
                return Err(self.wrong(
                    found.span,
                    format!("`{written}` is not a threshold"),
                    "expected hudson.model.Result.SUCCESS, UNSTABLE or FAILURE",
                ));
            }
        })
    }

    /// A cron line; an empty one, which turns a trigger off, is kept.
    fn cron(&self, trigger: &Directive<'_>) -> Read<String> {
        let text = match self.named_text(trigger, "vcs")? {
            Some(text) => text,
            None => match trigger.args {
                [
                    Arg {
                        name: None, value, ..
                    },
                    ..,
                ] => self.constant(value)?,
                _ => self.text_arg(trigger)?,
            },
        };
        let is_said = |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
        if text.lines().any(is_said)
            && let Err(error) = Schedule::parse(&text, "")
        {
            return Err(self
                .wrong(
                    trigger.span,
                    error.message,
                    "expected minute, hour, day, month, weekday",
                )
                .hint(Some(error.hint)));
        }
        Ok(text)
    }

    pub(super) fn tools(&mut self, directive: &Directive<'_>) -> Read<Vec<(String, String)>> {
        let mut tools = Vec::new();
        for statement in self.block(directive)? {
            let tool = self.directive(statement)?;
            if !TOOLS.iter().any(|(kind, _)| *kind == tool.name) {
                let known: Vec<_> = TOOLS.iter().map(|(kind, _)| *kind).collect();
                return Err(self.unknown(&tool, "kind of tool", &known));
            }
            tools.push((tool.name.to_owned(), self.text_arg(&tool)?));
        }
        self.tools.extend(tools.clone());
        Ok(tools)
    }
}

const UNITS: [&str; 7] = [
    "NANOSECONDS",
    "MICROSECONDS",
    "MILLISECONDS",
    "SECONDS",
    "MINUTES",
    "HOURS",
    "DAYS",
];

/// A unit's length in milliseconds; those below a millisecond count as one.
pub(crate) fn unit_ms(name: &str) -> Option<u64> {
    Some(match name {
        "NANOSECONDS" | "MICROSECONDS" | "MILLISECONDS" => 1,
        "SECONDS" => 1_000,
        "MINUTES" => 60_000,
        "HOURS" => 3_600_000,
        "DAYS" => 86_400_000,
        _ => return None,
    })
}
