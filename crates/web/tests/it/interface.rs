//! The API: what there is, how it refuses, how streams end.

use std::time::Duration;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_every_route_and_no_other() {
    let world = World::new().await;
    let document = world.get("/api/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 30);
    for (path, item) in paths {
        let real = path
            .replace("{app}", "nowhere")
            .replace("{domain}", "a.example")
            .replace("{release}", "1")
            .replace("{stage}", "0")
            .replace("{build}", "999")
            .replace("{deploy}", "999")
            .replace("{token}", "999");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let documented = item.get(method.to_lowercase()).is_some();
            let answer = world
                .ask(method, &real)
                .body("{\"nonsense\": 1}")
                .send()
                .await;
            assert_eq!(
                answer.status != 405,
                documented,
                "{method} {real}: {}",
                answer.status
            );
            if documented {
                assert!(!answer.body.contains("the API has no"), "{method} {real}");
                assert_eq!(
                    world.ask(method, &real).anonymous().send().await.status,
                    401
                );
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_with_the_nearest_word() {
    let world = World::new().await;
    let answer = world.get("/api/v1/aps").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["hint"], "Did you mean `apps`?");
    world
        .ask("POST", "/api/v1/apps")
        .body(r#"{"name":"shop"}"#)
        .send()
        .await;
    let answer = world.get("/api/v1/apps/shpo").await;
    assert_eq!(
        (answer.status, answer.json()["kind"].clone()),
        (404, "not_found".into())
    );
    let answer = world
        .ask("PUT", "/api/v1/apps/shop/formation")
        .body(r#"{"formaton":{"web":2}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 400);
    let problem = answer.json();
    assert_eq!(problem["message"], "unknown field `formaton`");
    assert_eq!(problem["hint"], "Did you mean `formation`?");
    assert_eq!(problem["place"]["line"], 1);
    for (path, words) in [
        ("/api/v1/apps/Shop", "must start with a lower-case letter"),
        ("/api/v1/builds/many", "must be a whole number"),
        ("/api/v1/builds?limits=3", "unknown field `limits`"),
        ("/api/v1/apps/shop/logs?process=Web", "lower-case"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_made_changed_and_removed() {
    let world = World::new().await;
    let made = world
        .ask("POST", "/api/v1/apps")
        .body(r#"{"name":"shop"}"#)
        .send()
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        world
            .ask("POST", "/api/v1/apps")
            .body(r#"{"name":"shop"}"#)
            .send()
            .await
            .status,
        409
    );
    let config = world
        .ask("PATCH", "/api/v1/apps/shop/config")
        .body(r#"{"set":{"KEY":"v=1"}}"#)
        .send()
        .await;
    assert_eq!(config.status, 200, "{}", config.body);
    assert_eq!(
        world.get("/api/v1/apps/shop/config").await.json()["vars"]["KEY"],
        "v=1"
    );
    let domain = world
        .ask("POST", "/api/v1/apps/shop/domains")
        .body(r#"{"domain":"shop.example.org"}"#)
        .send()
        .await;
    assert_eq!(domain.status, 201, "{}", domain.body);
    assert_eq!(
        world.get("/api/v1/apps/shop").await.json()["domains"][0],
        "shop.example.org"
    );
    let gone = world
        .ask("DELETE", "/api/v1/apps/shop/domains/shop.example.org")
        .send()
        .await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    let broken = world
        .ask("PUT", "/api/v1/apps/shop/description")
        .body(r#"{"toml":"[procss]"}"#)
        .send()
        .await;
    assert_eq!(broken.status, 400, "{}", broken.body);
    assert_eq!(
        world.ask("DELETE", "/api/v1/apps/shop").send().await.status,
        204
    );
    assert_eq!(world.get("/api/v1/apps/shop").await.status, 404);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_keep_control_from_ending() {
    let world = World::new().await;
    world
        .ask("POST", "/api/v1/apps")
        .body(r#"{"name":"shop"}"#)
        .send()
        .await;
    let (begun, ended) = world.ask("GET", "/apps/shop/live").hold("app-stats");
    begun.await.unwrap();
    let took = world.end().await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    ended.await.unwrap();
}
