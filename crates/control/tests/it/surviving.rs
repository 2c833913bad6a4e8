//! What dies and comes back: apps, shims, control, the whole machine, the proxy.

use std::collections::BTreeMap;

use launchway_control::{formation, progress};
use launchway_model::api::{Progress, ScaleRequest};
use launchway_model::deploy::{DeployPhase, DeployState};
use launchway_model::instance::{Instance, InstanceState, TargetAddress};
use launchway_model::route::{Backend, RouteTable, Target};
use launchway_model::{ProcessType, ReleaseNumber};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, fetch, name, newest_build, newest_deploy, release, spec, until};

async fn serving(world: &World, instances: u32) -> Vec<Instance> {
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    if instances > 1 {
        let request = ScaleRequest {
            formation: BTreeMap::from([(ProcessType::web(), instances)]),
        };
        world
            .changed(formation::scale(&world.control, &name("shop"), request).await)
            .await
            .succeeded();
    }
    world.instances("shop").await
}

/// Waits until two others than before are routed.
async fn both_again(world: &World, before: &[Instance]) {
    until("both serve again", async || {
        let targets = world.proxy.targets("shop");
        let fresh = |target: &Target| before.iter().all(|old| old.id != target.instance);
        (targets.len() == 2 && targets.iter().all(fresh)).then_some(())
    })
    .await;
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashing_instance_leaves_the_route_while_it_is_down() {
    let world = World::new().await;
    serving(&world, 2).await;
    let victim = world.proxy.targets("shop").remove(0);
    let TargetAddress::Tcp(address) = victim.address.clone() else {
        panic!()
    };
    let _ = tokio::task::spawn_blocking(move || fetch(address, "/crash"))
        .await
        .unwrap();
    until("the crash is seen", async || {
        let instances = world.instances("shop").await;
        instances
            .iter()
            .any(|instance| instance.id == victim.instance && instance.restarts > 0)
            .then_some(())
    })
    .await;
    until("it is back in the route", async || {
        (world.proxy.targets("shop").len() == 2).then_some(())
    })
    .await;
    let alone = |table: &RouteTable| match &table.routes[0].backend {
        Backend::Instances { targets } => {
            targets.len() == 1 && targets[0].instance != victim.instance
        }
        _ => false,
    };
    assert!(world.proxy.tables().last().is_some_and(|last| !alone(last)));
    assert!(
        world.proxy.tables().iter().rev().skip(1).any(alone),
        "it was out of the route in between"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_shim_dies_is_replaced() {
    let world = World::new().await;
    let before = serving(&world, 2).await;
    let victim = &before[0].id;
    kill(world.shim_pid(victim));
    until("there are two again, one of them new", async || {
        let now = world.instances("shop").await;
        let routed = world.proxy.targets("shop");
        (now.len() == 2
            && routed.len() == 2
            && routed.iter().all(|target| target.instance != *victim))
        .then_some(())
    })
    .await;
    assert!(!world.settings.home.instance(victim).exists());
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_and_starting_control_touches_nothing_that_runs() {
    let mut world = World::new().await;
    let before: Vec<_> = serving(&world, 2)
        .await
        .into_iter()
        .map(|instance| (instance.id, instance.status))
        .collect();
    let pids = world.processes("shop");
    world.end_control().await;
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    let tables = world.proxy.tables().len();
    world.open_again().await;
    let after = until("the instances are adopted", async || {
        let now = world.instances("shop").await;
        (now.len() == 2).then_some(now)
    })
    .await;
    let after: Vec<_> = after
        .into_iter()
        .map(|instance| (instance.id, instance.status))
        .collect();
    assert_eq!(after, before);
    assert_eq!(world.processes("shop"), pids);
    until("the routes are sent again", async || {
        (world.proxy.tables().len() > tables).then_some(())
    })
    .await;
    for table in &world.proxy.tables()[tables..] {
        assert_eq!(
            table.routes,
            world.proxy.tables()[tables - 1].routes,
            "no instance left the route"
        );
    }
    // And it goes on as if nothing had been.
    let repository = world.repository("shop");
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reboot_every_app_serves_again() {
    let mut world = World::new().await;
    let before = serving(&world, 2).await;
    world.end_control().await;
    for instance in &before {
        kill(world.shim_pid(&instance.id));
    }
    until("nothing runs", async || {
        world.processes("shop").is_empty().then_some(())
    })
    .await;
    world.open_again().await;
    both_again(&world, &before).await;
    let answer = world.get("shop", "/").await;
    assert_eq!(answer.as_deref(), Ok("one"), "{}", world.log_files("shop"));
    for instance in &before {
        assert!(
            !world.settings.home.instance(&instance.id).exists(),
            "{} is left over",
            instance.id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_goes_on_where_control_ended() {
    let mut world = World::new().await;
    serving(&world, 1).await;
    let repository = world.repository("shop");
    // It runs for a while; a second run would be seen in the file.
    let line = "echo begun >> $HOME/runs; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo ended >> $HOME/runs";
    repository.version("two", &release(spec("serve"), line));
    let accepted = world.request(&repository).await.unwrap();
    let home = world.settings.home.app_home(&name("shop"));
    until("the release command runs", async || {
        home.join("runs").exists().then_some(())
    })
    .await;
    world.restart_control().await;
    until("the deploy goes on", async || {
        let state = newest_deploy(&world, "shop").await.state;
        let waits = DeployState::Running {
            phase: DeployPhase::Release,
        };
        (state == waits).then_some(())
    })
    .await;
    std::fs::write(home.join("go"), "").unwrap();
    let outcome = world.outcome(accepted.build).await;
    outcome.succeeded();
    assert_eq!(outcome.serving, Some(ReleaseNumber(2)));
    assert_eq!(
        std::fs::read_to_string(home.join("runs")).unwrap(),
        "begun\nended\n",
        "it ran once"
    );
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_of_a_deploy_that_control_left_are_removed() {
    let mut world = World::new().await;
    let before = serving(&world, 1).await;
    let repository = world.repository("shop");
    let mut slow = spec("silent");
    slow.health.start_ms = 8000;
    repository.version("two", &slow);
    let accepted = world.request(&repository).await.unwrap();
    until("the candidate is there", async || {
        (world.instances("shop").await.len() == 2).then_some(())
    })
    .await;
    until("it is awaited", async || {
        (newest_deploy(&world, "shop").await.state
            == DeployState::Running {
                phase: DeployPhase::Ready,
            })
        .then_some(())
    })
    .await;
    world.restart_control().await;
    world.outcome(accepted.build).await.refused();
    let left = until("only what serves is left", async || {
        let now = world.instances("shop").await;
        (now.len() == 1).then_some(now)
    })
    .await;
    assert_eq!(left[0].id, before[0].id);
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_goes_on_without_control() {
    let mut world = World::new().await;
    let repository = world.repository("shop");
    repository.write(
        "build.sh",
        "echo first; while [ ! -e $LAUNCHWAY_BUILD_FOLDER/go ]; do sleep 0.02; done; echo second",
    );
    repository.version("one", &spec("serve"));
    let accepted = world.request(&repository).await.unwrap();
    let folder = world.settings.home.build(accepted.build);
    until("the build runs", async || {
        let log = std::fs::read_to_string(folder.join("log/0.log")).unwrap_or_default();
        log.contains("first").then_some(())
    })
    .await;
    world.end_control().await;
    std::fs::write(folder.join("go"), "").unwrap();
    until("the runner has ended", async || {
        std::fs::read_to_string(folder.join("events.jsonl"))
            .unwrap()
            .contains("finished\",\"result")
            .then_some(())
    })
    .await;
    world.open_again().await;
    let outcome = world.outcome(accepted.build).await;
    outcome.succeeded();
    let lines: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            Progress::Log { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(lines, ["first", "second"]);
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    assert_eq!(newest_build(&world, "shop").await.stages.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_was_restarted_gets_the_newest_routes() {
    let mut world = World::new().await;
    serving(&world, 1).await;
    let before = world.proxy.table();
    world.proxy.kill();
    // What changes while it is away is in the next table.
    let added =
        launchway_control::apps::add_domain(&world.control, &name("shop"), "Shop.Example.org")
            .await;
    // It is stored, and said that nobody serves it yet.
    assert_eq!(
        added.unwrap_err().kind,
        launchway_model::ProblemKind::Unavailable
    );
    world.proxy.listen();
    let table = until("the routes are sent again", async || {
        let table = world.proxy.table();
        (table.number > before.number).then_some(table)
    })
    .await;
    assert_eq!(
        table.routes[0].hosts,
        ["shop.localhost", "shop.example.org"]
    );
    assert_eq!(table.routes[0].backend, before.routes[0].backend);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_can_take_everything_down_with_it() {
    let mut world = World::with(|settings| settings.stop_instances_on_shutdown = true).await;
    let before = serving(&world, 2).await;
    let routes = world.proxy.table();
    world.end_control().await;
    assert!(world.processes("shop").is_empty());
    assert_eq!(
        world.proxy.table(),
        routes,
        "the routes are left as they are"
    );
    world.open_again().await;
    both_again(&world, &before).await;
    let status = world.instances("shop").await.remove(0).status;
    assert!(
        matches!(status, InstanceState::Running { .. }),
        "{status:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_a_word_when_control_ends() {
    let mut world = World::new().await;
    let repository = world.repository("shop");
    repository.version("stuck", &spec("silent"));
    let accepted = world.request(&repository).await.unwrap();
    let mut stream = progress::of_build(&world.control, accepted.build)
        .await
        .unwrap();
    until("the deploy waits for its app", async || {
        (!world.instances_or_none("shop").await.is_empty()).then_some(())
    })
    .await;
    world.end_control().await;
    let mut last = None;
    while let Some(event) = stream.recv().await {
        last = Some(event);
    }
    match last {
        Some(Progress::Finished {
            problem: Some(problem),
            ..
        }) => assert!(problem.message.contains("ending"), "{problem}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_hangs_leaves_the_route_until_it_answers_again() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let mut app = spec("serve");
    app.health.timeout_ms = 300;
    app.processes
        .get_mut(&ProcessType::web())
        .unwrap()
        .instances = 2;
    repository.version("one", &app);
    world.deploy(&repository).await.succeeded();
    let victim = world.proxy.targets("shop").remove(0).instance;
    let status = world
        .instances("shop")
        .await
        .into_iter()
        .find(|instance| instance.id == victim)
        .unwrap()
        .status;
    let InstanceState::Running { pid, .. } = status else {
        panic!("{status:?}")
    };
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    until("it is out of the route", async || {
        let targets = world.proxy.targets("shop");
        (targets.len() == 1 && targets[0].instance != victim).then_some(())
    })
    .await;
    kill_process(pid, Signal::CONT).unwrap();
    until("it is back", async || {
        (world.proxy.targets("shop").len() == 2).then_some(())
    })
    .await;
    assert_eq!(
        world
            .instances("shop")
            .await
            .iter()
            .map(|instance| instance.restarts)
            .sum::<u64>(),
        0
    );
}
