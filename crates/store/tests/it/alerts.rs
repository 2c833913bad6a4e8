//! Alerts are raised once, changed while open, ended, and counted.

use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_store::{Raised, Which};

use super::{fixture, name, now};

fn full(percent: u32) -> NewAlert {
    NewAlert::new(
        "disk",
        "/",
        AlertSeverity::Warning,
        format!("{percent} % of the disk are used"),
    )
    .detail("percent", percent)
}

#[tokio::test]
async fn an_open_alert_is_not_raised_again() {
    let f = fixture().await;
    assert_eq!(f.store.alert_revision().await.unwrap(), 0);
    let began = now();
    let Raised::New(first) = f.store.raise_alert(&full(90), began).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!(
        (first.raised_at, first.ended_at, first.revision),
        (began, None, 1)
    );
    assert_eq!(
        f.store.raise_alert(&full(90), now()).await.unwrap(),
        Raised::Same(first.clone())
    );
    let mut worse = full(97);
    worse.severity = AlertSeverity::Critical;
    let Raised::Changed(changed) = f.store.raise_alert(&worse, now()).await.unwrap() else {
        panic!("it is worse")
    };
    assert_eq!(
        (
            changed.id,
            changed.raised_at,
            changed.revision,
            changed.severity
        ),
        (first.id, began, 2, AlertSeverity::Critical)
    );
    assert_eq!(changed.details["percent"], 97);
    let over = f
        .store
        .end_alert("disk", "/", now())
        .await
        .unwrap()
        .unwrap();
    assert!(!over.is_open());
    assert_eq!(f.store.end_alert("disk", "/", now()).await.unwrap(), None);
    let Raised::New(again) = f.store.raise_alert(&full(91), now()).await.unwrap() else {
        panic!("the one before is over")
    };
    assert_ne!(again.id, first.id);
    let ids = |which| {
        let store = f.store.clone();
        async move {
            let alerts = store.alerts(which, None, 10).await.unwrap();
            alerts.into_iter().map(|alert| alert.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(Which::Open).await, [again.id]);
    assert_eq!(ids(Which::All).await, [again.id, first.id]);
    let since = f.store.alerts_since(2, 10).await.unwrap();
    let revisions: Vec<_> = since.iter().map(|a| (a.id, a.revision)).collect();
    assert_eq!(revisions, [(first.id, 3), (again.id, 4)]);
    assert_eq!(f.store.alert_revision().await.unwrap(), 4);
}

#[tokio::test]
async fn alerts_of_an_app_go_with_it() {
    let f = fixture().await;
    let shop = name("shop");
    let alert = full(90).of(shop.clone());
    assert!(
        f.store.raise_alert(&alert, now()).await.is_err(),
        "no such app"
    );
    f.store.ensure_app(&shop, now()).await.unwrap();
    f.store.raise_alert(&alert, now()).await.unwrap();
    for (app, count) in [("shop", 1), ("other", 0)] {
        let of_app = f.store.alerts(Which::All, Some(&name(app)), 10).await;
        assert_eq!(of_app.unwrap().len(), count);
    }
    f.store.delete_app(&shop).await.unwrap();
    assert_eq!(f.store.alerts(Which::All, None, 10).await.unwrap(), []);
    assert_eq!(f.store.alert_revision().await.unwrap(), 1, "it never falls");
}

#[tokio::test]
async fn alerts_that_are_over_are_kept_within_a_number() {
    let f = fixture().await;
    for _ in 0..1005 {
        f.store.raise_alert(&full(1), now()).await.unwrap();
        f.store.end_alert("disk", "/", now()).await.unwrap();
    }
    let kept = f.store.alerts(Which::All, None, 2000).await.unwrap();
    assert_eq!(kept.len(), 1001, "a thousand before the last one's raise");
    assert_eq!(kept[0].revision, 2010);
}
