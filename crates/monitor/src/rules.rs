//! Recording and alerting rules: Prometheus' rule files, evaluated group by group.
//!
//! [`Rules`] is driven from outside: the owner's thread calls [`Rules::evaluate_due`] with the time, and sends on the
//! [`Notice`]s it gets. There is no thread, no clock and no network in here. Results go into the store: recorded series,
//! and `ALERTS` and `ALERTS_FOR_STATE` as Prometheus writes them.
//! **Invariant:** what is pending or firing survives a restart ([`Rules::save`] and [`Rules::restore`]): an alert neither
//! waits for its `for` again nor is resolved because the process was.

use crate::labels::{Labels, METRIC_NAME};
use crate::promql::{Engine, QueryError};
use crate::storage::{Store, StoreError};
use crate::yaml::YamlError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod evaluate;
mod file;
mod state;
mod template;
pub mod words;

#[cfg(test)]
mod tests;

pub use file::{GroupSpec, RuleKind, RuleSpec, parse as parse_rule_file};
pub use template::{Environment, Sample, Template, TemplateError};

/// The series that tells which alerts are active.
pub const ALERTS: &str = "ALERTS";
/// The series that tells since when.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// The label with an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// How rules are evaluated.
#[derive(Clone, Debug)]
pub struct RuleOptions {
    /// The interval of groups that name none, ms.
    pub interval: i64,
    /// The offset of groups that name none, ms.
    pub query_offset: i64,
    /// An alert that stays active is sent again after this long, ms.
    pub resend_delay: i64,
    /// The address under which people reach this server, for templates and notices.
    pub external_url: String,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self {
            interval: 60_000,
            query_offset: 0,
            resend_delay: 60_000,
            external_url: String::new(),
        }
    }
}

/// Why rules could not be loaded, or their state not kept.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Mistakes in rule files.
    #[error("{}", describe(.0))]
    Files(Vec<(PathBuf, YamlError)>),
    /// The state could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state is not what [`Rules::save`] writes.
    #[error("{path}: the state of the rules cannot be read: {message}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

fn describe(errors: &[(PathBuf, YamlError)]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|(path, error)| format!("{}:{error}", path.display()))
        .collect();
    lines.join("\n")
}

/// The state of an active alert.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It was active and is no more; kept for a while so that its end is told.
    Inactive,
    /// Its expression holds, but not yet for as long as it has to.
    Pending,
    /// It fires.
    Firing,
}

impl AlertState {
    /// The state's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert of one series. Times are ms since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its texts, expanded.
    pub annotations: BTreeMap<String, String>,
    /// Its state.
    pub state: AlertState,
    /// The value of the expression when it held last.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// When it ended.
    pub resolved_at: Option<i64>,
    /// Since when it fires on though the expression holds no more.
    pub keep_firing_since: Option<i64>,
    /// When its last notice was due.
    last_sent_at: Option<i64>,
}

/// Something to tell: an alert that fires, still fires, or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The alert's labels.
    pub labels: Labels,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires, ms.
    pub starts_at: i64,
    /// When it ended, or when this notice is no longer to be believed if no later one comes, ms.
    pub ends_at: i64,
    /// Whether it ended.
    pub resolved: bool,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

/// The health of a rule or group after its last evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When it was evaluated, ms.
    pub evaluated_at: Option<i64>,
    /// How long that took, µs.
    pub took: u64,
    /// What went wrong, if anything.
    pub error: Option<String>,
}

impl Health {
    /// `ok`, `err` or `unknown`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (&self.error, self.evaluated_at) {
            (Some(_), _) => "err",
            (None, Some(_)) => "ok",
            (None, None) => "unknown",
        }
    }
}

/// A rule with its state, for showing it.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The rule.
    pub spec: RuleSpec,
    /// Its health.
    pub health: Health,
    /// Its active alerts.
    pub alerts: Vec<Alert>,
}

