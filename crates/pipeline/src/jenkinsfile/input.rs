//! `input { … }` of a stage, and the fields that it shares with `parameters { … }`.

use launchway_model::request::{InputKind, InputParameter};

use super::{Directive, Parameter, ParameterKind, Read, Reader};
use crate::plan::Input;

impl Reader<'_> {
    pub(super) fn input(&mut self, directive: &Directive<'_>) -> Read<Input> {
        const KNOWN: [&str; 6] = [
            "message",
            "id",
            "ok",
            "submitter",
            "submitterParameter",
            "parameters",
        ];
        let mut input = Input {
            message: String::new().into(),
            ok: None,
            submitter: None,
            submitter_parameter: None,
            parameters: Vec::new(),
            after_when: false,
        };
        let mut asked = false;
        for statement in self.block(directive)? {
            let part = self.directive(statement)?;
            let value = match part.args {
                [arg] if arg.name.is_none() => Some(&arg.value),
                _ => None,
            };
            match (part.name, value) {
                ("message", Some(value)) => {
                    asked = true;
                    input.message = self.text(value);
                }
                ("submitter", Some(value)) => input.submitter = Some(self.text(value)),
                ("ok", _) => input.ok = Some(self.text_arg(&part)?),
                ("submitterParameter", _) => {
                    input.submitter_parameter = Some(self.text_arg(&part)?)
                }
                ("id", Some(_)) => {}
                ("parameters", _) => {
                    input.parameters = self.parameters(&part)?.into_iter().map(field).collect();
                }
                (name, None) if KNOWN.contains(&name) => {
                    self.text_arg(&part)?;
                }
                _ => return Err(self.unknown(&part, "part of `input`", &KNOWN)),
            }
        }
        if !asked {
            return Err(self.wrong(
                directive.span,
                "`input` has no message",
                "expected `message '…'`",
            ));
        }
        Ok(input)
    }

    /// Whether a block says `NAME true`.
    pub(super) fn says(&self, directive: &Directive<'_>, name: &str) -> Read<bool> {
        for statement in self.block(directive)? {
            let part = self.directive(statement)?;
            if part.name == name {
                return Ok(self.text_arg(&part)? == "true");
            }
        }
        Ok(false)
    }
}

/// A parameter as a field of a form.
pub fn field(parameter: Parameter) -> InputParameter {
    InputParameter {
        name: parameter.name,
        description: parameter.description,
        kind: match parameter.kind {
            ParameterKind::Text { default, lines } => InputKind::Text { default, lines },
            ParameterKind::Bool { default } => InputKind::Bool { default },
            ParameterKind::Choice { choices } => InputKind::Choice { choices },
            ParameterKind::Password { default } => InputKind::Password { default },
        },
    }
}
