//! Agents on other machines: who they are, what they hold, what they are told.
//!
//! The registry is in memory; the store holds what a restart of control must not lose: the agents, and which of them has a
//! lease of which build. [`lease`] says when a lease is lost; [`receive`] takes what agents deliver, so that a build on an
//! agent has the same files here as one of our own and [`crate::builds`] follows both alike; [`source`] gives the commit.
//!
//! **Invariants:** an agent reads and writes nothing but what belongs to a live lease of its own; a revoked token is refused
//! from that moment on, in requests under way too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use launchway_model::agent::{
    Agent, AgentState, Answered, Assignment, Cancel, CreateAgent, HEARTBEAT_MS, LeaseId, NewAgent,
    Orders, Report, SILENT_MS, TOKEN_PREFIX,
};
use launchway_model::request::ANSWERS_FOLDER;
use launchway_model::suggest::did_you_mean;
use launchway_model::{BuildId, Problem, ProblemKind};
use launchway_store::{Store, StoredAgent};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

use crate::{Control, auth, problem};

mod certificate;
mod check;
mod lease;
mod receive;
mod source;

pub use certificate::Certificate;
use check::{check_label, check_name, check_version};
pub(crate) use lease::{Lease, Loss, Patience};
pub use receive::{Piece, grow, whole};
pub use source::{Source, source};

/// How often it is written that an agent is there.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Names an agent without being its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub(crate) u64);

/// What is known of all agents.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    agents: BTreeMap<AgentId, Member>,
    leases: BTreeMap<LeaseId, Leased>,
}

/// One agent.
#[derive(Debug)]
struct Member {
    stored: StoredAgent,
    report: Option<Report>,
    /// When it last said something to this control; its start, where it had leases.
    heard: Option<Instant>,
    seen: Option<Timestamp>,
    written: Option<Instant>,
    /// Told when there is something to say to it.
    wake: Arc<Notify>,
}

/// One lease.
#[derive(Debug)]
struct Leased {
    agent: AgentId,
    build: BuildId,
    lease: Lease,
    assignment: Option<Assignment>,
    cancel: Option<String>,
    turn: Arc<tokio::sync::Mutex<()>>,
    news: Arc<Notify>,
}

/// An agent, as the queue of builds sees it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) state: AgentState,
    /// How many more builds it may take.
    pub(crate) free: usize,
    /// Whether what it builds runs on this machine.
    pub(crate) same_machine: bool,
}

/// All agents, by name.
///
/// # Errors
/// None today; the store may be asked one day.
pub async fn list(control: &Control) -> Result<Vec<Agent>, Problem> {
    let known = control.agents.lock();
    let mut agents: Vec<Agent> = known
        .agents
        .iter()
        .map(|(id, member)| Agent {
            name: member.stored.name.clone(),
            created: member.stored.created,
            state: member.state(),
            labels: member.labels(),
            executors: member.report.as_ref().map_or(0, |report| report.executors),
            version: member.report.as_ref().map(|report| report.version.clone()),
            host: member.report.as_ref().map(|report| report.host.clone()),
            seen: member.seen,
            builds: known
                .leases
                .values()
                .filter(|leased| leased.agent == *id && leased.lease.is_live())
                .map(|leased| leased.build)
                .collect(),
        })
        .collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(agents)
}

