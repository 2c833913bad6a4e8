use super::*;

fn share(requests: u64, failed: u64) -> Share {
    Share { requests, failed }
}

#[test]
fn only_a_release_that_is_clearly_worse_is_bad() {
    assert_eq!(
        judge(share(1000, 0), share(40, 30)).unwrap(),
        "30 of 40 requests failed"
    );
    assert!(
        judge(share(0, 0), share(20, 20)).is_some(),
        "a release before that nobody asked counts as good"
    );
    assert_eq!(
        judge(share(1000, 0), share(19, 19)),
        None,
        "too few requests"
    );
    assert_eq!(
        judge(share(1000, 0), share(1000, 499)),
        None,
        "less than half"
    );
    assert_eq!(
        judge(share(100, 50), share(1000, 1000)),
        None,
        "the one before was no better"
    );
}

#[test]
fn unanswered_requests_failed_too() {
    let target =
        |id: &str, requests, server_errors, failures| launchway_model::route::TargetStats {
            instance: id.parse().unwrap(),
            requests,
            server_errors,
            failures,
            in_flight: 0,
        };
    let stats = ProxyStats {
        targets: vec![
            target("shop.web.v2.3", 10, 4, 5),
            target("shop.web.v1.1", 100, 0, 0),
        ],
        ..ProxyStats::default()
    };
    assert_eq!(Share::of(&stats, |id| id.release().0 == 2), share(15, 9));
}
