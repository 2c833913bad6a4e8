use super::*;

fn share(requests: u64, failed: u64) -> Share {
    Share { requests, failed }
}

/// What is said after each of these looks, of requests and failures each.
fn looks(before: Share, looks: &[(u64, u64)]) -> Option<String> {
    let mut record = Record::default();
    let mut counted = Share::default();
    looks.iter().fold(None, |said, (requests, failed)| {
        counted = share(counted.requests + requests, counted.failed + failed);
        record.look(before, counted, None).or(said)
    })
}

#[test]
fn only_a_release_that_is_clearly_worse_for_some_seconds_is_bad() {
    let good = share(1000, 0);
    let reason = "32 of 40 requests failed";
    assert_eq!(
        looks(good, &[(10, 8), (10, 8), (10, 8), (10, 8)]).unwrap(),
        reason
    );
    assert_eq!(
        looks(good, &[(10, 8), (0, 0), (10, 8), (10, 8), (10, 8)]).unwrap(),
        reason,
        "silence says nothing"
    );
    assert!(
        looks(share(0, 0), &[(9, 9); 4]).is_some(),
        "a release before that nobody asked counts as good"
    );
    assert_eq!(
        looks(good, &[(500, 500), (500, 0), (500, 500), (500, 0)]),
        None,
        "it comes round"
    );
    assert_eq!(looks(good, &[(4, 4); 4]), None, "too few requests");
    assert!(looks(good, &[(4, 4); 5]).is_some());
    assert_eq!(looks(good, &[(100, 49); 9]), None, "less than half");
    assert_eq!(
        looks(share(100, 50), &[(100, 100); 9]),
        None,
        "the one before was no better"
    );
}

#[test]
fn instances_that_stay_down_are_a_reason_and_those_that_come_back_are_not() {
    let mut record = Record::default();
    let mut look = |crashes| record.look(share(0, 0), share(0, 0), crashes);
    assert_eq!(
        [look(Some(3)), look(Some(3)), look(Some(3)), look(None)],
        [None, None, None, None]
    );
    assert_eq!(
        [look(Some(4)), look(Some(4)), look(Some(5))],
        [None, None, None]
    );
    assert_eq!(look(Some(5)).unwrap(), "its instances crashed 5 times");
}

#[test]
fn counters_that_began_anew_are_taken_whole() {
    assert_eq!(share(12, 3).since(share(10, 1)), share(2, 2));
    assert_eq!(share(5, 1).since(share(10, 1)), share(5, 1));
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
            buckets: Vec::new(),
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
