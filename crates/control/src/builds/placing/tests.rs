use super::*;

fn needs(labels: &[(Option<&str>, &str)]) -> Needs {
    Needs {
        labels: labels
            .iter()
            .map(|(stage, label)| Wanted {
                stage: stage.map(str::to_owned),
                label: label.parse().unwrap(),
            })
            .collect(),
        ..Needs::default()
    }
}

fn here(executors: usize, running: usize) -> Here {
    Here {
        labels: ["built-in".to_owned(), "linux".to_owned()].into(),
        executors,
        running,
    }
}

fn node(id: u64, labels: &str, state: AgentState, free: usize) -> Node {
    Node {
        id: AgentId(id),
        name: format!("a{id}"),
        labels: labels.split(' ').map(str::to_owned).collect(),
        state,
        free,
        same_machine: true,
    }
}

fn reason(placed: Result<Place, Refusal>) -> String {
    match placed {
        Err(Refusal::Waits(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

use AgentState::{Away, Drained, Online};

#[test]
fn a_build_without_labels_runs_here_first_then_on_the_emptiest_agent() {
    let nodes = [
        node(1, "linux", Online, 1),
        node(2, "linux", Online, 3),
        node(3, "x", Away, 9),
    ];
    let any = needs(&[]);
    assert_eq!(place(&any, true, &here(2, 1), &nodes), Ok(Place::Here));
    assert_eq!(
        place(&any, true, &here(2, 2), &nodes),
        Ok(Place::Agent(AgentId(2), "a2".to_owned()))
    );
    assert_eq!(
        reason(place(&any, true, &here(2, 2), &[])),
        "2 builds run already"
    );
    assert_eq!(
        reason(place(&any, true, &here(0, 0), &[])),
        "no builds run on this machine, and no agent suits"
    );
}

#[test]
fn a_release_is_not_built_unasked_on_another_kind_of_machine() {
    let mut other = node(1, "linux", Online, 1);
    other.same_machine = false;
    let nodes = [other];
    assert_eq!(
        reason(place(&needs(&[]), true, &here(1, 1), &nodes)),
        "another build runs"
    );
    assert!(place(&needs(&[]), false, &here(1, 1), &nodes).is_ok());
    assert!(place(&needs(&[(None, "linux")]), true, &here(1, 1), &nodes).is_ok());
}

#[test]
fn the_reason_for_waiting_names_what_is_missing() {
    let nodes = [
        node(1, "linux docker", Online, 0),
        node(2, "windows", Away, 1),
        node(3, "mac", Drained, 1),
    ];
    let why = |label: &str| reason(place(&needs(&[(None, label)]), false, &here(1, 0), &nodes));
    assert_eq!(why("gpu"), "no agent has label gpu");
    assert_eq!(why("linux && gpu"), "no agent has label gpu");
    assert_eq!(
        why("linux && mac"),
        "no agent has labels that satisfy linux && mac"
    );
    assert_eq!(why("docker"), "agent a1 is busy");
    assert_eq!(why("windows"), "agent a2 is not connected");
    assert_eq!(why("mac"), "agent a3 is drained");
    assert_eq!(
        place(&needs(&[(None, "built-in")]), false, &here(1, 0), &nodes),
        Ok(Place::Here)
    );
    let staged = needs(&[(None, "linux"), (Some("Scan"), "gpu")]);
    assert_eq!(
        reason(place(&staged, false, &here(1, 0), &nodes)),
        "no agent has label gpu (stage `Scan` asks for it)"
    );
}

#[test]
fn stages_that_need_different_machines_are_refused_and_one_machine_for_all_is_found() {
    let staged = needs(&[(Some("Build"), "docker"), (Some("Deploy"), "windows")]);
    let apart = [node(1, "docker", Online, 1), node(2, "windows", Online, 1)];
    match place(&staged, false, &here(1, 0), &apart) {
        Err(Refusal::Never(problem)) => {
            assert_eq!(problem.causes[0], "stage `Build` asks for `docker`");
            assert_eq!(problem.causes[1], "stage `Deploy` asks for `windows`");
        }
        other => panic!("{other:?}"),
    }
    let both = [node(3, "docker windows", Online, 1)];
    assert_eq!(
        place(&staged, false, &here(1, 0), &both),
        Ok(Place::Agent(AgentId(3), "a3".to_owned()))
    );
}
