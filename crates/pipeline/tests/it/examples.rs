//! The repository's own examples are described as they are meant.

use std::path::Path;

use launchway_model::ProcessType;
use launchway_pipeline::Described;

fn described(name: &str) -> Described {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    launchway_pipeline::read(&tree, None)
        .unwrap_or_else(|error| panic!("{name}: {}", error.to_problem()))
}

#[test]
fn each_example_is_understood() {
    let flask = described("url-shortener");
    assert!(flask.spec.processes.contains_key(&ProcessType::web()));
    assert!(flask.spec.release.is_some());
    assert_eq!(flask.plan.stages[0].name, "Install");

    let node = described("node-notes");
    assert!(
        node.spec.processes[&ProcessType::web()]
            .command
            .contains("server.js"),
        "{:?}",
        node.words
    );

    let site = described("static-site");
    assert!(site.spec.files.is_some() && site.spec.processes.is_empty());
    assert!(site.plan.stages.is_empty());
}

#[test]
fn a_jenkinsfile_of_a_thousand_lines_is_read_at_once() {
    let mut text = String::from("pipeline {\n agent any\n stages {\n");
    for number in 0..140 {
        text += &format!(
            "  stage('S{number}') {{\n   when {{ branch 'main' }}\n   steps {{\n    sh 'make {number}'\n    echo \"x ${{env.A}}\"\n   }}\n  }}\n"
        );
    }
    text += " }\n}\n";
    assert!(text.lines().count() > 980);
    let began = std::time::Instant::now();
    launchway_pipeline::describe::check("Jenkinsfile", &text).unwrap();
    // The aim is 10 ms in a release build on an idle machine; this only notices something quadratic.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
