//! Each way to bring a release into service, with a real proxy under constant load: not one request may fail.

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Repository, until};

use crate::apps;

/// Three instances, deployed in one of the ways.
fn described(repository: &Repository, deploy: &str) {
    let text = format!("{}\n{deploy}\n", apps::DESCRIPTION);
    repository.write("launchway.toml", &text);
}

/// Deploys two more versions and restarts, all under load.
fn flawless(name: &str, deploy: &str) {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, name);
    installation
        .run(&["scale", "web=3", "--app", name])
        .ok("scale");
    let load = Load::start(installation.proxy(), &host(name), "/", 4, |answer| {
        answer.text().starts_with("version")
    });
    load.await_more(100);
    for version in 2..=3 {
        described(&repository, deploy);
        repository.replace(
            "app.py",
            &format!("version {}", version - 1),
            &format!("version {version}"),
        );
        repository.commit("next");
        installation.deploy(&repository);
        load.await_more(50);
        assert_eq!(
            installation.get(name, "/").text(),
            format!("version {version}")
        );
    }
    installation.run(&["restart", "--app", name]).ok("restart");
    load.await_more(50);
    load.end().assert_flawless(deploy);
    let shown = installation
        .run(&["deploys", "--app", name, "--json"])
        .ok("deploys")
        .json();
    assert_eq!(shown[0]["state"]["state"], "succeeded", "{shown:#}");
}

#[test]
fn rolling_loses_no_request() {
    flawless(
        "rolling",
        "[deploy]\nstrategy = \"rolling\"\nmax_extra = 1\nmax_missing = 1",
    );
}

#[test]
fn a_canary_loses_no_request() {
    flawless(
        "canary",
        "[deploy]\nstrategy = \"canary\"\nsteps = [20, 60]\ninterval = \"700ms\"",
    );
}

#[test]
fn an_app_that_crashes_on_its_first_real_request_is_rolled_back() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    // Its health check answers; every other request ends the process.
    let deploy = "[deploy]\nverify = \"curl -fsS $LAUNCHWAY_INSTANCES/\"";
    described(&repository, deploy);
    repository.replace("launchway.toml", "path = \"/\"", "path = \"/healthz\"");
    repository.replace("app.py", "version 1", "version 2");
    repository.replace(
        "app.py",
        "    def do_GET(self):\n",
        "    def do_GET(self):\n        if self.path != '/healthz':\n            import os\n            os._exit(3)\n",
    );
    repository.commit("it crashes");
    let ran = installation.run_in(repository.path(), &["deploy"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("the verify command ended with exit code"),
        "{}",
        ran.stderr
    );
    until("the first version serves", || {
        installation.get("shop", "/").text() == "version 1"
    });
    let shown = installation
        .run(&["deploys", "show", "d2"])
        .ok("deploys show");
    assert!(shown.stdout.contains("verify"), "{}", shown.stdout);
    assert!(shown.stdout.contains("v1 serves again"), "{}", shown.stdout);
}

#[test]
fn routes_rules_and_maintenance_reach_the_proxy() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    repository.write("docs/index.html", "the manual");
    described(
        &repository,
        "[[route]]\npath = \"/docs\"\nstatic = \"docs\"\n[http]\nresponse_headers = { \"X-Shop\" = \"yes\", Server = false }\n[[route]]\npath = \"/private\"\nprocess = \"web\"\nusers = [\"anna:8f7fa0cafc81d43376104eaf79e53c80d0d1ffe16849d4ebfa33c3bf50a8d5b9\"]",
    );
    repository.commit("routes");
    installation.deploy(&repository);
    assert_eq!(installation.get("shop", "/docs/").text(), "the manual");
    let page = installation.get("shop", "/");
    assert_eq!(page.field("x-shop"), Some("yes"));
    assert_eq!(page.field("server"), None);
    assert_eq!(installation.get("shop", "/private").status, 401);
    installation
        .run(&[
            "maintenance",
            "on",
            "--message",
            "Back at nine.",
            "--app",
            "shop",
        ])
        .ok("maintenance on");
    let page = installation.get("shop", "/");
    assert_eq!(
        (page.status, page.text().contains("Back at nine.")),
        (503, true)
    );
    installation
        .run(&["maintenance", "off", "--app", "shop"])
        .ok("maintenance off");
    assert_eq!(installation.get("shop", "/").status, 200);
}
