//! Runs the Groovy of a Jenkinsfile: each step that a script reaches is handed to the engine.
//!
//! A script runs in the thread of its stage. What it sets without `def`, its functions and its budget belong to the whole
//! build; variables of the environment follow Jenkins' order: `env.X = …` holds from then on for all stages, but not over an
//! `environment { }` or `withEnv`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use launchway_model::Problem;
use launchway_model::build::BuildResult;

use super::stages::{Context, worse};
use super::steps::{Interrupt, Outcome};
use crate::error::place_of;
use crate::groovy::{Budget, Exception, Session, Span, Thrown, Value, with_stack};
use crate::jenkinsfile::{FILE, Jenkinsfile, ParameterKind};
use crate::plan::Script;

mod asked;
mod credentials;
mod dependency_check;
mod files;
mod host;
mod notices;
mod objects;
mod publish;
mod scm;
mod ssh_agent;
mod steps;

pub(crate) use credentials::secrets;
use host::ScriptHost;

/// What all scripts of a build share.
#[derive(Debug)]
pub(crate) struct Scripts {
    jenkinsfile: Arc<Jenkinsfile>,
    session: Session,
    /// What `env.X = …` set.
    variables: Mutex<BTreeMap<String, String>>,
    /// The values of the build's parameters.
    parameters: BTreeMap<String, Value>,
    current: Mutex<Current>,
}

/// `currentBuild`.
#[derive(Debug, Clone)]
struct Current {
    /// What a script set.
    result: Option<BuildResult>,
    /// What the stages came to.
    reached: BuildResult,
    display_name: Option<String>,
    description: Option<String>,
}

impl Scripts {
    /// The scripts of a Jenkinsfile. A parameter's value is the variable of its name, where `config set` or the build gave
    /// one, else its default.
    pub(crate) fn new(
        jenkinsfile: Arc<Jenkinsfile>,
        variables: &BTreeMap<String, String>,
        parameters: &BTreeMap<String, String>,
    ) -> Self {
        let parameters_given = parameters;
        let parameters = jenkinsfile
            .parameters
            .iter()
            .map(|parameter| {
                let given = parameters_given
                    .get(&parameter.name)
                    .or_else(|| variables.get(&parameter.name));
                let text = |default: &str| Value::text(given.map_or(default, String::as_str));
                let value = match &parameter.kind {
                    ParameterKind::Text { default, .. } | ParameterKind::Password { default } => {
                        text(default)
                    }
                    ParameterKind::Bool { default } => {
                        Value::Bool(given.map_or(*default, |given| given.trim() == "true"))
                    }
                    ParameterKind::Choice { choices } => {
                        let first = choices.first().map_or("", String::as_str);
                        let given = given.filter(|given| choices.contains(given));
                        Value::text(given.map_or(first, String::as_str))
                    }
                };
                (parameter.name.clone(), value)
            })
            .collect();
        Self {
            jenkinsfile,
            session: Session::new(Budget::default()),
            variables: Mutex::default(),
            parameters,
            current: Mutex::new(Current {
                result: None,
                reached: BuildResult::Success,
                display_name: None,
                description: None,
            }),
        }
    }

    /// The parameters as variables, as commands see them.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.to_text()))
    }

    /// What scripts set for the whole build.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.variables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The result that scripts set, or success.
    pub(crate) fn result(&self) -> BuildResult {
        self.current().result.unwrap_or(BuildResult::Success)
    }

    /// Tells scripts what the stages came to.
    pub(crate) fn set_reached(&self, result: BuildResult) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.reached = worse(current.reached, result);
    }

    fn current(&self) -> Current {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Current)) {
        change(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What the steps of one run of a script ended with, by the exception that the script saw: one that nobody catches becomes
/// the stage's problem with all that is known of it.
#[derive(Debug, Default)]
struct Failures(Mutex<Vec<(Arc<Exception>, Interrupt)>>);

impl Failures {
    fn add(&self, exception: Arc<Exception>, interrupt: Interrupt) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((exception, interrupt));
    }

    fn take(&self, exception: &Arc<Exception>) -> Option<Interrupt> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, exception))?;
        Some(all.swap_remove(at).1)
    }
}

/// Loads the functions and definitions of a build's Jenkinsfile, if it has one.
pub(crate) fn load(context: &Context<'_>) -> Result<(), Interrupt> {
    let Some(scripts) = &context.build.scripts else {
        return Ok(());
    };
    let failures = Failures::default();
    let outcome = Outcome::default();
    with_stack(|| {
        let host = ScriptHost::new(context, &outcome, scripts, &failures);
        scripts
            .session
            .interpreter(&host)
            .load(&scripts.jenkinsfile.script)
            .map_err(|thrown| uncaught(scripts, &failures, &thrown))
    })
}

/// Runs a script and gives the value of its last expression.
pub(crate) fn run(
    context: &Context<'_>,
    outcome: &Outcome,
    script: &Script,
) -> Result<Value, Interrupt> {
    let Some(scripts) = &context.build.scripts else {
        let problem = Problem::internal("a script without its Jenkinsfile");
        return Err(Interrupt::Failed(problem.at(script.place.clone())));
    };
    let failures = Failures::default();
    with_stack(|| {
        let host = ScriptHost::new(context, outcome, scripts, &failures);
        scripts
            .session
            .interpreter(&host)
            .run(&script.code)
            .map_err(|thrown| uncaught(scripts, &failures, &thrown))
    })
}

/// What an exception that nobody caught comes to.
fn uncaught(scripts: &Scripts, failures: &Failures, thrown: &Thrown) -> Interrupt {
    if let Some(interrupt) = failures.take(&thrown.exception) {
        return interrupt;
    }
    let Span { start, .. } = thrown.span;
    let place = place_of(FILE, &scripts.jenkinsfile.text, start);
    let exception = &thrown.exception;
    let class = exception
        .class
        .rsplit('.')
        .next()
        .unwrap_or(&exception.class);
    let message = match &exception.message {
        Some(message) if class == "AbortException" || class == "Error" => message.clone(),
        Some(message) => format!("{class}: {message}"),
        None => class.to_owned(),
    };
    Interrupt::Failed(Problem::failed(message).at(place))
}

/// The name that Jenkins has for a result.
fn result_name(result: BuildResult) -> &'static str {
    match result {
        BuildResult::Success => "SUCCESS",
        BuildResult::Unstable => "UNSTABLE",
        BuildResult::Failure => "FAILURE",
        BuildResult::NotBuilt => "NOT_BUILT",
        BuildResult::Aborted => "ABORTED",
    }
}

/// The result of a name of Jenkins'.
fn result_of(name: &str) -> Option<BuildResult> {
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "SUCCESS" => BuildResult::Success,
        "UNSTABLE" => BuildResult::Unstable,
        "FAILURE" => BuildResult::Failure,
        "NOT_BUILT" => BuildResult::NotBuilt,
        "ABORTED" => BuildResult::Aborted,
        _ => return None,
    })
}
