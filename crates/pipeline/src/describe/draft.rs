//! What one source says, with all that it leaves open left open; drafts are laid over each other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use launchway_model::app::{
    AppSpec, CommandSpec, CronSpec, FilesSpec, HealthSpec, Limits, NetworkSpec, ProcessSpec,
    RolloutSpec, RouteSpec, ScaleRule, Statuses, Www,
};
use launchway_model::route::Rules;
use launchway_model::scan::ScanPolicy;
use launchway_model::suggest::did_you_mean;
use launchway_model::trigger::TriggerSpec;
use launchway_model::{AppName, ProcessType};

use super::toml_reader::Table;
use crate::error::{DescribeError, FileError};

use crate::plan::{Agent, Post, Stage};

/// What one source says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) name: Option<AppName>,
    pub(crate) branch: Option<String>,
    pub(crate) processes: BTreeMap<ProcessType, ProcessDraft>,
    pub(crate) files: Option<FilesSpec>,
    pub(crate) release: Option<CommandSpec>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) required_env: BTreeMap<String, String>,
    pub(crate) health: HealthDraft,
    pub(crate) scan: Option<ScanPolicy>,
    /// The network of all process types that say nothing else.
    pub(crate) network: NetworkDraft,
    pub(crate) persist: Option<Vec<String>>,
    pub(crate) domains: Option<Vec<String>>,
    /// The whole list of stages; a draft with one hides the stages of all below it.
    pub(crate) stages: Option<Vec<Stage>>,
    /// Stages that come after those of the list, such as a test script of app.json.
    pub(crate) more_stages: Vec<Stage>,
    pub(crate) post: Vec<Post>,
    pub(crate) agent: Option<Agent>,
    pub(crate) timeout_ms: Option<u64>,
    /// What starts builds beside commits; written here, it hides what a Jenkinsfile says.
    pub(crate) triggers: Option<Vec<TriggerSpec>>,
    /// Whether detected stages come before those that are written; `None` is yes.
    pub(crate) install: Option<bool>,
    /// Whether a Jenkinsfile's stages are run; `None` is yes.
    pub(crate) jenkinsfile: Option<bool>,
    /// Names of systemd units that mean the app itself.
    pub(crate) units: Option<Vec<String>>,
    /// Commands by another name than the machine has.
    pub(crate) aliases: BTreeMap<String, String>,
    /// Names of stages to leave out, whoever wrote them.
    pub(crate) skip_stages: Option<Vec<String>>,
    pub(crate) once: Option<CommandSpec>,
    pub(crate) rollout: Option<RolloutSpec>,
    pub(crate) www: Option<Www>,
    /// The rules of all routes that have none of their own.
    pub(crate) rules: Option<Rules>,
    pub(crate) routes: Option<Vec<RouteSpec>>,
    /// Hosts and paths of the routes of one file, while it is read.
    pub(crate) routes_so_far: Vec<(Vec<String>, String)>,
    pub(crate) cron: Option<Vec<CronSpec>>,
    pub(crate) scaling: Option<Vec<ScaleRule>>,
    /// The process types whose address a variable asks for.
    pub(crate) wired: BTreeSet<ProcessType>,
    /// Process types that must be there in the end, whichever file names their commands.
    pub(crate) expected: Vec<Expected>,
    /// Where it came from, in words.
    pub(crate) sources: Vec<String>,
    /// What else a person should know.
    pub(crate) notes: Vec<String>,
}

/// A process type that a place of a file speaks of.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    process: ProcessType,
    why: &'static str,
    file: String,
    text: Arc<str>,
    span: Range<usize>,
}

/// What one source says of a process type.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessDraft {
    pub(crate) command: Option<String>,
    pub(crate) instances: Option<u32>,
    pub(crate) folder: Option<String>,
    pub(crate) grace_ms: Option<u64>,
    pub(crate) limits: Limits,
    pub(crate) http: bool,
    pub(crate) health: Option<HealthDraft>,
    pub(crate) network: NetworkDraft,
}

/// What one source says of a network.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkDraft {
    pub(crate) private: Option<bool>,
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) reaches_host: Option<bool>,
    pub(crate) port: Option<u16>,
}

impl NetworkDraft {
    fn fill(&mut self, lower: Self) {
        fill(&mut self.private, lower.private);
        fill(&mut self.allow, lower.allow);
        fill(&mut self.reaches_host, lower.reaches_host);
        fill(&mut self.port, lower.port);
    }