/// Makes an agent and its token, which is in the answer and nowhere else.
///
/// # Errors
/// The name or a label is no name, the name is taken, or the store fails.
pub async fn create(control: &Control, request: CreateAgent) -> Result<NewAgent, Problem> {
    check_name("an agent's name", &request.name)?;
    for label in &request.labels {
        check_label(label)?;
    }
    let fingerprint = certificate(control)?.fingerprint();
    let token = format!("{TOKEN_PREFIX}{}.{fingerprint}", auth::secret()?);
    let now = Timestamp::now();
    let hash = hash(&token);
    let id = control
        .store
        .add_agent(&request.name, &hash, &request.labels, now)
        .await
        .map_err(problem::store)?;
    let Some(id) = id else {
        return Err(Problem::conflict(format!("there is an agent `{}` already", request.name))
            .hint("`launchway agents revoke NAME` removes it; its token is worth nothing from then on."));
    };
    let stored = StoredAgent {
        id,
        name: request.name.clone(),
        hash,
        created: now,
        labels: request.labels,
        drained: false,
        seen: None,
        report: None,
    };
    control
        .agents
        .lock()
        .agents
        .insert(AgentId(id), Member::new(stored, None));
    control.wake.builds.notify_one();
    control.wake.changed();
    Ok(NewAgent {
        name: request.name,
        token,
        server: control.settings().agents_url.clone(),
        fingerprint,
    })
}

/// Removes an agent: its token is refused at once, and the builds that it has are lost.
///
/// # Errors
/// There is no such agent, or the store fails.
pub async fn revoke(control: &Control, name: &str) -> Result<(), Problem> {
    let id = control.agents.find(name)?;
    // Forgotten first: from here on it is refused, whatever becomes of the store.
    let waiting = {
        let mut known = control.agents.lock();
        for leased in known
            .leases
            .values_mut()
            .filter(|leased| leased.agent == id)
        {
            leased.lease.revoked();
            leased.news.notify_one();
        }
        known.agents.remove(&id).map(|member| member.wake)
    };
    if let Some(wake) = waiting {
        wake.notify_waiters();
        wake.notify_one();
    }
    control
        .store
        .remove_agent(id.0)
        .await
        .map_err(problem::store)?;
    control.wake.builds.notify_one();
    control.wake.changed();
    tracing::info!(agent = name, "an agent is revoked");
    Ok(())
}

/// Lets an agent take builds, or not; what it runs it ends.
///
/// # Errors
/// There is no such agent, or the store fails.
pub async fn switch(control: &Control, name: &str, online: bool) -> Result<(), Problem> {
    let id = control.agents.find(name)?;
    control
        .store
        .set_drained(id.0, !online)
        .await
        .map_err(problem::store)?;
    if let Some(member) = control.agents.lock().agents.get_mut(&id) {
        member.stored.drained = !online;
        member.wake.notify_one();
    }
    control.wake.builds.notify_one();
    control.wake.changed();
    Ok(())
}

/// The certificate that agents find; made where there is none.
///
/// # Errors
/// It cannot be read or written.
pub fn certificate(control: &Control) -> Result<Certificate, Problem> {
    certificate::open(&control.settings().home)
}

/// Which agent a token is of, if it is one; compared in constant time.
pub fn identify(control: &Control, token: &str) -> Option<AgentId> {
    let given = hash(token);
    let known = control.agents.lock();
    // All are looked at, whichever it is.
    known.agents.iter().fold(None, |found, (id, member)| {
        if bool::from(member.stored.hash.ct_eq(&given)) {
            Some(*id)
        } else {
            found
        }
    })
}

/// Takes what an agent says of itself, and answers as soon as there is something to say to it, or after a heartbeat's time.
///
/// # Errors
/// Its version is another, another process has its token, or it was revoked meanwhile.
pub async fn sync(control: &Control, agent: AgentId, report: Report) -> Result<Orders, Problem> {
    check_version(&report)?;
    let until = tokio::time::Instant::now() + Duration::from_millis(HEARTBEAT_MS);
    let (wake, news) = control.agents.take_report(agent, &report)?;
    if news.placing {
        control.wake.builds.notify_one();
        control.wake.changed();
    }
    if news.write {
        let text = serde_json::to_string(&report)
            .map_err(|error| Problem::internal("cannot encode a report").cause(error))?;
        control
            .store
            .agent_said(agent.0, &text, Timestamp::now())
            .await
            .map_err(problem::store)?;
    }
    loop {
        let mut orders = control.agents.orders(agent, &report)?;
        orders.answers = answers(control, &report, &orders.drop).await;
        let over = tokio::time::Instant::now() >= until || control.cancel.is_cancelled();
        if over || !orders.is_empty() || report.leaving {
            return Ok(orders);
        }
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep_until(until) => {}
            () = control.cancel.cancelled() => {}
        }
    }
}

