//! The examples, deployed as a person would, under load.

use launchway_e2e::http::{self, Connection};
use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Repository, until};

/// Ten consecutive deploys, a rollback, a scale and a refused broken deploy of the Flask example, under load, with not
/// one failed request.
#[test]
fn the_flask_example_is_changed_under_load_without_a_failed_request() {
    let installation = Installation::start();
    let app = "url-shortener";
    let repository = Repository::of_example("url-shortener", app);
    let first = installation.deploy(&repository);
    assert!(first.stderr.contains("14 tests passed"), "{}", first.stderr);
    assert!(
        first.stdout.contains("url-shortener.localhost"),
        "{}",
        first.stdout
    );

    // A link that a visitor makes outlives every release.
    let made = Connection::open(installation.proxy())
        .unwrap()
        .send(
            "POST",
            &host(app),
            "/api/links",
            &[("content-type", "application/json")],
            br#"{"address":"https://example.org/kept"}"#,
        )
        .unwrap();
    assert_eq!(made.status, 201, "{}", made.text());

    let load = Load::start(installation.proxy(), &host(app), "/", 4, |answer| {
        answer.status == 200 && answer.text().contains("https://example.org/kept")
    });
    load.await_more(50);
    for number in 1..=10 {
        let title = format!("Short links, edition {number}");
        let old = if number == 1 {
            "<h1>Short links</h1>".to_owned()
        } else {
            format!("<h1>Short links, edition {}</h1>", number - 1)
        };
        repository.replace(
            "shortener/templates/index.html",
            &old,
            &format!("<h1>{title}</h1>"),
        );
        repository.commit(&title);
        installation.deploy(&repository);
        assert!(
            installation.get(app, "/").text().contains(&title),
            "edition {number} is not the one that serves"
        );
        load.await_more(20);
    }

    installation
        .run_in(repository.path(), &["rollback"])
        .ok("the rollback");
    assert!(installation.get(app, "/").text().contains("edition 9"));
    load.await_more(50);

    installation
        .run_in(repository.path(), &["scale", "web=2"])
        .ok("the scale");
    let instances = installation
        .run_in(repository.path(), &["ps", "--json"])
        .ok("ps")
        .json();
    assert_eq!(
        instances
            .as_array()
            .unwrap()
            .iter()
            .filter(|instance| instance["routed"] == true)
            .count(),
        2,
        "{instances:#}"
    );
    load.await_more(50);

    // Broken so that the tests pass and the start fails: what is not caught before must be caught then.
    repository.replace(
        "shortener/__init__.py",
        "        return create_application()",
        "        raise SystemExit(\"out of order\")",
    );
    repository.commit("broken");
    installation
        .run_in(repository.path(), &["deploy"])
        .refused(1, &["out of order"]);
    assert!(installation.get(app, "/").text().contains("edition 9"));
    load.await_more(50);

    load.end()
        .assert_flawless("ten deploys, a rollback, a scale, a refused deploy");
    let links = installation.get(app, "/api/links").text();
    assert!(links.contains("https://example.org/kept"), "{links}");
}

#[test]
fn the_node_example_and_the_static_site_are_deployed() {
    let installation = Installation::start();
    let notes = Repository::of_example("node-notes", "node-notes");
    installation.deploy(&notes);
    let mut connection = Connection::open(installation.proxy()).unwrap();
    let made = connection
        .send(
            "POST",
            &host("node-notes"),
            "/api/notes",
            &[],
            br#"{"text":"milk"}"#,
        )
        .unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(
        installation
            .get("node-notes", "/")
            .text()
            .contains("<h1>Notes</h1>")
    );

    let site = Repository::of_example("static-site", "static-site");
    let ran = installation.deploy(&site);
    assert!(
        ran.stdout.contains("static-site.localhost"),
        "{}",
        ran.stdout
    );
    let page = installation.get("static-site", "/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Served by the proxy itself"));
    assert!(
        installation
            .get("static-site", "/about/")
            .text()
            .contains("A folder with an")
    );
    assert!(
        installation
            .get("static-site", "/style.css")
            .field("content-type")
            .unwrap()
            .starts_with("text/css")
    );
    assert_eq!(installation.get("static-site", "/missing").status, 404);
    // What git keeps is not what visitors see.
    assert_eq!(installation.get("static-site", "/.git/config").status, 404);
    let load = Load::start(
        installation.proxy(),
        &host("static-site"),
        "/",
        2,
        |answer| answer.status == 200 && answer.text().contains("Served by the proxy itself"),
    );
    site.replace("index.html", "A static site", "Another static site");
    site.commit("another title");
    installation.deploy(&site);
    load.await_more(100);
    load.end().assert_flawless("a deploy of files");
    assert!(
        installation
            .get("static-site", "/")
            .text()
            .contains("Another static site")
    );
}

