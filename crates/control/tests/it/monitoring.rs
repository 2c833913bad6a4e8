//! What a home's files bring into the monitor, and samples that others write and read.

use launchway_control::alerts::{self, Which};
use launchway_control::monitoring::{self, remote};
use launchway_monitor::labels::Labels;
use launchway_monitor::remote::request_v1;

use crate::world::{World, until};

async fn value(world: &World, query: &str) -> Option<f64> {
    let now = jiff::Timestamp::now().as_millisecond();
    let found = monitoring::range(&world.control, query, now, now, 1000)
        .await
        .unwrap();
    found
        .first()
        .and_then(|series| series.points.last())
        .map(|point| point.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_files_of_the_home_are_read_and_their_mistakes_told() {
    let world = World::new().await;
    let folder = world.control.settings().home.root().join("rules");
    std::fs::create_dir_all(&folder).unwrap();
    let good =
        "groups:\n- name: own\n  interval: 1s\n  rules:\n  - record: two\n    expr: vector(2)\n";
    std::fs::write(folder.join("good.yml"), good).unwrap();
    std::fs::write(folder.join("bad.yml"), "groups:\n- name: own\n  ruls: []\n").unwrap();
    until("the rule is evaluated", async || {
        value(&world, "two").await.filter(|value| *value == 2.0)
    })
    .await;
    let told = until("the mistake is told", async || {
        let open = alerts::list(&world.control, Which::Open, None, 10)
            .await
            .unwrap();
        open.into_iter().find(|alert| alert.kind == "rules")
    })
    .await;
    assert!(
        told.details["mistakes"]
            .as_str()
            .unwrap()
            .contains("bad.yml:3:3: "),
        "{told:?}"
    );
    std::fs::remove_file(folder.join("bad.yml")).unwrap();
    until("the mistake is over", async || {
        let open = alerts::list(&world.control, Which::Open, None, 10)
            .await
            .unwrap();
        open.iter().all(|alert| alert.kind != "rules").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_and_control_are_scraped_and_others_may_write() {
    let mut world = World::new().await;
    until("the host is scraped", async || {
        value(&world, "up{job=\"node\"} == 1").await
    })
    .await;
    until("control is scraped", async || {
        value(&world, "launchway_apps").await
    })
    .await;
    let now = jiff::Timestamp::now().as_millisecond();
    let series = vec![(
        Labels::from_pairs([("__name__", "sent"), ("from", "elsewhere")]),
        vec![(now, 7.0)],
    )];
    let body = request_v1(&series);
    let (answer, written) = remote::answer(
        &world.control,
        remote::Request::Write {
            body,
            version_2: false,
        },
    )
    .await;
    assert_eq!((answer.status, written.samples), (204, 1));
    let (answer, _) = remote::answer(
        &world.control,
        remote::Request::Write {
            body: b"no".to_vec(),
            version_2: true,
        },
    )
    .await;
    assert_eq!(answer.status, 400);
    world.restart_control().await;
    assert_eq!(
        value(&world, "sent").await,
        Some(7.0),
        "what was acknowledged outlives control"
    );
}
