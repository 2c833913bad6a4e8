//! `launchway up`: starts, stops, goes on where it was, and says what is in its way.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use launchway_e2e::{Installation, launchway, processes, until};

use crate::apps;

#[test]
fn it_stops_with_all_that_it_started_and_goes_on_where_it_was() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    installation
        .run_in(repository.path(), &["config", "set", "COLOR=blue"])
        .ok("config set");
    let (proxy, api) = (installation.proxy(), installation.api());
    let app = apps::serving_pid(&installation, "shop");

    assert_eq!(installation.stop(), 0);
    assert!(!processes::lives(app), "the app stops with it");
    for role in ["control", "proxy", "shim", "runner"] {
        assert_eq!(
            processes::of_role(role, &installation.home()),
            [],
            "no {role} is left"
        );
    }

    installation.start_again();
    assert_eq!(
        (installation.proxy(), installation.api()),
        (proxy, api),
        "the addresses are those of the last start"
    );
    until("the app serves again", || {
        installation.get("shop", "/").status == 200
    });
    assert_eq!(installation.get("shop", "/").text(), "version 1");
    let config = installation
        .run(&["config", "list", "--app", "shop", "--json"])
        .ok("config")
        .json();
    assert_eq!(config["vars"]["COLOR"], "blue");
}

#[test]
fn a_killed_up_leaves_its_apps_and_the_next_takes_them_over() {
    let installation = Installation::start();
    apps::deployed(&installation, "shop");
    let app = apps::serving_pid(&installation, "shop");
    installation.kill();
    assert!(processes::lives(app), "the app goes on");
    installation.start_again();
    until("the app is reached again", || {
        installation.get("shop", "/").status == 200
    });
    assert_eq!(
        apps::serving_pid(&installation, "shop"),
        app,
        "it is the same process"
    );
    let instances = installation
        .run(&["ps", "--app", "shop", "--json"])
        .ok("ps")
        .json();
    assert_eq!(instances.as_array().unwrap().len(), 1, "{instances:#}");
}

#[test]
fn apps_can_be_kept_over_a_stop() {
    let installation = Installation::start_with(&["--keep-apps"]);
    apps::deployed(&installation, "shop");
    let app = apps::serving_pid(&installation, "shop");
    assert_eq!(installation.stop(), 0);
    assert!(processes::lives(app), "the app goes on");
    installation.start_again();
    until("the app is reached again", || {
        installation.get("shop", "/").status == 200
    });
    assert!(processes::lives(app), "and is the same");
}

#[test]
fn a_port_in_use_names_who_has_it() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(launchway())
        .args(["up", "--port", &port.to_string()])
        .env("LAUNCHWAY_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert!(
        said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
    assert!(said.contains("--port"), "{said}");
}

#[test]
fn a_second_up_for_the_same_home_is_refused() {
    let installation = Installation::start();
    let second = installation.run(&["up", "--port", "0", "--api-port", "0"]);
    second.refused(4, &["runs already", &installation.pid().to_string()]);
    assert_eq!(
        installation.run(&["status"]).code,
        0,
        "the first one goes on"
    );
}

#[test]
fn a_build_that_runs_when_it_stops_is_cancelled_with_the_reason() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    let seconds = apps::long_sleep(3);
    repository.write(
        "launchway.toml",
        &format!(
            "{}\n[[stage]]\nname = \"Long\"\nrun = \"sleep {seconds}\"\n",
            apps::DESCRIPTION
        ),
    );
    repository.commit("a build that takes its time");
    installation
        .run_in(repository.path(), &["deploy", "--no-wait"])
        .ok("deploy");
    until("the build runs its stage", || apps::sleeps(&seconds));
    assert_eq!(installation.stop(), 0);
    assert_eq!(processes::of_role("runner", &installation.home()), []);
    assert!(!apps::sleeps(&seconds), "its commands are gone");
    installation.start_again();
    let build = launchway_e2e::until_some("the build's end is known", || {
        let build = installation
            .run(&["builds", "show", "2", "--json"])
            .ok("builds show")
            .json();
        (build["state"]["state"] == "finished").then_some(build)
    });
    assert_eq!(build["state"]["result"], "aborted", "{build:#}");
    assert!(
        build.to_string().contains("Launchway was stopped"),
        "{build:#}"
    );
    until("the app serves again", || {
        installation.get("shop", "/").status == 200
    });
}
