//! Credentials: encrypted, scoped, rotated, and never where they should not be.

use std::path::Path;

use launchway_control::{config, credentials};
use launchway_model::api::ConfigChange;
use launchway_model::credential::{RemoveCredential, Secret, SetCredential};

use crate::world::{World, name, spec};

const SENTINEL: &str = "sentinel-6d1f0c5b9e";

fn text(id: &str, app: Option<&str>, branches: &[&str], secret: &str) -> SetCredential {
    SetCredential {
        id: id.parse().unwrap(),
        app: app.map(name),
        branches: branches.iter().map(|branch| (*branch).to_owned()).collect(),
        description: "for tests".into(),
        secret: Secret::String {
            text: secret.to_owned(),
        },
        short: false,
    }
}

/// Every file below a folder that holds a text.
pub(crate) fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holding(&path, text));
        } else if kind.is_file() {
            let content = std::fs::read(&path).unwrap_or_default();
            if content
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Builds `shop` once with a script that keeps what it was given, and gives that.
async fn given(world: &World, branch: &str) -> String {
    let repository = world.repository("shop");
    repository.write(
        "build.sh",
        "env | grep -E '^(CREDENTIAL|CONFIGURED)' | sort | sed 's/.*\"text\":\"//; s/\"}//' > given; cp given \"$LAUNCHWAY_BUILD_FOLDER/given\" 2>/dev/null || true; cat given | tr 'a-z' 'n-za-m'",
    );
    repository.version("one", &spec("serve"));
    if branch != "main" {
        repository.git(&["checkout", "-q", "-B", branch]);
    }
    let accepted = world.request(&repository).await.unwrap();
    world.outcome(accepted.build).await;
    let tree = world.settings.home.tree(&name("shop"), accepted.build);
    std::fs::read_to_string(tree.join("given")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nearest_credential_is_given_and_no_file_of_controls_own_holds_it() {
    let world = World::new().await;
    world.repository("shop");
    launchway_control::apps::create(&world.control, name("shop"))
        .await
        .unwrap();
    let set = async |request| credentials::set(&world.control, request).await.unwrap();
    set(text("a", None, &[], "for-all-apps")).await;
    set(text("a", Some("shop"), &[], SENTINEL)).await;
    set(text("b", None, &[], "b-for-all")).await;
    set(text("b", None, &["main"], "b-for-main")).await;
    set(text("c", Some("shop"), &["release/*"], "c-for-releases")).await;
    let change = ConfigChange {
        set: [("CONFIGURED".to_owned(), "sentinel-config-5521".to_owned())].into(),
        unset: vec![],
    };
    config::change(&world.control, &name("shop"), change)
        .await
        .unwrap();
    let main = given(&world, "main").await;
    assert_eq!(
        main,
        format!("CONFIGURED=sentinel-config-5521\n{SENTINEL}\nb-for-main\n")
    );
    let release = given(&world, "release/1").await;
    assert!(
        release.contains("b-for-all") && release.contains("c-for-releases"),
        "{release}"
    );
    // All but the build's own output: the database with its log, jobs, spools, logs.
    let home = world.settings.home.root();
    for secret in [SENTINEL, "sentinel-config-5521", "b-for-main"] {
        let found: Vec<String> = holding(home, secret)
            .into_iter()
            .filter(|path| !path.ends_with("/given") && !path.contains("/instances/"))
            .collect();
        assert_eq!(found, [] as [String; 0]);
    }
    let listed = credentials::list(&world.control, Some(&name("shop")))
        .await
        .unwrap();
    assert_eq!(listed.len(), 5);
    assert!(!serde_json::to_string(&listed).unwrap().contains("sentinel"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_changed_and_everything_stays_readable() {
    let mut world = World::new().await;
    let app = name("shop");
    launchway_control::apps::create(&world.control, app.clone())
        .await
        .unwrap();
    credentials::set(&world.control, text("a", Some("shop"), &[], SENTINEL))
        .await
        .unwrap();
    let change = ConfigChange {
        set: [("K".to_owned(), "configured".to_owned())].into(),
        unset: vec![],
    };
    config::change(&world.control, &app, change).await.unwrap();
    launchway_control::triggers::new_secret(&world.control, &app)
        .await
        .unwrap();
    let key = world.settings.home.secrets_key();
    let before = std::fs::read(&key).unwrap();
    let done = credentials::rotate_key(&world.control).await.unwrap();
    assert_eq!(done.secrets, 3);
    let after = std::fs::read(&key).unwrap();
    assert_eq!((before.len(), after.len()), (32, 32));
    assert_ne!(before, after);
    let vars = config::get(&world.control, &app).await.unwrap().vars;
    assert_eq!(vars["K"], "configured");
    // As a crash in the middle leaves it: the old key is still beside the new one.
    world.end_control().await;
    let fresh = [7_u8; 32];
    std::fs::write(&key, [fresh.as_slice(), &after].concat()).unwrap();
    world.open_again().await;
    assert_eq!(std::fs::read(&key).unwrap(), fresh);
    let vars = config::get(&world.control, &app).await.unwrap().vars;
    assert_eq!(vars["K"], "configured");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_cannot_be_hidden_or_used_is_refused() {
    let world = World::new().await;
    let refused = async |request: SetCredential| {
        credentials::set(&world.control, request)
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(
        refused(text("a", None, &[], "abc"))
            .await
            .contains("cannot be kept out of logs")
    );
    assert!(
        refused(text("a", None, &[], "12345"))
            .await
            .contains("only 5 bytes")
    );
    let mut short = text("a", None, &[], "12345");
    short.short = true;
    credentials::set(&world.control, short).await.unwrap();
    assert!(
        refused(text("a", Some("nope"), &[], SENTINEL))
            .await
            .contains("no app")
    );
    let mut key = text("k", None, &[], "x");
    key.secret = Secret::SshUserPrivateKey {
        username: String::new(),
        key: "ssh-ed25519 AAAA".into(),
        passphrase: None,
    };
    assert!(refused(key).await.contains("not a private key"));
    let mut file = text("f", None, &[], "x");
    file.secret = Secret::File {
        name: "a/b".into(),
        content: "eA==".into(),
    };
    assert!(refused(file).await.contains("not a file's name"));
    let gone = RemoveCredential {
        id: "a".parse().unwrap(),
        app: None,
        branches: vec!["main".into()],
    };
    let problem = credentials::remove(&world.control, &gone)
        .await
        .unwrap_err();
    assert_eq!(
        problem.hint.as_deref(),
        Some("There is one for all apps and all branches.")
    );
    let right = RemoveCredential {
        branches: vec![],
        ..gone
    };
    credentials::remove(&world.control, &right).await.unwrap();
}
