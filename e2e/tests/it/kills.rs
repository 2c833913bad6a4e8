//! Killing the processes under load: what each may lose, and what none may.

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, processes, until};

use crate::apps;

#[test]
fn control_is_killed_under_load_and_not_one_request_fails() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    let load = Load::start(installation.proxy(), &host("shop"), "/", 4, |answer| {
        answer.text().starts_with("version")
    });
    load.await_more(100);
    for _ in 0..2 {
        let control = installation.role("control");
        processes::kill(control);
        until("another control runs", || {
            installation.role("control") != control
        });
        load.await_more(50);
        until("it answers", || installation.run(&["status"]).code == 0);
    }
    // What was acknowledged is still there, and work goes on.
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("after the kill");
    installation.deploy(&repository);
    load.await_more(50);
    load.end()
        .assert_flawless("two killed controls and a deploy");
    assert_eq!(installation.get("shop", "/").text(), "version 2");
    let instances = installation
        .run(&["ps", "--app", "shop", "--json"])
        .ok("ps")
        .json();
    assert_eq!(
        instances.as_array().unwrap().len(),
        1,
        "no instance was started twice: {instances:#}"
    );
    assert_eq!(instances[0]["restarts"], 0, "{instances:#}");
}

#[test]
fn a_build_goes_on_while_control_is_killed() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    repository.replace("app.py", "version 1", "version 2");
    repository.write(
        "launchway.toml",
        &format!("{}\n[[stage]]\nname = \"Long\"\nrun = \"for i in 1 2 3 4 5 6; do echo step $i; sleep 0.5; done\"\n", apps::DESCRIPTION),
    );
    repository.commit("a longer build");
    let deploy = installation
        .command(repository.path(), &["deploy", "--verbose"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the build runs", || {
        !processes::of_role("runner", &installation.home()).is_empty()
    });
    let runner = processes::of_role("runner", &installation.home())[0].pid;
    processes::kill(installation.role("control"));
    assert!(processes::lives(runner), "a runner survives control");
    let output = deploy.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "the same command sees the build through:\n{said}"
    );
    for step in 1..=6 {
        assert_eq!(
            said.matches(&format!("step {step}")).count(),
            1,
            "no line is lost or doubled:\n{said}"
        );
    }
    assert_eq!(installation.get("shop", "/").text(), "version 2");
}

#[test]
fn the_proxy_is_killed_and_its_successor_serves_from_the_snapshot_without_control() {
    let installation = Installation::start();
    apps::deployed(&installation, "shop");
    // Control stays stopped (not dead: `up` would start another), so that nobody can tell the new proxy its routes.
    let control = installation.role("control");
    stop_and_go(control, rustix::process::Signal::STOP);
    let clients = 4;
    let load = Load::start(
        installation.proxy(),
        &host("shop"),
        "/",
        clients,
        |answer| answer.text() == "version 1",
    );
    load.await_more(100);
    let proxy = installation.role("proxy");
    processes::kill(proxy);
    until("another proxy runs", || installation.role("proxy") != proxy);
    load.await_more(100);
    let report = load.end();
    stop_and_go(control, rustix::process::Signal::CONT);
    // A killed process takes its connections with it: one request of each client at most. None is refused.
    assert!(report.failed <= clients as u64, "{report:#?}");
    assert!(
        !report
            .failures
            .iter()
            .any(|failure| failure.contains("refused")),
        "{report:#?}"
    );
    until("control finds the new proxy", || {
        installation.run(&["status", "--json"]).ok("status").json()["proxy"]
            .as_array()
            .is_some_and(|listen| !listen.is_empty())
    });
}

#[test]
fn a_killed_shim_takes_its_app_along_and_both_are_replaced() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    installation
        .run_in(repository.path(), &["scale", "web=2"])
        .ok("scale");
    let instances = installation
        .run_in(repository.path(), &["ps", "--json"])
        .ok("ps")
        .json();
    let app = i32::try_from(instances[0]["status"]["pid"].as_u64().unwrap()).unwrap();
    let id = instances[0]["id"].as_str().unwrap();
    let shim = processes::of_role("shim", &installation.home())
        .into_iter()
        .find(|process| {
            process
                .arguments
                .iter()
                .any(|argument| argument.ends_with(id))
        })
        .unwrap();
    processes::kill(shim.pid);
    until("its app is gone", || !processes::lives(app));
    until("two instances serve again", || {
        let instances = installation
            .run_in(repository.path(), &["ps", "--json"])
            .ok("ps")
            .json();
        instances
            .as_array()
            .unwrap()
            .iter()
            .filter(|instance| instance["routed"] == true && instance["id"] != id)
            .count()
            == 2
    });
    assert_eq!(installation.get("shop", "/").text(), "version 1");
}

fn stop_and_go(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}
