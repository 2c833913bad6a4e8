//! Builds that fail, hang, die, wait and are cancelled.

use launchway_control::builds;
use launchway_model::build::{BuildResult, BuildState, StageId, StageState};
use launchway_model::{BuildId, Problem};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, name, newest_build, spec, until};

async fn ended(world: &World, id: BuildId) -> (BuildResult, Option<Problem>) {
    match builds::get(&world.control, id).await.unwrap().state {
        BuildState::Finished {
            result, problem, ..
        } => (result, problem),
        other => panic!("{other:?}"),
    }
}

/// Starts a build that runs until its folder has a file `go`, and waits until it runs.
async fn hanging(world: &World, app: &str) -> BuildId {
    let repository = world.repository(app);
    repository.write(
        "build.sh",
        "echo begun; while [ ! -e $LAUNCHWAY_BUILD_FOLDER/go ]; do sleep 0.02; done",
    );
    repository.version("one", &spec("serve"));
    let accepted = world.request(&repository).await.unwrap();
    let log = world.settings.home.build(accepted.build).join("log/0.log");
    until("the build runs", async || {
        std::fs::read_to_string(&log)
            .is_ok_and(|text| !text.is_empty())
            .then_some(())
    })
    .await;
    accepted.build
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_build_makes_no_release() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.write("build.sh", "echo compiling; exit 2");
    repository.version("one", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    assert!(
        outcome.refused().message.contains("stage `build` failed"),
        "{:?}",
        outcome.problem
    );
    assert_eq!(outcome.serving, None);
    let build = newest_build(&world, "shop").await;
    assert!(matches!(
        build.stages[0].status,
        StageState::Finished {
            result: BuildResult::Failure,
            ..
        }
    ));
    assert!(
        launchway_control::releases::list(&world.control, &name("shop"), 5)
            .await
            .unwrap()
            .is_empty()
    );
    let log = builds::stage_log(&world.control, build.id, StageId(0))
        .await
        .unwrap();
    assert!(std::fs::read_to_string(log).unwrap().contains("compiling"));
    assert!(
        builds::stage_log(&world.control, build.id, StageId(7))
            .await
            .is_err()
    );
    assert!(
        builds::tests(&world.control, build.id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_says_nothing() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.write("README", "nothing");
    repository.commit("start");
    let outcome = world.deploy(&repository).await;
    assert_eq!(
        outcome.refused().message,
        "nothing in this repository says what to run"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_can_be_cancelled() {
    let world = World::new().await;
    let id = hanging(&world, "shop").await;
    builds::cancel(&world.control, id).await.unwrap();
    let outcome = world.outcome(id).await;
    assert_eq!(outcome.refused().message, "the build was cancelled");
    assert_eq!(ended(&world, id).await.0, BuildResult::Aborted);
    let problem = builds::cancel(&world.control, id).await.unwrap_err();
    assert!(problem.message.contains("has ended already"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_fails_its_build() {
    let world = World::new().await;
    let id = hanging(&world, "shop").await;
    let folder = world.settings.home.build(id);
    let first = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let started: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let outcome = world.outcome(id).await;
    let problem = outcome.refused();
    assert_eq!(
        problem.message,
        "the build's runner died before the build ended"
    );
    assert!(problem.causes[0].contains("signal"), "{problem:?}");
    let build = builds::get(&world.control, id).await.unwrap();
    assert!(matches!(
        build.stages[0].status,
        StageState::Finished {
            result: BuildResult::Aborted,
            ..
        }
    ));
    // What it left running ends by itself here; the real runner's children are ended with it.
    std::fs::write(folder.join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_while_control_is_away_fails_its_build() {
    let mut world = World::new().await;
    let id = hanging(&world, "shop").await;
    let folder = world.settings.home.build(id);
    let first = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let started: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
    world.end_control().await;
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    world.open_again().await;
    let outcome = world.outcome(id).await;
    assert_eq!(
        outcome.refused().causes[0],
        "it was gone when control came back"
    );
    std::fs::write(folder.join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_cannot_be_started_fails_its_build() {
    let world = World::with(|settings| settings.binary = "/nowhere/launchway".into()).await;
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    assert_eq!(
        outcome.refused().message,
        "the runner `/nowhere/launchway` cannot be started"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_wait_for_their_turn_and_the_newest_wins() {
    let world = World::with(|settings| settings.builds = 1).await;
    let running = hanging(&world, "shop").await;
    let repository = world.repository("shop");
    repository.version("two", &spec("serve"));
    let second = world.request(&repository).await.unwrap().build;
    repository.version("three", &spec("serve"));
    let third = world.request(&repository).await.unwrap().build;
    let other = world.repository("cart");
    other.version("one", &spec("serve"));
    let cart = world.request(&other).await.unwrap().build;
    let reason = async |id| {
        until("it says why it waits", async || {
            match builds::get(&world.control, id).await.unwrap().state {
                BuildState::Queued { reason } if reason != "a runner is started" => Some(reason),
                _ => None,
            }
        })
        .await
    };
    assert_eq!(
        reason(third).await,
        format!("build #{running} of shop on main runs")
    );
    assert_eq!(reason(cart).await, "another build runs");
    assert_eq!(ended(&world, second).await.0, BuildResult::NotBuilt);
    builds::cancel(&world.control, cart).await.unwrap();
    assert_eq!(ended(&world, cart).await.0, BuildResult::Aborted);
    std::fs::write(world.settings.home.build(running).join("go"), "").unwrap();
    world.outcome(running).await;
    std::fs::create_dir_all(world.settings.home.build(third)).unwrap();
    std::fs::write(world.settings.home.build(third).join("go"), "").unwrap();
    world.outcome(third).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "three");
}
