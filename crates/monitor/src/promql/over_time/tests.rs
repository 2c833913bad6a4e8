use super::*;

fn window<'a>(times: &'a [i64], values: &'a [f64], from: i64, to: i64) -> Window<'a> {
    Window {
        times,
        values,
        first: 0,
        at: to,
        from,
        to,
        step: 0,
    }
}

fn rate(dialect: Dialect, times: &[i64], values: &[f64], from: i64, to: i64) -> Option<f64> {
    let mut rate = Extrapolated {
        counter: true,
        per_second: true,
        dialect,
        resets: vec![],
    };
    rate.begin(&Labels::empty(), times, values);
    rate.value(window(times, values, from, to))
}

#[test]
fn rates_count_resets_and_stop_at_zero() {
    let times = [10_000, 20_000, 30_000];
    assert_eq!(
        rate(
            Dialect::Prometheus3,
            &times,
            &[100.0, 110.0, 120.0],
            0,
            30_000
        ),
        Some(1.0)
    );
    // 120 -> 5 is a reset: 20 before it, 5 after it.
    let with_reset = rate(
        Dialect::Prometheus3,
        &times,
        &[100.0, 120.0, 5.0],
        0,
        30_000,
    )
    .unwrap();
    assert!(
        (with_reset - 25.0 * 1.5 / 30.0).abs() < 1e-12,
        "{with_reset}"
    );
    // It began at zero: nothing is extrapolated to before the first sample.
    assert_eq!(
        rate(Dialect::Prometheus3, &times, &[0.0, 10.0, 20.0], 0, 30_000),
        Some(20.0 / 30.0)
    );
    assert_eq!(
        rate(Dialect::Prometheus3, &times[..1], &[1.0], 0, 30_000),
        None
    );
}

/// The two dialects differ where the zero lies between half and the whole of the average interval.
#[test]
fn the_dialects_limit_the_extrapolation_in_another_order() {
    let (times, values) = ([100_000, 110_000, 120_000], [8.0, 18.0, 28.0]);
    let new = rate(Dialect::Prometheus3, &times, &values, 0, 120_000).unwrap();
    let old = rate(Dialect::Prometheus2, &times, &values, 0, 120_000).unwrap();
    assert!(
        (new - 25.0 / 120.0).abs() < 1e-12 && (old - 28.0 / 120.0).abs() < 1e-12,
        "{new} {old}"
    );
}

#[test]
fn small_statistics() {
    assert_eq!(smallest(&[f64::NAN, 3.0, 2.0]), 2.0);
    assert_eq!(largest(&[f64::NAN, 3.0, 2.0]), 3.0);
    assert_eq!(
        time_of(&[1000, 2000, 3000], &[5.0, 1.0, 1.0], |a, b| a < b),
        3.0
    );
    assert_eq!(changes(&[1.0, 1.0, 2.0, f64::NAN, f64::NAN]), 2.0);
    assert_eq!(resets(&[1.0, 3.0, 2.0, 2.0, 0.0]), 2.0);
    assert_eq!(
        regression(&[0, 1000, 2000], &[1.0, 3.0, 5.0], 1000),
        (2.0, 3.0)
    );
    assert_eq!(
        median_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0], &mut vec![]),
        1.0
    );
    assert!(check_factor("smoothing", "sf", 1.0).is_err());
    assert_eq!(
        mean(&[1.0, f64::INFINITY, f64::NEG_INFINITY]).to_bits() & 0x7ff0_0000_0000_0000,
        0x7ff0_0000_0000_0000
    );
    assert!(
        mean(&[f64::MAX, f64::MAX, f64::MAX]) > 1.79e308,
        "the sum would overflow, the mean must not"
    );
}