/// The command line that people already type, each with `--json`.
#[test]
fn the_commands_do_what_they_say() {
    let installation = Installation::start();
    let repository = crate::apps::deployed(&installation, "shop");
    let run = |arguments: &[&str]| {
        installation
            .run_in(repository.path(), arguments)
            .ok(&arguments.join(" "))
    };

    assert!(run(&["apps"]).stdout.contains("shop"));
    assert_eq!(run(&["apps", "--json"]).json()[0]["name"], "shop");
    assert_eq!(
        run(&["apps", "info", "--json"]).json()["release"]["number"],
        1
    );
    assert!(run(&["plan"]).stdout.contains("python3 app.py"));
    assert_eq!(run(&["status", "--json"]).json()["apps"], 1);
    assert_eq!(
        run(&["builds", "--json"]).json()[0]["state"]["result"],
        "success"
    );
    assert!(run(&["builds", "show", "1"]).stdout.contains("success"));
    run(&["builds", "log", "1"]);

    run(&["config", "set", "GREETING=hello world", "EMPTY="]);
    assert_eq!(run(&["config", "get", "GREETING"]).stdout, "hello world\n");
    let said = run(&[
        "run",
        "--",
        "sh",
        "-c",
        "echo $GREETING; echo to stderr >&2",
    ]);
    assert_eq!(
        (said.stdout.as_str(), said.stderr.trim()),
        ("hello world\n", "to stderr")
    );
    let failed = installation.run_in(
        repository.path(),
        &["run", "shop", "--", "sh", "-c", "exit 42"],
    );
    assert_eq!(failed.code, 42, "{failed:?}");
    run(&["config", "unset", "EMPTY"]);
    assert_eq!(
        run(&["config", "list", "--json"]).json()["vars"],
        serde_json::json!({ "GREETING": "hello world" })
    );
    assert!(
        run(&["releases"]).stdout.contains("config set"),
        "a changed configuration is a release"
    );

    run(&["domains", "add", "shop.example.org"]);
    let there = || http::get(installation.proxy(), "shop.example.org", "/").unwrap();
    until("the domain is served", || there().text() == "version 1");
    run(&["domains", "remove", "shop.example.org"]);
    until("the domain is forgotten", || there().status == 404);

    run(&["restart"]);
    assert!(
        run(&["logs", "-n", "50"])
            .stdout
            .contains("starting version 1")
    );
    let record = run(&["logs", "-n", "1", "--json"]).stdout;
    assert!(serde_json::from_str::<serde_json::Value>(record.lines().next().unwrap()).unwrap()["instance"].is_string(), "{record}");
    assert!(
        run(&["open", "--print"])
            .stdout
            .starts_with(&installation.summary().api)
    );
    let token = run(&["tokens", "create", "laptop"])
        .stdout
        .trim()
        .to_owned();
    let with_token = std::process::Command::new(launchway_e2e::launchway())
        .args(["apps", "--json"])
        .env("LAUNCHWAY_URL", installation.summary().api)
        .env("LAUNCHWAY_TOKEN", &token)
        .output()
        .unwrap();
    assert!(
        with_token.status.success(),
        "{}",
        String::from_utf8_lossy(&with_token.stderr)
    );

    // Described from outside: the repository needs no change at all.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    std::fs::write(
        &file,
        "[process.web]\nrun = \"python3 app.py\"\ninstances = 2\n[health]\npath = \"/\"\n",
    )
    .unwrap();
    run(&["apps", "apply", file.to_str().unwrap()]);
    std::fs::write(&file, "[process.wbe]\nrn = \"x\"\n").unwrap();
    installation
        .run(&["apps", "apply", file.to_str().unwrap()])
        .refused(2, &["rn", "run"]);

    run(&["apps", "delete", "shop", "--yes"]);
    assert_eq!(run(&["apps", "--json"]).json(), serde_json::json!([]));
    assert_eq!(installation.get("shop", "/").status, 404);
}