    /// With what the whole app says where this says nothing. Who says anything else of a private network means one.
    fn spec(&self, whole: &Self) -> NetworkSpec {
        let mut merged = self.clone();
        merged.fill(whole.clone());
        let implied =
            merged.allow.is_some() || merged.reaches_host.is_some() || merged.port.is_some();
        NetworkSpec {
            private: merged.private.unwrap_or(implied),
            allow: merged.allow.unwrap_or_default(),
            reaches_host: merged.reaches_host.unwrap_or(false),
            port: merged.port,
        }
    }
}

/// What one source says of the health check.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthDraft {
    pub(crate) path: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) statuses: Option<Statuses>,
    pub(crate) body: Option<String>,
    pub(crate) body_matches: Option<String>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) host: Option<String>,
    pub(crate) command: Option<String>,
    pub(crate) interval_ms: Option<u64>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) start_ms: Option<u64>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
}

impl Draft {
    /// Whether a source says anything at all of what runs.
    pub(crate) fn runs_something(&self) -> bool {
        self.files.is_some()
            || self
                .processes
                .values()
                .any(|process| process.command.is_some())
    }

    /// Fills what this draft leaves open from one of lower rank.
    pub(crate) fn fill(&mut self, lower: Self) {
        fill(&mut self.name, lower.name);
        fill(&mut self.branch, lower.branch);
        fill(&mut self.files, lower.files);
        fill(&mut self.release, lower.release);
        fill(&mut self.scan, lower.scan);
        fill(&mut self.persist, lower.persist);
        fill(&mut self.domains, lower.domains);
        fill(&mut self.agent, lower.agent);
        fill(&mut self.install, lower.install);
        fill(&mut self.triggers, lower.triggers);
        fill(&mut self.jenkinsfile, lower.jenkinsfile);
        fill(&mut self.units, lower.units);
        for (name, command) in lower.aliases {
            self.aliases.entry(name).or_insert(command);
        }
        fill(&mut self.skip_stages, lower.skip_stages);
        fill(&mut self.once, lower.once);
        fill(&mut self.rollout, lower.rollout);
        fill(&mut self.www, lower.www);
        fill(&mut self.rules, lower.rules);
        fill(&mut self.routes, lower.routes);
        fill(&mut self.cron, lower.cron);
        fill(&mut self.scaling, lower.scaling);
        self.wired.extend(lower.wired);
        self.expected.extend(lower.expected);
        fill(&mut self.timeout_ms, lower.timeout_ms);
        if self.stages.is_none() {
            self.stages = lower.stages;
            let mut more = lower.more_stages;
            more.append(&mut self.more_stages);
            self.more_stages = more;
            if self.post.is_empty() {
                self.post = lower.post;
            }
        }
        for (name, value) in lower.env {
            self.env.entry(name).or_insert(value);
        }
        for (name, about) in lower.required_env {
            self.required_env.entry(name).or_insert(about);
        }
        for (name, process) in lower.processes {
            self.processes.entry(name).or_default().fill(process);
        }
        self.health.fill(lower.health);
        self.network.fill(lower.network);
        self.sources.extend(lower.sources);
        self.notes.extend(lower.notes);
    }

    /// The draft as a specification, with the defaults in place; process types without a command are left out.
    pub(crate) fn spec(&self) -> AppSpec {
        let processes = self
            .processes
            .iter()
            .filter_map(|(name, process)| {
                let mut spec = ProcessSpec::new(process.command.clone()?);
                spec.instances = process.instances.unwrap_or(1);
                spec.folder.clone_from(&process.folder);
                spec.grace_ms = process.grace_ms.unwrap_or(spec.grace_ms);
                spec.limits = process.limits.clone();
                spec.http = process.http || (self.wired.contains(name) && !name.is_web());
                spec.health = process.health.as_ref().map(HealthDraft::spec);
                spec.network = process.network.spec(&self.network);
                Some((name.clone(), spec))
            })
            .collect();
        AppSpec {
            processes,
            files: self.files.clone(),
            release: self.release.clone(),
            env: self.env.clone(),
            required_env: self.required_env.clone(),
            health: self.health.spec(),
            scan: self.scan.clone().unwrap_or_default(),
            persist: self.persist.clone().unwrap_or_default(),
            domains: self.domains.clone().unwrap_or_default(),
            routes: self.routes.clone().unwrap_or_default(),
            rules: self.rules.clone().unwrap_or_default(),
            www: self.www,
            once: self.once.clone(),
            rollout: self.rollout.clone().unwrap_or_default(),
            cron: self.cron.clone().unwrap_or_default(),
            scaling: self.scaling.clone().unwrap_or_default(),
            sources: self.sources.clone(),
        }
    }

