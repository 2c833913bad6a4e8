use super::super::launchway_toml::{FILE, read as read_toml};
use super::*;

pub(crate) const FULL: &str = r#"
agent = "linux"
[after]
failure = "echo broken"

[[stage]]
name = "Install"
run = ["a", "b"]
makes = [".venv"]
from = ["requirements.txt"]
tools = ["python3 --version"]

[[stage]]
name = "Checks"
parallel = true
fail_fast = true
timeout = "10m"

[[stage.stage]]
name = "Lint"
run = "ruff ."
allow_failure = true

[[stage.stage]]
name = "Test"
run = "pytest"
env = { CI = true }
retry = 2
tests = "report.xml"
artifacts = ["dist/*.whl", "log.txt"]
folder = "server"
matrix = { PYTHON = ["3.11", "3.12"], DB = ["sqlite", "postgres"] }
exclude = [{ PYTHON = "3.11", DB = "postgres" }]

[[stage]]
name = "Publish"
run = "make publish"
when = { branch = ["main", "release/*"], not = { pull_request = true }, env = { A = "b" } }
after = { always = "rm -f key", success = ["a", "b"] }
"#;

fn stages(text: &str) -> Vec<Stage> {
    read_toml(FILE, text).unwrap().stages.unwrap()
}

#[test]
fn stages_lower_to_the_plan() {
    let stages = stages(FULL);
    assert_eq!(stages.len(), 3);
    let Body::Steps(steps) = &stages[0].body else {
        panic!()
    };
    assert!(
        matches!(&steps[..], [Step::Make(make)] if make.steps.len() == 2 && make.tools.len() == 1)
    );

    let Body::Parallel {
        stages: checks,
        fail_fast: true,
    } = &stages[1].body
    else {
        panic!()
    };
    assert_eq!(stages[1].options.timeout_ms, Some(600_000));
    let Body::Steps(lint) = &checks[0].body else {
        panic!()
    };
    assert!(matches!(&lint[..], [Step::CatchError { .. }]));
    let names: Vec<_> = checks[1]
        .children()
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Test (3.11, sqlite)",
            "Test (3.12, sqlite)",
            "Test (3.12, postgres)"
        ]
    );
    let cell = &checks[1].children()[0];
    assert_eq!(cell.options.attempts, Some(3));
    assert_eq!(cell.env.len(), 3);
    assert_eq!(cell.post[0].when, PostWhen::Always);
    assert!(matches!(
        &cell.post[0].steps[..],
        [Step::Tests { .. }, Step::Archive { .. }]
    ));

    let Some(Condition::All(all)) = &stages[2].when else {
        panic!()
    };
    assert_eq!(all.len(), 3);
    assert!(matches!(&all[0], Condition::Any(branches) if branches.len() == 2));
    assert_eq!(stages[2].post.len(), 2);
    assert_eq!(stages[1].place.as_ref().unwrap().line, 13);
}

#[test]
fn mistakes_in_stages_are_told() {
    let wrong = [
        "[[stage]]\nrun = \"x\"",
        "[[stage]]\nname = \"a\"",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\ntimeuot = \"1m\"",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\ntimeout = \"soon\"",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nmakes = [\"x\"]",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nparallel = true",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\n[[stage.stage]]\nname = \"b\"\nrun = \"y\"",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nwhen = { brnach = \"main\" }",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nwhen = {}",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nmatrix = { A = [] }",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nexclude = [{ A = \"x\" }]",
        "[[stage]]\nname = \"a\"\nrun = \"x\"\nafter = { alwyas = \"x\" }",
        "[[stage]]\nname = \"a\"\nrun = [5]",
        "stage = 5",
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|text| {
            let problem = read_toml(FILE, text).unwrap_err().to_problem();
            let place = problem.place.unwrap();
            format!(
                "{}:{}: {} | {}",
                place.line,
                place.column,
                problem.message,
                problem.hint.unwrap_or_default()
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
