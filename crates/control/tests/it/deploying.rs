//! The straight path, and what follows from it: redeploy, rollback, scale, restart, stop and start.

use launchway_control::{deploys, formation, releases};
use launchway_model::api::{Progress, RollbackRequest, ScaleRequest};
use launchway_model::deploy::{DeployPhase, ReleaseState};
use launchway_model::route::Backend;
use launchway_model::{ProcessType, ReleaseNumber};

use crate::world::{World, name, spec, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_becomes_a_served_release() {
    let world = World::new().await;
    let repository = world.repository("Shop");
    repository.write("build.sh", "echo building; echo done > built");
    repository.version("one", &spec("serve"));
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    assert_eq!(outcome.serving, Some(ReleaseNumber(1)));
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    assert_eq!(
        outcome.phases(),
        [
            DeployPhase::Validate,
            DeployPhase::Start,
            DeployPhase::Ready,
            DeployPhase::Switch,
            DeployPhase::Drain
        ]
    );
    let logged = outcome
        .events
        .iter()
        .any(|event| matches!(event, Progress::Log { text, .. } if text == "building"));
    assert!(logged, "{:#?}", outcome.events);
    let route = world.proxy.table().routes.remove(0);
    assert_eq!(route.hosts, ["shop.localhost"]);
    eprintln!("a first deploy took {} ms", outcome.millis);
}