    /// Notes that a place of a file speaks of a process type, which another file may describe.
    pub(crate) fn expect_process(
        &mut self,
        table: &Table<'_>,
        process: &ProcessType,
        span: Range<usize>,
        why: &'static str,
    ) {
        self.expected.push(Expected {
            process: process.clone(),
            why,
            file: table.source.file.to_owned(),
            text: table.source.text.into(),
            span,
        });
    }

    /// Refuses a place that speaks of a process type that nothing describes.
    pub(crate) fn check_expected(&self) -> Result<(), DescribeError> {
        let known: Vec<&str> = self
            .processes
            .iter()
            .filter(|(_, process)| process.command.is_some())
            .map(|(name, _)| name.as_str())
            .collect();
        let missing = self
            .expected
            .iter()
            .find(|expected| !known.contains(&expected.process.as_str()));
        let Some(missing) = missing else {
            return Ok(());
        };
        let hint =
            did_you_mean(missing.process.as_str(), known.iter().copied()).unwrap_or_else(|| {
                match known.as_slice() {
                    [] => "No process type is described at all.".to_owned(),
                    known => format!("The process types are {}.", known.join(", ")),
                }
            });
        let error = FileError::new(
            &missing.file,
            &missing.text,
            missing.span.clone(),
            format!("there is no process type `{}`", missing.process),
            missing.why,
        );
        Err(Box::new(error.hint(Some(hint))).into())
    }
}

impl ProcessDraft {
    /// A process type with a command and nothing else.
    pub(crate) fn command(command: impl Into<String>) -> Self {
        Self {
            command: Some(command.into()),
            ..Self::default()
        }
    }

    fn fill(&mut self, lower: Self) {
        fill(&mut self.command, lower.command);
        fill(&mut self.instances, lower.instances);
        fill(&mut self.folder, lower.folder);
        fill(&mut self.grace_ms, lower.grace_ms);
        fill(&mut self.limits.memory_bytes, lower.limits.memory_bytes);
        fill(&mut self.limits.cpu_millis, lower.limits.cpu_millis);
        fill(&mut self.limits.pids, lower.limits.pids);
        fill(&mut self.limits.open_files, lower.limits.open_files);
        self.http |= lower.http;
        match (&mut self.health, lower.health) {
            (Some(own), Some(lower)) => own.fill(lower),
            (own, lower) => fill(own, lower),
        }
        self.network.fill(lower.network);
    }
}

impl HealthDraft {
    fn fill(&mut self, lower: Self) {
        fill(&mut self.path, lower.path);
        fill(&mut self.method, lower.method);
        fill(&mut self.statuses, lower.statuses);
        fill(&mut self.body_matches, lower.body_matches);
        fill(&mut self.headers, lower.headers);
        fill(&mut self.host, lower.host);
        fill(&mut self.command, lower.command);
        fill(&mut self.body, lower.body);
        fill(&mut self.interval_ms, lower.interval_ms);
        fill(&mut self.timeout_ms, lower.timeout_ms);
        fill(&mut self.start_ms, lower.start_ms);
        fill(&mut self.rise, lower.rise);
        fill(&mut self.fall, lower.fall);
    }

    fn spec(&self) -> HealthSpec {
        let default = HealthSpec::default();
        HealthSpec {
            path: self.path.clone(),
            method: self.method.clone().unwrap_or(default.method),
            statuses: self.statuses.clone().unwrap_or(default.statuses),
            body: self.body.clone(),
            body_matches: self.body_matches.clone(),
            headers: self.headers.clone().unwrap_or_default(),
            host: self.host.clone(),
            command: self.command.clone(),
            interval_ms: self.interval_ms.unwrap_or(default.interval_ms),
            timeout_ms: self.timeout_ms.unwrap_or(default.timeout_ms),
            start_ms: self.start_ms.unwrap_or(default.start_ms),
            rise: self.rise.unwrap_or(default.rise),
            fall: self.fall.unwrap_or(default.fall),
        }
    }
}

fn fill<T>(own: &mut Option<T>, lower: Option<T>) {
    if own.is_none() {
        *own = lower;
    }
}
