use super::*;

fn share(requests: u64, failed: u64) -> Share {
    Share {
        requests,
        failed,
        buckets: Vec::new(),
    }
}

/// What is said after each of these looks, of requests and failures each.
fn looks(before: Share, looks: &[(u64, u64)]) -> Option<String> {
    let mut record = Record::new(&VerifySpec::default());
    let mut counted = Share::default();
    looks.iter().fold(None, |said, (requests, failed)| {
        counted = share(counted.requests + requests, counted.failed + failed);
        record.look(&before, &counted, None).or(said)
    })
}

#[test]
fn only_a_release_that_is_clearly_worse_for_some_seconds_is_bad() {
    let good = share(1000, 0);
    let reason = "32 of 40 requests failed";
    assert_eq!(
        looks(good.clone(), &[(10, 8), (10, 8), (10, 8), (10, 8)]).unwrap(),
        reason
    );
    assert_eq!(
        looks(good.clone(), &[(10, 8), (0, 0), (10, 8), (10, 8), (10, 8)]).unwrap(),
        reason,
        "silence says nothing"
    );
    assert!(
        looks(share(0, 0), &[(9, 9); 4]).is_some(),
        "a release before that nobody asked counts as good"
    );
    assert_eq!(
        looks(good.clone(), &[(500, 500), (500, 0), (500, 500), (500, 0)]),
        None,
        "it comes round"
    );
    assert_eq!(looks(good.clone(), &[(4, 4); 4]), None, "too few requests");
    assert!(looks(good.clone(), &[(4, 4); 5]).is_some());
    assert_eq!(
        looks(good.clone(), &[(100, 30); 9]),
        None,
        "thirty points are let pass"
    );
    assert!(looks(good.clone(), &[(100, 31); 9]).is_some());
    assert_eq!(
        looks(share(100, 70), &[(100, 100); 9]),
        None,
        "the one before was little better"
    );
}

#[test]
fn instances_that_stay_down_are_a_reason_and_those_that_come_back_are_not() {
    let mut record = Record::new(&VerifySpec::default());
    let mut look = |crashes| record.look(&share(0, 0), &share(0, 0), crashes);
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
    assert_eq!(share(12, 3).since(&share(10, 1)), share(2, 2));
    assert_eq!(share(5, 1).since(&share(10, 1)), share(5, 1));
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

/// So many answers, all of them in one bucket.
fn answered(requests: u64, bucket: usize) -> Share {
    let buckets = (0..DURATION_BUCKETS.len())
        .map(|place| if place >= bucket { requests } else { 0 })
        .collect();
    Share {
        requests,
        failed: 0,
        buckets,
    }
}

/// What is said of a release whose answers are all of one bucket.
fn slowness(rule: &VerifySpec, before: &Share, bucket: usize) -> Option<String> {
    let mut record = Record::new(rule);
    (1..=5).fold(None, |said, look| {
        let counted = answered(look * 10, bucket);
        record.look(before, &counted, None).or(said)
    })
}

#[test]
fn a_release_that_answers_much_more_slowly_is_bad() {
    let rule = VerifySpec {
        max_slower: 2_000,
        ..VerifySpec::default()
    };
    // 25 ms before.
    let before = answered(1000, 4);
    assert_eq!(
        slowness(&rule, &before, 7).unwrap(),
        "95% of the answers came within 250 ms, before within 25 ms"
    );
    assert_eq!(slowness(&rule, &before, 5), None, "twice is allowed");
    assert_eq!(
        slowness(&rule, &answered(1000, 0), 6),
        None,
        "100 ms are never slow"
    );
    assert_eq!(
        slowness(&rule, &answered(3, 4), 9),
        None,
        "nobody knows how it was before"
    );
    assert_eq!(
        slowness(&VerifySpec::default(), &before, 7),
        None,
        "ten times is allowed"
    );
    assert!(slowness(&VerifySpec::default(), &before, 9).is_some());
}

#[test]
fn a_stricter_rule_sees_smaller_troubles() {
    let strict = VerifySpec {
        max_errors: 5,
        ..VerifySpec::default()
    };
    let mut record = Record::new(&strict);
    let said = (1..=4).fold(None, |said, look| {
        record
            .look(&share(1000, 10), &share(look * 20, look * 2), None)
            .or(said)
    });
    assert_eq!(said.unwrap(), "8 of 80 requests failed");
}
