//! Alerts wake whoever passes them on, and outlive control.

use launchway_control::alerts::{self, Which};
use launchway_model::ProblemKind;
use launchway_model::alert::{AlertSeverity, NewAlert};

use crate::world::{World, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_wakes_its_readers_once_and_outlives_control() {
    let mut world = World::new().await;
    let mut changes = alerts::changes(&world.control);
    let full = NewAlert::new("disk", "/", AlertSeverity::Critical, "the disk is full");
    let raised = alerts::raise(&world.control, full.clone()).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), raised.revision);
    assert_eq!(
        alerts::raise(&world.control, full.clone()).await.unwrap(),
        raised
    );
    assert!(
        !changes.has_changed().unwrap(),
        "nothing changed, nobody is woken"
    );
    let problem = alerts::raise(&world.control, full.of(name("nowhere")))
        .await
        .unwrap_err();
    assert_eq!(problem.kind, ProblemKind::NotFound);

    world.restart_control().await;
    let control = &world.control;
    let open = alerts::list(control, Which::Open, None, 10).await.unwrap();
    assert_eq!(open.as_slice(), std::slice::from_ref(&raised));
    let mut changes = alerts::changes(control);
    let over = alerts::clear(control, "disk", "/").await.unwrap().unwrap();
    changes.changed().await.unwrap();
    let missed = alerts::changed_since(control, raised.revision)
        .await
        .unwrap();
    assert_eq!(missed.as_slice(), std::slice::from_ref(&over));
    assert_eq!(alerts::revision(control).await.unwrap(), over.revision);
    assert_eq!(alerts::clear(control, "disk", "/").await.unwrap(), None);
}
