//! Releases that must not come into service: each is refused with the reason, and what serves goes on.

use launchway_control::{config, releases};
use launchway_model::app::AppSpec;
use launchway_model::deploy::{DeployPhase, DeployState, ReleaseState};
use launchway_model::{Problem, ProcessType, ReleaseNumber};

use crate::world::{
    PATIENCE, Repository, World, command, name, newest_deploy, release, roles, spec, until,
};

struct Refused {
    problem: Problem,
    phase: DeployPhase,
}

async fn serving(world: &World) -> Repository {
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    repository
}

/// Deploys a bad version over a good one, and checks that nothing of the good one was touched.
async fn refuse(world: &World, bad: &AppSpec) -> Refused {
    let repository = serving(world).await;
    let before = world.proxy.targets("shop");
    let tables = world.proxy.tables().len();
    repository.version("bad", bad);
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused().clone();
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert_eq!(world.proxy.targets("shop"), before);
    assert_eq!(
        world.proxy.tables().len(),
        tables,
        "the routes were not touched"
    );
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    let state = releases::get(&world.control, &name("shop"), ReleaseNumber(2))
        .await
        .unwrap()
        .state;
    assert!(matches!(state, ReleaseState::Refused { .. }), "{state:?}");
    until("nothing of the bad version is left", async || {
        (world.instances("shop").await.len() == 1).then_some(())
    })
    .await;
    let DeployState::Failed { phase, .. } = newest_deploy(world, "shop").await.state else {
        panic!()
    };
    // The next good version goes through.
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    Refused { problem, phase }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_ends_before_it_listens() {
    let world = World::new().await;
    let Refused { problem, phase } = refuse(&world, &spec("exits")).await;
    assert_eq!(phase, DeployPhase::Ready);
    assert!(
        problem
            .message
            .starts_with("the web process ended with exit code 7 before it was ready on port"),
        "{problem}"
    );
    assert!(
        problem
            .output
            .contains(&"ModuleNotFoundError: No module named 'flask'".to_owned()),
        "{problem:?}"
    );
    assert!(problem.hint.unwrap().contains("A module is missing"));
    assert!(
        problem
            .causes
            .iter()
            .any(|cause| cause.contains("app exits")),
        "{:?}",
        problem.causes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_not_there() {
    let world = World::new().await;
    let Refused { problem, .. } = refuse(&world, &command("gunicrn app:app")).await;
    assert!(problem.message.contains("exit code 127"), "{problem}");
    assert!(problem.hint.unwrap().contains("not found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_never_binds() {
    let world = World::new().await;
    let mut bad = spec("silent");
    bad.health.start_ms = 1500;
    let Refused { problem, phase } = refuse(&world, &bad).await;
    assert_eq!(phase, DeployPhase::Ready);
    assert!(
        problem.message.contains("did not listen on $PORT"),
        "{problem}"
    );
    assert_eq!(problem.output, ["mode silent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_binds_the_wrong_port() {
    let world = World::new().await;
    let mut bad = spec("wrong-port");
    bad.health.start_ms = 1500;
    let Refused { problem, .. } = refuse(&world, &bad).await;
    assert!(
        problem.message.starts_with("the app listens on port "),
        "{problem}"
    );
    assert!(problem.message.contains("not on $PORT"), "{problem}");
    assert!(problem.hint.unwrap().contains("PORT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_answers_500() {
    let world = World::new().await;
    let mut bad = spec("500");
    bad.health.start_ms = 1500;
    let Refused { problem, .. } = refuse(&world, &bad).await;
    assert!(
        problem.message.contains("answered GET / with 500"),
        "{problem}"
    );
    assert!(
        problem
            .output
            .contains(&"Traceback: it is broken".to_owned()),
        "{problem:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_lacks_the_expected_text() {
    let world = World::new().await;
    let mut bad = spec("serve");
    bad.health.body = Some("welcome".to_owned());
    bad.health.start_ms = 1000;
    let Refused { problem, .. } = refuse(&world, &bad).await;
    assert_eq!(
        problem.message,
        "the answer to GET / lacks the text `welcome`"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_goes_to_the_background() {
    let world = World::new().await;
    let bad = command(&format!("{} app serve & exit 0", roles().display()));
    let Refused { problem, .. } = refuse(&world, &bad).await;
    assert!(
        problem.message.contains("ended with exit code 0"),
        "{problem}"
    );
    assert!(problem.hint.unwrap().contains("foreground"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_crashes_after_its_first_healthy_answer() {
    let world = World::new().await;
    let mut bad = spec("crash-after-healthy");
    bad.processes
        .get_mut(&ProcessType::web())
        .unwrap()
        .instances = 2;
    let Refused { problem, .. } = refuse(&world, &bad).await;
    assert!(problem.message.contains("exit code 3"), "{problem}");
    assert!(
        problem
            .output
            .contains(&"crash after the first answer".to_owned()),
        "{problem:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_command_that_fails() {
    let world = World::new().await;
    let bad = release(spec("serve"), "echo 'no such table: users' >&2; exit 5");
    let Refused { problem, phase } = refuse(&world, &bad).await;
    assert_eq!(phase, DeployPhase::Release);
    assert_eq!(
        problem.message,
        "the release command ended with exit code 5"
    );
    assert_eq!(problem.output, ["no such table: users"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_command_that_hangs() {
    let world = World::new().await;
    let mut bad = release(spec("serve"), "echo waiting for a lock; sleep 600");
    bad.release.as_mut().unwrap().timeout_ms = 1000;
    let Refused { problem, phase } = refuse(&world, &bad).await;
    assert_eq!(phase, DeployPhase::Release);
    assert_eq!(
        problem.message,
        "the release command did not end within 1 s and was stopped"
    );
    assert_eq!(problem.output, ["waiting for a lock"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_is_missing() {
    let world = World::new().await;
    let mut bad = spec("serve");
    bad.required_env
        .insert("SECRET_KEY".to_owned(), "signs the sessions".to_owned());
    let Refused { problem, phase } = refuse(&world, &bad).await;
    assert_eq!(phase, DeployPhase::Validate);
    assert_eq!(problem.message, "the variable `SECRET_KEY` is not set");
    assert_eq!(problem.causes, ["SECRET_KEY: signs the sessions"]);
    assert_eq!(
        problem.hint.unwrap(),
        "Set it: `launchway config set SECRET_KEY=VALUE --app shop`, then deploy again."
    );
    assert_eq!(
        config::get(&world.control, &name("shop"))
            .await
            .unwrap()
            .version,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_the_proxy_refuses_and_a_proxy_that_is_not_there() {
    let mut world =
        World::with(|settings| settings.proxy_timeout = std::time::Duration::from_secs(2)).await;
    let repository = serving(&world).await;
    let before = world.proxy.table();
    world.proxy.refuse(true);
    repository.version("two", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    assert_eq!(
        outcome.refused().message,
        "the proxy refused the new routes"
    );
    world.proxy.refuse(false);
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    world.proxy.kill();
    repository.version("three", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    assert!(
        outcome
            .refused()
            .message
            .starts_with("the proxy did not take the new routes"),
        "{:?}",
        outcome.problem
    );
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    let DeployState::Failed { phase, .. } = newest_deploy(&world, "shop").await.state else {
        panic!()
    };
    assert_eq!(phase, DeployPhase::Switch);
    // A proxy that comes back gets the routes that are in force.
    world.proxy.listen();
    let routes = until("the routes are sent again", async || {
        let table = world.proxy.table();
        (table.number > before.number).then_some(table.routes)
    })
    .await;
    assert_eq!(routes, before.routes);
    repository.version("four", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "four");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_ignores_term_is_killed_after_its_grace_time() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.version(
        "one",
        &command(&format!(
            "trap '' TERM; exec {} app serve",
            roles().display()
        )),
    );
    world.deploy(&repository).await.succeeded();
    let old = world.processes("shop");
    assert!(!old.is_empty());
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    until("the stubborn process is gone", async || {
        let left = world.processes("shop");
        old.iter().all(|pid| !left.contains(pid)).then_some(())
    })
    .await;
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_somebody_else_uses_is_passed_over() {
    let world = World::with(|settings| {
        // Two ports, one of them in use.
        let (first, _) = settings.ports;
        settings.ports = (first + 300, first + 301);
    })
    .await;
    let (first, last) = world.settings.ports;
    let _listener = std::net::TcpListener::bind(("127.0.0.1", first)).unwrap();
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let address = world.proxy.targets("shop").remove(0).address;
    assert_eq!(address.to_string(), format!("127.0.0.1:{last}"));
    repository.version("two", &spec("serve"));
    let outcome = tokio::time::timeout(PATIENCE, world.deploy(&repository))
        .await
        .unwrap();
    assert!(
        outcome
            .refused()
            .message
            .contains("is free for another instance"),
        "{:?}",
        outcome.problem
    );
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_somebody_else_on_the_port_counts_for_nothing() {
    let world = World::with(|settings| {
        let (first, _) = settings.ports;
        settings.ports = (first + 350, first + 350);
    })
    .await;
    let repository = world.repository("shop");
    let mut app = spec("silent");
    app.health.path = None;
    app.health.start_ms = 3000;
    repository.version("one", &app);
    let accepted = world.request(&repository).await.unwrap();
    until("the candidate is there", async || {
        (!world.instances_or_none("shop").await.is_empty()).then_some(())
    })
    .await;
    let _other = until("the port is ours", async || {
        std::net::TcpListener::bind(("127.0.0.1", world.settings.ports.0)).ok()
    })
    .await;
    let outcome = world.outcome(accepted.build).await;
    let message = &outcome.refused().message;
    assert!(
        message.starts_with("something else listens on $PORT"),
        "{message}"
    );
}
