//! Runs a template.

use super::{Operand, Part, Pipeline, Template, TemplateError, Value, fail, functions, number};
use std::rc::Rc;

/// Steps that one run may take, and bytes that it may write.
const MAX_STEPS: usize = 100_000;
const MAX_OUTPUT: usize = 64 << 10;

/// A sample of a query that a template asks: labels and value.
pub type Sample = (crate::labels::Labels, f64);

/// What templates can ask for.
pub struct Environment<'a> {
    /// Evaluates a query at the time of the rule's evaluation.
    pub query: &'a dyn Fn(&str) -> Result<Vec<Sample>, String>,
    /// The address under which people reach this server.
    pub external_url: &'a str,
}

/// What a part says about the loop around it.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(super) struct Run<'a> {
    pub(super) environment: &'a Environment<'a>,
    template: &'a Template,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
}

impl Template {
    /// Runs the template of an alert: `$labels`, `$value` and `$externalURL` are set.
    ///
    /// # Errors
    /// What it does cannot be done, or takes too much.
    pub fn expand(
        &self,
        labels: &crate::labels::Labels,
        value: f64,
        environment: &Environment<'_>,
    ) -> Result<String, TemplateError> {
        let labels = Value::labels(labels.iter());
        let url = Value::Text(environment.external_url.to_owned());
        let dot = Value::map([
            ("Labels".to_owned(), labels.clone()),
            ("ExternalLabels".to_owned(), Value::map([])),
            ("ExternalURL".to_owned(), url.clone()),
            ("Value".to_owned(), Value::Number(value)),
        ]);
        let variables = vec![
            (String::new(), dot.clone()),
            ("labels".to_owned(), labels),
            ("externalLabels".to_owned(), Value::map([])),
            ("externalURL".to_owned(), url),
            ("value".to_owned(), Value::Number(value)),
        ];
        let mut run = Run {
            environment,
            template: self,
            variables,
            out: String::new(),
            steps: 0,
        };
        run.parts(&self.body, &dot, 0)?;
        Ok(run.out)
    }
}

