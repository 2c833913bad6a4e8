//! Everything beside deploying: tokens and logins, domains, logs, one-off commands, status, deleting.

use std::time::Duration;

use launchway_control::logs::LogQuery;
use launchway_control::{Control, apps, auth, config, logs, oneoff, status};
use launchway_model::ProblemKind;
use launchway_model::api::{ClientFile, ConfigChange, RunOutput, RunRequest};
use launchway_model::runner::LogSource;

use crate::world::{PATIENCE, World, name, spec, until};

async fn serving(world: &World) {
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_logins_and_sessions() {
    let mut world = World::new().await;
    let client: ClientFile =
        serde_json::from_slice(&std::fs::read(world.settings.home.client_file()).unwrap()).unwrap();
    assert_eq!(
        (client.url.as_str(), client.token.as_str()),
        ("http://127.0.0.1:1", world.control.local_token())
    );
    assert!(
        auth::verify_token(&world.control, &client.token)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        auth::verify_token(&world.control, "lwt_wrong")
            .await
            .unwrap()
            .is_none()
    );
    let made = auth::create_token(&world.control, "ci").await.unwrap();
    assert_eq!(
        auth::verify_token(&world.control, &made.token)
            .await
            .unwrap(),
        Some(auth::TokenId(made.id))
    );
    let link = auth::create_login_link(&world.control).await.unwrap().url;
    let code = link.strip_prefix("http://127.0.0.1:1/login?code=").unwrap();
    let session = auth::redeem(&world.control, code).await.unwrap();
    let problem = auth::redeem(&world.control, code).await.unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unauthenticated);
    world.restart_control().await;
    assert_eq!(
        world.control.local_token(),
        client.token,
        "a token that is in use stays"
    );
    assert!(
        auth::verify_token(&world.control, &made.token)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        auth::verify_session(&world.control, &session.secret)
            .await
            .unwrap()
    );
    assert!(!auth::verify_session(&world.control, "wrong").await.unwrap());
    auth::end_session(&world.control, &session.secret)
        .await
        .unwrap();
    assert!(
        !auth::verify_session(&world.control, &session.secret)
            .await
            .unwrap()
    );
    auth::revoke_token(&world.control, made.id).await.unwrap();
    assert!(
        auth::verify_token(&world.control, &made.token)
            .await
            .unwrap()
            .is_none()
    );
    let names: Vec<_> = auth::tokens(&world.control)
        .await
        .unwrap()
        .into_iter()
        .map(|token| token.name)
        .collect();
    assert_eq!(names, ["local"]);
    let database = std::fs::read(world.settings.home.database()).unwrap();
    let secret = client.token.as_bytes();
    assert!(
        !database
            .windows(secret.len())
            .any(|window| window == secret),
        "only hashes are stored"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_control_a_home() {
    let world = World::new().await;
    let Err(problem) = Control::open(world.settings.clone()).await else {
        panic!("two controls")
    };
    assert_eq!(problem.kind, ProblemKind::Conflict);
    assert!(
        problem.message.starts_with("another Launchway runs in"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domains_are_routed_at_once_and_belong_to_one_app() {
    let world = World::new().await;
    serving(&world).await;
    apps::create(&world.control, name("cart")).await.unwrap();
    apps::add_domain(&world.control, &name("shop"), "Shop.Example.org.")
        .await
        .unwrap();
    apps::add_domain(&world.control, &name("shop"), "*.example.net")
        .await
        .unwrap();
    until("both are routed", async || {
        (world.proxy.table().routes[0].hosts
            == ["shop.localhost", "*.example.net", "shop.example.org"])
        .then_some(())
    })
    .await;
    let problem = apps::add_domain(&world.control, &name("cart"), "shop.example.org")
        .await
        .unwrap_err();
    assert_eq!(
        problem.message,
        "the domain `shop.example.org` belongs to the app `shop`"
    );
    let problem = apps::add_domain(&world.control, &name("cart"), "shop.localhost")
        .await
        .unwrap_err();
    assert_eq!(
        problem.message,
        "`shop.localhost` is the address of the app `shop`"
    );
    for odd in [
        "http://a.org",
        "a.org:80",
        "a..org",
        "-a.org",
        "",
        "*",
        "a*.org",
    ] {
        assert_eq!(
            apps::add_domain(&world.control, &name("cart"), odd)
                .await
                .unwrap_err()
                .kind,
            ProblemKind::Invalid,
            "{odd}"
        );
    }
    let app = apps::get(&world.control, &name("shop")).await.unwrap();
    assert_eq!(
        app.urls,
        [
            "http://shop.example.org:8080/",
            "http://shop.localhost:8080/"
        ]
    );
    apps::remove_domain(&world.control, &name("shop"), "*.example.net")
        .await
        .unwrap();
    until("it is gone", async || {
        (world.proxy.table().routes[0].hosts.len() == 2).then_some(())
    })
    .await;
    assert!(
        apps::remove_domain(&world.control, &name("shop"), "*.example.net")
            .await
            .is_err()
    );
    assert_eq!(
        apps::domains(&world.control, &name("shop"))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_checked() {
    let world = World::new().await;
    apps::create(&world.control, name("shop")).await.unwrap();
    let set = async |name: &str, value: &str| {
        let change = ConfigChange {
            set: [(name.to_owned(), value.to_owned())].into(),
            unset: Vec::new(),
        };
        config::change(&world.control, &crate::world::name("shop"), change).await
    };
    for (odd, value) in [
        ("1A", "x"),
        ("A-B", "x"),
        ("", "x"),
        ("PORT", "80"),
        ("A", "x\0y"),
    ] {
        assert_eq!(
            set(odd, value).await.unwrap_err().kind,
            ProblemKind::Invalid,
            "{odd}"
        );
    }
    set("A", "1").await.unwrap();
    set("B", "2").await.unwrap();
    let unset = ConfigChange {
        set: Default::default(),
        unset: vec!["A".to_owned()],
    };
    let (now, _) = config::change(&world.control, &name("shop"), unset)
        .await
        .unwrap();
    assert_eq!(now.version, 3);
    assert_eq!(now.vars, [("B".to_owned(), "2".to_owned())].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_off_commands_run_in_the_serving_release() {
    let world = World::new().await;
    let command = |words: &[&str]| RunRequest {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        detach: false,
        terminal: None,
    };
    apps::create(&world.control, name("shop")).await.unwrap();
    let problem = oneoff::run(&world.control, &name("shop"), command(&["true"]))
        .await
        .unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Conflict);
    serving(&world).await;
    let run = async |words: &[&str]| {
        let mut output = oneoff::run(&world.control, &name("shop"), command(words))
            .await
            .unwrap();
        let mut all = Vec::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, output.recv()).await.unwrap() {
            all.push(line);
        }
        all
    };
    let line = |source, text: &str| RunOutput::Line {
        source,
        text: text.to_owned(),
    };
    assert_eq!(
        run(&["cat", "version"]).await,
        [line(LogSource::Out, "one"), RunOutput::Exited { code: 0 }]
    );
    assert_eq!(
        run(&["echo", "$HOME; it's"]).await,
        [
            line(LogSource::Out, "$HOME; it's"),
            RunOutput::Exited { code: 0 }
        ]
    );
    assert_eq!(
        run(&["echo $LAUNCHWAY_PROCESS >&2; exit 9"]).await,
        [line(LogSource::Err, "run"), RunOutput::Exited { code: 9 }]
    );
    assert_eq!(
        run(&["kill -9 $$"]).await,
        [RunOutput::Exited { code: 137 }]
    );
    // Who does not wait for the end stops it.
    let output = oneoff::run(&world.control, &name("shop"), command(&["sleep 600"]))
        .await
        .unwrap();
    until("it runs beside the app", async || {
        (world.processes("shop").len() > 1).then_some(())
    })
    .await;
    drop(output);
    until("it is stopped", async || {
        (world.processes("shop").len() == 1).then_some(())
    })
    .await;
    assert!(
        oneoff::run(&world.control, &name("shop"), command(&[]))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_read_and_followed() {
    let world = World::new().await;
    serving(&world).await;
    let query = LogQuery {
        lines: 10,
        follow: true,
        ..LogQuery::default()
    };
    let mut lines = logs::read(&world.control, &name("shop"), query)
        .await
        .unwrap();
    let mut next = async || {
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.recv())
                .await
                .unwrap()
                .unwrap();
            if line.source != LogSource::Launchway {
                return line.text;
            }
        }
    };
    assert_eq!(next().await, "mode serve");
    let _ = world.get("shop", "/crash").await;
    assert_eq!(next().await, "told to crash");
    assert_eq!(next().await, "mode serve", "the restarted app");
    let query = LogQuery {
        process: Some("worker".parse().unwrap()),
        lines: 10,
        ..LogQuery::default()
    };
    let mut none = logs::read(&world.control, &name("shop"), query)
        .await
        .unwrap();
    assert!(none.recv().await.is_none());
    assert!(
        logs::read(&world.control, &name("ghost"), LogQuery::default())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_metrics() {
    let world = World::new().await;
    serving(&world).await;
    let now = status::get(&world.control).await.unwrap();
    assert_eq!(
        (now.apps, now.active_builds, now.pid),
        (1, 0, std::process::id())
    );
    assert_eq!(now.proxy, ["127.0.0.1:8080"]);
    until("memory is sampled", async || {
        world.instances("shop").await[0]
            .memory_bytes
            .filter(|bytes| *bytes > 0)
    })
    .await;
    let text = status::metrics(&world.control).await.unwrap();
    for wanted in [
        "launchway_builds_total{app=\"shop\",result=\"success\"} 1",
        "launchway_deploys_total{app=\"shop\",result=\"succeeded\"} 1",
        "launchway_deploy_duration_seconds_count{app=\"shop\"} 1",
        "launchway_apps 1",
        "launchway_instance_ready{app=\"shop\",process=\"web\",instance=\"shop.web.v1.1\"} 1",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_app_leaves_nothing() {
    let world = World::new().await;
    serving(&world).await;
    let build = crate::world::newest_build(&world, "shop").await.id;
    apps::delete(&world.control, &name("shop")).await.unwrap();
    assert!(world.proxy.table().routes.is_empty() || world.proxy.backend("shop").is_none());
    assert!(world.processes("shop").is_empty());
    let home = &world.settings.home;
    for folder in [
        home.repository(&name("shop")),
        home.trees(&name("shop")),
        home.app(&name("shop")),
        home.build(build),
    ] {
        assert!(!folder.exists(), "{}", folder.display());
    }
    assert_eq!(
        apps::get(&world.control, &name("shop"))
            .await
            .unwrap_err()
            .kind,
        ProblemKind::NotFound
    );
    assert_eq!(
        apps::delete(&world.control, &name("shop"))
            .await
            .unwrap_err()
            .kind,
        ProblemKind::NotFound
    );
    // The name is free again.
    tokio::time::timeout(Duration::from_secs(60), serving(&world))
        .await
        .unwrap();
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_hold_secrets_are_ours_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let home = &world.settings.home;
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in [home.database(), home.secrets_key(), home.client_file()] {
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }
    for folder in ["repos", "builds", "instances", "proxy", "logs"] {
        assert_eq!(mode(home.root().join(folder)), 0o700, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_builds_are_swept_and_what_a_rollback_needs_stays() {
    let world = World::with(|settings| {
        settings.keep_builds = 1;
        settings.keep_releases = 1;
    })
    .await;
    let repository = world.repository("shop");
    for version in ["one", "two", "three", "four"] {
        repository.version(version, &spec("serve"));
        world.deploy(&repository).await.succeeded();
    }
    launchway_control::builds::sweep(&world.control)
        .await
        .unwrap();
    let home = &world.settings.home;
    let builds = launchway_control::builds::list(&world.control, Some(&name("shop")), 9)
        .await
        .unwrap();
    let there: Vec<(bool, bool)> = builds
        .iter()
        .map(|build| {
            (
                home.build(build.id).exists(),
                home.tree(&name("shop"), build.id).exists(),
            )
        })
        .collect();
    assert_eq!(
        there,
        [(true, true), (true, true), (false, false), (false, false)]
    );
    let rollback = launchway_model::api::RollbackRequest {
        release: Some(launchway_model::ReleaseNumber(1)),
    };
    let problem = launchway_control::deploys::rollback(&world.control, &name("shop"), rollback)
        .await
        .unwrap_err();
    assert_eq!(problem.message, "the files of v1 are not kept any more");
    let rollback = launchway_model::api::RollbackRequest { release: None };
    let back = launchway_control::deploys::rollback(&world.control, &name("shop"), rollback).await;
    world.changed(back).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "three");
}
