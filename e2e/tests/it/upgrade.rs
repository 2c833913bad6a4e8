//! Replacing the running platform: under load, back again, and by what is no Launchway.

use std::path::PathBuf;

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Setup, processes};

use crate::apps;

/// Another binary that does the same: bytes after a program's end change nothing but the file.
fn another(installation: &Installation) -> PathBuf {
    use std::io::Write as _;
    let path = installation.home().with_file_name("next");
    std::fs::copy(launchway_e2e::launchway(), &path).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b"another").unwrap();
    path
}

#[test]
fn the_platform_is_upgraded_under_load_and_goes_back_without_a_failed_request() {
    let installation = Installation::start_as(Setup {
        own_binary: true,
        ..Setup::default()
    });
    let repository = apps::deployed(&installation, "shop");
    let next = another(&installation);
    let load = Load::start(installation.proxy(), &host("shop"), "/", 4, |answer| {
        answer.text().starts_with("version")
    });
    load.await_more(100);
    let pids =
        |roles: [&str; 3]| roles.map(|role| processes::of_role(role, &installation.home())[0].pid);
    let before = pids(["control", "proxy", "shim"]);
    let up = installation.pid();
    let upgraded = installation
        .run(&["upgrade", next.to_str().unwrap()])
        .ok("the upgrade");
    assert!(upgraded.stdout.contains("runs"), "{upgraded:?}");
    let after = pids(["control", "proxy", "shim"]);
    assert_ne!(before[0], after[0], "control is another");
    assert_ne!(before[1], after[1], "the proxy is another");
    assert_eq!(before[2], after[2], "the app's shim goes on");
    assert_eq!(installation.pid(), up);
    assert!(processes::lives(up));
    assert_eq!(
        std::fs::read(installation.binary()).unwrap(),
        std::fs::read(&next).unwrap()
    );
    assert!(
        installation
            .home()
            .join("launchway.db.before-upgrade")
            .exists()
    );
    // What runs under the new one can be changed by it, and a second upgrade works as the first did.
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("after the upgrade");
    installation.deploy(&repository);
    installation.run(&["upgrade", "--back"]).ok("going back");
    load.await_more(100);
    assert_eq!(
        std::fs::read(installation.binary()).unwrap(),
        std::fs::read(launchway_e2e::launchway()).unwrap()
    );
    load.end().assert_flawless("an upgrade and the way back");
    assert_eq!(installation.get("shop", "/").text(), "version 2");
}

#[test]
fn what_cannot_take_the_installation_up_is_refused_and_changes_nothing() {
    let installation = Installation::start_as(Setup {
        own_binary: true,
        ..Setup::default()
    });
    let control = installation.role("control");
    for (wrong, words) in [
        ("/bin/true", "does not answer as a Launchway does"),
        ("/etc/passwd", "cannot be run"),
        ("/nowhere", "cannot be run"),
    ] {
        installation
            .run(&["upgrade", wrong])
            .refused(2, &[words, "Nothing was changed"]);
    }
    installation
        .run(&["upgrade", "--back"])
        .refused(3, &["nothing to go back to"]);
    assert_eq!(installation.role("control"), control);
}

#[test]
fn the_database_of_the_next_version_is_served_by_this_one() {
    let installation = Installation::start();
    let repository = apps::deployed(&installation, "shop");
    installation.stop();
    let database = installation.home().join("launchway.db");
    let faked = std::process::Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
n = d.execute('PRAGMA user_version').fetchone()[0]
d.execute('ALTER TABLE app ADD COLUMN of_the_next_version TEXT')
d.execute('CREATE TABLE next_version (value INTEGER) STRICT')
d.execute('INSERT INTO migration VALUES (9999, 0)')
d.execute('PRAGMA user_version = %d' % (n + 1))
d.commit()",
        ])
        .arg(&database)
        .status()
        .unwrap();
    assert!(faked.success());
    installation.start_again();
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("after going back by one version");
    installation.deploy(&repository);
    assert_eq!(installation.get("shop", "/").text(), "version 2");
}
