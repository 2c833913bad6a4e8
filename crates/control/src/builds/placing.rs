//! Where a build runs, or why it waits. Pure: what is known goes in, a place or a reason comes out.
//!
//! A build that asks for no label runs here where there is room, then on an agent; one whose release would be served here is
//! given without being asked only to an agent of the same kind of machine, and one that restarts units of the app to none. A build is not spread over machines: all labels that
//! its stages ask for must be one machine's.

use std::collections::BTreeSet;

use launchway_model::Problem;
use launchway_model::agent::AgentState;

use super::needs::{Needs, Wanted};
use crate::agents::{AgentId, Node};

/// Where a build can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// This machine.
    Here,
    /// An agent.
    Agent(AgentId, String),
}

/// Why it goes nowhere now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It waits, for this reason.
    Waits(String),
    /// It can never run as it is.
    Never(Box<Problem>),
}

/// This machine as a place for builds.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) labels: BTreeSet<String>,
    pub(super) executors: usize,
    pub(super) running: usize,
}

impl Here {
    /// The server's own labels.
    pub(super) fn labels() -> BTreeSet<String> {
        let mut labels: BTreeSet<String> = [
            "built-in",
            "master",
            std::env::consts::OS,
            std::env::consts::ARCH,
        ]
        .map(str::to_owned)
        .into();
        labels
            .extend(launchway_model::agent::other_names(std::env::consts::ARCH).map(str::to_owned));
        labels
    }
}

/// Chooses a place. `deploys` says that a release is to be made of the build.
pub(super) fn place(
    needs: &Needs,
    deploys: bool,
    here: &Here,
    nodes: &[Node],
) -> Result<Place, Refusal> {
    let suits =
        |labels: &BTreeSet<String>| needs.labels.iter().all(|want| want.label.matches(labels));
    let asked = !needs.labels.is_empty();
    let here_suits = here.executors > 0 && suits(&here.labels);
    if here_suits && here.running < here.executors {
        return Ok(Place::Here);
    }
    let suiting: Vec<&Node> = nodes
        .iter()
        .filter(|node| {
            suits(&node.labels)
                && (asked || !(needs.restarts && here.executors > 0))
                && (asked || !deploys || node.same_machine)
        })
        .collect();
    let best = suiting
        .iter()
        .filter(|node| node.state == AgentState::Online && node.free > 0)
        // The emptiest first; among equals the first by name, so that it does not depend on chance.
        .max_by(|a, b| a.free.cmp(&b.free).then_with(|| b.name.cmp(&a.name)));
    if let Some(node) = best {
        return Ok(Place::Agent(node.id, node.name.clone()));
    }
    let of = |state: AgentState| suiting.iter().filter(move |node| node.state == state);
    let online = of(AgentState::Online).count();
    Err(if here_suits || online > 0 {
        Refusal::Waits(match (here_suits, online) {
            (true, 0) if here.running == 1 => "another build runs".to_owned(),
            (true, 0) => format!("{} builds run already", here.running),
            (true, _) => "this machine and all agents that suit are busy".to_owned(),
            (false, 1) => format!("agent {} is busy", list(of(AgentState::Online))),
            (false, _) => "all agents that suit are busy".to_owned(),
        })
    } else if of(AgentState::Drained).next().is_some() {
        Refusal::Waits(format!(
            "agent {} is drained",
            list(of(AgentState::Drained))
        ))
    } else if of(AgentState::Away).next().is_some() {
        Refusal::Waits(format!(
            "agent {} is not connected",
            list(of(AgentState::Away))
        ))
    } else if !asked {
        Refusal::Waits("no builds run on this machine, and no agent suits".to_owned())
    } else {
        nowhere(&needs.labels, here, nodes)
    })
}

/// No machine that is known satisfies all.
fn nowhere(wanted: &[Wanted], here: &Here, nodes: &[Node]) -> Refusal {
    let all = || {
        let own = (here.executors > 0).then_some(&here.labels);
        nodes.iter().map(|node| &node.labels).chain(own)
    };
    for want in wanted {
        if all().any(|labels| want.label.matches(labels)) {
            continue;
        }
        let missing = want
            .label
            .needed()
            .into_iter()
            .find(|label| !all().any(|labels| labels.contains(*label)));
        let asks = match &want.stage {
            Some(stage) => format!(" (stage `{stage}` asks for it)"),
            None => String::new(),
        };
        return Refusal::Waits(match missing {
            Some(label) => format!("no agent has label {label}{asks}"),
            None => format!("no agent has labels that satisfy {}{asks}", want.label),
        });
    }
    let mut problem = Problem::invalid(
        "the pipeline asks for different machines, and no single one has all that it asks for",
    );
    for want in wanted {
        let who = want.stage.as_ref().map_or_else(
            || "the pipeline".to_owned(),
            |stage| format!("stage `{stage}`"),
        );
        problem = problem.cause(format!("{who} asks for `{}`", want.label));
    }
    Refusal::Never(Box::new(problem.hint(
        "A build runs on one machine: give one agent all of these labels, or split the pipeline.",
    )))
}

fn list<'a>(nodes: impl Iterator<Item = &'a &'a Node>) -> String {
    nodes
        .map(|node| node.name.as_str())
        .take(5)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
