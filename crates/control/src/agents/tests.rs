use launchway_model::agent::{AGENT_PROTOCOL, Held};

use super::*;

fn report(incarnation: u64, holds: &[u64]) -> Report {
    Report {
        protocol: AGENT_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: ["linux".to_owned()].into(),
        executors: 2,
        host: "host".to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        incarnation,
        holds: holds
            .iter()
            .map(|lease| Held {
                lease: LeaseId(*lease),
                build: BuildId(*lease),
                cancelled: false,
                answered: BTreeSet::new(),
            })
            .collect(),
        leaving: false,
    }
}

fn agents() -> Agents {
    let agents = Agents::default();
    agents.lock().agents.insert(
        AgentId(1),
        Member::new(
            StoredAgent {
                id: 1,
                name: "one".to_owned(),
                hash: [0; 32],
                created: Timestamp::UNIX_EPOCH,
                labels: ["docker".to_owned()].into(),
                drained: false,
                seen: None,
                report: None,
            },
            None,
        ),
    );
    agents
}

#[test]
fn an_agent_has_the_labels_of_its_token_and_its_own_and_its_places_are_counted() {
    let agents = agents();
    assert_eq!(agents.nodes()[0].state, AgentState::Away);
    assert!(
        agents
            .take_report(AgentId(1), &report(5, &[]))
            .unwrap()
            .1
            .placing
    );
    let node = &agents.nodes()[0];
    assert_eq!(
        node.labels,
        ["docker", "linux", "one"].map(str::to_owned).into()
    );
    assert_eq!((node.state, node.free), (AgentState::Online, 2));
    agents.reserve(LeaseId(7), AgentId(1), BuildId(7));
    assert_eq!(agents.nodes()[0].free, 1);
    agents.end(LeaseId(7));
    assert_eq!(agents.nodes()[0].free, 2);
    assert!(
        !agents
            .take_report(AgentId(1), &report(5, &[]))
            .unwrap()
            .1
            .placing
    );
}

#[test]
fn a_cancel_is_told_until_it_is_known_and_a_lease_of_nobody_is_dropped() {
    let agents = agents();
    agents.reserve(LeaseId(7), AgentId(1), BuildId(7));
    agents.take_report(AgentId(1), &report(5, &[7, 8])).unwrap();
    agents.cancel(BuildId(7), "enough");
    let orders = agents.orders(AgentId(1), &report(5, &[7, 8])).unwrap();
    assert_eq!(orders.drop, [LeaseId(8)]);
    assert_eq!(orders.cancel[0].reason, "enough");
    let mut told = report(5, &[7]);
    told.holds[0].cancelled = true;
    assert!(agents.orders(AgentId(1), &told).unwrap().is_empty());
}

#[test]
fn of_two_processes_with_one_token_the_later_one_is_served() {
    let agents = agents();
    agents.take_report(AgentId(1), &report(5, &[])).unwrap();
    agents.take_report(AgentId(1), &report(6, &[])).unwrap();
    let error = agents
        .take_report(AgentId(1), &report(5, &[]))
        .err()
        .unwrap();
    assert_eq!(error.kind, ProblemKind::Conflict);
}

#[test]
fn another_version_is_refused_by_name() {
    let mut other = report(1, &[]);
    other.version = "9.9.9".to_owned();
    let error = check_version(&other).unwrap_err();
    assert!(error.message.contains("9.9.9"), "{error}");
    assert!(error.hint.unwrap().contains("binary"));
}

#[test]
fn deliveries_are_for_the_holder_of_a_live_lease_alone() {
    let agents = agents();
    agents.reserve(LeaseId(7), AgentId(1), BuildId(7));
    assert!(agents.delivering(AgentId(1), LeaseId(7)).is_ok());
    assert!(agents.delivering(AgentId(2), LeaseId(7)).is_err());
    assert!(agents.delivering(AgentId(1), LeaseId(8)).is_err());
    agents.take_report(AgentId(1), &report(1, &[7])).unwrap();
    agents.take_report(AgentId(1), &report(1, &[])).unwrap();
    assert!(agents.delivering(AgentId(1), LeaseId(7)).is_err());
}
