//! The phases of a deploy beyond the straight path: what runs once, what is verified, what is replaced bit by bit.

use std::time::Duration;

use launchway_control::{apps, deploys, formation, releases};
use launchway_model::app::{
    AppSpec, CanarySpec, CommandSpec, HealthSpec, ProcessSpec, RouteSpec, RouteTo, Strategy,
};
use launchway_model::deploy::{DeployPhase, DeployState, OnceState, ReleaseState};
use launchway_model::route::{Backend, Maintenance, ProxyStats, RouteTable, TargetStats};
use launchway_model::runner::LogSource;
use launchway_model::{InstanceId, ReleaseNumber};

use crate::world::{Repository, World, name, newest_deploy, process, spec, until};

fn command(line: &str) -> CommandSpec {
    CommandSpec {
        command: line.to_owned(),
        timeout_ms: 10_000,
    }
}

/// An app with several web instances that serves its first version.
async fn serving(world: &World, spec: &AppSpec) -> Repository {
    let repository = world.repository("shop");
    repository.version("one", spec);
    world.deploy(&repository).await.succeeded();
    repository
}

fn instances(spec: AppSpec, count: u32) -> AppSpec {
    let mut spec = spec;
    for process in spec.processes.values_mut() {
        process.instances = count;
    }
    spec
}

