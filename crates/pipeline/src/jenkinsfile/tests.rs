//! What is read of a Jenkinsfile, and what is refused before a build starts.

use super::*;
use crate::plan::{Agent, Body, Condition, PostWhen};

const WHOLE: &str = r#"
def greet(name) { "hello ${name}" }

pipeline {
    agent { label 'linux && !arm' }
    options {
        buildDiscarder(logRotator(numToKeepStr: '5'))
        timeout(time: 1, unit: 'HOURS')
        timestamps()
        skipStagesAfterUnstable()
    }
    parameters {
        string(name: 'TARGET', defaultValue: 'staging', description: 'where to')
        booleanParam(name: 'DRY', defaultValue: true)
        choice(name: 'SIZE', choices: ['s', 'm'])
    }
    triggers { cron('H 4 * * 1-5') }
    environment {
        A = 'plain'
        B = "${A}-made"
        C = credentials('token')
    }
    stages {
        stage('Build') {
            when { beforeAgent true; anyOf { branch 'main'; not { changeRequest() } } }
            steps {
                sh 'make'
                script { def x = greet('you'); if (x) { echo x } }
            }
            post { failure { echo 'bad' }; always { cleanWs() } }
        }
        stage('Checks') {
            failFast true
            parallel {
                stage('Unit') { steps { sh 'a'; junit '**/*.xml' } }
                stage('Lint') { agent any; steps { sh(script: 'b', returnStatus: true) } }
            }
        }
        stage('Matrix') {
            matrix {
                axes {
                    axis { name 'OS'; values 'a', 'b' }
                    axis { name 'PY'; values '3', '4' }
                }
                excludes { exclude { axis { name 'OS'; values 'a' }; axis { name 'PY'; notValues '3' } } }
                stages { stage('Test') { steps { echo "${OS} ${PY}" } } }
            }
        }
    }
    post { always { echo 'done' } }
}
"#;

#[test]
fn a_whole_file_becomes_a_plan() {
    let made = read(FILE, WHOLE).unwrap();
    assert_eq!(made.plan.agent, Agent::Label("linux && !arm".into()));
    assert_eq!(made.plan.options.timeout_ms, Some(3_600_000));
    assert!(made.plan.options.stop_on_unstable);
    assert_eq!(made.plan.options.noted["buildDiscarder.numToKeepStr"], "5");
    assert_eq!(made.parameters.len(), 3);
    assert_eq!(
        made.triggers,
        [TriggerSpec::Cron {
            schedule: "H 4 * * 1-5".into()
        }]
    );
    assert_eq!(made.plan.env[0], Variable::plain("A", "plain"));
    assert!(
        matches!(&made.plan.env[1].value, Text::Script(script) if script.text == "\"${A}-made\"")
    );
    let [build, checks, matrix] = made.plan.stages.as_slice() else {
        panic!("{:?}", made.plan.stages)
    };
    assert!(matches!(&build.when, Some(Condition::Any(either)) if either.len() == 2));
    assert_eq!(
        build.post.iter().map(|post| post.when).collect::<Vec<_>>(),
        [PostWhen::Always, PostWhen::Failure]
    );
    assert!(
        matches!(&checks.body, Body::Parallel { stages, fail_fast: true } if stages.len() == 2)
    );
    let names: Vec<_> = matrix
        .children()
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["Matrix (a, 3)", "Matrix (b, 3)", "Matrix (b, 4)"]);
    assert_eq!(made.plan.infos().len(), 11);
}

