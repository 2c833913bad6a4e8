//! What a build asks of control, with a control that answers as the test says.

use std::fs;

use launchway_model::Problem;
use launchway_model::build::BuildResult;
use launchway_model::request::{Answer, AnswerOutcome, Ask, answer_path};
use launchway_model::runner::RunnerEventKind;

use crate::site::{Built, Running, Site};

/// Follows a build to its end and answers all that it asks; gives what was asked.
pub(crate) fn answering(
    mut running: Running,
    mut reply: impl FnMut(&Ask) -> Option<Answer>,
) -> (Built, Vec<Ask>) {
    let mut asked: Vec<Ask> = Vec::new();
    let mut answered = 0;
    running.wait_for("the end", |running| {
        for event in &running.seen[answered..] {
            if let RunnerEventKind::Asked { number, ask } = &event.kind {
                asked.push((**ask).clone());
                if let Some(answer) = reply(ask) {
                    let path = answer_path(&running.job.folder, *number);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let half = path.with_extension("new");
                    fs::write(&half, serde_json::to_vec(&answer).unwrap()).unwrap();
                    fs::rename(half, path).unwrap();
                }
            }
        }
        answered = running.seen.len();
        matches!(
            running.seen.last().map(|event| &event.kind),
            Some(RunnerEventKind::Finished { .. })
        )
    });
    (running.finish(), asked)
}

fn site(jenkinsfile: &str) -> Site {
    Site::new(&[("Procfile", "web: x\n"), ("Jenkinsfile", jenkinsfile)])
}

fn steps(steps: &str) -> Site {
    site(&format!(
        "pipeline {{ agent any\n stages {{ stage('A') {{ steps {{\n{steps}\n}} }} }} }}"
    ))
}

fn with_units(steps_text: &str) -> Site {
    let mut site = steps(steps_text);
    site.description = Some("units = [\"gunicorn\"]\n".to_owned());
    site
}

fn log(built: &Built, stage: u32) -> String {
    built.log(stage).join("\n")
}

#[test]
fn a_restart_of_the_apps_unit_is_a_deploy_and_waits_for_it() {
    let mut site = with_units("sh 'sudo systemctl restart gunicorn.service'\nsh 'echo after'");
    let running = site.start();
    let (built, asked) = answering(running, |_| {
        Some(Answer::done(vec!["Release v7 serves.".into()]).value("release", 7))
    });
    let built = built.succeeded();
    assert_eq!(asked, [Ask::Deploy]);
    let log = log(&built, 0);
    let served = log.find("Release v7 serves.").expect(&log);
    assert!(served < log.find("\nafter").expect(&log), "{log}");
}

#[test]
fn a_deploy_that_fails_fails_the_restart() {
    let mut site = with_units("sh 'sudo systemctl restart gunicorn'");
    let running = site.start();
    let (built, _) = answering(running, |_| {
        Some(Answer::failed(
            Problem::failed("the health check failed").output(vec!["ImportError: x".into()]),
        ))
    });
    assert_eq!(built.result(), BuildResult::Failure);
    let log = log(&built, 0);
    assert!(
        log.contains("the health check failed") && log.contains("ImportError: x"),
        "{log}"
    );
}

#[test]
fn status_and_journal_are_the_apps_own() {
    let mut site = with_units(
        "script { if (sh(script: 'systemctl is-active gunicorn', returnStatus: true) != 3) { error 'active' } }
         sh 'sudo journalctl -u gunicorn.service -n 5 --no-pager'
         sh 'systemctl status gunicorn || test $? = 3'
         sh 'systemctl enable gunicorn && systemctl daemon-reload'",
    );
    let running = site.start();
    let (built, asked) = answering(running, |ask| {
        Some(match ask {
            Ask::AppLog { lines: 5 } => Answer::done(vec!["web: hello".into()]),
            Ask::AppStatus => {
                Answer::done(vec!["shop: stopped".into()]).value("active", "inactive")
            }
            other => panic!("{other:?}"),
        })
    });
    let built = built.succeeded();
    assert_eq!(asked.len(), 3);
    let log = log(&built, 0);
    assert!(
        log.contains("web: hello") && log.contains("shop: stopped"),
        "{log}"
    );
}

