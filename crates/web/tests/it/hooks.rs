//! Webhooks over HTTP, and the pages and API of credentials and branches.

use std::io::{BufRead, BufReader, Write};

use sha2::{Digest, Sha256};

use crate::world::World;

fn signature(key: &str, body: &str) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key.as_bytes());
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(body)
        .finalize();
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize();
    format!("{outer:x}")
}

/// The answer to a webhook that announces a body and sends none of it.
fn announced(url: &str, path: &str, length: usize) -> String {
    let address = url.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-gitea-event: push\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).unwrap();
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_needs_no_token_but_the_secret() {
    let world = World::new().await;
    let made = world.ask("POST", "/api/v1/apps").body(r#"{"name":"shop"}"#);
    assert_eq!(made.send().await.status, 201);
    let remote = world.repository().await;
    remote.commit("index.html", "hello").await;
    let settings = format!(
        r#"{{"remote":"{}","forge":"gitea"}}"#,
        remote.folder.display()
    );
    let set = world
        .ask("PUT", "/api/v1/apps/shop/triggers")
        .body(settings);
    let set = set.send().await;
    assert_eq!(set.status, 200, "{}", set.body);
    let made = world
        .ask("POST", "/api/v1/apps/shop/triggers/secret")
        .send()
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (path, secret) = (made.json()["hook"].clone(), made.json()["secret"].clone());
    let (path, secret) = (path.as_str().unwrap(), secret.as_str().unwrap());
    assert!(
        !world
            .get("/api/v1/apps/shop/triggers")
            .await
            .body
            .contains(secret)
    );
    let body = r#"{"ref":"refs/heads/main","after":"x"}"#;
    let hook = |path: &str, body: &str, key: &str| {
        world
            .ask("POST", path)
            .anonymous()
            .header("x-gitea-event", "push")
            .header("x-gitea-delivery", "d-1")
            .header("x-gitea-signature", &signature(key, body))
            .body(body)
    };
    let forged = hook(path, body, "wrong").send().await;
    assert_eq!(forged.status, 401, "{}", forged.body);
    let nobody = hook("/hooks/nobody", body, "wrong").send().await;
    assert_eq!((nobody.status, &nobody.body), (401, &forged.body));
    let taken = hook(path, body, secret).send().await;
    assert_eq!(taken.status, 202, "{}", taken.body);
    let again = hook(path, body, secret).send().await;
    assert_eq!(
        (again.status, again.json()["outcome"].as_str()),
        (200, Some("it came before"))
    );
    assert_eq!(hook(path, "{", secret).send().await.status, 400);
    assert!(
        announced(&world.url, path, (4 << 20) + 1).starts_with("HTTP/1.1 413"),
        "a body that is announced as too large is not waited for"
    );
    let none = world.ask("POST", path).anonymous().body(body).send().await;
    assert_eq!(none.status, 400, "{}", none.body);
    let page = world.log_in().await;
    let page = world
        .ask("GET", "/apps/shop/branches")
        .anonymous()
        .cookie(&page)
        .send()
        .await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("Webhooks") && !page.body.contains(secret));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_goes_in_and_never_comes_out() {
    let world = World::new().await;
    let body = r#"{"id":"registry","secret":{"kind":"usernamePassword","username":"ada","password":"sentinel-81c3"}}"#;
    let set = world
        .ask("PUT", "/api/v1/credentials")
        .body(body)
        .send()
        .await;
    assert_eq!(set.status, 200, "{}", set.body);
    let listed = world.get("/api/v1/credentials").await;
    assert_eq!(listed.json()[0]["public"], "ada");
    let cookie = world.log_in().await;
    let page = || world.ask("GET", "/credentials").anonymous().cookie(&cookie);
    let shown = page().send().await;
    assert!(shown.body.contains("registry"), "{}", shown.body);
    for answer in [&set, &listed, &shown] {
        assert!(!answer.body.contains("sentinel"), "{}", answer.body);
    }
    let form = world
        .ask("POST", "/credentials")
        .anonymous()
        .cookie(&cookie)
        .form("id=api&secret=sentinel-92d4&branches=main+release%2F*");
    assert_eq!(form.send().await.status, 303);
    let listed = world.get("/api/v1/credentials").await;
    assert_eq!(listed.json()[0]["branches"][1], "release/*");
    // A wrong field's error does not quote the request.
    let wrong = r#"{"id":"x","secret":{"kind":"string","txet":"sentinel-a3e5"}}"#;
    let wrong = world
        .ask("PUT", "/api/v1/credentials")
        .body(wrong)
        .send()
        .await;
    assert_eq!(wrong.status, 400);
    assert!(!wrong.body.contains("sentinel"), "{}", wrong.body);
    let rotated = world
        .ask("POST", "/api/v1/credentials/rotate-key")
        .send()
        .await;
    assert_eq!(rotated.json()["secrets"], 2, "{}", rotated.body);
    let gone = world
        .ask("POST", "/api/v1/credentials/remove")
        .body(r#"{"id":"registry"}"#);
    assert_eq!(gone.send().await.status, 204);
    world.end().await;
}
