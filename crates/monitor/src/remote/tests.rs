use super::*;
use crate::storage::Options;
use proptest::prelude::*;

fn store() -> Store {
    Store::in_memory(Options {
        background: false,
        future_limit: None,
        ..Options::default()
    })
}

fn series() -> Vec<(Labels, Vec<(i64, f64)>)> {
    vec![
        (
            Labels::from_pairs([("__name__", "a"), ("x", "1")]),
            vec![(1000, 1.5), (2000, f64::INFINITY)],
        ),
        (
            Labels::from_pairs([("__name__", "b"), ("x", "1")]),
            vec![(1500, -2.0)],
        ),
    ]
}

fn all(store: &Store) -> Vec<(String, Vec<i64>, Vec<f64>)> {
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    let mut out = Vec::new();
    while let Some(series) = selection.next_series() {
        out.push((
            series.labels.to_string(),
            series.times.to_vec(),
            series.values.to_vec(),
        ));
    }
    out.sort_by(|one, other| one.0.cmp(&other.0));
    out
}

#[test]
fn both_versions_store_what_was_sent() {
    let (one, two) = (store(), store());
    let written = write_v1(&one, &request_v1(&series())).unwrap();
    assert_eq!((written.samples, written.refused), (3, 0));
    assert_eq!(write_v2(&two, &request_v2(&series())).unwrap(), written);
    assert_eq!(all(&one), all(&two));
    assert_eq!(
        all(&one)[0],
        (
            r#"a{x="1"}"#.to_owned(),
            vec![1000, 2000],
            vec![1.5, f64::INFINITY]
        )
    );
    // The same again changes nothing and is no mistake.
    assert_eq!(write_v1(&one, &request_v1(&series())).unwrap(), written);
    let other = vec![(series()[0].0.clone(), vec![(2000, 7.0)])];
    let refused = write_v1(&one, &request_v1(&other)).unwrap();
    assert_eq!((refused.samples, refused.refused), (0, 1));
    assert!(refused.reason.unwrap().starts_with("duplicate sample"));
}

#[test]
fn remote_read_gives_back_what_was_written() {
    let one = store();
    write_v1(&one, &request_v1(&series())).unwrap();
    let (mut matcher, mut query, mut request) = (Vec::new(), Vec::new(), Vec::new());
    wire::put_integer(&mut matcher, 1, 2);
    wire::put_bytes(&mut matcher, 2, b"__name__");
    wire::put_bytes(&mut matcher, 3, b"a|c");
    wire::put_integer(&mut query, 1, 0);
    wire::put_integer(&mut query, 2, 5000);
    wire::put_bytes(&mut query, 3, &matcher);
    wire::put_bytes(&mut request, 1, &query);
    let answer = unpack(&read(&one, &pack(&request)).unwrap()).unwrap();
    // An answer's result holds series as a write does.
    let result = fields(&answer).next().unwrap().unwrap().bytes().unwrap();
    let two = store();
    assert_eq!(write_v1(&two, &pack(result)).unwrap().samples, 2);
    assert_eq!(all(&two), all(&one)[..1]);
}

#[test]
fn what_is_not_understood_stores_nothing() {
    let store = store();
    assert!(matches!(
        write_v1(&store, b"hello"),
        Err(RemoteError::Packed(_))
    ));
    assert!(matches!(
        write_v1(&store, &pack(&[0xff; 20])),
        Err(RemoteError::Wire(_))
    ));
    let nameless = vec![(Labels::from_pairs([("x", "1")]), vec![(1, 1.0)])];
    let error = write_v1(&store, &request_v1(&nameless)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a series without a metric's name: {x=\"1\"}"
    );
    let mut request = Vec::new();
    wire::put_bytes(&mut request, 5, &[0x0a, 0x02, 0x05, 0x06]);
    assert_eq!(
        write_v2(&store, &pack(&request)).unwrap_err().to_string(),
        "there is no symbol 5"
    );
    assert!(all(&store).is_empty());
    let large = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(write_v1(&store, &large).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let store = store();
        let packed = pack(&bytes);
        let _ = (write_v1(&store, &packed), write_v2(&store, &packed), read(&store, &packed), write_v1(&store, &bytes));
    }
}