/// The answers to what an agent's builds ask that it does not have yet.
async fn answers(control: &Control, report: &Report, dropped: &[LeaseId]) -> Vec<Answered> {
    let mut found = Vec::new();
    for held in &report.holds {
        if dropped.contains(&held.lease) {
            continue;
        }
        let folder = control
            .settings()
            .home
            .build(held.build)
            .join(ANSWERS_FOLDER);
        let Ok(mut entries) = tokio::fs::read_dir(&folder).await else {
            continue;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let Some(number) = number.filter(|number| !held.answered.contains(number)) else {
                continue;
            };
            if let Ok(text) = tokio::fs::read_to_string(entry.path()).await {
                found.push(Answered {
                    lease: held.lease,
                    number,
                    text,
                });
            }
        }
    }
    found
}

/// What a report changes.
struct News {
    /// Whether builds may be placed otherwise than before.
    placing: bool,
    /// Whether it is to be written.
    write: bool,
}

impl Agents {
    /// Reads what the store knows. Agents with leases are taken to have been heard of just now: they get their time.
    pub(crate) async fn open(store: &Store) -> Result<Self, Problem> {
        let mut known = Known::default();
        for stored in store.agents().await.map_err(problem::store)? {
            let report = stored
                .report
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            known
                .agents
                .insert(AgentId(stored.id), Member::new(stored, report));
        }
        for lease in store.leases().await.map_err(problem::store)? {
            let agent = AgentId(lease.agent);
            if let Some(member) = known.agents.get_mut(&agent) {
                member.heard = Some(Instant::now());
            }
            known
                .leases
                .insert(lease.id, Leased::new(agent, lease.build));
        }
        Ok(Self {
            known: Mutex::new(known),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<AgentId, Problem> {
        let known = self.lock();
        let found = known
            .agents
            .iter()
            .find(|(_, member)| member.stored.name == name);
        if let Some((id, _)) = found {
            return Ok(*id);
        }
        let names = known
            .agents
            .values()
            .map(|member| member.stored.name.as_str());
        let hint = did_you_mean(name, names)
            .unwrap_or_else(|| "`launchway agents` lists all agents.".to_owned());
        Err(Problem::not_found(format!("there is no agent `{name}`")).hint(hint))
    }

    /// What the queue chooses from.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let known = self.lock();
        known
            .agents
            .iter()
            .map(|(id, member)| {
                let busy = known
                    .leases
                    .values()
                    .filter(|leased| leased.agent == *id && leased.lease.is_live())
                    .count();
                let report = member.report.as_ref();
                let executors = report.map_or(0, |report| report.executors as usize);
                Node {
                    id: *id,
                    name: member.stored.name.clone(),
                    labels: member.labels(),
                    state: member.state(),
                    free: executors.saturating_sub(busy),
                    same_machine: report
                        .is_some_and(|report| report.arch == std::env::consts::ARCH),
                }
            })
            .collect()
    }

    /// Takes a place of an agent for a lease that the store knows.
    pub(crate) fn reserve(&self, lease: LeaseId, agent: AgentId, build: BuildId) {
        self.lock().leases.insert(lease, Leased::new(agent, build));
    }

    /// The lease of a build, if it has one.
    pub(crate) fn lease_of(&self, build: BuildId) -> Option<(LeaseId, AgentId)> {
        let known = self.lock();
        known
            .leases
            .iter()
            .find(|(_, leased)| leased.build == build)
            .map(|(id, leased)| (*id, leased.agent))
    }

    /// Says what there is to build for a lease. Where the agent has begun already, it is not told again.
    pub(crate) fn offer(
        &self,
        lease: LeaseId,
        assignment: Option<Assignment>,
        cancel: Option<String>,
    ) {
        let mut known = self.lock();
        let Some(leased) = known.leases.get_mut(&lease) else {
            return;
        };
        if assignment.is_none() && leased.lease == Lease::Offered {
            leased.lease = Lease::Held;
        }
        leased.assignment = assignment;
        leased.cancel = cancel.or_else(|| leased.cancel.take());
        let agent = leased.agent;
        if let Some(member) = known.agents.get(&agent) {
            member.wake.notify_one();
        }
    }

    /// Tells the agent that has a build to end it.
    pub(crate) fn cancel(&self, build: BuildId, reason: &str) {
        let mut known = self.lock();
        let found = known
            .leases
            .values_mut()
            .find(|leased| leased.build == build);
        let Some(leased) = found else { return };
        leased.cancel = Some(reason.to_owned());
        let agent = leased.agent;
        if let Some(member) = known.agents.get(&agent) {
            member.wake.notify_one();
        }
    }

    /// Tells the agent that has a build that there is something for it.
    pub(crate) fn poke(&self, build: BuildId) {
        let known = self.lock();
        let leased = known.leases.values().find(|leased| leased.build == build);
        if let Some(member) = leased.and_then(|leased| known.agents.get(&leased.agent)) {
            member.wake.notify_one();
        }
    }

    /// Where a lease stands now, and the agent's name.
    pub(crate) fn look(&self, lease: LeaseId, patience: Patience) -> Option<(Lease, String)> {
        let mut known = self.lock();
        let Known { agents, leases } = &mut *known;
        let leased = leases.get_mut(&lease)?;
        let member = agents.get(&leased.agent);
        match member {
            Some(member) => {
                let silence = member.heard.map_or(Duration::MAX, |heard| heard.elapsed());
                leased
                    .lease
                    .silent(silence, leased.cancel.is_some(), patience);
            }
            None => leased.lease.revoked(),
        }
        let name = member.map_or_else(String::new, |member| member.stored.name.clone());
        Some((leased.lease, name))
    }

    /// Told when the agent delivered something, or the lease is lost.
    pub(crate) fn news(&self, lease: LeaseId) -> Option<Arc<Notify>> {
        self.lock()
            .leases
            .get(&lease)
            .map(|leased| leased.news.clone())
    }

    /// Forgets a lease: the agent is told to drop what it has of it.
    pub(crate) fn end(&self, lease: LeaseId) {
        let mut known = self.lock();
        if let Some(leased) = known.leases.remove(&lease)
            && let Some(member) = known.agents.get(&leased.agent)
        {
            member.wake.notify_one();
        }
    }

    /// What a delivery of an agent for a lease is about; hearing it is hearing the agent.
    #[expect(
        clippy::type_complexity,
        reason = "three things of one lease, for two callers"
    )]
    fn delivering(
        &self,
        agent: AgentId,
        lease: LeaseId,
    ) -> Result<(BuildId, Arc<tokio::sync::Mutex<()>>, Arc<Notify>), Problem> {
        let mut known = self.lock();
        if let Some(member) = known.agents.get_mut(&agent) {
            member.heard = Some(Instant::now());
        }
        match known.leases.get(&lease) {
            Some(leased) if leased.agent == agent && leased.lease.is_live() => {
                Ok((leased.build, leased.turn.clone(), leased.news.clone()))
            }
            _ => Err(Problem::not_found(format!("lease {lease} is no more"))),
        }
    }