/// The releases of the instances that a table routes to, without its canary.
fn routed(table: &RouteTable) -> Vec<u64> {
    let Some(Backend::Instances { targets }) = table.routes.first().map(|route| &route.backend)
    else {
        return Vec::new();
    };
    targets
        .iter()
        .map(|target| target.instance.release().0)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_once_command_runs_exactly_once_whatever_becomes_of_its_deploy() {
    let world = World::new().await;
    let seeds = world.settings.home.app_home(&name("shop")).join("seeds");
    let mut bad = spec("500");
    bad.once = Some(command("echo seeded | tee -a $HOME/seeds"));
    let repository = world.repository("shop");
    repository.version("one", &bad);
    let outcome = world.deploy(&repository).await;
    outcome.refused();
    assert!(outcome.phases().contains(&DeployPhase::Once));
    let mut good = spec("serve");
    good.once.clone_from(&bad.once);
    repository.version("two", &good);
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    assert!(
        !outcome.phases().contains(&DeployPhase::Once),
        "{:?}",
        outcome.phases()
    );
    assert_eq!(std::fs::read_to_string(&seeds).unwrap(), "seeded\n");
    let record = deploys::once(&world.control, &name("shop"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, OnceState::Done);
    let first = deploys::list(&world.control, &name("shop"), 9)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let report = deploys::report(&world.control, first.id).await.unwrap();
    let said = report
        .log
        .iter()
        .find(|line| line.text == "seeded")
        .unwrap();
    assert_eq!(
        (said.phase, said.source),
        (DeployPhase::Once, LogSource::Out)
    );
    assert!(
        report
            .deploy
            .phases
            .iter()
            .any(|record| record.limit_ms == Some(10_000))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_once_command_that_says_that_it_failed_is_tried_again() {
    let world = World::new().await;
    let mut spec = spec("serve");
    spec.once = Some(command("test -e fixed"));
    let repository = world.repository("shop");
    repository.version("one", &spec);
    let outcome = world.deploy(&repository).await;
    assert_eq!(
        outcome.refused().message,
        "the once command ended with exit code 1"
    );
    repository.write("fixed", "").version("two", &spec);
    world.deploy(&repository).await.succeeded();
    let record = deploys::once(&world.control, &name("shop"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, OnceState::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_once_command_that_died_amid_is_left_to_a_person() {
    let world = World::new().await;
    let mut spec = spec("serve");
    spec.once = Some(command("echo half > half; kill -9 $PPID $$; sleep 60"));
    let repository = world.repository("shop");
    repository.version("one", &spec);
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert!(
        problem
            .message
            .starts_with("nobody knows how far the once command came"),
        "{problem:?}"
    );
    assert!(
        problem
            .hint
            .as_ref()
            .unwrap()
            .contains("launchway once done --app shop")
    );
    spec.once = Some(command("true"));
    repository.version("two", &spec);
    let outcome = world.deploy(&repository).await;
    assert!(
        outcome.refused().message.starts_with("nobody knows"),
        "a person must decide"
    );
    deploys::settle_once(&world.control, &name("shop"), false)
        .await
        .unwrap();
    repository.version("three", &spec);
    world.deploy(&repository).await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shallow_health_check_is_seen_through_by_the_verify_command() {
    let world = World::new().await;
    let mut good = spec("serve");
    // The health check answers 200 whatever happens; the command looks deeper.
    good.rollout.verify.command = Some(command(
        "echo looks at $LAUNCHWAY_INSTANCES; test \"$(cat version)\" != two || { echo writes fail; exit 3; }",
    ));
    let repository = serving(&world, &good).await;
    let old = world.instances("shop").await.remove(0).id;
    repository.version("two", &good);
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert_eq!(problem.message, "the verify command ended with exit code 3");
    assert!(
        problem
            .causes
            .iter()
            .any(|cause| cause == "v1 serves again"),
        "{problem:?}"
    );
    assert!(
        problem.output.iter().any(|line| line == "writes fail"),
        "{problem:?}"
    );
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    assert_eq!(
        world.instances("shop").await[0].id,
        old,
        "the very instance that served before"
    );
    let deploy = newest_deploy(&world, "shop").await;
    assert!(matches!(
        deploy.state,
        DeployState::Failed {
            phase: DeployPhase::Verify,
            ..
        }
    ));
    let releases = releases::list(&world.control, &name("shop"), 2)
        .await
        .unwrap();
    assert!(matches!(releases[0].state, ReleaseState::Refused { .. }));
    assert_eq!(releases[1].state, ReleaseState::Serving);
    until("the new instance is gone", async || {
        (world.instances("shop").await.len() == 1).then_some(())
    })
    .await;
    repository.version("three", &good);
    world.deploy(&repository).await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deploy_and_a_restart_replace_one_at_a_time() {
    let world = World::new().await;
    let mut spec = instances(spec("serve"), 3);
    spec.rollout.strategy = Strategy::Rolling {
        max_extra: 1,
        max_missing: 0,
    };
    let repository = serving(&world, &spec).await;
    let before = world.proxy.tables().len();
    repository.version("two", &spec);
    world.deploy(&repository).await.succeeded();
    let tables = world.proxy.tables();
    let mut seen: Vec<Vec<u64>> = tables[before..].iter().map(routed).collect();
    seen.dedup();
    assert!(
        seen.iter().all(|targets| (3..=4).contains(&targets.len())),
        "never less than wanted, never more than one beyond: {seen:?}"
    );
    assert!(
        seen.contains(&vec![1, 1, 2]) && seen.contains(&vec![1, 2, 2]),
        "{seen:?}"
    );
    assert_eq!(seen.last(), Some(&vec![2, 2, 2]));
    assert_eq!(tables.last().unwrap().routes[0].release, ReleaseNumber(2));

    let old: Vec<InstanceId> = world
        .instances("shop")
        .await
        .into_iter()
        .map(|i| i.id)
        .collect();
    let before = world.proxy.tables().len();
    world
        .changed(formation::restart(&world.control, &name("shop"), None).await)
        .await
        .succeeded();
    for table in &world.proxy.tables()[before..] {
        assert!((3..=4).contains(&routed(table).len()), "{table:?}");
    }
    until("all of them are fresh", async || {
        let new = world.instances("shop").await;
        let fresh = new.iter().all(|instance| !old.contains(&instance.id));
        (new.len() == 3 && fresh).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deploy_that_fails_midway_brings_the_old_ones_back() {
    let world = World::new().await;
    let mut good = instances(spec("serve"), 2);
    good.rollout.strategy = Strategy::Rolling {
        max_extra: 0,
        max_missing: 1,
    };
    let repository = serving(&world, &good).await;
    // The first instance takes the mark and is well; the second finds it and is not.
    let mut bad = good.clone();
    let web = bad.processes.get_mut(&process("web")).unwrap();
    web.command = format!(
        "if mkdir $HOME/mark 2>/dev/null; then {}; else exit 7; fi",
        web.command
    );
    repository.version("two", &bad);
    let outcome = world.deploy(&repository).await;
    assert!(
        outcome.refused().message.contains("exit code 7"),
        "{:?}",
        outcome.problem
    );
    until("two of the first release serve", async || {
        (routed(&world.proxy.table()) == [1, 1]).then_some(())
    })
    .await;
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert!(
        world.proxy.tables()[1..]
            .iter()
            .all(|table| !routed(table).is_empty()),
        "something served all the time"
    );
    until("nothing of the second is left", async || {
        let left = world.instances("shop").await;
        (left.len() == 2 && left.iter().all(|instance| instance.id.release().0 == 1)).then_some(())
    })
    .await;
}

fn canary(steps: &[u8], interval_ms: u64, promote: bool) -> AppSpec {
    let mut spec = instances(spec("serve"), 2);
    spec.rollout.strategy = Strategy::Canary(CanarySpec {
        steps: steps.to_vec(),
        interval_ms,
        header: None,
        promote,
    });
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_grows_step_by_step_and_is_promoted() {
    let world = World::new().await;
    let spec = canary(&[10, 60], 300, true);
    let repository = serving(&world, &spec).await;
    repository.version("two", &spec);
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    let phases = outcome.phases();
    assert!(phases.contains(&DeployPhase::Canary), "{phases:?}");
    let mut shares: Vec<(u8, usize)> = world
        .proxy
        .tables()
        .iter()
        .filter_map(|table| table.routes.first()?.canary.as_ref())
        .map(|canary| (canary.percent, canary.targets.len()))
        .collect();
    shares.dedup();
    assert_eq!(shares, [(10, 1), (60, 2)]);
    let last = world.proxy.table();
    assert_eq!(
        (routed(&last), last.routes[0].canary.is_some()),
        (vec![2, 2], false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_waits_for_a_person_who_promotes_or_aborts_it() {
    let world = World::new().await;
    let spec = canary(&[50], 10, false);
    let repository = serving(&world, &spec).await;
    for promote in [false, true] {
        repository.version("next", &spec);
        let accepted = world.request(&repository).await.unwrap();
        let deploy = until("the canary takes its share", async || {
            let route = world.proxy.table().routes.into_iter().next()?;
            route.canary.filter(|canary| !canary.targets.is_empty())?;
            Some(newest_deploy(&world, "shop").await)
        })
        .await;
        let serving_before = world.instances("shop").await.len();
        if promote {
            // The record may come a moment after the table.
            until("it can be promoted", async || {
                deploys::promote(&world.control, deploy.id).await.ok()
            })
            .await;
            world.outcome(accepted.build).await.succeeded();
            assert_eq!(routed(&world.proxy.table()), vec![deploy.release.0; 2]);
        } else {
            assert_eq!(serving_before, 3);
            deploys::cancel(&world.control, deploy.id).await.unwrap();
            assert!(
                world
                    .outcome(accepted.build)
                    .await
                    .refused()
                    .message
                    .contains("cancelled")
            );
            let table = world.proxy.table();
            assert_eq!(
                (routed(&table), table.routes[0].canary.is_some()),
                (vec![1, 1], false)
            );
            until("the canary is gone", async || {
                (world.instances("shop").await.len() == 2).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_does_worse_is_taken_back_with_the_reason() {
    let world = World::new().await;
    let spec = canary(&[50], 600_000, true);
    let repository = serving(&world, &spec).await;
    repository.version("two", &spec);
    let accepted = world.request(&repository).await.unwrap();
    let target = until("the canary takes its share", async || {
        let route = world.proxy.table().routes.into_iter().next()?;
        route
            .canary?
            .targets
            .first()
            .map(|target| target.instance.clone())
    })
    .await;
    let failing = async {
        for requests in (10..).step_by(10) {
            let stats = TargetStats {
                instance: target.clone(),
                requests,
                server_errors: requests,
                failures: 0,
                in_flight: 0,
                buckets: Vec::new(),
            };
            world.proxy.count(ProxyStats {
                targets: vec![stats],
                ..ProxyStats::default()
            });
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = world.outcome(accepted.build) => outcome,
        () = failing => unreachable!(),
    };
    let message = &outcome.refused().message;
    assert!(
        message.starts_with("the canary did worse than v1: "),
        "{message}"
    );
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert!(world.proxy.table().routes[0].canary.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_can_be_a_command_or_ask_in_its_own_way() {
    let world = World::new().await;
    let mut spec = spec("serve");
    spec.health = HealthSpec {
        path: None,
        command: Some(
            "test -n \"$PORT\" && test -e healthy || { echo not yet; exit 1; }".to_owned(),
        ),
        start_ms: 3_000,
        interval_ms: 100,
        ..HealthSpec::default()
    };
    let repository = world.repository("shop");
    repository.version("one", &spec);
    let outcome = world.deploy(&repository).await;
    let message = &outcome.refused().message;
    assert!(
        message.contains("ended with exit code 1: not yet"),
        "{message}"
    );
    repository.write("healthy", "").version("two", &spec);
    world.deploy(&repository).await.succeeded();
    let logs = std::fs::read_dir(world.settings.home.app_logs(&name("shop"))).unwrap();
    let checks = logs
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains(".health."))
        .count();
    assert!(checks <= 1, "{checks} logs of checks are left");

    spec.health = HealthSpec {
        path: Some("/env".to_owned()),
        body_matches: Some("(?m)^LAUNCHWAY_APP=sh.p$".to_owned()),
        start_ms: 20_000,
        ..HealthSpec::default()
    };
    repository.version("three", &spec);
    world.deploy(&repository).await.succeeded();
    spec.health.body_matches = Some("^nothing like it$".to_owned());
    spec.health.start_ms = 1_000;
    repository.version("four", &spec);
    let outcome = world.deploy(&repository).await;
    let message = &outcome.refused().message;
    assert!(
        message.contains("does not match `^nothing like it$`"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_take_requests_and_find_each_other() {
    let mut world = World::new().await;
    let mut spec = spec("serve");
    let web = spec.processes[&process("web")].clone();
    spec.processes.insert(process("backend"), web);
    spec.processes.insert(
        process("worker"),
        ProcessSpec::new("env > worker-env; sleep 1000"),
    );
    spec.routes = vec![RouteSpec {
        hosts: Vec::new(),
        path: "/api".to_owned(),
        strip_prefix: false,
        to: RouteTo::Process {
            process: process("backend"),
        },
        rules: None,
    }];
    spec.env
        .insert("BACKEND".to_owned(), "${process.backend.url}/v1".to_owned());
    let repository = world.repository("shop");
    repository.version("one", &spec);
    world.deploy(&repository).await.succeeded();
    let table = world.proxy.table();
    let shown: Vec<(&str, &str)> = table
        .routes
        .iter()
        .map(|route| (route.name.as_str(), route.prefix.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("shop/backend", "/api"),
            ("shop", "/"),
            ("shop/backend:inner", "/~shop/backend")
        ]
    );
    let env = world.get("shop", "/env").await.unwrap();
    assert!(
        env.contains("BACKEND=http://127.0.0.1:8080/~shop/backend/v1"),
        "{env}"
    );

    // What a person says of the routes is served when the call returns.
    apps::add_domain(&world.control, &name("shop"), "shop.example.org")
        .await
        .unwrap();
    let hosts = |table: RouteTable| table.routes[0].hosts.clone();
    assert!(hosts(world.proxy.table()).contains(&"shop.example.org".to_owned()));
    let page = Maintenance {
        message: "Back at nine.".to_owned(),
        allow: Vec::new(),
    };
    apps::set_maintenance(&world.control, &name("shop"), Some(page.clone()))
        .await
        .unwrap();
    assert_eq!(world.proxy.table().routes[0].rules.maintenance, Some(page));
    world.restart_control().await;
    until("maintenance outlives control", async || {
        world.proxy.table().routes[0].rules.maintenance.clone()
    })
    .await;
    apps::set_maintenance(&world.control, &name("shop"), None)
        .await
        .unwrap();
    assert!(world.proxy.table().routes[0].rules.maintenance.is_none());
}
