//! `git push` with the real git: the build is streamed back, and a build that fails fails the push.

use launchway_e2e::{Installation, Repository};

use crate::apps;

/// Adds our remote, with the token as its password.
fn remote(installation: &Installation, repository: &Repository, app: &str) {
    let address = format!(
        "http://launchway:{}@{}/git/{app}.git",
        installation.token(),
        installation.api()
    );
    repository.git(&["remote", "add", "launchway", &address]);
}

#[test]
fn a_push_builds_and_deploys_and_a_broken_one_is_refused_with_its_reason() {
    let installation = Installation::start();
    let repository = apps::repository("pushed");
    remote(&installation, &repository, "pushed");

    let pushed = repository.try_git(&["push", "launchway", "main"]);
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(pushed.status.success(), "{said}");
    assert!(
        said.contains("pushed.localhost"),
        "the pusher is told where it serves:\n{said}"
    );
    assert_eq!(installation.get("pushed", "/").text(), "version 1");

    repository.replace("app.py", "version 1", "version 2");
    repository.write(
        "launchway.toml",
        &format!(
            "{}\n[[stage]]\nname = \"Tests\"\nrun = \"echo one test is red; exit 1\"\n",
            apps::DESCRIPTION
        ),
    );
    repository.commit("red");
    let refused = repository.try_git(&["push", "launchway", "main"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success(),
        "a push whose build fails must fail:\n{said}"
    );
    assert!(
        said.contains("one test is red") && said.contains("Tests"),
        "{said}"
    );
    assert_eq!(installation.get("pushed", "/").text(), "version 1");

    repository.write("launchway.toml", apps::DESCRIPTION);
    repository.commit("green again");
    let again = repository.try_git(&["push", "launchway", "main"]);
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(installation.get("pushed", "/").text(), "version 2");

    // The remote names the app, whatever the folder is called.
    let here = installation
        .run_in(repository.path(), &["apps", "info", "--json"])
        .ok("info")
        .json();
    assert_eq!(here["name"], "pushed");
}

#[test]
fn a_push_without_the_token_is_refused() {
    let installation = Installation::start();
    let repository = apps::repository("closed");
    for user in ["", "launchway:wrong@"] {
        let address = format!("http://{user}{}/git/closed.git", installation.api());
        let refused = repository.try_git(&["push", &address, "main"]);
        assert!(
            !refused.status.success(),
            "{}",
            String::from_utf8_lossy(&refused.stderr)
        );
    }
    assert_eq!(
        installation.run(&["apps", "--json"]).ok("apps").json(),
        serde_json::json!([])
    );
}

/// A control on another machine cannot read a folder here. This one is on the same machine, but called by an address
/// that does not say so.
#[test]
fn a_deploy_to_another_machine_pushes_the_commit_there() {
    let installation = Installation::start();
    let repository = apps::repository("far");
    let url = format!("http://0.0.0.0:{}", installation.api().port());
    let configuration = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str], token: &str| {
        let output = std::process::Command::new(launchway_e2e::launchway())
            .args(arguments)
            .current_dir(repository.path())
            .env("XDG_CONFIG_HOME", configuration.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LAUNCHWAY_TOKEN", token)
            .env_remove("LAUNCHWAY_URL")
            .env_remove("LAUNCHWAY_HOME")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = command(&["login", &url], "wrong");
    assert_eq!(
        code,
        Some(5),
        "a token is checked before it is kept: {said}"
    );
    let (code, said) = command(&["login", &url], &installation.token());
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = command(&["deploy"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(&installation.token()), "{said}");
    assert_eq!(installation.get("far", "/").text(), "version 1");

    repository.write("launchway.toml", "[process.wbe]\nrn = \"x\"\n");
    repository.commit("a typo");
    let (code, said) = command(&["deploy"], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("launchway.toml"), "{said}");
    assert_eq!(installation.get("far", "/").text(), "version 1");
}