    fn take_report(&self, agent: AgentId, report: &Report) -> Result<(Arc<Notify>, News), Problem> {
        let mut known = self.lock();
        let Known { agents, leases } = &mut *known;
        let member = agents.get_mut(&agent).ok_or_else(revoked)?;
        if let Some(before) = &member.report
            && before.incarnation > report.incarnation
            && member.state() != AgentState::Away
        {
            return Err(
                Problem::conflict("another agent with this token is connected").hint(
                    "Each agent needs a token of its own: `launchway agents create-token NAME`.",
                ),
            );
        }
        let same = member.report.as_ref().is_some_and(|before| {
            before.labels == report.labels
                && before.executors == report.executors
                && before.incarnation == report.incarnation
                && before.leaving == report.leaving
        });
        let news = News {
            placing: !same || member.state() == AgentState::Away,
            write: !same || member.written.is_none_or(|at| at.elapsed() >= WRITE_EVERY),
        };
        member.heard = Some(Instant::now());
        member.seen = Some(Timestamp::now());
        if news.write {
            member.written = Some(Instant::now());
        }
        member.report = Some(report.clone());
        for (id, leased) in leases
            .iter_mut()
            .filter(|(_, leased)| leased.agent == agent)
        {
            let held = report.holds.iter().any(|held| held.lease == *id);
            leased.lease.reported(held);
            if leased.lease == Lease::Held {
                // It has its secrets; nobody else needs them in memory.
                leased.assignment = None;
            }
            leased.news.notify_one();
        }
        Ok((member.wake.clone(), news))
    }

