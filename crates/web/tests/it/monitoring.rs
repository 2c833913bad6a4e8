//! Prometheus' HTTP API over real connections, as Grafana and promtool use it.

use std::time::Instant;

use base64::Engine as _;
use tokio::process::Command;

use crate::world::{PATIENCE, World};

/// Asks until the answer is as wanted.
async fn until(
    world: &World,
    path: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = world.get(path).await;
        let json = answer.json();
        if answer.status == 200 && wanted(&json) {
            return json;
        }
        assert!(Instant::now() < deadline, "{path}: {json}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn one(json: &serde_json::Value) -> bool {
    json["data"]["result"]
        .as_array()
        .is_some_and(|series| !series.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_prometheus_are_answered() {
    let world = World::new().await;
    let path = "/api/v1/query?query=up%7Bjob%3D%22launchway%22%7D";
    let anonymous = world.ask("GET", path).anonymous().send().await;
    assert_eq!(anonymous.status, 401);
    let up = until(&world, path, one).await;
    assert_eq!(up["data"]["result"][0]["value"][1], "1");
    until(&world, "/prometheus/api/v1/query?query=launchway_apps", one).await;
    // Control's own edge is among what is scraped.
    until(
        &world,
        "/api/v1/query?query=launchway_control_http_requests_total",
        one,
    )
    .await;

    // As Grafana: a form, with a token as the password of basic authentication.
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("grafana:{}", world.token));
    let now = jiff::Timestamp::now().as_second();
    let range = world
        .ask("POST", "/prometheus/api/v1/query_range")
        .anonymous()
        .header("authorization", &format!("Basic {pair}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("query=up&start={}&end={now}&step=15", now - 300))
        .send()
        .await;
    assert_eq!(range.status, 200, "{}", range.body);
    assert_eq!(range.json()["data"]["resultType"], "matrix");
    let wrong = world.get("/api/v1/query?query=up(").await;
    assert_eq!(
        (wrong.status, wrong.json()["errorType"].as_str()),
        (400, Some("bad_data"))
    );
    let alerts = world.get("/prometheus/api/v1/alerts").await.json();
    assert!(alerts["data"]["alerts"].is_array(), "{alerts}");
    assert!(
        world.get("/api/v1/alerts").await.json().is_array(),
        "our own alerts keep their place"
    );
    let values = world.get("/api/v1/label/job/values").await.json();
    assert!(
        values["data"]
            .as_array()
            .unwrap()
            .contains(&"launchway".into()),
        "{values}"
    );
    let targets = world.get("/api/v1/targets").await.json();
    assert_eq!(
        targets["data"]["activeTargets"][0]["health"], "up",
        "{targets}"
    );
    let federated = world.get("/federate?match[]=up").await;
    assert!(
        federated.body.contains("# TYPE up untyped\nup{"),
        "{}",
        federated.body
    );
    let build = world.get("/api/v1/status/buildinfo").await.json();
    assert_eq!(build["data"]["version"], "3.0.0");
    promtool(&world).await;
    world.end().await;
}

/// Debian's own client, where it is installed.
async fn promtool(world: &World) {
    let address = world
        .url
        .replace("http://", &format!("http://x:{}@", world.token))
        + "/prometheus";
    let asked = Command::new("promtool")
        .args(["query", "instant", &address, "up{job=\"launchway\"}"])
        .output()
        .await;
    let Ok(output) = asked else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("job=\"launchway\"") && text.contains("=> 1 @"),
        "{output:?}"
    );
}
