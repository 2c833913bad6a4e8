//! The store on real files.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod alerts;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use launchway_model::app::{AppSpec, ProcessSpec};
use launchway_model::build::{BuildRequest, BuildResult, BuildState};
use launchway_model::deploy::{DeployPhase, DeployState, ReleaseState};
use launchway_model::{AppName, BuildId, DeployId, Problem, ProcessType, ReleaseNumber};
use launchway_store::apps::ConfigChanged;
use launchway_store::{BuildEnd, BuildUpdate, Counter, DeployEnd, DeployWork, NewRelease, Store};

struct Fixture {
    store: Store,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("launchway.db"))
        .await
        .unwrap();
    Fixture { store, folder }
}

fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    // Stored times have whole milliseconds.
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap()
}

fn request(app: &str, branch: &str) -> BuildRequest {
    BuildRequest {
        parameters: Default::default(),
        app: name(app),
        commit: "c".repeat(40),
        branch: Some(branch.to_owned()),
        subject: "a subject".to_owned(),
        author: "A <a@example.org>".to_owned(),
        cause: "deploy".to_owned(),
        deploy: true,
        origin: Default::default(),
    }
}

fn spec() -> AppSpec {
    AppSpec {
        processes: BTreeMap::from([(ProcessType::web(), ProcessSpec::new("serve"))]),
        ..AppSpec::default()
    }
}

fn release(app: &str, build: BuildId) -> NewRelease {
    NewRelease {
        app: name(app),
        build,
        commit: "c".repeat(40),
        subject: "a subject".to_owned(),
        spec: spec(),
        config_version: None,
        cause: "deploy".to_owned(),
    }
}

fn green(app: &str, build: BuildId) -> BuildEnd {
    BuildEnd {
        result: BuildResult::Success,
        problem: None,
        at: now(),
        release: Some(release(app, build)),
    }
}

impl Fixture {
    /// A green build with its release and queued deploy.
    async fn released(&self, app: &str) -> (BuildId, ReleaseNumber, DeployId) {
        self.store.ensure_app(&name(app), now()).await.unwrap();
        let build = self
            .store
            .queue_build(&request(app, "main"), "waits", now())
            .await
            .unwrap();
        assert!(self.store.begin_build(build, now()).await.unwrap());
        let (release, deploy) = self
            .store
            .end_build(build, &green(app, build))
            .await
            .unwrap()
            .unwrap();
        (build, release, deploy)
    }

    async fn serve(&self, deploy: DeployId) {
        let stored = self.store.deploy(deploy).await.unwrap().unwrap();
        self.store.commit_switch(&stored).await.unwrap();
        assert!(
            self.store
                .end_deploy(deploy, &DeployEnd::Succeeded, now())
                .await
                .unwrap()
        );
    }

    async fn release_state(&self, app: &str, number: ReleaseNumber) -> ReleaseState {
        self.store
            .release(&name(app), number)
            .await
            .unwrap()
            .unwrap()
            .state
    }
}