    fn orders(&self, agent: AgentId, report: &Report) -> Result<Orders, Problem> {
        let known = self.lock();
        let member = known.agents.get(&agent).ok_or_else(revoked)?;
        let mut orders = Orders {
            drained: member.stored.drained,
            ..Orders::default()
        };
        for held in &report.holds {
            match known.leases.get(&held.lease) {
                Some(leased) if leased.agent == agent && leased.lease.is_live() => {
                    if let Some(reason) = leased.cancel.as_ref().filter(|_| !held.cancelled) {
                        orders.cancel.push(Cancel {
                            lease: held.lease,
                            reason: reason.clone(),
                        });
                    }
                }
                _ => orders.drop.push(held.lease),
            }
        }
        for (id, leased) in &known.leases {
            if leased.agent == agent
                && leased.lease == Lease::Offered
                && let Some(assignment) = &leased.assignment
                && !report.holds.iter().any(|held| held.lease == *id)
            {
                orders.take.push(assignment.clone());
            }
        }
        Ok(orders)
    }
}

impl Member {
    fn new(stored: StoredAgent, report: Option<Report>) -> Self {
        Self {
            seen: stored.seen,
            stored,
            report,
            heard: None,
            written: None,
            wake: Arc::default(),
        }
    }

    fn state(&self) -> AgentState {
        let there = self
            .heard
            .is_some_and(|heard| heard.elapsed() < Duration::from_millis(SILENT_MS));
        match &self.report {
            Some(report) if there && !report.leaving => {
                if self.stored.drained {
                    AgentState::Drained
                } else {
                    AgentState::Online
                }
            }
            _ => AgentState::Away,
        }
    }

    fn labels(&self) -> BTreeSet<String> {
        let mut labels = self.stored.labels.clone();
        // A machine can be asked for by its name, as in Jenkins.
        labels.insert(self.stored.name.clone());
        if let Some(report) = &self.report {
            labels.extend(report.labels.iter().cloned());
        }
        labels
    }
}

impl Leased {
    fn new(agent: AgentId, build: BuildId) -> Self {
        Self {
            agent,
            build,
            lease: Lease::Offered,
            assignment: None,
            cancel: None,
            turn: Arc::default(),
            news: Arc::default(),
        }
    }
}

fn revoked() -> Problem {
    Problem::new(
        ProblemKind::Unauthenticated,
        "this agent's token is not valid, or not any more",
    )
    .hint("`launchway agents create-token NAME` on the server makes one.")
}

fn hash(token: &str) -> launchway_store::auth::Hash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests;
