use super::*;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0i64..1000).prop_map(|v| v as f64),
        4 => (-100_000i64..100_000).prop_map(|v| v as f64 / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, 1e300, 1e15, 1.0 / 3.0]),
        1 => Just(f64::from_bits(crate::labels::STALE_NAN_BITS)),
    ]
}

proptest! {
    #[test]
    fn numbers_round_trip(value in any::<u64>(), signed in any::<i64>(), xor in any::<u64>(), keep in 0u32..9) {
        let xor = xor.checked_shr(8 * (8 - keep)).unwrap_or(0);
        let mut out = vec![];
        put_number(&mut out, value);
        put_signed(&mut out, signed);
        put_xor(&mut out, 0x80, xor);
        let mut from = Unpack::new(&out);
        prop_assert_eq!(from.number(), Some(value));
        prop_assert_eq!(from.signed(), Some(signed));
        let code = from.byte().unwrap();
        prop_assert_eq!(code & 0xc0, 0x80);
        prop_assert_eq!(take_xor(&mut from, code), Some(xor));
        prop_assert!(from.is_empty());
    }

    #[test]
    fn times_round_trip(start in -(1i64 << 50)..1 << 50, steps in prop::collection::vec(1i64..1 << 41, 0..50)) {
        let mut time = start;
        let times: Vec<i64> = steps.iter().map(|step| { time += step; time }).collect();
        let mut out = vec![];
        put_times(&mut out, &times);
        prop_assert_eq!(take_times(&mut Unpack::new(&out)), Some(times));
    }

    #[test]
    fn values_round_trip_to_the_bit(values in prop::collection::vec(value(), 1..100), steady in any::<bool>()) {
        let values: Vec<f64> = if steady { values.iter().scan(0.0, |sum, v| { *sum += if v.is_finite() { v.abs().floor() } else { 1.0 }; Some(*sum) }).collect() } else { values };
        let mut out = vec![];
        let mut packer = ValuePacker::default();
        packer.put_values(&mut out, &values);
        let mut back = vec![7.0];
        let mut from = Unpack::new(&out);
        packer.take_values(&mut from, values.len(), &mut back).unwrap();
        prop_assert!(from.is_empty());
        prop_assert!(back[1..].iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..300) {
        let mut out = vec![];
        let _ = ValuePacker::default().take_values(&mut Unpack::new(&bytes), count, &mut out);
        let _ = take_times(&mut Unpack::new(&bytes));
    }
}

#[test]
fn a_stale_marker_does_not_spoil_a_decimal_run() {
    let mut values: Vec<f64> = (0..479).map(|i| f64::from(i) * 0.25).collect();
    values.push(crate::labels::stale_nan());
    let mut out = vec![];
    ValuePacker::default().put_values(&mut out, &values);
    assert!(out.len() < 480 + 32, "{}", out.len());
}
