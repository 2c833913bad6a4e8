//! Branches, pull requests, webhooks, schedules and statuses, with real repositories and a forge of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use jiff::{Timestamp, ToSpan};
use launchway_control::triggers::{self, HookAnswer};
use launchway_control::{apps, builds, credentials};
use launchway_model::build::{Build, BuildState};
use launchway_model::credential::{Secret, SetCredential};
use launchway_model::hook::{Hook, Proof, recognise};
use launchway_model::trigger::{Branch, Forge, Forks, TriggerSettings};
use launchway_model::{AppName, ProblemKind};
use sha2::{Digest, Sha256};

use crate::world::{Repository, World, name, spec, until};

fn shop() -> AppName {
    name("shop")
}

/// A repository whose branches build, and the app that looks at it.
async fn multibranch(world: &World, change: impl FnOnce(&mut TriggerSettings)) -> Repository {
    let remote = world.repository("remote");
    remote.write("launchway.toml", "");
    remote.version("one", &spec("serve"));
    apps::create(&world.control, shop()).await.unwrap();
    let mut settings = TriggerSettings {
        remote: Some(remote.folder.display().to_string()),
        forge: Forge::Github,
        multibranch: true,
        ..TriggerSettings::default()
    };
    change(&mut settings);
    triggers::set(&world.control, &shop(), settings)
        .await
        .unwrap();
    remote
}

async fn branch(world: &World, name: &str) -> Option<Branch> {
    let all = triggers::branches(&world.control, &shop()).await.unwrap();
    all.into_iter().find(|branch| branch.name == name)
}

/// Waits until the last build of a branch has ended, and gives it.
async fn built(world: &World, name: &str) -> Build {
    until(&format!("{name} is built"), async || {
        let build = branch(world, name).await?.build?;
        let build = builds::get(&world.control, build).await.unwrap();
        matches!(build.state, BuildState::Finished { .. }).then_some(build)
    })
    .await
}

fn hmac(key: &[u8], body: &[u8]) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
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

