//! Jenkinsfiles, run.

use std::fs;

use launchway_model::build::BuildResult;
use launchway_model::runner::RunnerEventKind;

use crate::site::{Built, Site};

fn site(jenkinsfile: &str) -> Site {
    Site::new(&[("Procfile", "web: x\n"), ("Jenkinsfile", jenkinsfile)])
}

/// A pipeline of one stage with these steps.
fn steps(steps: &str) -> Site {
    site(&format!(
        "pipeline {{ agent any\n stages {{ stage('A') {{ steps {{\n{steps}\n}} }} }} }}"
    ))
}

fn has(built: &Built, stage: u32, line: &str) {
    let log = built.log(stage);
    assert!(
        log.iter().any(|found| found == line),
        "{line:?} in {log:#?}"
    );
}

const WHOLE: &str = r#"
def greet(name) { return "hello ${name}" }
pipeline {
    agent any
    environment {
        A = 'one'
        B = "${A}-two"
        HUB = credentials('docker-hub')
    }
    parameters {
        string(name: 'WHO', defaultValue: 'world')
        booleanParam(name: 'LOUD', defaultValue: true)
    }
    options { timeout(time: 10, unit: 'MINUTES'); timestamps() }
    stages {
        stage('Build') {
            steps {
                checkout scm
                sh 'echo "$A $B $WHO $HUB_USR"'
                sh "echo ${greet(params.WHO)}"
                script {
                    env.LATER = sh(script: 'echo later', returnStdout: true).trim()
                    def status = sh script: 'exit 3', returnStatus: true
                    echo "status ${status}"
                    for (i in 1..2) { echo "round ${i}" }
                }
                writeFile file: 'out/a.txt', text: 'kept\n'
                stash name: 's', includes: 'out/**'
            }
        }
        stage('Test') {
            environment { C = 'three' }
            steps {
                echo "${env.LATER} ${LATER} ${env.C} ${env.NOPE}"
                dir('sub') {
                    unstash 's'
                    sh 'cat out/a.txt; echo; pwd'
                }
                withEnv(['C=four', 'PATH+X=/opt/x']) { sh 'echo $C; echo $PATH | cut -d: -f1' }
                withCredentials([usernamePassword(credentialsId: 'docker-hub', usernameVariable: 'U', passwordVariable: 'P')]) {
                    sh 'echo user $U password $P'
                }
                retry(3) { sh 'echo x >> tries; test $(wc -l < tries) -eq 3' }
                archiveArtifacts artifacts: 'out/*.txt', fingerprint: true
                cleanWs()
            }
            post {
                always { echo "post ${currentBuild.currentResult}" }
                failure { echo 'never' }
            }
        }
        stage('Left out') {
            when { expression { params.WHO != 'world' } }
            steps { sh 'false' }
        }
    }
    post {
        success { echo 'all is well' }
        cleanup { echo 'the end' }
    }
}
"#;

