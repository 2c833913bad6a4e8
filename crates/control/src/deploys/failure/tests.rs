use jiff::Timestamp;
use launchway_model::app::AppSpec;
use launchway_model::deploy::ReleaseState;
use launchway_model::{BuildId, ReleaseNumber};

use super::*;
use crate::probe::Report;
use crate::reconcile::Role;

fn id() -> InstanceId {
    "shop.web.v2.1".parse().unwrap()
}

fn running() -> InstanceState {
    InstanceState::Running {
        pid: 1,
        since: Timestamp::UNIX_EPOCH,
    }
}

fn seen(status: InstanceState, ready: bool, report: Option<Report>) -> Seen {
    Seen {
        role: Role::Candidate,
        status,
        restarts: 0,
        last_exit: None,
        shim: None,
        port: Some(20_000),
        seat: None,
        ready,
        was_ready: ready,
        report,
        lost: None,
        since: Instant::now(),
    }
}

fn verdict(seen: Option<Seen>, deadline: Instant) -> Verdict {
    let observed = Observed {
        instances: seen.map(|seen| (id(), seen)).into_iter().collect(),
    };
    judge(&observed, &[id()], deadline)
}

fn found(finding: Finding, ago: Duration) -> Option<Report> {
    Some(Report {
        ready: false,
        finding: Some(finding),
        since: Instant::now() - ago,
    })
}

#[tokio::test(start_paused = true)]
async fn candidates_are_judged() {
    // A paused clock begins at zero, and reports look back.
    tokio::time::advance(Duration::from_secs(100)).await;
    let later = Instant::now() + Duration::from_secs(60);
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(11));
    let error = http::StatusCode::INTERNAL_SERVER_ERROR;
    let busy = http::StatusCode::SERVICE_UNAVAILABLE;
    assert!(matches!(
        verdict(Some(seen(running(), true, None)), later),
        Verdict::Ready
    ));
    assert!(
        matches!(verdict(Some(seen(running(), false, None)), later), Verdict::Wait { until } if until == later)
    );
    assert!(matches!(
        verdict(None, later),
        Verdict::Failed {
            why: Why::Lost(None),
            ..
        }
    ));
    let backoff = InstanceState::Backoff {
        exit: Exit::Code(3),
        until: Timestamp::UNIX_EPOCH,
    };
    let ended = verdict(Some(seen(backoff, false, None)), later);
    assert!(matches!(
        ended,
        Verdict::Failed {
            why: Why::Exited(Some(Exit::Code(3))),
            ..
        }
    ));
    let mut again = seen(running(), true, None);
    again.restarts = 1;
    assert!(matches!(
        verdict(Some(again), later),
        Verdict::Failed {
            why: Why::Exited(None),
            ..
        }
    ));
    let wrong = |finding, ago| verdict(Some(seen(running(), false, found(finding, ago))), later);
    assert!(
        matches!(wrong(Finding::Status(error), short), Verdict::Wait { until } if until < later)
    );
    assert!(matches!(
        wrong(Finding::Status(error), long),
        Verdict::Failed {
            why: Why::NotHealthy { .. },
            ..
        }
    ));
    assert!(
        matches!(wrong(Finding::Status(busy), long), Verdict::Wait { .. }),
        "it may be warming up"
    );
    assert!(
        matches!(wrong(Finding::Refused, long), Verdict::Wait { .. }),
        "it may be starting"
    );
    let over = verdict(
        Some(seen(running(), false, found(Finding::Refused, long))),
        Instant::now(),
    );
    assert!(matches!(
        over,
        Verdict::Failed {
            why: Why::NotHealthy {
                finding: Some(Finding::Refused),
                ..
            },
            ..
        }
    ));
}

#[test]
fn each_finding_names_what_is_wrong_and_a_remedy() {
    let mut spec = AppSpec::default();
    spec.health.path = Some("/up".to_owned());
    spec.health.body = Some("ok".to_owned());
    let release = Release {
        app: "shop".parse().unwrap(),
        number: ReleaseNumber(2),
        build: BuildId(1),
        commit: String::new(),
        subject: String::new(),
        spec,
        config_version: 0,
        created: Timestamp::UNIX_EPOCH,
        cause: String::new(),
        state: ReleaseState::Created,
    };
    let status = |code| Finding::Status(http::StatusCode::from_u16(code).unwrap());
    let explained: Vec<String> = [
        (Some(Finding::Refused), vec![]),
        (Some(Finding::Refused), vec![5000]),
        (None, vec![]),
        (Some(Finding::Foreign), vec![]),
        (Some(status(500)), vec![]),
        (Some(status(404)), vec![]),
        (Some(status(400)), vec![]),
        (Some(status(302)), vec![]),
        (Some(status(401)), vec![]),
        (Some(Finding::TimedOut), vec![]),
        (Some(Finding::Body), vec![]),
        (Some(Finding::Broken("garbage".to_owned())), vec![]),
        (Some(Finding::Healthy), vec![]),
    ]
    .into_iter()
    .map(|(finding, elsewhere)| {
        let after = Duration::from_secs(30);
        let problem = explain_health(
            "(Or a private network.)",
            &release,
            &id(),
            finding.as_ref(),
            after,
            Some(20_000),
            &elsewhere,
        );
        format!("{problem}\n    {}", problem.hint.as_deref().unwrap())
    })
    .collect();
    insta::assert_snapshot!(explained.join("\n"));
    let exits: Vec<String> = [
        (Some(Exit::Code(1)), ""),
        (
            Some(Exit::Code(1)),
            "OSError: [Errno 98] Address already in use",
        ),
        (Some(Exit::Code(1)), "KeyError: 'SECRET_KEY'"),
        (Some(Exit::Code(1)), "Error: Cannot find module 'express'"),
        (Some(Exit::Code(0)), ""),
        (Some(Exit::Code(126)), ""),
        (Some(Exit::Code(127)), ""),
        (Some(Exit::Signal(9)), ""),
        (None, ""),
    ]
    .into_iter()
    .map(|(exit, said)| {
        let problem = explain_exit(
            "(Or a private network.)",
            &id(),
            exit,
            Some(20_000),
            &[said.to_owned()],
        );
        format!("{problem}\n    {}", problem.hint.as_deref().unwrap())
    })
    .collect();
    insta::assert_snapshot!(exits.join("\n"));
}
