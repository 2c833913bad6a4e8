//! Who may do what: tokens, login links, sessions, other sites.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_needs_a_token() {
    let world = World::new().await;
    let answer = world.ask("GET", "/api/v1/apps").anonymous().send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["kind"], "unauthenticated");
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    let wrong = world.ask("GET", "/api/v1/apps").anonymous();
    assert_eq!(
        wrong
            .header("authorization", "Bearer nonsense")
            .send()
            .await
            .status,
        401
    );
    assert_eq!(world.get("/api/v1/apps").await.status, 200);
    assert_eq!(
        world.ask("GET", "/healthz").anonymous().send().await.body,
        "ok\n"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_shown_once_and_revoked() {
    let world = World::new().await;
    let made = world
        .ask("POST", "/api/v1/tokens")
        .body(r#"{"name":"ci"}"#)
        .send()
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let by_it = || {
        world
            .ask("GET", "/api/v1/status")
            .anonymous()
            .header("authorization", &bearer)
    };
    assert_eq!(by_it().send().await.status, 200);
    let listed = world.get("/api/v1/tokens").await;
    assert!(
        listed.body.contains("\"ci\"") && !listed.body.contains(&token),
        "{}",
        listed.body
    );
    let path = format!("/api/v1/tokens/{}", made.json()["id"]);
    assert_eq!(world.ask("DELETE", &path).send().await.status, 204);
    assert_eq!(by_it().send().await.status, 401);
    assert_eq!(world.ask("DELETE", &path).send().await.status, 404);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_link_works_once_and_its_session_until_the_logout() {
    let world = World::new().await;
    let link = world.ask("POST", "/api/v1/login-links").send().await.json();
    let path = link["url"]
        .as_str()
        .unwrap()
        .strip_prefix(&world.url)
        .unwrap()
        .to_owned();
    let first = world.ask("GET", &path).anonymous().send().await;
    assert_eq!((first.status, first.header("location")), (303, "/"));
    let cookie = first.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let second = world.ask("GET", &path).anonymous().send().await;
    assert_eq!(second.status, 401);
    assert!(second.body.contains("used already"), "{}", second.body);
    // Who is logged in by it already may open it again.
    assert_eq!(
        world.ask("GET", &path).cookie(cookie).send().await.status,
        303
    );
    assert_eq!(
        world.ask("GET", "/").cookie(cookie).send().await.status,
        200
    );
    assert_eq!(
        world
            .ask("GET", "/api/v1/apps")
            .cookie(cookie)
            .send()
            .await
            .status,
        200
    );
    let out = world
        .ask("POST", "/logout")
        .cookie(cookie)
        .form("")
        .send()
        .await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let after = world.ask("GET", "/").cookie(cookie).send().await;
    assert_eq!((after.status, after.header("location")), (303, "/login"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_logs_a_browser_in_and_leads_back() {
    let world = World::new().await;
    let away = world
        .ask("GET", "/apps/shop/logs?process=web")
        .anonymous()
        .send()
        .await;
    assert_eq!(
        away.header("location"),
        "/login?next=/apps/shop/logs%3Fprocess%3Dweb"
    );
    let page = world
        .ask("GET", away.header("location"))
        .anonymous()
        .send()
        .await;
    assert!(
        page.body
            .contains("name=\"next\" value=\"/apps/shop/logs?process=web\""),
        "{}",
        page.body
    );
    let fields = format!("token={}&next=/apps/shop/logs", world.token);
    let entered = world
        .ask("POST", "/login")
        .anonymous()
        .form(&fields)
        .send()
        .await;
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, "/apps/shop/logs")
    );
    let wrong = world
        .ask("POST", "/login")
        .anonymous()
        .form("token=x&next=//evil")
        .send()
        .await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.body.contains("This token is not valid."),
        "{}",
        wrong.body
    );
    assert!(wrong.body.contains("name=\"next\" value=\"/\""));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_use_a_browsers_session() {
    let world = World::new().await;
    let cookie = world.log_in().await;
    let post = |path: &str| {
        world
            .ask("POST", path)
            .cookie(&cookie)
            .body(r#"{"name":"evil"}"#)
    };
    for path in ["/api/v1/apps", "/access/tokens", "/logout"] {
        let cross = post(path)
            .header("sec-fetch-site", "cross-site")
            .send()
            .await;
        assert_eq!(cross.status, 401, "{path}");
        let foreign = post(path)
            .header("origin", "http://evil.example")
            .send()
            .await;
        assert_eq!(foreign.status, 401, "{path}");
        // A request that says nothing of where it comes from is no browser's form of ours.
        assert_eq!(post(path).send().await.status, 401, "{path}");
    }
    let own = post("/api/v1/apps")
        .header("origin", &world.url)
        .send()
        .await;
    assert_eq!(own.status, 201, "{}", own.body);
    let apps = world.get("/api/v1/apps").await.json();
    assert_eq!(apps.as_array().unwrap().len(), 1);
    let login = world
        .ask("POST", "/login")
        .anonymous()
        .header("sec-fetch-site", "cross-site");
    let login = login
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={}", world.token));
    assert_eq!(login.send().await.status, 401);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_this_machine_or_a_token() {
    let world = World::new().await;
    world.get("/api/v1/apps").await;
    let local = world.ask("GET", "/metrics").anonymous().send().await;
    assert_eq!(local.status, 200);
    assert!(
        local.body.contains("launchway_control_http_requests_total{method=\"GET\",path=\"/api/v1/apps\",status=\"200\"} 1"),
        "{}",
        local.body
    );
    assert!(
        local
            .body
            .contains("launchway_control_http_request_duration_seconds_bucket")
    );
    assert!(
        local.body.contains("launchway_control_http_in_flight 1"),
        "{}",
        local.body
    );
    assert!(
        !local.body.contains("# EOF"),
        "that is OpenMetrics' end, not this format's"
    );
    let proxied = world
        .ask("GET", "/metrics")
        .header("x-forwarded-for", "203.0.113.9");
    assert_eq!(proxied.clone().anonymous().send().await.status, 401);
    assert_eq!(proxied.send().await.status, 200);
    world.end().await;
}