fn refused(body: &str) -> (u32, u32, String, Option<String>) {
    let text = format!(
        "pipeline {{\n  agent any\n  stages {{\n    stage('S') {{\n{body}\n    }}\n  }}\n}}\n"
    );
    let problem = read(FILE, &text).unwrap_err().to_problem();
    let place = problem.place.unwrap();
    (place.line, place.column, problem.message, problem.hint)
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_place() {
    for (body, line, column, message, hint) in [
        (
            "steps { shh 'x' }",
            5,
            9,
            "no step or function is called `shh`",
            "Did you mean `sh`?",
        ),
        (
            "steps { bat 'dir' }",
            5,
            9,
            "`bat` runs Windows batch files, and this machine runs Linux",
            "Write `sh` with a shell script instead.",
        ),
        (
            "steps { sh script: 'x', returnStdOut: true }",
            5,
            25,
            "the step `sh` has no parameter `returnStdOut`",
            "Did you mean `returnStdout`?",
        ),
        (
            "step { sh 'x' }",
            5,
            1,
            "`step` is no directive of `stage`",
            "Did you mean `steps`?",
        ),
        (
            "agent { docker 'node:20' }\nsteps { sh 'x' }",
            5,
            9,
            "an agent of kind `docker` needs a container engine",
            "Write `agent any`",
        ),
        (
            "when { brunch 'x' }\nsteps { sh 'x' }",
            5,
            8,
            "`brunch` is no condition of `when`",
            "Did you mean `branch`?",
        ),
        (
            "options { timeout(time: 5, unit: 'MINUTE') }\nsteps { sh 'x' }",
            5,
            34,
            "`MINUTE` is no unit of time",
            "Did you mean `MINUTES`?",
        ),
        (
            "steps { sh 'x' }\npost { allways { echo 'x' } }",
            6,
            8,
            "`allways` is no condition of `post`",
            "Did you mean `always`?",
        ),
        (
            "steps { sh 'x' }\nsteps { sh 'y' }",
            6,
            1,
            "`steps` stands here twice",
            "",
        ),
        (
            "environment { sh 'x' }\nsteps { sh 'y' }",
            5,
            15,
            "`environment` holds assignments alone",
            "",
        ),
        ("agent any", 4, 5, "the stage `S` has 0 bodies", ""),
    ] {
        let (found_line, found_column, found, found_hint) = refused(body);
        assert_eq!(
            (found_line, found_column, found.as_str()),
            (line, column, message),
            "{body}"
        );
        assert!(found_hint.unwrap_or_default().starts_with(hint), "{body}");
    }
}

#[test]
fn other_kinds_of_files_are_told_apart() {
    for (text, message) in [
        ("node { sh 'x' }", "this is not a declarative pipeline"),
        ("", "this is not a declarative pipeline"),
        (
            "@Library('x') _\npipeline { agent any\nstages { stage('a') { steps { echo 'x' } } } }",
            "shared libraries are not loaded",
        ),
        (
            "pipeline { stages { stage('a') { steps { echo 'x' } } } }",
            "`pipeline` has no `agent`",
        ),
        (
            "pipeline {\n agent any\n stages { }\n}",
            "`stages` holds no stage",
        ),
        (
            "pipeline {\n agent any\n",
            "this `{` is never closed: expected `}` before the end of the file",
        ),
    ] {
        assert_eq!(
            read(FILE, text).unwrap_err().to_problem().message,
            message,
            "{text}"
        );
    }
}

#[test]
fn a_long_file_is_read_quickly_enough_to_wait_for() {
    let stage = "    stage('S') {\n      when { branch 'main' }\n      steps {\n        sh 'make'\n        echo \"a ${env.B}\"\n      }\n    }\n";
    let text = format!(
        "pipeline {{\n  agent any\n  stages {{\n{}  }}\n}}\n",
        stage.repeat(140)
    );
    assert!(text.lines().count() > 980);
    assert_eq!(read(FILE, &text).unwrap().plan.stages.len(), 140);
}

#[test]
fn every_change_of_a_byte_is_read_or_refused_without_a_panic() {
    for at in 0..WHOLE.len() {
        for byte in [b'{', b'}', b'\'', b'"', b'$', b'\n', b'(', b'x'] {
            let mut text = WHOLE.as_bytes().to_vec();
            text[at] = byte;
            if at % 7 == usize::from(byte % 7) {
                drop(read(FILE, &String::from_utf8_lossy(&text)));
            }
        }
        drop(read(FILE, &WHOLE[..at]));
    }
}
