use super::*;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0i64..1000).prop_map(|v| v as f64),
        (0i64..100_000).prop_map(|v| v as f64 / 100.0),
        Just(f64::from_bits(crate::labels::STALE_NAN_BITS)),
        Just(0.0),
    ]
}

fn step() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(15_000i64),
        14_990i64..15_010,
        1i64..100_000,
        1i64..1 << 40
    ]
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        start in -(1i64 << 50)..1 << 50,
        samples in prop::collection::vec((step(), value()), 1..200),
        low in 0usize..200, high in 0usize..200,
    ) {
        let mut encoder = XorEncoder::default();
        let (mut time, mut all) = (start, vec![]);
        for (step, value) in samples {
            time += step;
            encoder.push(time, value);
            all.push((time, value.to_bits()));
        }
        let low = all.get(low).map_or(i64::MIN, |s| s.0);
        let high = all.get(high).map_or(i64::MAX, |s| s.0);
        let expected: Vec<_> = all.iter().copied().filter(|s| s.0 >= low && s.0 <= high).collect();
        for chunk in [encoder.snapshot(), encoder.seal()] {
            let (mut times, mut values) = (vec![], vec![]);
            chunk.read(low, high, &mut times, &mut values);
            let got: Vec<_> = times.into_iter().zip(values.iter().map(|v| v.to_bits())).collect();
            prop_assert_eq!(&got, &expected);
        }
        prop_assert_eq!(encoder.count(), 0);
    }
}

#[test]
fn a_steady_counter_takes_few_bytes() {
    let mut encoder = XorEncoder::default();
    for i in 0..480 {
        encoder.push(1_700_000_000_000 + i * 15_000, 42.0);
    }
    assert!(encoder.seal().allocated() < 16 + 480 * 2 / 8 + 16);
}
