//! What one source says, with all that it leaves open left open; drafts are laid over each other.

use std::collections::BTreeMap;

use launchway_model::app::{
    AppSpec, CommandSpec, FilesSpec, HealthSpec, Limits, ProcessSpec, StatusRange,
};
use launchway_model::{AppName, ProcessType};

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
    pub(crate) persist: Option<Vec<String>>,
    pub(crate) domains: Option<Vec<String>>,
    /// The whole list of stages; a draft with one hides the stages of all below it.
    pub(crate) stages: Option<Vec<Stage>>,
    /// Stages that come after those of the list, such as a test script of app.json.
    pub(crate) more_stages: Vec<Stage>,
    pub(crate) post: Vec<Post>,
    pub(crate) agent: Option<Agent>,
    pub(crate) timeout_ms: Option<u64>,
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
    /// Where it came from, in words.
    pub(crate) sources: Vec<String>,
    /// What else a person should know.
    pub(crate) notes: Vec<String>,
}

/// What one source says of a process type.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessDraft {
    pub(crate) command: Option<String>,
    pub(crate) instances: Option<u32>,
    pub(crate) folder: Option<String>,
    pub(crate) grace_ms: Option<u64>,
    pub(crate) limits: Limits,
}

/// What one source says of the health check.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthDraft {
    pub(crate) path: Option<String>,
    pub(crate) statuses: Option<StatusRange>,
    pub(crate) body: Option<String>,
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
        fill(&mut self.persist, lower.persist);
        fill(&mut self.domains, lower.domains);
        fill(&mut self.agent, lower.agent);
        fill(&mut self.install, lower.install);
        fill(&mut self.jenkinsfile, lower.jenkinsfile);
        fill(&mut self.units, lower.units);
        for (name, command) in lower.aliases {
            self.aliases.entry(name).or_insert(command);
        }
        fill(&mut self.skip_stages, lower.skip_stages);
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
            persist: self.persist.clone().unwrap_or_default(),
            domains: self.domains.clone().unwrap_or_default(),
            sources: self.sources.clone(),
        }
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
    }
}

impl HealthDraft {
    fn fill(&mut self, lower: Self) {
        fill(&mut self.path, lower.path);
        fill(&mut self.statuses, lower.statuses);
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
            statuses: self.statuses.unwrap_or(default.statuses),
            body: self.body.clone(),
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