#[test]
fn a_deploy_sees_the_commits_persistent_files_and_keeps_the_live_ones() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        ("data.db", "commit"),
        (
            "Jenkinsfile",
            "pipeline { agent any\n stages { stage('A') { steps { sh 'echo test > data.db'\n sh 'systemctl restart web && cat data.db' } } } }",
        ),
    ]);
    site.description = Some("units = [\"web\"]\npersist = [\"data.db\"]\n".to_owned());
    let running = site.start();
    let tree = running.job.tree.clone();
    let (built, _) = answering(running, |_| {
        assert_eq!(fs::read_to_string(tree.join("data.db")).unwrap(), "commit");
        fs::write(tree.join("data.db"), "live").unwrap();
        Some(Answer::done(Vec::new()).value("release", 1))
    });
    let built = built.succeeded();
    assert!(log(&built, 0).ends_with("\nlive"), "{}", log(&built, 0));
    assert_eq!(fs::read_to_string(built.tree("data.db")).unwrap(), "live");
}

#[test]
fn an_input_step_gives_what_was_filled_in() {
    let mut site = steps(
        "script {
            def one = input message: 'Which?', ok: 'Go', submitter: 'alice, bob', parameters: [choice(name: 'T', choices: ['a', 'b'])]
            echo \"one ${one}\"
            def two = input(message: 'More?', submitterParameter: 'WHO', parameters: [string(name: 'V', defaultValue: '1'), booleanParam(name: 'DRY', defaultValue: true)])
            echo \"two ${two.V} ${two.DRY} ${two.WHO}\"
            input 'Sure?'
        }",
    );
    let running = site.start();
    let (built, asked) = answering(running, |ask| {
        let Ask::Input(question) = ask else {
            panic!("{ask:?}")
        };
        let mut answer = Answer::done(Vec::new());
        answer.by = Some("alice".into());
        for field in &question.parameters {
            answer = answer.value(&field.name, field.default_value());
        }
        if question.message == "Which?" {
            answer = answer.value("T", "b");
        }
        Some(answer)
    });
    let built = built.succeeded();
    let Ask::Input(first) = &asked[0] else {
        panic!()
    };
    assert_eq!(first.submitter, ["alice", "bob"]);
    assert_eq!(first.ok, "Go");
    assert_eq!(asked.len(), 3);
    let log = log(&built, 0);
    assert!(
        log.contains("one b") && log.contains("two 1 true alice"),
        "{log}"
    );
    assert!(log.contains("Approved by alice"), "{log}");
}

const STAGE_INPUT: &str = "pipeline { agent any
 stages {
  stage('Ask') {
   input { message \"Deploy ${BRANCH_NAME}?\"; ok 'Yes'; submitterParameter 'BY'; parameters { string(name: 'TARGET', defaultValue: 'staging', description: 'where') } }
   when { beforeInput true; environment name: 'X', value: '1' }
   steps { sh 'echo \"to $TARGET by $BY\"' }
  }
  stage('After') { steps { echo 'after' } }
 }
 post { aborted { echo 'it was aborted' } }
}";

#[test]
fn an_input_of_a_stage_sets_its_variables_once_its_condition_holds() {
    let mut left_out = site(STAGE_INPUT);
    let (built, asked) = answering(left_out.start(), |_| panic!("nothing is asked"));
    assert!(asked.is_empty());
    assert_eq!(built.results()[0].1, BuildResult::NotBuilt);
    let mut asks = site(STAGE_INPUT);
    asks.env.insert("X".into(), "1".into());
    let (built, asked) = answering(asks.start(), |_| {
        let mut answer = Answer::done(Vec::new()).value("TARGET", "production");
        answer.by = Some("eve".into());
        Some(answer)
    });
    let built = built.succeeded();
    let Ask::Input(question) = &asked[0] else {
        panic!()
    };
    assert_eq!(question.message, "Deploy main?");
    assert!(
        log(&built, 0).contains("to production by eve"),
        "{}",
        log(&built, 0)
    );
}

