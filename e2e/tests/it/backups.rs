//! A backup while everything runs, and the installation that comes back from it.

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load};

use crate::apps;

#[test]
fn an_installation_comes_back_from_its_backup() {
    let installation = Installation::start();
    let repository = apps::repository("shop");
    repository.write(
        "launchway.toml",
        &format!("persist = [\"data\"]\n{}", apps::DESCRIPTION),
    );
    repository.commit("it keeps data");
    installation.deploy(&repository);
    installation
        .run_in(repository.path(), &["config", "set", "SECRET=kept"])
        .ok("config set");
    let kept = installation.home().join("apps/shop/persist/data");
    std::fs::write(kept.join("note.txt"), "kept").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let passphrase = elsewhere.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple").unwrap();
    let (place, passphrase) = (
        elsewhere.path().join("backups").display().to_string(),
        passphrase.display().to_string(),
    );
    let sealed = ["--at", &place, "--passphrase-file", &passphrase];
    let run = |words: &[&str]| {
        let words: Vec<&str> = words.iter().chain(&sealed).copied().collect();
        installation.run(&words)
    };
    let load = Load::start(installation.proxy(), &host("shop"), "/", 2, |answer| {
        answer.status == 200
    });
    run(&["backup", "create"]).ok("the backup");
    run(&["backup", "verify"]).ok("the verification");
    load.await_more(100);
    load.end().assert_flawless("a backup");
    run(&["backup", "restore"]).refused(4, &["runs in"]);
    installation.stop();
    // The disk is lost.
    for entry in std::fs::read_dir(installation.home()).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
    let restored = run(&["backup", "restore", "--json"]).ok("the restore");
    assert!(restored.stdout.contains("launchway.db"), "{restored:?}");
    // On any port: what people keep in their bookmarks is in the backup as well.
    installation.start_again();
    launchway_e2e::until("the app serves again", || {
        launchway_e2e::http::get(installation.proxy(), &host("shop"), "/")
            .is_ok_and(|answer| answer.text() == "version 1")
    });
    assert_eq!(
        std::fs::read_to_string(kept.join("note.txt")).unwrap(),
        "kept"
    );
    let secret = installation
        .run_in(repository.path(), &["config", "get", "SECRET"])
        .ok("config get");
    assert_eq!(secret.stdout.trim(), "kept");
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("after the restore");
    installation.deploy(&repository);
    assert_eq!(installation.get("shop", "/").text(), "version 2");
}

#[test]
fn backups_are_planned_shown_and_ended() {
    let installation = Installation::start();
    let place = tempfile::tempdir().unwrap();
    let at = place.path().display().to_string();
    installation
        .run(&["backup", "schedule", "61 3 * * *", "--at", &at])
        .refused(2, &["61"]);
    installation
        .run(&[
            "backup",
            "schedule",
            "H 3 * * *",
            "--at",
            &at,
            "--keep",
            "3",
        ])
        .ok("the plan");
    let shown = installation
        .run(&["backup", "schedule", "--json"])
        .ok("the plan")
        .json();
    assert_eq!(shown["keep"], 3, "{shown:#}");
    assert!(shown["next"].is_string(), "{shown:#}");
    installation
        .run(&["backup", "schedule", "off"])
        .ok("the end");
    let shown = installation
        .run(&["backup", "schedule", "--json"])
        .ok("the plan")
        .json();
    assert!(shown["when"].is_null(), "{shown:#}");
}
