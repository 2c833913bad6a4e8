use super::*;

fn id() -> InstanceId {
    "shop.web.v1.1".parse().unwrap()
}

fn stats(by_class: [u64; 5], seconds: f64, requests: u64) -> ProxyStats {
    ProxyStats {
        connections: 1,
        routes: vec![RouteStats {
            route: "shop".to_owned(),
            by_class,
            in_flight: 2,
            seconds,
            buckets: Vec::new(),
        }],
        targets: vec![TargetStats {
            instance: id(),
            requests,
            server_errors: 0,
            failures: 0,
            in_flight: 0,
            buckets: Vec::new(),
        }],
    }
}

fn usage(cpu_millis: u64) -> HashMap<InstanceId, TreeUsage> {
    HashMap::from([(
        id(),
        TreeUsage {
            cpu_millis,
            ..TreeUsage::default()
        },
    )])
}

#[test]
fn rates_are_the_difference_of_two_samples() {
    let mut samples = Samples::default();
    let start = Instant::now();
    samples.add(start, usage(1000), Some(stats([0, 100, 0, 0, 0], 1.0, 100)));
    assert!(samples.traffic.is_empty(), "one sample is no rate");
    samples.add(
        start + Duration::from_secs(2),
        usage(1500),
        Some(stats([0, 130, 0, 0, 10], 3.0, 140)),
    );
    let traffic = samples.traffic["shop"];
    assert_eq!(
        (
            traffic.requests_per_second,
            traffic.error_ratio,
            traffic.in_flight
        ),
        (20.0, 0.25, 2)
    );
    assert_eq!(traffic.mean_ms, 50.0);
    assert_eq!(samples.cpu_millis[&id()], 250);
    assert_eq!(samples.requests[&id()], 20.0);
}

#[test]
fn a_restarted_proxy_counts_from_zero_and_an_absent_one_gives_no_rate() {
    let mut samples = Samples::default();
    let start = Instant::now();
    samples.add(
        start,
        HashMap::new(),
        Some(stats([0, 1000, 0, 0, 0], 9.0, 1000)),
    );
    samples.add(
        start + Duration::from_secs(1),
        HashMap::new(),
        Some(stats([0, 10, 0, 0, 0], 1.0, 10)),
    );
    assert_eq!(samples.traffic["shop"].requests_per_second, 10.0);
    samples.add(start + Duration::from_secs(2), HashMap::new(), None);
    assert!(samples.requests.is_empty());
    samples.add(
        start + Duration::from_secs(3),
        HashMap::new(),
        Some(stats([0, 30, 0, 0, 0], 1.0, 30)),
    );
    assert_eq!(samples.requests.len(), 0, "nothing to compare with");
}

#[test]
fn a_route_without_a_request_has_no_traffic() {
    let mut samples = Samples::default();
    let start = Instant::now();
    let mut none = stats([0; 5], 0.0, 0);
    none.routes[0].in_flight = 0;
    samples.add(start, HashMap::new(), Some(none.clone()));
    samples.add(start + Duration::from_secs(1), HashMap::new(), Some(none));
    assert!(samples.traffic.is_empty());
}