impl Run<'_> {
    fn write(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return fail(format!("the text is longer than {MAX_OUTPUT} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn parts(&mut self, parts: &[Part], dot: &Value, depth: usize) -> Result<Flow, TemplateError> {
        if depth > 100 {
            return fail("templates call each other more than 100 deep");
        }
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for part in parts {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return fail(format!("more than {MAX_STEPS} steps"));
            }
            flow = self.part(part, dot, depth)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn part(&mut self, part: &Part, dot: &Value, depth: usize) -> Result<Flow, TemplateError> {
        match part {
            Part::Text(text) => self.write(text)?,
            Part::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.write(&print(&value))?;
                }
            }
            Part::If {
                branches,
                otherwise,
            } => {
                let scope = self.variables.len();
                for (condition, body) in branches {
                    if self.pipeline(condition, dot)?.is_true() {
                        let flow = self.parts(body, dot, depth + 1)?;
                        self.variables.truncate(scope);
                        return Ok(flow);
                    }
                }
                let flow = self.parts(otherwise, dot, depth + 1)?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Part::With {
                pipeline,
                body,
                otherwise,
            } => {
                let scope = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let flow = if value.is_true() {
                    self.parts(body, &value, depth + 1)?
                } else {
                    self.parts(otherwise, dot, depth + 1)?
                };
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Part::Range {
                pipeline,
                body,
                otherwise,
            } => return self.range(pipeline, body, otherwise, dot, depth),
            Part::Call { name, argument } => {
                let argument = match argument {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => Value::Nil,
                };
                let template = self.template;
                let Some(body) = template.defined.get(name) else {
                    return fail(format!("template {name:?} not defined"));
                };
                self.parts(body, &argument, depth + 1)?;
            }
            Part::Break => return Ok(Flow::Break),
            Part::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Part],
        otherwise: &[Part],
        dot: &Value,
        depth: usize,
    ) -> Result<Flow, TemplateError> {
        let plain = Pipeline {
            variables: Vec::new(),
            ..pipeline.clone()
        };
        let items: Vec<(Value, Value)> = match self.pipeline(&plain, dot)? {
            Value::List(list) => list
                .iter()
                .enumerate()
                .map(|(at, item)| (Value::Integer(at as i64), item.clone()))
                .collect(),
            Value::Map(map) => map
                .iter()
                .map(|(key, item)| (Value::Text(key.clone()), item.clone()))
                .collect(),
            Value::Nil => Vec::new(),
            other => return fail(format!("range can't iterate over {}", print(&other))),
        };
        if items.is_empty() {
            return self.parts(otherwise, dot, depth + 1);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            match &pipeline.variables[..] {
                [value] => self.variables.push((value.clone(), item.clone())),
                [first, second] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
                _ => {}
            }
            let flow = self.parts(body, &item, depth + 1)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        self.steps += 1;
        let mut last: Option<Value> = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last.take(), dot)?);
        }
        let value = last.unwrap_or(Value::Nil);
        if let Some(name) = pipeline.variables.first() {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                match self
                    .variables
                    .iter_mut()
                    .rev()
                    .find(|(other, _)| other == name)
                {
                    Some(variable) => variable.1 = value.clone(),
                    None => return fail(format!("undefined variable \"${name}\"")),
                }
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        if let Some(Operand::Function(name)) = command.first() {
            // `and` and `or` stop at the first argument that decides.
            if matches!(name.as_str(), "and" | "or") {
                return self.shortcut(name == "or", &command[1..], piped, dot);
            }
            let mut arguments = Vec::with_capacity(command.len());
            for operand in &command[1..] {
                arguments.push(self.operand(operand, dot)?);
            }
            arguments.extend(piped);
            return functions::call(self, name, &arguments);
        }
        if command.len() != 1 || piped.is_some() {
            return fail("can't give argument to non-function");
        }
        self.operand(&command[0], dot)
    }

    fn shortcut(
        &mut self,
        wanted: bool,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut last = Value::Nil;
        for operand in operands {
            last = self.operand(operand, dot)?;
            if last.is_true() == wanted {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        Ok(match operand {
            Operand::Dot(fields) => follow(dot.clone(), fields)?,
            Operand::Variable(name, fields) => {
                match self.variables.iter().rev().find(|(other, _)| other == name) {
                    Some((_, value)) => follow(value.clone(), fields)?,
                    None => return fail(format!("undefined variable \"${name}\"")),
                }
            }
            Operand::Text(text) => Value::Text(text.clone()),
            Operand::Integer(integer) => Value::Integer(*integer),
            Operand::Number(number) => Value::Number(*number),
            Operand::Boolean(boolean) => Value::Boolean(*boolean),
            Operand::Nil => Value::Nil,
            Operand::Function(name) => functions::call(self, name, &[])?,
            Operand::Nested(pipeline, fields) => follow(self.pipeline(pipeline, dot)?, fields)?,
        })
    }
}

/// Follows fields; a label that is not there is the empty text.
fn follow(mut value: Value, fields: &[String]) -> Result<Value, TemplateError> {
    for field in fields {
        value = match &value {
            Value::Map(map) => map
                .get(field)
                .cloned()
                .unwrap_or_else(|| Value::Text(String::new())),
            Value::Nil => return fail(format!("nil has no field {field}")),
            other => return fail(format!("can't evaluate field {field} in {}", print(other))),
        };
    }
    Ok(value)
}

/// How a value looks in the text.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => number::general(*value, None),
        Value::Text(value) => value.clone(),
        Value::List(list) => {
            let items: Vec<_> = list.iter().map(print).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", print(value)))
                .collect();
            format!("map[{}]", items.join(" "))
        }
    }
}

/// A list as a value.
pub(super) fn list(items: Vec<Value>) -> Value {
    Value::List(Rc::new(items))
}
