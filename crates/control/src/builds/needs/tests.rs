use launchway_pipeline::describe;

use super::*;

fn needs(jenkinsfile: &str) -> Needs {
    Needs::of(&describe::wishes(None, Some(jenkinsfile), None).unwrap())
}

#[test]
fn a_jenkinsfile_says_where_how_often_and_how_long() {
    let needs = needs(
        "pipeline {
            agent { label 'linux && !arm' }
            options {
                quietPeriod(7)
                retry(3)
                disableConcurrentBuilds(abortPrevious: true)
                buildDiscarder(logRotator(numToKeepStr: '5', daysToKeepStr: '14', artifactNumToKeepStr: '2'))
            }
            stages {
                stage('Build') { agent { label 'docker' }
 steps { sh 'true' } }
                stage('Test') { agent { label 'linux && !arm' }
 steps { sh 'true' } }
            }
        }",
    );
    let labels: Vec<_> = needs
        .labels
        .iter()
        .map(|wanted| (wanted.stage.as_deref(), wanted.label.as_str()))
        .collect();
    assert_eq!(labels, [(None, "linux && !arm"), (Some("Build"), "docker")]);
    assert_eq!(
        (needs.quiet_s, needs.attempts, needs.abort_previous),
        (7, 3, true)
    );
    assert_eq!(
        needs.keep,
        Keep {
            builds: Some(5),
            days: Some(14),
            artifact_builds: Some(2),
            artifact_days: None
        }
    );
    let text = serde_json::to_string(&needs).unwrap();
    assert_eq!(serde_json::from_str::<Needs>(&text).unwrap(), needs);
}

#[test]
fn the_rotator_keeps_the_newest_and_artifacts_for_less_long() {
    let keep = Keep {
        builds: Some(3),
        days: Some(10),
        artifact_builds: Some(1),
        artifact_days: None,
    };
    let now = Timestamp::now();
    let days = |days: i64| {
        now.checked_sub(SignedDuration::from_hours(24 * days))
            .unwrap()
    };
    let gone = |index, age| {
        let discard = keep.discards(index, days(age), now);
        (discard.build, discard.artifacts)
    };
    assert_eq!(gone(0, 100), (false, false));
    assert_eq!(gone(1, 1), (false, true));
    assert_eq!(gone(2, 11), (true, true));
    assert_eq!(gone(3, 1), (true, true));
    let none = Keep::default().discards(1000, days(10_000), now);
    assert!(!none.build && !none.artifacts);
}

#[test]
fn answers_of_git_are_read_one_after_the_other() {
    let mut rest: &[u8] = b"c:launchway.toml missing\nabc blob 3\na\nb\n";
    assert_eq!(blob(&mut rest), None);
    assert_eq!(blob(&mut rest).as_deref(), Some("a\nb"));
    assert!(rest.is_empty());
    let mut cut: &[u8] = b"abc blob 30\nab";
    assert_eq!(blob(&mut cut), None);
}