#[test]
fn a_whole_jenkinsfile_runs_as_in_jenkins() {
    let mut site = site(WHOLE);
    site.env
        .insert("DOCKER_HUB".to_owned(), "me:swordfish99".to_owned());
    let built = site.build().succeeded();
    for line in ["one one-two world me", "hello world", "status 3", "round 2"] {
        has(&built, 0, line);
    }
    for line in [
        "later later three null",
        "kept",
        "four",
        "/opt/x",
        "user me password ****",
        "post SUCCESS",
    ] {
        has(&built, 1, line);
    }
    assert!(!built.log(1).contains(&"never".to_owned()));
    assert_eq!(
        fs::read_to_string(built.tree("tries"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    assert_eq!(built.results()[2].1, BuildResult::NotBuilt);
    has(&built, 2, "all is well");
    has(&built, 2, "the end");
    assert!(
        built
            .events
            .iter()
            .any(|event| matches!(event.kind, RunnerEventKind::Artifact { .. }))
    );
    assert!(
        built.tree("Procfile").exists(),
        "cleanWs leaves what becomes the release"
    );
}

#[test]
fn a_failing_step_has_its_place_and_output() {
    let mut site = steps("sh '''\necho before\nexit 7\n'''\nsh 'echo never'");
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Failure);
    let problem = built.problem();
    assert!(problem.message.contains("exited with 7"), "{problem:?}");
    assert!(problem.output.contains(&"before".to_owned()));
    assert_eq!(problem.place.unwrap().line, 3);
}

#[test]
fn what_cannot_be_honoured_is_refused_before_anything_runs() {
    let mut site = steps("sh 'touch ran'\nbat 'dir'");
    let built = site.build();
    let problem = built.problem();
    assert!(problem.message.contains("bat"), "{problem:?}");
    assert_eq!(problem.place.unwrap().line, 4);
    assert!(!built.tree("ran").exists());
}

#[test]
fn errors_are_caught_and_results_are_set() {
    let mut site = steps(
        "script { try { sh 'exit 4' } catch (e) { echo \"caught ${e.message}\" } finally { echo 'finally' } }\n\
         catchError(buildResult: 'SUCCESS', stageResult: 'UNSTABLE') { error 'not so bad' }\n\
         echo currentBuild.currentResult",
    );
    let built = site.build().succeeded();
    has(&built, 0, "caught script returned exit code 4");
    has(&built, 0, "finally");
    has(&built, 0, "SUCCESS");
    assert_eq!(built.results()[0].1, BuildResult::Unstable);

    let mut site = steps("script { currentBuild.result = 'UNSTABLE' }\necho 'goes on'");
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Unstable);
    has(&built, 0, "goes on");
    assert_eq!(
        steps("warnError('oh') { sh 'false' }").build().result(),
        BuildResult::Unstable
    );
    assert_eq!(steps("error 'no'").build().problem().message, "no");
}

#[test]
fn parallel_blocks_of_a_script_run_at_the_same_time() {
    let mut site = steps(
        "script { def r = parallel(a: { sh 'touch a; while ! test -e b; do sleep 0.01; done'; return 1 }, b: { sh 'touch b; while ! test -e a; do sleep 0.01; done' })\n echo \"a gave ${r.a}\" }",
    );
    has(&site.build().succeeded(), 0, "a gave 1");
    let mut site = steps(
        "script { parallel a: { error 'A failed' }, b: { sh 'sleep 1000' }, failFast: true }",
    );
    assert_eq!(site.build().problem().message, "A failed");
}

#[test]
fn a_limit_of_one_step_can_be_caught_and_a_cancel_cannot() {
    let mut site = steps(
        "script { try { timeout(time: 300, unit: 'MILLISECONDS') { sh 'sleep 1000' } } catch (e) { echo 'took too long' } }\necho 'goes on'",
    );
    let built = site.build().succeeded();
    has(&built, 0, "took too long");
    has(&built, 0, "goes on");

    let mut site =
        steps("script { try { sh 'echo ready; sleep 1000' } catch (e) { echo 'not this' } }");
    let mut running = site.start();
    running.wait_for_line(0, "ready");
    running.cancel("enough");
    let built = running.finish();
    assert_eq!(built.result(), BuildResult::Aborted);
    assert!(!built.log(0).contains(&"not this".to_owned()));
}

#[test]
fn scripts_have_no_reach_to_the_host_and_no_endless_loops() {
    let mut site = steps("script { echo readFile('/etc/hostname') }");
    assert!(
        site.build()
            .problem()
            .message
            .contains("not inside the build's tree")
    );
    let mut site = steps("script { while (true) { } }");
    let problem = site.build().problem();
    assert!(problem.message.contains("endless loop"), "{problem:?}");
    let mut site = steps("script { new File('/tmp/x').text = 'no' }");
    assert_eq!(site.build().result(), BuildResult::Failure);
}

#[test]
fn a_missing_credential_says_how_to_store_it() {
    let mut site =
        steps("withCredentials([string(credentialsId: 'api-key', variable: 'K')]) { sh 'true' }");
    let problem = site.build().problem();
    assert!(
        problem
            .hint
            .unwrap()
            .contains("launchway credentials set api-key "),
        "no hint"
    );
}

#[test]
fn junit_and_json_and_tests_that_fail() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        (
            "r.xml",
            "<testsuite><testcase name='a'><failure/></testcase><testcase name='b'/></testsuite>",
        ),
        ("d.json", r#"{"a": [1, {"b": "c"}]}"#),
        (
            "Jenkinsfile",
            "pipeline { agent any\n stages { stage('A') { steps { script { def d = readJSON file: 'd.json'\n echo \"${d.a[1].b} ${d.a.size()}\" } }\n post { always { junit '**/r.xml' } } }\n stage('B') { when { branch 'main' }\n steps { echo \"B ${env.BRANCH_NAME} ${env.BUILD_NUMBER}\" } } }\n post { unstable { echo 'so so' } } }",
        ),
    ]);
    let built = site.build();
    assert_eq!(
        built.result(),
        BuildResult::Unstable,
        "{:?}",
        built.problem()
    );
    has(&built, 0, "c 2");
    has(&built, 1, "B main 1");
    has(&built, 1, "so so");
    assert_eq!(built.results()[0].1, BuildResult::Unstable);
}

#[test]
fn stages_of_a_jenkinsfile_run_side_by_side_and_in_a_matrix() {
    let mut site = site(
        "pipeline { agent none\n stages { stage('Both') { failFast true\n parallel { stage('X') { agent any\n steps { sh 'echo x' } }\n stage('Y') { steps { sh 'echo y' } } } }\n stage('M') { matrix { axes { axis { name 'P'; values '1', '2' } }\n stages { stage('Cell') { steps { sh 'echo cell $P' } } } } } } }",
    );
    let built = site.build().succeeded();
    let names: Vec<String> = built.stages().into_iter().map(|stage| stage.name).collect();
    assert!(
        names.contains(&"X".to_owned()) && names.len() >= 6,
        "{names:?}"
    );
    let cells = (0..u32::try_from(names.len()).unwrap())
        .filter(|id| built.log(*id).iter().any(|line| line.starts_with("cell ")))
        .count();
    assert_eq!(cells, 2);
}

#[test]
fn a_lock_lets_one_in_at_a_time() {
    let branch = "{ lock('it') { sh 'mkdir inside && sleep 0.1 && rmdir inside' } }";
    let mut site = steps(&format!(
        "script {{ parallel a: {branch}, b: {branch}, c: {branch} }}"
    ));
    let built = site.build().succeeded();
    has(&built, 0, "Waiting for the lock `it`");
}