#[tokio::test]
async fn a_build_becomes_a_release_that_serves() {
    let f = fixture().await;
    let (build, first, deploy) = f.released("shop").await;
    assert_eq!(first, ReleaseNumber(1));
    assert_eq!(f.release_state("shop", first).await, ReleaseState::Created);
    assert!(
        f.store
            .enter_phase(deploy, DeployPhase::Validate, None, now())
            .await
            .unwrap()
    );
    assert!(
        f.store
            .enter_phase(deploy, DeployPhase::Start, None, now())
            .await
            .unwrap()
    );
    let stored = f.store.deploy(deploy).await.unwrap().unwrap();
    let phases: Vec<_> = stored
        .deploy
        .phases
        .iter()
        .map(|phase| (phase.phase, phase.millis.is_some()))
        .collect();
    assert_eq!(
        phases,
        [
            (DeployPhase::Queued, true),
            (DeployPhase::Validate, true),
            (DeployPhase::Start, false)
        ]
    );
    f.serve(deploy).await;
    assert_eq!(
        f.store.app(&name("shop")).await.unwrap().unwrap().serving,
        Some(first)
    );
    assert_eq!(f.store.serving_releases().await.unwrap()[0].spec, spec());

    let (_, second, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    assert_eq!(
        f.release_state("shop", first).await,
        ReleaseState::Superseded
    );
    assert_eq!(f.release_state("shop", second).await, ReleaseState::Serving);
    assert_eq!(
        f.store
            .served_before(&name("shop"), second)
            .await
            .unwrap()
            .unwrap()
            .number,
        first
    );
    assert_eq!(f.store.build(build).await.unwrap().unwrap().build.id, build);
}

#[tokio::test]
async fn ending_twice_changes_nothing() {
    let f = fixture().await;
    let (build, _, deploy) = f.released("shop").await;
    assert_eq!(
        f.store
            .end_build(build, &green("shop", build))
            .await
            .unwrap(),
        None
    );
    assert_eq!(f.store.releases(&name("shop"), 10).await.unwrap().len(), 1);
    f.serve(deploy).await;
    let failed = DeployEnd::Failed {
        phase: DeployPhase::Start,
        problem: Problem::failed("late"),
    };
    assert!(!f.store.end_deploy(deploy, &failed, now()).await.unwrap());
    assert!(
        !f.store
            .enter_phase(deploy, DeployPhase::Start, None, now())
            .await
            .unwrap()
    );
    assert_eq!(
        f.store.deploy(deploy).await.unwrap().unwrap().deploy.state,
        DeployState::Succeeded
    );
    assert_eq!(
        f.release_state("shop", ReleaseNumber(1)).await,
        ReleaseState::Serving
    );
}

#[tokio::test]
async fn of_waiting_builds_and_deploys_the_newest_wins() {
    let f = fixture().await;
    f.store.ensure_app(&name("shop"), now()).await.unwrap();
    let first = f
        .store
        .queue_build(&request("shop", "main"), "waits", now())
        .await
        .unwrap();
    let other = f
        .store
        .queue_build(&request("shop", "feature"), "waits", now())
        .await
        .unwrap();
    let second = f
        .store
        .queue_build(&request("shop", "main"), "waits", now())
        .await
        .unwrap();
    let store = &f.store;
    let state = |id| async move { store.build(id).await.unwrap().unwrap().build.state };
    assert!(matches!(
        state(first).await,
        BuildState::Finished {
            result: BuildResult::NotBuilt,
            ..
        }
    ));
    assert!(
        matches!(state(other).await, BuildState::Queued { .. }),
        "another branch is left alone"
    );
    assert!(matches!(state(second).await, BuildState::Queued { .. }));
    assert!(!f.store.begin_build(first, now()).await.unwrap());

    let g = fixture().await;
    let (_, first, running) = g.released("shop").await;
    g.store
        .enter_phase(running, DeployPhase::Validate, None, now())
        .await
        .unwrap();
    let scale = DeployWork::Scale {
        formation: BTreeMap::new(),
    };
    let scale = g
        .store
        .queue_deploy(&name("shop"), first, &scale, now())
        .await
        .unwrap();
    let (_, second, waiting) = g.released("shop").await;
    let (_, _, newest) = g.released("shop").await;
    let active: Vec<_> = g
        .store
        .active_deploys()
        .await
        .unwrap()
        .iter()
        .map(|deploy| deploy.deploy.id)
        .collect();
    assert_eq!(
        active,
        [running, scale, newest],
        "only a waiting release gives way"
    );
    assert_eq!(
        g.store.deploy(waiting).await.unwrap().unwrap().deploy.state,
        DeployState::Superseded
    );
    assert!(matches!(
        g.release_state("shop", second).await,
        ReleaseState::Refused { .. }
    ));
}

#[tokio::test]
async fn a_failed_deploy_refuses_its_release_and_leaves_the_serving_one() {
    let f = fixture().await;
    let (_, first, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    let (_, second, deploy) = f.released("shop").await;
    let problem = Problem::failed("it does not bind").hint("Bind $PORT.");
    let end = DeployEnd::Failed {
        phase: DeployPhase::Ready,
        problem: problem.clone(),
    };
    assert!(f.store.end_deploy(deploy, &end, now()).await.unwrap());
    assert_eq!(
        f.release_state("shop", second).await,
        ReleaseState::Refused { problem }
    );
    assert_eq!(f.release_state("shop", first).await, ReleaseState::Serving);
    // A failed restart of what serves must not refuse it.
    let restart = DeployWork::Restart { process: None };
    let deploy = f
        .store
        .queue_deploy(&name("shop"), first, &restart, now())
        .await
        .unwrap();
    let end = DeployEnd::Failed {
        phase: DeployPhase::Ready,
        problem: Problem::failed("no"),
    };
    f.store.end_deploy(deploy, &end, now()).await.unwrap();
    assert_eq!(f.release_state("shop", first).await, ReleaseState::Serving);
}

#[tokio::test]
async fn configuration_has_versions_and_one_of_two_racing_changes_wins() {
    let f = fixture().await;
    f.store.ensure_app(&name("shop"), now()).await.unwrap();
    let changed = f
        .store
        .change_config(&name("shop"), 0, b"one", None, now())
        .await
        .unwrap();
    assert_eq!(
        changed,
        ConfigChanged::Changed {
            version: 1,
            deploy: None
        }
    );
    assert_eq!(
        f.store
            .change_config(&name("shop"), 0, b"late", None, now())
            .await
            .unwrap(),
        ConfigChanged::Raced
    );
    assert_eq!(
        f.store.config(&name("shop"), 1).await.unwrap().unwrap(),
        b"one"
    );
    let (build, _, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    assert_eq!(
        f.store
            .release(&name("shop"), ReleaseNumber(1))
            .await
            .unwrap()
            .unwrap()
            .config_version,
        1
    );
    let new = NewRelease {
        config_version: Some(2),
        ..release("shop", build)
    };
    match f
        .store
        .change_config(&name("shop"), 1, b"two", Some(new), now())
        .await
        .unwrap()
    {
        ConfigChanged::Changed {
            version: 2,
            deploy: Some((number, _)),
        } => assert_eq!(number, ReleaseNumber(2)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn formation_stop_and_domains() {
    let f = fixture().await;
    let (_, number, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    let formation = BTreeMap::from([(ProcessType::web(), 3)]);
    for work in [
        DeployWork::Scale {
            formation: formation.clone(),
        },
        DeployWork::Stop,
    ] {
        let deploy = f
            .store
            .queue_deploy(&name("shop"), number, &work, now())
            .await
            .unwrap();
        f.serve(deploy).await;
    }
    f.store.ensure_app(&name("other"), now()).await.unwrap();
    assert_eq!(
        f.store
            .add_domain(&name("shop"), "shop.example.org")
            .await
            .unwrap(),
        name("shop")
    );
    assert_eq!(
        f.store
            .add_domain(&name("other"), "shop.example.org")
            .await
            .unwrap(),
        name("shop")
    );
    let app = f.store.app(&name("shop")).await.unwrap().unwrap();
    assert!(app.stopped);
    assert_eq!(app.formation, formation);
    assert_eq!(app.domains, ["shop.example.org"]);
    assert!(
        !f.store
            .remove_domain(&name("other"), "shop.example.org")
            .await
            .unwrap()
    );
    assert!(
        f.store
            .remove_domain(&name("shop"), "shop.example.org")
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn all_survives_a_restart() {
    let f = fixture().await;
    let (build, _, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    assert_eq!(f.store.count_up(Counter::Instance, 0).await.unwrap(), 1);
    assert_eq!(
        f.store.count_up_by(Counter::Instance, 0, 4).await.unwrap(),
        5
    );
    assert_eq!(f.store.count_up(Counter::RouteTable, 70).await.unwrap(), 70);
    let before = f.store.build(build).await.unwrap();
    f.store.close().await;
    let store = Store::open(&f.folder.path().join("launchway.db"))
        .await
        .unwrap();
    assert_eq!(store.build(build).await.unwrap(), before);
    assert_eq!(store.count_up(Counter::Instance, 0).await.unwrap(), 6);
    assert_eq!(store.count_up(Counter::RouteTable, 0).await.unwrap(), 71);
    assert_eq!(
        store.apps().await.unwrap()[0].serving,
        Some(ReleaseNumber(1))
    );
}

#[tokio::test]
async fn an_update_after_the_end_changes_nothing() {
    let f = fixture().await;
    let (build, ..) = f.released("shop").await;
    let update = BuildUpdate {
        spec: Some(AppSpec::default()),
        ..BuildUpdate::default()
    };
    f.store.update_build(build, &update).await.unwrap();
    assert_eq!(f.store.build(build).await.unwrap().unwrap().spec, None);
    assert!(f.store.active_builds().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_sweeper_is_told_what_a_rollback_needs() {
    let f = fixture().await;
    let mut builds = Vec::new();
    for _ in 0..4 {
        let (build, _, deploy) = f.released("shop").await;
        f.serve(deploy).await;
        builds.push(build);
    }
    let found = f.store.sweepable_builds(&name("shop"), 2).await.unwrap();
    let wanted: Vec<_> = builds
        .iter()
        .rev()
        .copied()
        .zip([true, true, true, false])
        .collect();
    assert_eq!(found, wanted);
    f.store.mark_swept(builds[0]).await.unwrap();
    assert_eq!(
        f.store
            .sweepable_builds(&name("shop"), 2)
            .await
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn deleting_an_app_leaves_nothing_of_it() {
    let f = fixture().await;
    let (build, _, deploy) = f.released("shop").await;
    f.serve(deploy).await;
    f.store
        .change_config(&name("shop"), 0, b"x", None, now())
        .await
        .unwrap();
    f.store
        .add_domain(&name("shop"), "a.example.org")
        .await
        .unwrap();
    assert!(f.store.delete_app(&name("shop")).await.unwrap());
    assert!(!f.store.delete_app(&name("shop")).await.unwrap());
    assert_eq!(f.store.build(build).await.unwrap(), None);
    assert_eq!(f.store.deploy(deploy).await.unwrap(), None);
    let (next, number, _) = f.released("shop").await;
    assert!(next > build, "a number is never used twice");
    assert_eq!(number, ReleaseNumber(1));
}

#[tokio::test]
async fn login_codes_are_spent_once_and_expire() {
    let f = fixture().await;
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    f.store
        .add_login_code(&[1; 32], at(0), at(600))
        .await
        .unwrap();
    f.store
        .add_login_code(&[2; 32], at(0), at(600))
        .await
        .unwrap();
    assert!(
        !f.store
            .redeem(&[9; 32], &[5; 32], at(1), at(1000))
            .await
            .unwrap()
    );
    assert!(
        f.store
            .redeem(&[1; 32], &[5; 32], at(1), at(1000))
            .await
            .unwrap()
    );
    assert!(
        !f.store
            .redeem(&[1; 32], &[6; 32], at(2), at(1000))
            .await
            .unwrap(),
        "spent"
    );
    assert!(
        !f.store
            .redeem(&[2; 32], &[6; 32], at(600), at(1000))
            .await
            .unwrap(),
        "expired"
    );
    assert_eq!(f.store.sessions(at(999)).await.unwrap(), [[5; 32]]);
    assert!(f.store.sessions(at(1000)).await.unwrap().is_empty());
    assert!(f.store.end_session(&[5; 32]).await.unwrap());
    assert!(f.store.sessions(at(2)).await.unwrap().is_empty());
}

/// Not a timed test: it prints what `make bench` compares, and fails only where reading is absurdly slow.
#[tokio::test]
async fn a_hundred_apps_are_read_at_once() {
    let f = fixture().await;
    for index in 0..100 {
        let (.., deploy) = f.released(&format!("app-{index}")).await;
        f.serve(deploy).await;
    }
    f.store.close().await;
    let start = Instant::now();
    let store = Store::open(&f.folder.path().join("launchway.db"))
        .await
        .unwrap();
    assert_eq!(store.apps().await.unwrap().len(), 100);
    assert_eq!(store.serving_releases().await.unwrap().len(), 100);
    assert!(store.active_deploys().await.unwrap().is_empty());
    assert!(start.elapsed() < Duration::from_secs(10));
    eprintln!("100 apps opened and read in {:?}", start.elapsed());
}
