//! The straight path, and what follows from it: redeploy, rollback, scale, restart, stop and start.

use std::collections::BTreeMap;

use launchway_control::{config, deploys, formation, releases};
use launchway_model::api::{ConfigChange, Progress, RollbackRequest, ScaleRequest};
use launchway_model::app::{FilesSpec, ProcessSpec};
use launchway_model::build::BuildState;
use launchway_model::deploy::{DeployPhase, DeployState, ReleaseState};
use launchway_model::route::{Backend, ProxyStats, TargetStats};
use launchway_model::{ProcessType, ReleaseNumber};

use crate::world::{
    Repository, World, command, name, newest_deploy, process, release, spec, until,
};

/// An app that serves its first version.
async fn serving(world: &World) -> Repository {
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    repository
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_becomes_a_served_release() {
    let world = World::new().await;
    let repository = world.repository("Shop");
    repository
        .write("build.sh", "echo building; echo done > built")
        .write("tests", "");
    repository.version("one", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    assert_eq!(
        outcome.phases(),
        [
            DeployPhase::Validate,
            DeployPhase::Start,
            DeployPhase::Ready,
            DeployPhase::Switch,
            DeployPhase::Drain
        ]
    );
    let place =
        |wanted: &dyn Fn(&Progress) -> bool| outcome.events.iter().position(wanted).unwrap();
    let log = place(&|event| matches!(event, Progress::Log { text, .. } if text == "building"));
    let stage =
        place(&|event| matches!(event, Progress::StageFinished { name, .. } if name == "build"));
    let tests = place(&|event| matches!(event, Progress::Tests { counts } if counts.passed == 3));
    let built = place(&|event| matches!(event, Progress::Built { .. }));
    let released = place(&|event| matches!(event, Progress::Released { .. }));
    assert!(
        log < stage && stage < tests && tests < built && built < released,
        "{:#?}",
        outcome.events
    );
    let route = world.proxy.table().routes.remove(0);
    assert_eq!(
        (route.hosts.as_slice(), route.prefix.as_str()),
        (["shop.localhost".to_owned()].as_slice(), "/")
    );
    let deploy = newest_deploy(&world, "shop").await;
    assert_eq!(deploy.state, DeployState::Succeeded);
    assert!(
        deploy.phases.iter().all(|record| record.millis.is_some()),
        "{deploy:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_sees_its_own_folders_and_names_and_nothing_of_ours() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let mut spec = spec("serve");
    spec.env = BTreeMap::from([
        ("GREETING".to_owned(), "hello".to_owned()),
        ("COLOUR".to_owned(), "red".to_owned()),
    ]);
    repository.version("one", &spec);
    let change = ConfigChange {
        set: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
        unset: Vec::new(),
    };
    launchway_control::apps::create(&world.control, name("shop"))
        .await
        .unwrap();
    let (_, accepted) = config::change(&world.control, &name("shop"), change)
        .await
        .unwrap();
    assert_eq!(accepted.deploy, None, "nothing runs yet");
    world.deploy(&repository).await.succeeded();
    let env = world.get("shop", "/env").await.unwrap();
    let home = world.settings.home.app_home(&name("shop"));
    for wanted in [
        "GREETING=hello".to_owned(),
        "COLOUR=blue".to_owned(),
        "LAUNCHWAY_APP=shop".to_owned(),
        "LAUNCHWAY_PROCESS=web".to_owned(),
        "LAUNCHWAY_RELEASE=1".to_owned(),
        format!("HOME={}", home.display()),
    ] {
        assert!(env.lines().any(|line| line == wanted), "{wanted} in {env}");
    }
    assert!(
        !env.contains("CARGO"),
        "the environment of control is not the app's: {env}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_replaces_the_old_one_only_once_it_is_ready() {
    let world = World::new().await;
    let repository = serving(&world).await;
    let old = world.instances("shop").await.remove(0);
    repository.version("two", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    // No table was ever without a target once there was one.
    let mut served = false;
    for table in world.proxy.tables() {
        let targets = match table.routes.first().map(|route| &route.backend) {
            Some(Backend::Instances { targets }) => targets.len(),
            _ => 0,
        };
        assert!(targets > 0 || !served, "{table:?}");
        served |= targets > 0;
    }
    until("the old instance is gone", async || {
        let left = world.instances("shop").await;
        (left.len() == 1 && left[0].id != old.id).then_some(())
    })
    .await;
    assert!(!world.settings.home.instance(&old.id).exists());
    let states: Vec<_> = releases::list(&world.control, &name("shop"), 9)
        .await
        .unwrap();
    assert_eq!(states[0].state, ReleaseState::Serving);
    assert_eq!(states[1].state, ReleaseState::Superseded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_the_old_tree_back_as_a_new_release() {
    let world = World::new().await;
    let repository = serving(&world).await;
    let rollback = RollbackRequest { release: None };
    let problem = deploys::rollback(&world.control, &name("shop"), rollback.clone())
        .await
        .unwrap_err();
    assert!(
        problem.message.contains("no release of shop served before"),
        "{problem}"
    );
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let outcome = world
        .changed(deploys::rollback(&world.control, &name("shop"), rollback).await)
        .await;
    outcome.succeeded();
    assert_eq!(outcome.serving, Some(ReleaseNumber(3)));
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    let release = releases::get(&world.control, &name("shop"), ReleaseNumber(3))
        .await
        .unwrap();
    assert_eq!(release.cause, "rollback to v1");
    let request = RollbackRequest {
        release: Some(ReleaseNumber(2)),
    };
    world
        .changed(deploys::rollback(&world.control, &name("shop"), request).await)
        .await
        .succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    let request = RollbackRequest {
        release: Some(ReleaseNumber(99)),
    };
    assert!(
        deploys::rollback(&world.control, &name("shop"), request)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_outlives_releases_and_goes_down_to_none() {
    let world = World::new().await;
    let repository = serving(&world).await;
    let scale = async |count| {
        let request = ScaleRequest {
            formation: BTreeMap::from([(ProcessType::web(), count)]),
        };
        formation::scale(&world.control, &name("shop"), request).await
    };
    world.changed(scale(3).await).await.succeeded();
    assert_eq!(world.proxy.targets("shop").len(), 3);
    assert_eq!(
        scale(3).await.unwrap().deploy,
        None,
        "nothing has to change"
    );
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.proxy.targets("shop").len(), 3);
    world.changed(scale(1).await).await.succeeded();
    assert_eq!(world.proxy.targets("shop").len(), 1);
    world.changed(scale(0).await).await.succeeded();
    assert!(matches!(
        world.proxy.backend("shop"),
        Some(Backend::Stopped { .. })
    ));
    let request = ScaleRequest {
        formation: BTreeMap::from([(process("wbe"), 2)]),
    };
    let problem = formation::scale(&world.control, &name("shop"), request)
        .await
        .unwrap_err();
    assert_eq!(problem.hint.unwrap(), "Did you mean `web`?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_stop_and_start() {
    let world = World::new().await;
    serving(&world).await;
    let app = name("shop");
    let first = world.proxy.targets("shop").remove(0).instance;
    world
        .changed(formation::restart(&world.control, &app, None).await)
        .await
        .succeeded();
    let second = world.proxy.targets("shop").remove(0).instance;
    assert_ne!(first, second);
    assert_eq!(second.release(), ReleaseNumber(1));
    let outcome = world
        .changed(formation::stop(&world.control, &app).await)
        .await;
    outcome.succeeded();
    assert!(matches!(
        world.proxy.backend("shop"),
        Some(Backend::Stopped { .. })
    ));
    until("all processes are gone", async || {
        world.processes("shop").is_empty().then_some(())
    })
    .await;
    assert_eq!(
        formation::stop(&world.control, &app).await.unwrap().deploy,
        None
    );
    assert!(
        formation::restart(&world.control, &app, None)
            .await
            .is_err()
    );
    world
        .changed(formation::start(&world.control, &app).await)
        .await
        .succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_is_a_release_of_its_own() {
    let world = World::new().await;
    serving(&world).await;
    let change = ConfigChange {
        set: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
        unset: Vec::new(),
    };
    let (now, accepted) = config::change(&world.control, &name("shop"), change.clone())
        .await
        .unwrap();
    assert_eq!(now.version, 1);
    world.changed(Ok(accepted)).await.succeeded();
    assert!(
        world
            .get("shop", "/env")
            .await
            .unwrap()
            .contains("COLOUR=blue")
    );
    let release = releases::get(&world.control, &name("shop"), ReleaseNumber(2))
        .await
        .unwrap();
    assert_eq!(release.cause, "config set COLOUR");
    let (_, accepted) = config::change(&world.control, &name("shop"), change)
        .await
        .unwrap();
    assert_eq!(accepted.deploy, None, "nothing changed");
    let database = std::fs::read(world.settings.home.database()).unwrap();
    assert!(
        !database
            .windows(13)
            .any(|window| window == b"\"COLOUR\":\"blu"),
        "values are encrypted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_release_command_runs_once_before_the_new_instances() {
    let world = World::new().await;
    let repository = serving(&world).await;
    let line = "echo migrating; date >> $HOME/migrations";
    repository.version("two", &release(spec("serve"), line));
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    let home = world.settings.home.app_home(&name("shop"));
    assert_eq!(
        std::fs::read_to_string(home.join("migrations"))
            .unwrap()
            .lines()
            .count(),
        1
    );
    assert_eq!(
        outcome.phases()[..3],
        [
            DeployPhase::Validate,
            DeployPhase::Release,
            DeployPhase::Start
        ]
    );
    let logged =
        |event: &Progress| matches!(event, Progress::ReleaseLog { text } if text == "migrating");
    assert!(outcome.events.iter().any(logged), "{:#?}", outcome.events);
    let shown = outcome.events.iter().position(logged).unwrap();
    let start = |event: &Progress| {
        matches!(
            event,
            Progress::Phase {
                phase: DeployPhase::Start,
                ..
            }
        )
    };
    assert!(shown < outcome.events.iter().position(start).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_runs_beside_the_web_process() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let mut spec = spec("serve");
    spec.processes.insert(
        process("worker"),
        ProcessSpec::new("echo working; exec sleep 600"),
    );
    repository.version("one", &spec);
    world.deploy(&repository).await.succeeded();
    let instances = world.instances("shop").await;
    assert_eq!(instances.len(), 2);
    assert_eq!(instances[1].id.process(), &process("worker"));
    assert_eq!(
        (
            instances[1].healthy,
            instances[1].routed,
            instances[1].address.clone()
        ),
        (None, false, None)
    );
    // A worker that ends refuses a release as well.
    spec.processes
        .insert(process("worker"), ProcessSpec::new("echo no queue; exit 4"));
    repository.version("two", &spec);
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert!(
        problem
            .message
            .contains("the worker process ended with exit code 4"),
        "{problem}"
    );
    assert_eq!(problem.output, ["no queue"]);
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_site_is_served_by_the_proxy_alone() {
    let world = World::new().await;
    let repository = world.repository("site");
    let mut spec = command("unused");
    spec.processes.clear();
    spec.files = Some(FilesSpec {
        folder: "public".to_owned(),
        fallback: Some("index.html".to_owned()),
    });
    repository.version("one", &spec);
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert_eq!(problem.message, "the folder `public` has no index.html");
    repository.write("public/index.html", "<h1>site</h1>");
    repository.version("two", &spec);
    world.deploy(&repository).await.succeeded();
    let Some(Backend::Files { root, fallback }) = world.proxy.backend("site") else {
        panic!()
    };
    assert_eq!(
        std::fs::read_to_string(root.join("index.html")).unwrap(),
        "<h1>site</h1>"
    );
    assert_eq!(fallback.as_deref(), Some("index.html"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persistent_paths_outlive_releases() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let mut spec = spec("serve");
    spec.persist = vec!["uploads/".to_owned()];
    repository.version("one", &spec);
    world.deploy(&repository).await.succeeded();
    let tree = |build| world.settings.home.tree(&name("shop"), build);
    let first = releases::get(&world.control, &name("shop"), ReleaseNumber(1))
        .await
        .unwrap()
        .build;
    std::fs::write(tree(first).join("uploads/picture"), "pixels").unwrap();
    repository.version("two", &spec);
    world.deploy(&repository).await.succeeded();
    let second = releases::get(&world.control, &name("shop"), ReleaseNumber(2))
        .await
        .unwrap()
        .build;
    assert_ne!(first, second);
    assert_eq!(
        std::fs::read_to_string(tree(second).join("uploads/picture")).unwrap(),
        "pixels"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_waiting_builds_the_newest_wins_and_a_deploy_can_be_cancelled() {
    let world = World::new().await;
    let repository = serving(&world).await;
    // The app never becomes ready, so that its deploy is under way until it is cancelled.
    let mut silent = spec("silent");
    silent.health.start_ms = 120_000;
    repository.version("stuck", &silent);
    let stuck = world.request(&repository).await.unwrap();
    let stuck_deploy = until("the deploy waits for its app", async || {
        let deploy = newest_deploy(&world, "shop").await;
        (deploy.state
            == DeployState::Running {
                phase: DeployPhase::Ready,
            })
        .then_some(deploy.id)
    })
    .await;
    repository.version("two", &spec("serve"));
    let two = world.request(&repository).await.unwrap();
    until("the second deploy waits", async || {
        (newest_deploy(&world, "shop").await.id > stuck_deploy).then_some(())
    })
    .await;
    repository.version("three", &spec("serve"));
    let three = world.request(&repository).await.unwrap();
    until("the third deploy waits", async || {
        let build = launchway_control::builds::get(&world.control, three.build)
            .await
            .unwrap();
        matches!(build.state, BuildState::Finished { .. }).then_some(())
    })
    .await;
    deploys::cancel(&world.control, stuck_deploy).await.unwrap();
    assert!(
        world
            .outcome(stuck.build)
            .await
            .refused()
            .message
            .contains("cancelled")
    );
    assert!(
        world
            .outcome(two.build)
            .await
            .refused()
            .message
            .contains("newer release")
    );
    world.outcome(three.build).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "three");
    until("the stuck app is gone", async || {
        (world.processes("shop").len() <= 3).then_some(())
    })
    .await;
    assert!(deploys::cancel(&world.control, stuck_deploy).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_fails_its_first_requests_is_rolled_back_with_the_reason() {
    let mut world = World::new().await;
    let repository = serving(&world).await;
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let instance = world.proxy.targets("shop").remove(0).instance;
    // It is watched on by the next control.
    world.restart_control().await;
    let mut requests = 0;
    until("the first version serves again", async || {
        // Most requests fail, and there are ever more of them.
        requests += 10;
        let target = TargetStats {
            instance: instance.clone(),
            requests,
            server_errors: requests / 10 * 9,
            failures: 0,
            in_flight: 0,
            buckets: Vec::new(),
        };
        world.proxy.count(ProxyStats {
            targets: vec![target],
            ..ProxyStats::default()
        });
        (world.get("shop", "/").await.as_deref() == Ok("one")).then_some(())
    })
    .await;
    let release = until("it is recorded", async || {
        let release = releases::list(&world.control, &name("shop"), 1)
            .await
            .unwrap()
            .remove(0);
        (release.state == ReleaseState::Serving).then_some(release)
    })
    .await;
    assert_eq!(release.number, ReleaseNumber(3));
    assert!(
        release
            .cause
            .starts_with("rolled back to v1 by Launchway: "),
        "{}",
        release.cause
    );
    assert!(
        release.cause.ends_with(" requests failed"),
        "{}",
        release.cause
    );
}
