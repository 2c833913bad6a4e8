//! Alerts in the API and on the pages.

use launchway_control::alerts;
use launchway_model::alert::{AlertSeverity, NewAlert};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_open_alert_is_listed_and_stands_on_the_pages() {
    let world = World::new().await;
    world
        .ask("POST", "/api/v1/apps")
        .body(r#"{"name":"shop"}"#)
        .send()
        .await;
    for page in ["/", "/apps/shop"] {
        assert!(
            !world
                .get(page)
                .await
                .body
                .contains("href=\"/alerts\">Alerts</a></p>")
        );
    }
    let raise = |alert: NewAlert| async { alerts::raise(&world.control, alert).await.unwrap() };
    raise(
        NewAlert::new(
            "vulnerability",
            "shop/x",
            AlertSeverity::Warning,
            "a <hole> in x",
        )
        .of("shop".parse().unwrap())
        .hint("Upgrade x to 2.0.")
        .detail("link", "/apps/shop"),
    )
    .await;
    raise(
        NewAlert::new("disk", "/", AlertSeverity::Critical, "the disk is full")
            .detail("link", "//elsewhere.example/"),
    )
    .await;
    let overview = world.get("/").await.body;
    let (disk, hole) = (
        overview.find("the disk is full").unwrap(),
        overview.find("a &lt;hole&gt; in x").unwrap(),
    );
    assert!(disk < hole, "the worst comes first");
    assert!(
        !overview.contains("elsewhere.example"),
        "only links to pages"
    );
    let app = world.get("/apps/shop").await.body;
    assert!(app.contains("a &lt;hole&gt; in x") && !app.contains("the disk is full"));
    let page = world.get("/alerts").await.body;
    assert!(page.contains("Upgrade x to 2.0.") && page.contains("No alert has ended yet."));

    alerts::clear(&world.control, "disk", "/").await.unwrap();
    let open = world.get("/api/v1/alerts").await.json();
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(open[0]["severity"], "warning");
    let all = world.get("/api/v1/alerts?which=all").await.json();
    assert_eq!(all[1]["kind"], "disk");
    assert!(all[1]["ended_at"].is_string());
    assert_eq!(world.get("/api/v1/alerts?which=some").await.status, 400);
    assert_eq!(world.get("/api/v1/alerts?app=nowhere").await.status, 404);
    assert!(
        !world
            .get("/alerts")
            .await
            .body
            .contains("No alert has ended yet.")
    );
    world.end().await;
}
