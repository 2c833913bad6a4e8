//! The host of the interpreter: names, objects and calls.

use std::sync::Arc;

use launchway_model::Problem;

use super::super::stages::Context;
use super::super::steps::{self as engine, Interrupt, Outcome};
use super::{Failures, Scripts, objects, steps};
use crate::groovy::{Args, Closure, Host, Interpreter, Span, Thrown, Value};
use crate::jenkinsfile::steps::STEPS;
use crate::plan::Step;

/// What Jenkins throws when a step is interrupted.
const INTERRUPTED: &str = "org.jenkinsci.plugins.workflow.steps.FlowInterruptedException";

/// A place in a stage, as a script sees it.
#[derive(Debug)]
pub(super) struct ScriptHost<'c> {
    pub(super) context: &'c Context<'c>,
    pub(super) outcome: &'c Outcome,
    pub(super) scripts: &'c Scripts,
    pub(super) failures: &'c Failures,
    /// How many of the context's time limits are the stage's own; the others are of `timeout` steps.
    limits: usize,
}

impl<'c> ScriptHost<'c> {
    pub(super) fn new(
        context: &'c Context<'c>,
        outcome: &'c Outcome,
        scripts: &'c Scripts,
        failures: &'c Failures,
    ) -> Self {
        Self {
            context,
            outcome,
            scripts,
            failures,
            limits: context.deadlines.len(),
        }
    }

    /// The same script in another context.
    pub(super) fn within(&self, context: &'c Context<'c>) -> Self {
        Self {
            context,
            limits: self.limits,
            ..*self
        }
    }

    /// Whether the whole stage is stopped, which no handler of a script holds up; the limit of one step it may.
    pub(super) fn is_stopped(&self) -> bool {
        let now = std::time::Instant::now();
        let own = self.context.deadlines.iter().take(self.limits);
        self.context
            .stops
            .iter()
            .any(|stop| stop.reason().is_some())
            || own.into_iter().any(|deadline| deadline.at <= now)
    }

    /// Runs a step of the engine.
    pub(super) fn step(&self, step: &Step, span: Span) -> Result<Value, Thrown> {
        self.done(engine::run(self.context, self.outcome, step), span)
    }

    /// What a step of the engine came to, as the script sees it.
    pub(super) fn done(&self, done: Result<(), Interrupt>, span: Span) -> Result<Value, Thrown> {
        done.map(|()| Value::Null)
            .map_err(|interrupt| self.throw(interrupt, span))
    }

    /// An exception for what ended a step; it is remembered with all that is known of it.
    pub(super) fn throw(&self, interrupt: Interrupt, span: Span) -> Thrown {
        let thrown = match &interrupt {
            Interrupt::Failed(problem) => Thrown::abort(problem.message.clone(), span),
            Interrupt::Aborted(problem) => Thrown {
                fatal: self.is_stopped(),
                ..Thrown::new(INTERRUPTED, problem.message.clone(), span)
            },
        };
        self.failures.add(Arc::clone(&thrown.exception), interrupt);
        thrown
    }

    /// Fails with a message.
    pub(super) fn fail(&self, message: impl Into<String>, span: Span) -> Thrown {
        self.throw(Interrupt::Failed(Problem::failed(message)), span)
    }

    /// Runs a block in another context.
    pub(super) fn block(
        &self,
        interpreter: &Interpreter<'_>,
        context: &Context<'_>,
        closure: &Closure,
    ) -> Result<Value, Thrown> {
        let host = self.within(context);
        interpreter
            .with_host(&host)
            .call_closure(closure, Vec::new())
    }
}

impl Host for ScriptHost<'_> {
    fn call(
        &self,
        interpreter: &Interpreter<'_>,
        name: &str,
        args: Args,
        span: Span,
    ) -> Option<Result<Value, Thrown>> {
        if let Some(interrupt) = self.context.stopped() {
            return Some(Err(self.throw(interrupt, span)));
        }
        steps::call(self, interpreter, name, args, span)
    }

    fn name(&self, name: &str) -> Option<Value> {
        match name {
            "env" | "params" | "currentBuild" | "scm" => Some(Value::Host(name.into())),
            name => objects::variable(self, name).map(Value::text),
        }
    }

    fn property(&self, object: &str, name: &str) -> Option<Result<Value, Thrown>> {
        objects::property(self, object, name).map(Ok)
    }

    fn set_property(&self, object: &str, name: &str, value: Value) -> Result<(), Thrown> {
        objects::set_property(self, object, name, &value)
    }

    fn method(
        &self,
        interpreter: &Interpreter<'_>,
        object: &str,
        method: &str,
        args: Args,
        span: Span,
    ) -> Option<Result<Value, Thrown>> {
        // `steps.sh '…'` and `this.sh '…'` are the same as `sh '…'`.
        if matches!(object, "steps" | "script") {
            return self.call(interpreter, method, args, span);
        }
        objects::method(self, object, method, &args)
    }

    fn known_names(&self) -> Vec<String> {
        let own = ["env", "params", "currentBuild", "scm"];
        let variables = self.context.environment.keys().cloned();
        let steps = STEPS.iter().map(|step| step.name.to_owned());
        own.map(str::to_owned)
            .into_iter()
            .chain(variables)
            .chain(steps)
            .collect()
    }
}
