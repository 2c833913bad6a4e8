//! The pages in a real Chromium.

use launchway_e2e::chromium::Browser;
use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, binary, until};

use crate::apps;

#[test]
fn a_person_logs_in_and_sees_the_app_live() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    let artifacts = binary::root().join("e2e/artifacts");
    let load = Load::start(installation.proxy(), &host("shop"), "/", 2, |answer| {
        answer.status == 200
    });
    let mut browser = Browser::start(1280, 900);

    // Without the link there is nothing to see.
    browser.open(&installation.summary().api);
    assert!(!browser.text().contains("shop"), "{}", browser.text());

    browser.open(&installation.summary().login);
    browser.open(&format!("{}/", installation.summary().api));
    assert!(browser.text().contains("shop"), "{}", browser.text());
    browser.screenshot(&artifacts.join("apps.png"));

    browser.open(&format!("{}/apps/shop", installation.summary().api));
    let text = browser.text();
    for expected in ["shop", "v1", "web"] {
        assert!(
            text.contains(expected),
            "the page does not show `{expected}`:\n{text}"
        );
    }
    // Numbers of the last seconds come without a reload.
    until("the page shows requests per second and memory", || {
        let text = browser.text();
        text.contains("MiB") && text.contains("/s")
    });
    browser.screenshot(&artifacts.join("app-light.png"));
    browser.prefer("dark");
    let background = browser
        .value("getComputedStyle(document.body).backgroundColor")
        .as_str()
        .unwrap()
        .to_owned();
    browser.screenshot(&artifacts.join("app-dark.png"));
    browser.prefer("light");
    assert_ne!(
        browser.value("getComputedStyle(document.body).backgroundColor"),
        background.as_str(),
        "dark differs from light"
    );

    // The keyboard reaches something that can be seen to have the focus.
    browser.press("Tab", 9);
    let focused = browser.value("document.activeElement.tagName");
    assert_ne!(focused, "BODY", "Tab moves the focus");

    // A build's page shows its stages while it runs and its log as it grows, without a reload.
    repository.write("launchway.toml", &format!("{}\n[[stage]]\nname = \"Tests\"\nrun = \"for i in 1 2 3 4; do echo line-$i; sleep 0.4; done\"\n", apps::DESCRIPTION));
    repository.commit("a stage to watch");
    let accepted = installation
        .run_in(repository.path(), &["deploy", "--no-wait", "--json"])
        .ok("deploy")
        .json();
    browser.open(&format!(
        "{}/builds/{}",
        installation.summary().api,
        accepted["build"]
    ));
    until("the live log is complete", || {
        browser.text().contains("line-4")
    });
    until("the page shows the end", || {
        browser.text().contains("succeeded")
    });
    assert!(browser.text().contains("Tests"));
    browser.screenshot(&artifacts.join("build.png"));

    assert_eq!(
        browser.complaints(),
        Vec::<String>::new(),
        "no script fails and nothing is blocked"
    );
    load.end().assert_flawless("watching does not disturb");
}

#[test]
fn pages_can_be_read_without_javascript() {
    let installation = Installation::start();
    apps::deployed(&installation, "shop");
    let mut browser = Browser::start(900, 700);
    browser.open(&installation.summary().login);
    browser.call(
        "Emulation.setScriptExecutionDisabled",
        &serde_json::json!({ "value": true }),
    );
    browser.open(&format!("{}/apps/shop", installation.summary().api));
    let text = browser.text();
    assert!(text.contains("v1") && text.contains("web"), "{text}");
    browser.open(&format!("{}/builds/1", installation.summary().api));
    assert!(browser.text().contains("succeeded"), "{}", browser.text());
}
