//! The pages of an installation that works, and what its forms do.

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_shows_what_there_is() {
    let world = World::new().await;
    let repository = world.repository().await;
    let empty = world.get("/").await;
    assert!(empty.body.contains("launchway deploy"), "{}", empty.body);
    assert!(repository.push(&["main"]).await.status.success());
    for (path, words) in [
        ("/", "href=\"/apps/site\""),
        ("/apps/site", "serving"),
        (
            "/apps/site",
            "The proxy serves this release's files by itself",
        ),
        ("/apps/site/history", "v1"),
        ("/apps/site/logs", "launchway logs -f"),
        ("/apps/site/settings", "Host names"),
        ("/builds", "href=\"/builds/1\""),
        (
            "/builds/1",
            "<span class=\"fg2\">built</span> &lt;script&gt;",
        ),
        ("/builds/1", "links lead somewhere"),
        ("/builds/1", "Deploy d1"),
        ("/deploys/1", "Health checks"),
        ("/access", "Tokens"),
    ] {
        let page = world.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(
            page.body.contains(words),
            "{path} does not say `{words}`: {}",
            page.body
        );
        assert!(
            page.header("content-security-policy")
                .contains("script-src 'self'")
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(
            page.header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
    }
    let log = world.get("/builds/1/stages/0/log").await;
    assert!(log.body.ends_with("Z built <script>\n"), "{}", log.body);
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    let missing = world.get("/apps/nothing").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("Not found"));
    assert_eq!(world.get("/nowhere").await.status, 404);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_kept_for_ever_at_an_address_of_their_content() {
    let world = World::new().await;
    let page = world.ask("GET", "/login").anonymous().send().await;
    let mut found = 0;
    for address in page
        .body
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
    {
        let asset = world.ask("GET", address).anonymous().send().await;
        assert_eq!(asset.status, 200, "{address}");
        assert_eq!(
            asset.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(world.get("/assets/launchway.css").await.status, 404);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_change_things_and_lead_to_their_effect() {
    let world = World::new().await;
    let repository = world.repository().await;
    assert!(repository.push(&["main"]).await.status.success());
    repository.commit("index.html", "<h1>Two</h1>").await;
    assert!(repository.push(&["main"]).await.status.success());
    let cookie = world.log_in().await;
    let post = async |path: &str, fields: &str| {
        let answer = world
            .ask("POST", path)
            .cookie(&cookie)
            .form(fields)
            .send()
            .await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        let location = answer.header("location").to_owned();
        if location.starts_with("/deploys/") {
            let progress = format!("/api/v1{location}/progress");
            let story = world.ask("GET", &progress).read_until("\"finished\"").await;
            assert!(story.contains("\"problem\":null"), "{path}: {story}");
        }
        location
    };
    let deploy = post("/apps/site/rollback", "release=1").await;
    assert!(deploy.starts_with("/deploys/"), "{deploy}");
    assert_eq!(
        world.get("/api/v1/apps/site").await.json()["release"]["number"],
        3
    );
    let page = world.get(&deploy).await;
    assert!(page.body.contains("succeeded"), "{}", page.body);

    let settings = post("/apps/site/domains", "add=www.example.org").await;
    assert_eq!(settings, "/apps/site/settings?done=domains");
    assert!(world.get(&settings).await.body.contains("www.example.org"));
    post("/apps/site/domains", "remove=www.example.org").await;
    post("/apps/site/config", "key=GREETING&value=a%26b").await;
    assert_eq!(
        world.get("/api/v1/apps/site/config").await.json()["vars"]["GREETING"],
        "a&b"
    );
    post("/apps/site/stop", "").await;
    assert_eq!(world.get("/api/v1/apps/site").await.json()["stopped"], true);
    assert!(
        world
            .get("/apps/site")
            .await
            .body
            .contains("action=\"/apps/site/start\"")
    );
    post("/apps/site/start", "").await;
    assert_eq!(
        world.get("/api/v1/apps/site").await.json()["stopped"],
        false
    );

    let refused = world
        .ask("POST", "/apps/site/delete")
        .cookie(&cookie)
        .form("name=shop")
        .send()
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(post("/apps/site/delete", "name=site").await, "/");
    assert_eq!(world.get("/apps/site").await.status, 404);

    let made = world
        .ask("POST", "/access/tokens")
        .cookie(&cookie)
        .form("name=ci")
        .send()
        .await;
    assert!(made.body.contains("it is not shown again"), "{}", made.body);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builds_story_is_told_once_and_goes_on_where_it_broke() {
    let world = World::new().await;
    let repository = world.repository().await;
    assert!(repository.push(&["main"]).await.status.success());
    let whole = world
        .ask("GET", "/api/v1/builds/1/progress")
        .read_until("\"finished\"")
        .await;
    let first = whole.lines().find(|line| line.starts_with("id:")).unwrap();
    assert_eq!(first.trim(), "id: 1", "{whole}");
    let last = whole.lines().rfind(|line| line.starts_with("id:")).unwrap();
    let count: usize = last[3..].trim().parse().unwrap();
    assert!(count > 5, "{whole}");
    let rest = world
        .ask("GET", "/api/v1/builds/1/progress")
        .header("last-event-id", &(count - 1).to_string())
        .read_until("\"finished\"")
        .await;
    assert_eq!(rest.matches("data:").count(), 1, "{rest}");
    let live = world
        .ask("GET", "/builds/1/live?stages=0")
        .read_until("\"ended\":true")
        .await;
    assert!(
        live.contains("stage-0-log") && live.contains("&lt;script&gt;"),
        "{live}"
    );
    assert!(!live.contains("<script>"), "{live}");
    let part = world
        .ask("GET", "/api/v1/builds/1/stages/0/log")
        .header("range", "bytes=-9")
        .send()
        .await;
    assert_eq!((part.status, part.body.as_str()), (206, "<script>\n"));
    let lines = tokio::time::timeout(PATIENCE, world.get("/api/v1/apps/site/logs?lines=5"))
        .await
        .unwrap();
    assert_eq!(
        (lines.status, lines.header("content-type")),
        (200, "application/x-ndjson")
    );
    world.end().await;
}
