use super::*;

#[test]
fn stages_are_numbered_parents_first() {
    let mut outer = Stage::new("Outer", Vec::new());
    outer.body = Body::Parallel {
        stages: vec![Stage::new("A", Vec::new()), Stage::new("B", Vec::new())],
        fail_fast: false,
    };
    let plan = Plan {
        stages: vec![
            Stage::new("First", Vec::new()),
            outer,
            Stage::new("Last", Vec::new()),
        ],
        ..Plan::default()
    };
    let infos = plan.infos();
    let shown: Vec<_> = infos
        .iter()
        .map(|info| {
            (
                info.id.0,
                info.parent.map(|id| id.0),
                info.name.as_str(),
                info.parallel,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (0, None, "First", false),
            (1, None, "Outer", true),
            (2, Some(1), "A", false),
            (3, Some(1), "B", false),
            (4, None, "Last", false),
        ]
    );
    assert_eq!(plan.stages[1].size(), 3);
}

#[test]
fn a_matrix_has_a_stage_for_every_cell_that_is_not_left_out() {
    let matrix = Matrix {
        axes: vec![
            ("OS".into(), vec!["linux".into(), "mac".into()]),
            ("PY".into(), vec!["3.11".into(), "3.12".into()]),
        ],
        excludes: vec![
            [
                ("OS".to_owned(), vec!["mac".to_owned()]),
                ("PY".to_owned(), vec!["3.11".to_owned()]),
            ]
            .into(),
        ],
    };
    let stages = matrix.expand(&Stage::new("Test", Vec::new()));
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Test (linux, 3.11)",
            "Test (linux, 3.12)",
            "Test (mac, 3.12)"
        ]
    );
    assert_eq!(stages[0].env[0], Variable::plain("OS", "linux"));
}

#[test]
fn a_matrix_without_bounds_is_not_expanded() {
    let values: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let matrix = Matrix {
        axes: vec![("A".into(), values.clone()), ("B".into(), values)],
        excludes: Vec::new(),
    };
    assert_eq!(matrix.cells(), 10_000);
    assert!(matrix.expand(&Stage::new("x", Vec::new())).is_empty());
}

#[test]
fn post_steps_apply_as_in_jenkins() {
    use BuildResult::{Aborted, Failure, Success, Unstable};
    assert!(PostWhen::Fixed.applies(Success, Some(Failure)));
    assert!(!PostWhen::Fixed.applies(Success, None));
    assert!(PostWhen::Regression.applies(Failure, Some(Success)));
    assert!(PostWhen::Changed.applies(Success, None));
    assert!(PostWhen::Unsuccessful.applies(Aborted, None));
    assert!(PostWhen::Unstable.applies(Unstable, None));
    assert_eq!(PostWhen::ORDER[0], PostWhen::Always);
    assert_eq!(PostWhen::ORDER[9], PostWhen::Cleanup);
}