/// A group with its state, for showing it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The file that it is from.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// Its interval, ms.
    pub interval: i64,
    /// Its limit; 0 is none.
    pub limit: usize,
    /// Its health.
    pub health: Health,
    /// Its rules in order.
    pub rules: Vec<RuleView>,
}

/// What an evaluation came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Groups that were due.
    pub groups: usize,
    /// Rules that failed.
    pub failed: usize,
    /// What there is to tell.
    pub notices: Vec<Notice>,
    /// Whether any alert changed its state, so that [`Rules::save`] is worth a write.
    pub changed: bool,
}

struct RuleRun {
    spec: RuleSpec,
    labels: Vec<(String, Template)>,
    annotations: Vec<(String, Template)>,
    health: Health,
    /// Active alerts by their labels.
    alerts: BTreeMap<Labels, Alert>,
    /// The series written last, for marking those stale that are gone.
    written: Vec<Labels>,
}

struct GroupRun {
    file: PathBuf,
    name: String,
    interval: i64,
    query_offset: i64,
    limit: usize,
    health: Health,
    next: Option<i64>,
    rules: Vec<RuleRun>,
}

/// All rules and their state. It can be used from several threads; one evaluation runs at a time.
pub struct Rules {
    store: Store,
    engine: Engine,
    options: RuleOptions,
    groups: Mutex<Vec<GroupRun>>,
    /// Series of rules that were removed, to be marked stale by the next evaluation.
    abandoned: Mutex<Vec<Labels>>,
    /// State read at the start, until its rule is loaded.
    restored: Mutex<state::Restored>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rules {
    /// No rules yet, over a store.
    #[must_use]
    pub fn new(store: Store, engine: Engine, options: RuleOptions) -> Self {
        Self {
            store,
            engine,
            options,
            groups: Mutex::default(),
            abandoned: Mutex::default(),
            restored: Mutex::default(),
        }
    }

    /// Replaces all rules by those of these files (path and text). A rule that was there before, by file, group, name
    /// and expression, keeps its alerts.
    ///
    /// # Errors
    /// Mistakes, all of them; the rules stay as they were.
    pub fn load(&self, files: &[(PathBuf, String)]) -> Result<(), RulesError> {
        let (mut specs, mut errors) = (Vec::new(), Vec::new());
        for (path, text) in files {
            match file::parse(text) {
                Ok(groups) => specs.extend(groups.into_iter().map(|group| (path.clone(), group))),
                Err(found) => errors.extend(found.into_iter().map(|error| (path.clone(), error))),
            }
        }
        if !errors.is_empty() {
            return Err(RulesError::Files(errors));
        }
        let new: Vec<GroupRun> = specs
            .into_iter()
            .map(|(path, spec)| self.group(path, spec))
            .collect();
        let mut groups = lock(&self.groups);
        let old = std::mem::replace(&mut *groups, new);
        let mut kept: BTreeMap<String, Vec<RuleRun>> = BTreeMap::new();
        for group in old {
            for rule in group.rules {
                kept.entry(state::rule_key(&group.file, &group.name, &rule.spec))
                    .or_default()
                    .push(rule);
            }
        }
        let mut restored = lock(&self.restored);
        for group in groups.iter_mut() {
            for rule in &mut group.rules {
                let key = state::rule_key(&group.file, &group.name, &rule.spec);
                if let Some(before) = kept.get_mut(&key).and_then(Vec::pop) {
                    rule.alerts = before.alerts;
                    rule.written = before.written;
                    rule.health = before.health;
                } else if let Some((alerts, written)) = restored.take(&key) {
                    rule.alerts = alerts;
                    rule.written = written;
                }
            }
        }
        lock(&self.abandoned).extend(kept.into_values().flatten().flat_map(|rule| rule.written));
        Ok(())
    }

    fn group(&self, file: PathBuf, spec: GroupSpec) -> GroupRun {
        let parse = |pairs: &[(String, String)]| -> Vec<(String, Template)> {
            // The file's check parsed them already.
            pairs
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), Template::parse(text).ok()?)))
                .collect()
        };
        let rules = spec.rules.into_iter().map(|spec| {
            let (labels, annotations) = match &spec.kind {
                RuleKind::Recording { .. } => (Vec::new(), Vec::new()),
                RuleKind::Alerting { annotations, .. } => (parse(&spec.labels), parse(annotations)),
            };
            let (health, alerts, written) = (Health::default(), BTreeMap::new(), Vec::new());
            RuleRun {
                spec,
                labels,
                annotations,
                health,
                alerts,
                written,
            }
        });
        GroupRun {
            file,
            name: spec.name,
            interval: spec.interval.unwrap_or(self.options.interval).max(1),
            query_offset: spec.query_offset.unwrap_or(self.options.query_offset),
            limit: spec.limit,
            health: Health::default(),
            next: None,
            rules: rules.collect(),
        }
    }

    /// Evaluates the groups that are due at `now` (ms) and gives what there is to tell. A group whose time came several
    /// times is evaluated once.
    pub fn evaluate_due(&self, now: i64) -> Evaluation {
        let mut result = Evaluation::default();
        self.mark_abandoned(now);
        let mut groups = lock(&self.groups);
        for group in groups
            .iter_mut()
            .filter(|group| group.next.is_none_or(|next| next <= now))
        {
            let at = match group.next {
                // The regular time, so that results lie at even distances.
                Some(next) => next + (now - next) / group.interval * group.interval,
                None => now,
            };
            self.evaluate_group(group, at, &mut result);
            group.next = Some(at + group.interval);
            result.groups += 1;
        }
        result
    }

    /// Makes the groups of this name due at once: something happened that they look for.
    pub fn make_due(&self, name: &str) {
        for group in lock(&self.groups)
            .iter_mut()
            .filter(|group| group.name == name)
        {
            group.next = None;
        }
    }

    /// When the next group is due, ms; `None` where there are no rules or one was never evaluated.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        lock(&self.groups)
            .iter()
            .map(|group| group.next.unwrap_or(i64::MIN))
            .min()
    }

    /// The groups with all of their state.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupView> {
        let groups = lock(&self.groups);
        let view = |rule: &RuleRun| RuleView {
            spec: rule.spec.clone(),
            health: rule.health.clone(),
            alerts: rule
                .alerts
                .values()
                .filter(|a| a.state != AlertState::Inactive)
                .cloned()
                .collect(),
        };
        groups
            .iter()
            .map(|group| GroupView {
                file: group.file.clone(),
                name: group.name.clone(),
                interval: group.interval,
                limit: group.limit,
                health: group.health.clone(),
                rules: group.rules.iter().map(view).collect(),
            })
            .collect()
    }

    /// The pending and firing alerts.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let groups = lock(&self.groups);
        let all = groups
            .iter()
            .flat_map(|group| &group.rules)
            .flat_map(|rule| rule.alerts.values());
        all.filter(|alert| alert.state != AlertState::Inactive)
            .cloned()
            .collect()
    }

    /// Writes the state of all alerts to a file, as a whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), RulesError> {
        let text = state::to_json(&lock(&self.groups), &lock(&self.restored));
        crate::storage::write_atomically(path, text.as_bytes())?;
        Ok(())
    }

    /// Reads the state that [`save`](Self::save) wrote; rules take theirs when they are loaded after this. A missing file
    /// is an empty state.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged; the state stays empty then.
    pub fn restore(&self, path: &Path) -> Result<(), RulesError> {
        let restored = state::read(path)?;
        *lock(&self.restored) = restored;
        Ok(())
    }
}

/// The error of a query, in the words of a rule's health.
fn query_message(error: &QueryError) -> String {
    error.to_string()
}

/// A label set with the metric's name replaced.
fn named(labels: &Labels, name: &str) -> Labels {
    labels.with(METRIC_NAME, name)
}