#[test]
fn a_no_aborts_the_build() {
    let mut site = site(STAGE_INPUT);
    site.env.insert("X".into(), "1".into());
    let (built, _) = answering(site.start(), |_| {
        Some(Answer {
            outcome: AnswerOutcome::Aborted,
            by: Some("eve".into()),
            ..Answer::done(Vec::new())
        })
    });
    assert_eq!(built.result(), BuildResult::Aborted);
    assert_eq!(built.results()[1].1, BuildResult::NotBuilt);
    assert!(log(&built, 1).contains("it was aborted"));
    assert!(
        built.problem().to_string().contains("eve said no"),
        "{:?}",
        built.problem()
    );
}

#[test]
fn a_time_limit_ends_the_waiting_and_says_so() {
    let mut site = steps("timeout(time: 300, unit: 'MILLISECONDS') { input 'Anybody?' }");
    let running = site.start();
    let (built, _) = answering(running, |_| None);
    assert_eq!(built.result(), BuildResult::Aborted);
    assert!(
        built
            .events
            .iter()
            .any(|event| event.kind == RunnerEventKind::Settled { number: 0 })
    );
}

#[test]
fn a_waiting_stage_leaves_its_place_to_others() {
    let mut site = site(
        "pipeline { agent any\n stages { stage('P') { parallel {
          stage('Waits') { steps { input 'ok?' } }
          stage('Works') { steps { sh 'echo worked' } }
        } } } }",
    );
    site.parallel = 1;
    let mut running = site.start();
    running.wait_for_line(2, "worked");
    let (built, _) = answering(running, |_| Some(Answer::done(Vec::new())));
    built.succeeded();
}

#[test]
fn a_build_of_another_app_gives_its_result() {
    let text = "script {
        def other = build job: 'lib', parameters: [string(name: 'A', value: 'x'), booleanParam(name: 'B', value: false)]
        echo \"lib #${other.number} ${other.result}\"
        def worse = build(job: 'lib', propagate: false)
        echo \"then ${worse.currentResult}\"
        build job: 'later', wait: false
        build 'lib'
    }";
    let mut count = 0;
    let mut site = steps(text);
    let (built, asked) = answering(site.start(), |ask| {
        count += 1;
        let Ask::Build { wait, .. } = ask else {
            panic!("{ask:?}")
        };
        let answer = Answer::done(Vec::new())
            .value("number", 40 + count)
            .value("job", "lib");
        Some(if *wait {
            answer.value("result", if count == 1 { "SUCCESS" } else { "FAILURE" })
        } else {
            answer
        })
    });
    assert_eq!(built.result(), BuildResult::Failure);
    let Ask::Build {
        job,
        parameters,
        wait,
    } = &asked[0]
    else {
        panic!()
    };
    assert_eq!((job.as_str(), *wait), ("lib", true));
    assert_eq!(parameters.get("B").map(String::as_str), Some("false"));
    let log = log(&built, 0);
    assert!(
        log.contains("lib #41 SUCCESS") && log.contains("then FAILURE"),
        "{log}"
    );
    assert!(
        built
            .problem()
            .message
            .contains("build 44 of lib ended as FAILURE"),
        "{:?}",
        built.problem()
    );
}

#[test]
fn given_parameters_win_over_variables_and_a_choice_takes_one_of_its_own() {
    let mut site = site(
        "pipeline { agent any\n parameters { string(name: 'A', defaultValue: 'd')\n choice(name: 'C', choices: ['x', 'y'])\n choice(name: 'D', choices: ['x', 'y']) }\n stages { stage('A') { steps { sh 'echo \"$A $C $D\"'\n echo \"p ${params.A} ${params.C}\" } } } }",
    );
    site.env.insert("A".into(), "variable".into());
    let mut job = site.job();
    job.parameters = [("A", "given"), ("C", "y")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let built = site.start_job(job).finish().succeeded();
    let log = log(&built, 0);
    assert!(
        log.contains("given y x") && log.contains("p given y"),
        "{log}"
    );
}
