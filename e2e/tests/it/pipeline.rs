//! `launchway pipeline`: without a server, over a folder as it is.

use std::path::Path;
use std::process::{Command, Output};

use launchway_e2e::launchway;

const JENKINSFILE: &str = r#"def greet(name) { "hello ${name}" }
pipeline {
  agent any
  environment { WHO = 'world' }
  stages {
    stage('Build') {
      steps {
        sh 'echo "$WHO" > who.txt'
        script {
          def who = readFile('who.txt').trim()
          echo greet(who)
          if (sh(script: 'exit 3', returnStatus: true) == 3) { echo 'status was told' }
        }
      }
      post { success { echo 'well done' } }
    }
    stage('Checks') {
      parallel {
        stage('Unit') {
          steps {
            writeFile file: 'unit.xml', text: '<testsuite><testcase classname="a" name="b"/></testsuite>'
            junit 'unit.xml'
          }
        }
        stage('Lint') { when { branch 'nowhere' }; steps { sh 'false' } }
      }
    }
  }
}
"#;

fn pipeline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(launchway())
        .arg("pipeline")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn folder(jenkinsfile: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Jenkinsfile"), jenkinsfile).unwrap();
    let git = Command::new("git")
        .args(["init", "--quiet", "--initial-branch=main"])
        .current_dir(folder.path())
        .status();
    assert!(git.unwrap().success());
    folder
}

#[test]
fn a_jenkinsfile_runs_as_it_stands() {
    let folder = folder(JENKINSFILE);
    let checked = pipeline(folder.path(), &["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let ran = pipeline(folder.path(), &["run"]);
    let text = said(&ran);
    assert!(ran.status.success(), "{text}");
    for line in [
        "hello world",
        "status was told",
        "well done",
        "1 test passed",
        "Lint (left out)",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let status = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(folder.path())
        .output();
    let status = String::from_utf8(status.unwrap().stdout).unwrap();
    assert_eq!(status, "?? Jenkinsfile\n", "the working copy is as it was");
    // Of a file that lies elsewhere, with a variable.
    let elsewhere = folder.path().join("other.jenkinsfile");
    std::fs::write(
        &elsewhere,
        "pipeline {\n agent any\n stages { stage('A') { steps { sh 'echo to $TARGET on $BRANCH_NAME' } } }\n}\n",
    )
    .unwrap();
    let ran = pipeline(
        folder.path(),
        &["run", "other.jenkinsfile", "--env", "TARGET=staging"],
    );
    assert!(said(&ran).contains("to staging on main"), "{}", said(&ran));
}

#[test]
fn a_failing_stage_fails_the_command_with_its_reason() {
    let folder = folder(&JENKINSFILE.replace(
        "sh 'echo \"$WHO\" > who.txt'",
        "sh 'echo out of luck; exit 7'",
    ));
    let ran = pipeline(folder.path(), &["run", "--quiet"]);
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    for part in ["Build", "out of luck", "7"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_its_place() {
    let folder = folder(&JENKINSFILE.replace("junit 'unit.xml'", "junnit 'unit.xml'"));
    for what in ["check", "run"] {
        let refused = pipeline(folder.path(), &[what]);
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{text}");
        for part in ["Jenkinsfile:22:13", "junnit", "Did you mean `junit`?"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}

#[test]
fn a_jenkinsfile_becomes_a_launchway_toml_that_can_be_read() {
    let folder = folder(JENKINSFILE);
    let converted = pipeline(folder.path(), &["convert"]);
    let toml = String::from_utf8(converted.stdout).unwrap();
    for line in ["name = \"Checks\"", "parallel = true", "WHO = \"world\""] {
        assert!(toml.contains(line), "{line} is missing in\n{toml}");
    }
    std::fs::write(folder.path().join("launchway.toml"), &toml).unwrap();
    let checked = pipeline(folder.path(), &["check", "launchway.toml"]);
    assert!(checked.status.success(), "{}\n{toml}", said(&checked));
}
