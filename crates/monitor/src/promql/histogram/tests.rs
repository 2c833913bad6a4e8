use super::*;

fn quantile(q: f64, buckets: &[Bucket]) -> f64 {
    bucket_quantile(q, &mut buckets.to_vec()).0
}

const BUCKETS: [Bucket; 4] = [(0.1, 10.0), (0.5, 30.0), (1.0, 40.0), (f64::INFINITY, 40.0)];

#[test]
fn quantiles_are_interpolated_in_their_bucket() {
    assert_eq!(quantile(0.25, &BUCKETS), 0.1);
    assert_eq!(quantile(0.5, &BUCKETS), 0.1 + 0.4 * 0.5);
    assert_eq!(quantile(0.0, &BUCKETS), 0.0);
    assert_eq!(quantile(1.0, &BUCKETS), 1.0);
    assert_eq!(quantile(-1.0, &BUCKETS), f64::NEG_INFINITY);
    assert_eq!(quantile(2.0, &BUCKETS), f64::INFINITY);
    assert!(quantile(f64::NAN, &BUCKETS).is_nan());
    assert!(
        quantile(0.5, &BUCKETS[..3]).is_nan(),
        "no bucket up to infinity"
    );
    assert_eq!(quantile(0.9, &[(0.1, 1.0), (f64::INFINITY, 10.0)]), 0.1);
    assert_eq!(quantile(0.1, &[(-1.0, 5.0), (f64::INFINITY, 10.0)]), -1.0);
}

#[test]
fn counts_that_fall_are_mended_and_said() {
    let (value, forced) = bucket_quantile(
        0.5,
        &mut vec![(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)],
    );
    assert!(forced && value == 1.0);
    let (_, forced) = bucket_quantile(
        0.5,
        &mut vec![(1.0, 10.0), (2.0, 10.0 - 1e-13), (f64::INFINITY, 20.0)],
    );
    assert!(!forced);
}

#[test]
fn fractions_of_classic_histograms() {
    let fraction = |low, high| bucket_fraction(low, high, &mut BUCKETS.to_vec());
    assert_eq!(fraction(0.1, 0.5), 0.5);
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    assert_eq!(fraction(0.0, 0.05), 0.125);
    assert_eq!(fraction(1.0, 0.5), 0.0);
    assert!(fraction(f64::NAN, 1.0).is_nan());
}
