//! What an app cannot reach of Launchway and of its neighbours.

use std::time::Duration;

use launchway_control::oneoff;
use launchway_model::api::{RunOutput, RunRequest};
use launchway_supervisor::sandbox;

use crate::world::{World, name, spec};

/// Longer than any command here takes, on a machine busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_sees_its_own_folders_and_nothing_else_of_the_home() {
    if !sandbox::abilities().can_mount() {
        println!("skipped: this host allows no mount namespaces");
        return;
    }
    let world = World::new().await;
    for app in ["shop", "blog"] {
        let repository = world.repository(app);
        repository.version(app, &spec("serve"));
        world.deploy(&repository).await.succeeded();
    }
    let home = world.control.settings().home.clone();
    let readable = async |path: &std::path::Path| {
        let command = ["test", "-r", path.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec();
        let mut output = oneoff::run(&world.control, &name("shop"), RunRequest { command })
            .await
            .unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, output.recv())
                .await
                .unwrap()
                .unwrap()
            {
                RunOutput::Line { .. } => {}
                RunOutput::Exited { code } => return code == 0,
            }
        }
    };
    for own in [home.app_home(&name("shop")), home.trees(&name("shop"))] {
        assert!(readable(&own).await, "{}", own.display());
    }
    for hidden in [
        home.database(),
        home.secrets_key(),
        home.client_file(),
        home.app(&name("blog")),
        home.trees(&name("blog")),
        home.repository(&name("shop")),
    ] {
        assert!(
            hidden.exists(),
            "{} is there to be hidden",
            hidden.display()
        );
        assert!(
            !readable(&hidden).await,
            "{} can be read by an app",
            hidden.display()
        );
    }
    // And both still serve.
    assert_eq!(world.get("shop", "/").await.unwrap(), "shop");
    assert_eq!(world.get("blog", "/").await.unwrap(), "blog");
}
