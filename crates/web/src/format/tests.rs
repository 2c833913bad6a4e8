use super::*;

#[test]
fn durations_keep_two_figures() {
    let of = |millis| duration(Duration::from_millis(millis));
    assert_eq!(of(0), "0 ms");
    assert_eq!(of(999), "999 ms");
    assert_eq!(of(1_240), "1.2 s");
    assert_eq!(of(9_960), "10 s");
    assert_eq!(of(59_400), "59 s");
    assert_eq!(of(125_000), "2 min 5 s");
    assert_eq!(of(3_600_000), "1 h");
    assert_eq!(of(11_040_000), "3 h 4 min");
    assert_eq!(of(90_000_000), "1 d 1 h");
}

#[test]
fn moments_are_told_in_one_unit() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let of = |seconds: i64| ago(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
    assert_eq!(of(-3), "now");
    assert_eq!(of(59), "59 s ago");
    assert_eq!(of(3_599), "59 min ago");
    assert_eq!(of(90_000), "1 d ago");
    assert_eq!(between(now, Timestamp::from_second(1).unwrap()), "0 ms");
}

#[test]
fn sizes_rates_and_shares() {
    assert_eq!(bytes(0), "0 B");
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(1_048_575), "1.0 MiB");
    assert_eq!(bytes(43 << 20), "43 MiB");
    assert_eq!(bytes(1_610_612_736), "1.5 GiB");
    assert_eq!(rate(0.01), "0");
    assert_eq!(rate(f64::NAN), "0");
    assert_eq!(rate(12.34), "12.3");
    assert_eq!(rate(340.2), "340");
    assert_eq!(percent(0.004), "0.4 %");
    assert_eq!(percent(1.0), "100 %");
    assert_eq!(count(1, "build"), "1 build");
    assert_eq!(count(0, "build"), "0 builds");
}
