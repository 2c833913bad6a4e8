//! Where commits come from, and what is said when they cannot.

use launchway_control::{apps, builds, source};
use launchway_model::api::{DeployAccepted, DeployRequest};
use launchway_model::{Problem, ProblemKind};

use crate::world::{World, name, spec};

async fn ask(
    world: &World,
    app: Option<&str>,
    source: Option<&str>,
    branch: Option<&str>,
    commit: Option<&str>,
) -> Result<DeployAccepted, Problem> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let request = DeployRequest {
        source: owned(source),
        branch: owned(branch),
        commit: owned(commit),
    };
    source::deploy(&world.control, app.map(name), request, "deploy").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_its_subfolder_and_a_bare_repository() {
    let world = World::new().await;
    let repository = world.repository("My Shop");
    repository.write("docs/a", "a");
    let commit = repository.version("one", &spec("serve"));
    let path = repository.folder.to_str().unwrap();
    let accepted = ask(&world, None, Some(path), None, None).await.unwrap();
    assert_eq!(
        (
            accepted.app.as_str(),
            accepted.commit,
            accepted.subject.as_str()
        ),
        ("my-shop", commit.clone(), "one")
    );
    let build = builds::get(&world.control, accepted.build).await.unwrap();
    assert_eq!(build.request.author, "Ada <ada@example.org>");
    assert_eq!(build.request.branch.as_deref(), Some("main"));
    let subfolder = format!("{path}/docs");
    assert_eq!(
        ask(&world, None, Some(&subfolder), None, None)
            .await
            .unwrap()
            .app,
        name("my-shop")
    );
    let bare = world.folder.path().join("bare.git");
    repository.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let accepted = ask(&world, None, bare.to_str(), None, None).await.unwrap();
    assert_eq!(
        (accepted.app.as_str(), accepted.commit),
        ("bare", commit.clone())
    );
    let url = format!("file://{path}");
    assert_eq!(
        ask(&world, Some("named"), Some(&url), None, None)
            .await
            .unwrap()
            .commit,
        commit
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_and_commits() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let first = repository.version("one", &spec("serve"));
    let second = repository.version("two", &spec("serve"));
    repository.git(&["checkout", "--quiet", "-b", "feature/cart", &first]);
    let third = repository.version("three", &spec("serve"));
    repository.git(&["checkout", "--quiet", "main"]);
    let path = repository.folder.to_str();
    let commit = async |branch, commit| {
        ask(&world, Some("shop"), path, branch, commit)
            .await
            .map(|accepted| accepted.commit)
    };
    assert_eq!(commit(None, None).await.unwrap(), second);
    assert_eq!(commit(Some("feature/cart"), None).await.unwrap(), third);
    assert_eq!(commit(None, Some(&first)).await.unwrap(), first);
    assert_eq!(
        commit(None, Some(&first[..8])).await.unwrap(),
        first,
        "an abbreviation"
    );
    // A commit that is on another branch than the one that is deployed.
    assert_eq!(commit(None, Some(&third[..10])).await.unwrap(), third);
    repository.git(&["checkout", "--quiet", "--detach", &first]);
    assert_eq!(
        commit(None, None).await.unwrap(),
        first,
        "a HEAD without a branch"
    );
    let problem = commit(Some("featur/cart"), None).await.unwrap_err();
    assert_eq!(problem.kind, ProblemKind::NotFound);
    assert_eq!(
        problem.hint.as_deref(),
        Some("Did you mean `feature/cart`?")
    );
    let problem = commit(Some("zzz"), None).await.unwrap_err();
    assert_eq!(
        problem.hint.as_deref(),
        Some("Its branches are feature/cart, main.")
    );
    let problem = commit(None, Some("deadbeef")).await.unwrap_err();
    assert!(
        problem
            .message
            .starts_with("there is no commit `deadbeef` in"),
        "{problem}"
    );
    for odd in ["--upload-pack=touch", "a b", "HEAD:x", ""] {
        assert_eq!(
            commit(Some(odd), None).await.unwrap_err().kind,
            ProblemKind::Invalid,
            "{odd}"
        );
        assert_eq!(
            commit(None, Some(odd)).await.unwrap_err().kind,
            ProblemKind::Invalid,
            "{odd}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_leaves_nothing_behind() {
    let world = World::new().await;
    let problem = ask(&world, None, Some("/nowhere/at/all"), None, None)
        .await
        .unwrap_err();
    assert_eq!(
        (problem.kind, problem.message.as_str()),
        (
            ProblemKind::NotFound,
            "there is no folder `/nowhere/at/all`"
        )
    );
    let plain = tempfile::tempdir().unwrap();
    let problem = ask(&world, None, plain.path().to_str(), None, None)
        .await
        .unwrap_err();
    assert!(
        problem.message.ends_with("is not a git repository"),
        "{problem}"
    );
    assert!(problem.hint.unwrap().contains("git init"));
    let empty = world.repository("empty");
    let problem = ask(&world, None, empty.folder.to_str(), None, None)
        .await
        .unwrap_err();
    assert!(problem.message.ends_with("has no commit yet"), "{problem}");
    let problem = ask(&world, None, Some("http://127.0.0.1:1/a/b.git"), None, None)
        .await
        .unwrap_err();
    assert_eq!(
        problem.message,
        "http://127.0.0.1:1/a/b.git cannot be fetched"
    );
    assert!(
        problem.causes[0].contains("127.0.0.1"),
        "git's own words: {problem:?}"
    );
    let problem = ask(
        &world,
        None,
        Some("http://user:hunter2@127.0.0.1:1/b.git"),
        None,
        None,
    )
    .await
    .unwrap_err();
    assert!(!problem.message.contains("hunter2"), "{problem}");
    let problem = ask(
        &world,
        None,
        Some("ext::sh -c touch% /tmp/pwned"),
        None,
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Invalid);
    for odd in ["ftp://x/y", "relative/path", "--help", ""] {
        assert_eq!(
            ask(&world, None, Some(odd), None, None)
                .await
                .unwrap_err()
                .kind,
            ProblemKind::Invalid,
            "{odd}"
        );
    }
    assert!(ask(&world, None, None, None, None).await.is_err());
    assert_eq!(
        ask(&world, Some("ghost"), None, None, None)
            .await
            .unwrap_err()
            .kind,
        ProblemKind::NotFound
    );
    assert!(apps::list(&world.control).await.unwrap().is_empty());
    assert_eq!(
        std::fs::read_dir(world.settings.home.root().join("repos"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_builds_and_only_the_apps_branch_is_deployed() {
    let world = World::new().await;
    let remote = source::repository(&world.control, &name("shop"))
        .await
        .unwrap();
    let problem = ask(&world, Some("shop"), None, None, None)
        .await
        .unwrap_err();
    assert!(
        problem
            .message
            .contains("there is no branch `main` in what was pushed"),
        "{problem}"
    );
    let repository = world.repository("work");
    let first = repository.version("one", &spec("serve"));
    repository.git(&["push", "--quiet", remote.to_str().unwrap(), "main"]);
    let accepted = source::pushed(&world.control, &name("shop"), "main", &first)
        .await
        .unwrap();
    world.outcome(accepted.build).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    repository.git(&["checkout", "--quiet", "-b", "feature"]);
    let second = repository.version("two", &spec("serve"));
    repository.git(&["push", "--quiet", remote.to_str().unwrap(), "feature"]);
    let accepted = source::pushed(&world.control, &name("shop"), "feature", &second)
        .await
        .unwrap();
    world.outcome(accepted.build).await.succeeded();
    assert_eq!(
        world.get("shop", "/").await.unwrap(),
        "one",
        "another branch is built alone"
    );
    let accepted = ask(&world, Some("shop"), None, Some("feature"), None)
        .await
        .unwrap();
    world.outcome(accepted.build).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    assert_eq!(
        apps::get(&world.control, &name("shop"))
            .await
            .unwrap()
            .branch,
        "main"
    );
    assert!(
        source::pushed(&world.control, &name("shop"), "main", &"0".repeat(40))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_deployed_and_taken_back_stands_in_no_pushs_way() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let first = repository.version("one", &spec("serve"));
    repository.version("two", &spec("serve"));
    let path = repository.folder.to_str();
    let deployed = ask(&world, Some("shop"), path, None, None).await.unwrap();
    world.outcome(deployed.build).await.succeeded();
    let again = ask(&world, Some("shop"), None, None, None).await.unwrap();
    assert_eq!(again.commit, deployed.commit, "the newest known commit");
    world.outcome(again.build).await.succeeded();
    repository.git(&["reset", "--quiet", "--hard", &first]);
    let third = repository.version("three", &spec("serve"));
    let remote = source::repository(&world.control, &name("shop"))
        .await
        .unwrap();
    repository.git(&["push", "--quiet", remote.to_str().unwrap(), "main"]);
    let pushed = source::pushed(&world.control, &name("shop"), "main", &third)
        .await
        .unwrap();
    world.outcome(pushed.build).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "three");
    // `feature` after `feature/cart`: git itself could not keep both as branches.
    for branch in ["feature/cart", "feature"] {
        repository.git(&["checkout", "--quiet", "-b", branch]);
        ask(&world, Some("shop"), path, Some(branch), None)
            .await
            .unwrap();
        repository.git(&["checkout", "--quiet", "main"]);
        repository.git(&["branch", "--quiet", "-D", branch]);
    }
}
