//! `git push` as its user meets it.

use crate::world::{World, git, said};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_push_makes_the_app_and_a_broken_one_leaves_it_as_it_was() {
    let world = World::new().await;
    let repository = world.repository().await;
    let first = repository.push(&["main"]).await;
    let text = said(&first);
    assert!(first.status.success(), "{text}");
    for words in [
        "remote: -----> Build #1 of site",
        "remote:        Static files, as they are",
        "remote: -----> Build",
        "remote:        built <script>",
        "remote: -----> Release v1",
        "v1 serves at http://site.localhost:8080/",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let app = world.get("/api/v1/apps/site").await.json();
    assert_eq!(app["release"]["number"], 1);
    assert_eq!(app["branch"], "main");

    repository
        .commit("build.sh", "echo on my way; exit 1")
        .await;
    let second = repository.push(&["main"]).await;
    let text = said(&second);
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(
        text.contains("[remote rejected] main -> main (stage `Build` failed"),
        "{text}"
    );
    assert!(
        text.contains("remote:        Run `sh build.sh` yourself."),
        "{text}"
    );
    assert_eq!(
        world.get("/api/v1/apps/site").await.json()["release"]["number"],
        1
    );

    // What was refused is not in the branch: mended, it goes through.
    repository.commit("build.sh", "echo mended").await;
    let third = repository.push(&["main"]).await;
    assert!(third.status.success(), "{}", said(&third));
    let app = world.get("/api/v1/apps/site").await.json();
    assert_eq!(app["release"]["number"], 2);
    let head = repository.git(&["rev-parse", "HEAD"]).await;
    assert_eq!(app["release"]["commit"], head);

    let clone = git(
        world.folder.path(),
        &[
            "clone",
            "--quiet",
            &repository.git(&["remote", "get-url", "launchway"]).await,
            "copy",
        ],
    )
    .await;
    assert!(clone.status.success(), "{}", said(&clone));
    assert!(world.folder.path().join("copy/index.html").exists());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_is_built_and_not_deployed() {
    let world = World::new().await;
    let repository = world.repository().await;
    assert!(repository.push(&["main"]).await.status.success());
    repository
        .git(&["checkout", "--quiet", "-b", "feature"])
        .await;
    repository.commit("index.html", "<h1>Two</h1>").await;
    let output = repository.push(&["feature"]).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("Release v"), "{text}");
    assert!(
        text.contains("Built. feature is not the branch that is deployed"),
        "{text}"
    );
    let builds = world.get("/api/v1/apps/site/builds").await.json();
    assert_eq!(builds.as_array().unwrap().len(), 2);
    assert_eq!(builds[0]["request"]["branch"], "feature");
    assert_eq!(builds[0]["request"]["deploy"], false);
    assert_eq!(
        world.get("/api/v1/apps/site").await.json()["release"]["number"],
        1
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_needs_a_token_and_a_good_name() {
    let world = World::new().await;
    let repository = world.repository().await;
    let url = format!("{}/git/site.git", world.url);
    let nobody = repository.run(&["push", &url, "main"]).await;
    assert!(!nobody.status.success());
    assert!(
        said(&nobody).contains("could not read Username"),
        "{}",
        said(&nobody)
    );
    let wrong = url.replace("http://", "http://me:wrong@");
    let wrong = repository.run(&["push", &wrong, "main"]).await;
    assert_eq!(wrong.status.code(), Some(128));
    assert!(
        said(&wrong).contains("Authentication failed"),
        "{}",
        said(&wrong)
    );
    let known = url.replace("http://", &format!("http://me:{}@", world.token));
    let odd = repository
        .run(&["push", &known.replace("site.git", "My_Site.git"), "main"])
        .await;
    assert!(!odd.status.success());
    let missing = repository
        .run(&["fetch", &known.replace("site.git", "nothing.git")])
        .await;
    assert!(said(&missing).contains("not found"), "{}", said(&missing));
    // None of these made an app.
    assert_eq!(
        world
            .get("/api/v1/apps")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    world.end().await;
}