fn github(event: &str, delivery: &str, secret: &str, body: &str) -> Hook {
    let signature = format!("sha256={}", hmac(secret.as_bytes(), body.as_bytes()));
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", &signature),
    ];
    recognise(|name| {
        headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

fn pull_request(number: u32, action: &str, head: &str, updated: &str) -> String {
    format!(
        r#"{{"action":"{action}","number":{number},"pull_request":{{"number":{number},"title":"Cart","html_url":"https://git.example/pull/{number}",
        "state":"{}","updated_at":"{updated}","user":{{"login":"ada"}},"head":{{"ref":"cart","repo":{{"full_name":"{head}"}}}},
        "base":{{"ref":"main","repo":{{"full_name":"team/shop"}}}}}}}}"#,
        if action == "closed" { "closed" } else { "open" }
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_branch_with_a_pipeline_builds_once_and_goes_with_its_branch() {
    let world = World::new().await;
    let remote = multibranch(&world, |settings| settings.exclude = vec!["wip/*".into()]).await;
    remote.git(&["tag", "v0"]);
    remote.git(&["checkout", "-q", "-b", "feature/cart"]);
    remote.version("cart", &spec("serve"));
    remote.git(&["branch", "wip/x"]);
    remote.git(&["checkout", "-q", "-b", "plain"]);
    remote.git(&["rm", "-q", "launchway.toml"]);
    remote.commit("no pipeline");
    // The branch that HEAD is on is the app's own.
    remote.git(&["checkout", "-q", "main"]);
    let looked = triggers::look_now(&world.control, &shop()).await.unwrap();
    let mut queued: Vec<&str> = looked
        .queued
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    queued.sort_unstable();
    assert_eq!(queued, ["feature/cart", "main"]);
    let main = built(&world, "main").await;
    assert!(main.request.deploy);
    let cart = built(&world, "feature/cart").await;
    assert!(!cart.request.deploy);
    assert_eq!(cart.request.cause, "poll");
    let skipped = async |name| branch(&world, name).await.unwrap().skipped.unwrap();
    assert_eq!(
        skipped("plain").await,
        "it has neither a Jenkinsfile nor a launchway.toml"
    );
    assert_eq!(skipped("wip/x").await, "a pattern excludes it");
    assert_eq!(skipped("v0").await, "it was there before Launchway looked");
    // Nothing new: nothing is built again.
    let again = triggers::look_now(&world.control, &shop()).await.unwrap();
    assert_eq!(again.queued, []);
    // A new tag is built, a new commit too, and what is gone goes.
    remote.git(&["checkout", "-q", "feature/cart"]);
    let head = remote.commit("more");
    remote.git(&["tag", "-a", "v1", "-m", "one", "main"]);
    remote.git(&["branch", "-D", "plain"]);
    let third = triggers::look_now(&world.control, &shop()).await.unwrap();
    let mut queued: Vec<&str> = third.queued.iter().map(|(name, _)| name.as_str()).collect();
    queued.sort_unstable();
    assert_eq!(queued, ["feature/cart", "v1"]);
    assert_eq!(third.gone, ["plain"]);
    assert!(branch(&world, "plain").await.is_none());
    let cart_again = built(&world, "feature/cart").await;
    assert_eq!(cart_again.request.commit, head);
    assert_eq!(
        cart_again.request.origin.previous.as_ref(),
        Some(&cart.request.commit)
    );
    let tag = built(&world, "v1").await;
    assert_eq!(tag.request.origin.tag.as_deref(), Some("v1"));
    assert_eq!(tag.request.commit, main.request.commit);
    // A remote that cannot be read sweeps nothing, and says why.
    std::fs::rename(&remote.folder, world.folder.path().join("away")).unwrap();
    assert!(triggers::look_now(&world.control, &shop()).await.is_err());
    assert!(branch(&world, "main").await.is_some());
    let shown = triggers::get(&world.control, &shop()).await.unwrap();
    assert!(shown.trouble.unwrap().contains("cannot be fetched"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_proved_counted_once_and_acted_on() {
    let world = World::new().await;
    let remote = multibranch(&world, |_| {}).await;
    let control = &world.control;
    let secret = triggers::new_secret(control, &shop()).await.unwrap().secret;
    let push =
        r#"{"ref":"refs/heads/main","repository":{"clone_url":"https://evil.example/x.git"}}"#;
    let hook = github("push", "d1", &secret, push);
    let take = async |hook: &Hook, body: &str| {
        triggers::take_hook(control, &shop(), hook, body.as_bytes()).await
    };
    assert_eq!(take(&hook, push).await.unwrap(), HookAnswer::Accepted);
    assert_eq!(take(&hook, push).await.unwrap(), HookAnswer::Duplicate);
    let main = built(&world, "main").await;
    assert_eq!(main.request.cause, "webhook");
    // Wrong proofs, and apps that are not there, look the same.
    for proof in [
        Proof::Missing,
        Proof::Hmac("0".repeat(64)),
        Proof::Token("x".into()),
    ] {
        let forged = Hook {
            proof,
            ..hook.clone()
        };
        let problem = take(&forged, push).await.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Unauthenticated);
        let nobody = triggers::take_hook(control, &name("nobody"), &forged, push.as_bytes()).await;
        assert_eq!(nobody.unwrap_err(), problem);
    }
    assert_eq!(
        take(&hook, &push.replace("main", "other"))
            .await
            .unwrap_err()
            .kind,
        ProblemKind::Unauthenticated
    );
    let ping = github("ping", "d2", &secret, "{}");
    assert_eq!(
        take(&ping, "{}").await.unwrap(),
        HookAnswer::Nothing("pong")
    );
    let bad = github("push", "d3", &secret, "{");
    assert_eq!(
        take(&bad, "{").await.unwrap_err().kind,
        ProblemKind::Invalid
    );
    // A signed time that is too old.
    let stale = Hook {
        forge: Forge::Gitlab,
        event: "Push Hook".into(),
        delivery: Some("m1".into()),
        proof: Proof::Signed {
            id: "m1".into(),
            timestamp: "1000000000".into(),
            signatures: {
                use base64::Engine as _;
                let signed = format!("m1.1000000000.{push}");
                let hex = hmac(secret.as_bytes(), signed.as_bytes());
                let bytes: Vec<u8> = (0..32)
                    .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                    .collect();
                format!(
                    "v1,{}",
                    base64::engine::general_purpose::STANDARD.encode(bytes)
                )
            },
        },
    };
    assert!(
        take(&stale, push)
            .await
            .unwrap_err()
            .message
            .contains("five minutes")
    );
    // GitLab's plain token.
    remote.commit("two");
    let gitlab = Hook {
        forge: Forge::Gitlab,
        event: "Push Hook".into(),
        delivery: Some("g1".into()),
        proof: Proof::Token(secret.clone()),
    };
    let body = r#"{"object_kind":"push","ref":"refs/heads/main","after":"x"}"#;
    assert_eq!(take(&gitlab, body).await.unwrap(), HookAnswer::Accepted);
    until("the second commit is built", async || {
        (built(&world, "main").await.request.commit != main.request.commit).then_some(())
    })
    .await;
    let deliveries = triggers::deliveries(control, &shop(), 10).await.unwrap();
    assert_eq!(deliveries.len(), 3);
    until("the deliveries are done", async || {
        let all = triggers::deliveries(control, &shop(), 10).await.unwrap();
        all.iter().all(|one| one.outcome != "waits").then_some(())
    })
    .await;
    // A new secret makes the old one worthless.
    triggers::new_secret(control, &shop()).await.unwrap();
    assert!(
        take(&github("push", "d9", &secret, push), push)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_requests_build_with_their_data_and_forks_get_nothing() {
    let world = World::new().await;
    let remote = multibranch(&world, |_| {}).await;
    let control = &world.control;
    let secret = triggers::new_secret(control, &shop()).await.unwrap().secret;
    credentials::set(
        control,
        SetCredential {
            id: "token".parse().unwrap(),
            app: Some(shop()),
            branches: vec![],
            description: String::new(),
            secret: Secret::String {
                text: "sentinel-fork-7731".into(),
            },
            short: false,
        },
    )
    .await
    .unwrap();
    triggers::look_now(control, &shop()).await.unwrap();
    let main = built(&world, "main").await;
    remote.git(&["checkout", "-q", "-b", "cart"]);
    remote.write("build.sh", "env | grep -c CREDENTIAL_TOKEN > count || true");
    let head = remote.version("cart", &spec("serve"));
    remote.git(&["update-ref", "refs/pull/12/head", &head]);
    remote.git(&["update-ref", "refs/pull/13/head", &head]);
    remote.git(&["checkout", "-q", "main"]);
    let tell = async |delivery: &str, body: String| {
        let hook = github("pull_request", delivery, &secret, &body);
        triggers::take_hook(control, &shop(), &hook, body.as_bytes())
            .await
            .unwrap()
    };
    let opened = pull_request(12, "opened", "team/shop", "2026-01-01T00:00:00Z");
    assert_eq!(tell("p1", opened.clone()).await, HookAnswer::Accepted);
    let own = built(&world, "PR-12").await;
    let change = own.request.origin.change.clone().unwrap();
    assert_eq!(
        (
            change.id.as_str(),
            change.target.as_str(),
            change.author.as_str()
        ),
        ("12", "main", "ada")
    );
    assert_eq!(
        own.request.origin.previous,
        Some(main.request.commit.clone())
    );
    let count = |build: &Build| {
        let tree = world.settings.home.tree(&shop(), build.id);
        std::fs::read_to_string(tree.join("count"))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(count(&own), "1");
    // The same body under another id is a replay.
    assert_eq!(tell("p2", opened.clone()).await, HookAnswer::Duplicate);
    // A fork is listed, not built, until the settings say so; then it is built without anything.
    let fork = pull_request(13, "opened", "mallory/shop", "2026-01-02T00:00:00Z");
    tell("p3", fork).await;
    let listed = until("the fork is listed", async || branch(&world, "PR-13").await).await;
    assert_eq!(
        listed.skipped.as_deref(),
        Some("pull requests of forks are not built")
    );
    assert_eq!(listed.build, None);
    let mut settings = triggers::get(control, &shop()).await.unwrap().settings;
    settings.forks = Forks::WithoutCredentials;
    triggers::set(control, &shop(), settings).await.unwrap();
    triggers::look_now(control, &shop()).await.unwrap();
    let foreign = built(&world, "PR-13").await;
    assert!(foreign.request.origin.is_foreign());
    assert_eq!(count(&foreign), "0");
    // Closed, and an event from before the end changes nothing.
    tell(
        "p4",
        pull_request(12, "closed", "team/shop", "2026-01-03T00:00:00Z"),
    )
    .await;
    until("the pull request is gone", async || {
        branch(&world, "PR-12").await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_serves_under_its_own_name_and_goes_with_its_branch() {
    let world = World::new().await;
    let remote = multibranch(&world, |settings| {
        settings.previews = vec!["cart".into()];
        settings.preview_vars = vec!["SHARED".into()];
        settings.preview_domain = Some("preview.example.org".into());
    })
    .await;
    let control = &world.control;
    let change = launchway_model::api::ConfigChange {
        set: [("SHARED", "yes"), ("DATABASE", "real")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        unset: vec![],
    };
    launchway_control::config::change(control, &shop(), change)
        .await
        .unwrap();
    triggers::look_now(control, &shop()).await.unwrap();
    built(&world, "main").await;
    remote.git(&["checkout", "-q", "-b", "cart"]);
    remote.version("cart", &spec("serve"));
    triggers::look_now(control, &shop()).await.unwrap();
    let cart = built(&world, "cart").await;
    assert_eq!(cart.request.app, name("shop-cart"));
    assert_eq!(cart.request.origin.preview_of, Some(shop()));
    world.outcome(cart.id).await.succeeded();
    assert_eq!(
        branch(&world, "cart").await.unwrap().preview,
        Some(name("shop-cart"))
    );
    let env = world.get("shop-cart", "/env").await.unwrap();
    assert!(
        env.contains("SHARED=yes") && !env.contains("DATABASE"),
        "{env}"
    );
    let preview = apps::domains(control, &name("shop-cart")).await.unwrap();
    assert_eq!(preview[0].domain, "cart.preview.example.org");
    remote.git(&["checkout", "-q", "main"]);
    remote.git(&["branch", "-D", "cart"]);
    triggers::look_now(control, &shop()).await.unwrap();
    until("the preview is gone", async || {
        apps::get(control, &name("shop-cart"))
            .await
            .is_err()
            .then_some(())
    })
    .await;
    until("its branch is gone", async || {
        branch(&world, "cart").await.is_none().then_some(())
    })
    .await;
    assert!(world.get("shop", "/").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_and_other_apps_builds_start_builds() {
    let world = World::new().await;
    let control = &world.control;
    let remote = multibranch(&world, |_| {}).await;
    // A minute from now at most; only its being due is waited for.
    remote.write(
        "triggers.json",
        r#"[{"trigger":"cron","schedule":"* * * * *"},{"trigger":"upstream","projects":["lib"]}]"#,
    );
    remote.commit("with triggers");
    triggers::look_now(control, &shop()).await.unwrap();
    let first = built(&world, "main").await;
    let shown = until("the schedule is known", async || {
        let branch = branch(&world, "main").await?;
        (!branch.triggers.is_empty()).then_some(branch)
    })
    .await;
    let next = shown.next.unwrap();
    assert!(next > Timestamp::now() && next <= Timestamp::now() + 60.seconds());
    let lib = world.repository("lib");
    lib.version("lib", &spec("serve"));
    world.deploy(&lib).await.succeeded();
    let after = until("the build after lib's", async || {
        let build = built(&world, "main").await;
        (build.id != first.id && build.request.cause == "upstream").then_some(build)
    })
    .await;
    assert_eq!(after.request.commit, first.request.commit);
    // By the clock: as after a control that was away when the minute was full.
    let store = launchway_store::Store::open(&world.settings.home.database())
        .await
        .unwrap();
    let stored = store.branches(&shop()).await.unwrap();
    let main = stored.iter().find(|one| one.branch.name == "main").unwrap();
    store
        .set_branch_checked(main, Timestamp::now() - 5.minutes())
        .await
        .unwrap();
    let settings = triggers::get(control, &shop()).await.unwrap().settings;
    triggers::set(control, &shop(), settings).await.unwrap();
    until("a build by the clock", async || {
        let all = builds::list(control, Some(&shop()), 10).await.unwrap();
        all.iter()
            .any(|build| build.request.cause == "timer")
            .then_some(())
    })
    .await;
}

/// A forge that keeps what it is told, and fails as often as it is asked to.
struct TestForge {
    address: SocketAddr,
    told: Arc<Mutex<Vec<(String, String)>>>,
    failures: Arc<Mutex<u32>>,
}

impl TestForge {
    fn start(pulls: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            told: Arc::default(),
            failures: Arc::default(),
        };
        let (told, failures) = (Arc::clone(&this.told), Arc::clone(&this.failures));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let mut connection = connection;
                loop {
                    let mut head = String::new();
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            break;
                        }
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if line == "\r\n" {
                            break;
                        }
                        head += &line;
                    }
                    if head.is_empty() {
                        break;
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let fails = {
                        let mut failures = failures.lock().unwrap();
                        let fails = *failures > 0 && head.starts_with("POST");
                        *failures -= u32::from(fails);
                        fails
                    };
                    let (status, answer) = if fails {
                        ("502 Bad Gateway", "bad token-sentinel-991")
                    } else if head.starts_with("GET") {
                        ("200 OK", pulls)
                    } else {
                        let body = String::from_utf8(body).unwrap();
                        told.lock().unwrap().push((head, body));
                        ("201 Created", "{}")
                    };
                    let _ = write!(
                        connection,
                        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}",
                        answer.len()
                    );
                }
            }
        });
        this
    }

    fn told(&self) -> Vec<(String, String)> {
        self.told.lock().unwrap().clone()
    }
}

async fn with_statuses(world: &World, forge: &TestForge, kind: Forge) -> Repository {
    let remote = multibranch(world, |_| {}).await;
    credentials::set(
        &world.control,
        SetCredential {
            id: "forge".parse().unwrap(),
            app: Some(shop()),
            branches: vec![],
            description: String::new(),
            secret: Secret::String {
                text: "token-sentinel-991".into(),
            },
            short: false,
        },
    )
    .await
    .unwrap();
    let mut settings = triggers::get(&world.control, &shop())
        .await
        .unwrap()
        .settings;
    settings.forge = kind;
    settings.status_credential = Some("forge".parse().unwrap());
    settings.api = Some(format!("http://{}/api", forge.address));
    triggers::set(&world.control, &shop(), settings)
        .await
        .unwrap();
    remote
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_told_until_the_forge_takes_it() {
    let world = World::new().await;
    let forge = TestForge::start("[]");
    let remote = with_statuses(&world, &forge, Forge::Gitlab).await;
    *forge.failures.lock().unwrap() = 2;
    remote.write("build.sh", "exit 1");
    let head = remote.commit("it fails");
    triggers::look_now(&world.control, &shop()).await.unwrap();
    built(&world, "main").await;
    let trouble = until("the failure is seen, or over", async || {
        let shown = triggers::get(&world.control, &shop()).await.unwrap();
        let last = forge.told().iter().any(|(_, body)| body.contains("failed"));
        (shown.status_trouble.is_some() || last).then_some(shown.status_trouble)
    })
    .await;
    if let Some(trouble) = trouble {
        assert!(
            trouble.contains("502") && !trouble.contains("sentinel"),
            "{trouble}"
        );
    }
    until("the last state is told", async || {
        forge
            .told()
            .iter()
            .any(|(_, body)| body.contains("\"state\":\"failed\""))
            .then_some(())
    })
    .await;
    let told = forge.told();
    let (request, body) = told.last().unwrap();
    assert!(request.contains(&format!("/statuses/{head} ")), "{request}");
    assert!(
        request
            .to_lowercase()
            .contains("private-token: token-sentinel-991")
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["name"], "launchway/shop");
    assert_eq!(body["ref"], "main");
    assert!(body["target_url"].as_str().unwrap().contains("/builds/"));
    until("nothing waits", async || {
        let shown = triggers::get(&world.control, &shop()).await.unwrap();
        (shown.statuses_waiting == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_pull_requests_are_found_by_polling_too() {
    let world = World::new().await;
    let forge = TestForge::start(
        r#"[{"number":5,"title":"A","html_url":"u","state":"open","user":{"login":"ada"},
        "head":{"ref":"x","repo":{"full_name":"team/shop"}},"base":{"ref":"main","repo":{"full_name":"team/shop"}}}]"#,
    );
    let remote = with_statuses(&world, &forge, Forge::Gitea).await;
    remote.git(&["checkout", "-q", "-b", "x"]);
    let head = remote.commit("x");
    remote.git(&["update-ref", "refs/pull/5/head", &head]);
    triggers::look_now(&world.control, &shop()).await.unwrap();
    let build = built(&world, "PR-5").await;
    assert_eq!(build.request.commit, head);
    until("success is told", async || {
        let told = forge.told();
        told.iter()
            .any(|(head, body)| {
                head.contains("authorization: token token-sentinel-991")
                    && body.contains("\"state\":\"success\"")
            })
            .then_some(())
    })
    .await;
}
