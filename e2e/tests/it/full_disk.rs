//! A disk without a free byte: what serves goes on, what is new fails clean, an alert says so, and all is well afterwards.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Setup, SmallDisk, until};

use crate::apps;

#[test]
fn a_full_disk_stops_what_is_new_and_nothing_that_serves() {
    let disk = match SmallDisk::mount(256) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let installation = Installation::start_as(Setup {
        within: Some(disk.path().to_owned()),
        ..Setup::default()
    });
    let repository = apps::deployed(&installation, "shop");
    let alerts = || {
        let listed = installation
            .run(&["alerts", "list", "--json"])
            .ok("alerts")
            .json();
        listed
            .as_array()
            .unwrap()
            .iter()
            .filter(|alert| alert["kind"] == "disk")
            .map(|alert| alert["severity"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let load = Load::start(installation.proxy(), &host("shop"), "/", 4, |answer| {
        answer.text().starts_with("version")
    });
    load.await_more(50);
    disk.fill();
    until("the alert says that the disk is full", || {
        alerts() == ["critical"]
    });
    // The reserve made room for the alert; this takes that as well.
    disk.fill();
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("while nothing can be written");
    let ran = installation.run_in(repository.path(), &["deploy"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    load.await_more(50);
    // Control itself may come and go meanwhile.
    let control = installation.role("control");
    launchway_e2e::processes::kill(control);
    load.await_more(50);
    disk.free();
    until("control is back and the alert is over", || {
        installation.run(&["alerts", "list", "--json"]).code == 0 && alerts().is_empty()
    });
    assert_eq!(installation.get("shop", "/").text(), "version 1");
    installation.deploy(&repository);
    load.end()
        .assert_flawless("a full disk and a killed control");
    assert_eq!(installation.get("shop", "/").text(), "version 2");
    let usage = installation.run(&["disk", "--json"]).ok("disk").json();
    assert!(usage["free_bytes"].as_u64().unwrap() > 0, "{usage:#}");
    let kinds = usage["kinds"].as_array().unwrap();
    let releases = kinds
        .iter()
        .find(|kind| kind["kind"] == "releases")
        .unwrap();
    assert!(
        releases["apps"]["shop"].as_u64().unwrap() > 0,
        "{releases:#}"
    );
}
