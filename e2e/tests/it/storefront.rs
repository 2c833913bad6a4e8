//! The example in two tiers, deployed as a person would and used in a browser's way: pages, the API, the worker.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use launchway_e2e::http::Connection;
use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Repository, until};

/// Whether npm and pip find their registries; the example installs from both.
fn registries_answer() -> bool {
    let asks = |program: &str, words: &[&str]| {
        std::process::Command::new(program)
            .args(words)
            .stdin(std::process::Stdio::null())
            .output()
            .is_ok_and(|ran| ran.status.success())
    };
    asks("npm", &["view", "react", "version"])
        && asks(
            "python3",
            &[
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                "/tmp/launchway-pip-probe",
                "gunicorn==23.0.0",
            ],
        )
}

#[test]
fn the_storefront_serves_its_pages_its_api_and_packs_orders() {
    if !registries_answer() {
        eprintln!("skipped: the registry of npm or Python's packages cannot be reached");
        return;
    }
    let installation = Installation::start();
    let app = "storefront";
    let repository = Repository::of_example("storefront", app);
    installation.deploy(&repository);
    // The front end: its page at /, at paths of its own, and its files.
    let page = installation.get(app, "/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<div id=\"root\">"), "{}", page.text());
    assert_eq!(installation.get(app, "/orders/1").text(), page.text());
    let text = page.text();
    let script = text
        .split("src=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let script = installation.get(app, script);
    assert_eq!(script.status, 200);
    assert!(script.body.len() > 10_000);
    // The back end.
    let products = installation.get(app, "/api/products").text();
    assert!(products.contains("Teapot"), "{products}");
    let placed = Connection::open(installation.proxy())
        .unwrap()
        .send(
            "POST",
            &host(app),
            "/api/orders",
            &[("content-type", "application/json")],
            br#"{"pieces":{"1":2}}"#,
        )
        .unwrap();
    assert_eq!(placed.status, 201, "{}", placed.text());
    // The worker finds the back end by the address that is wired in.
    until("the worker packs the order", || {
        installation
            .get(app, "/api/orders/1")
            .text()
            .contains("\"packed\"")
    });
    // Orders outlive releases.
    repository.replace(
        "frontend/index.html",
        "<title>Storefront",
        "<title>The storefront",
    );
    repository.commit("another title");
    installation.deploy(&repository);
    assert!(installation.get(app, "/").text().contains("The storefront"));
    assert!(
        installation
            .get(app, "/api/orders/1")
            .text()
            .contains("packed")
    );
}
