use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn pairs_are_sorted_and_the_later_value_wins() {
    let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2"), ("c", "")]);
    assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "x"), ("b", "2")]);
    assert_eq!(labels.get("b"), Some("2"));
    assert_eq!(labels.get("c"), None);
    assert_eq!(labels.to_string(), r#"{a="x", b="2"}"#);
}

#[test]
fn display_is_what_promql_reads() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a\"b\\c\n")]);
    assert_eq!(labels.to_string(), r#"up{job="a\"b\\c\n"}"#);
    assert_eq!(Labels::from_pairs([("__name__", "up")]).to_string(), "up");
    assert_eq!(
        Labels::from_pairs([("__name__", "a.b"), ("x.y", "1")]).to_string(),
        r#"{"a.b", "x.y"="1"}"#
    );
    assert_eq!(Labels::empty().to_string(), "{}");
}

#[test]
fn the_interner_shares_and_sweeps() {
    let interner = Interner::default();
    let first = interner.intern(&Labels::from_pairs([("a", "1")]));
    let second = interner.intern(&Labels::from_pairs([("a", "1")]));
    assert!(Arc::ptr_eq(&first.0, &second.0));
    assert_eq!(interner.sweep(), 1);
    drop((first, second));
    assert_eq!(interner.sweep(), 0);
}

#[test]
fn the_stale_marker_is_not_an_ordinary_nan() {
    assert!(is_stale_nan(stale_nan()) && stale_nan().is_nan() && !is_stale_nan(f64::NAN));
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_pairs(
        a in prop::collection::btree_map("[a-c]{1,2}", "[xyzé]{1,2}", 0..4),
        b in prop::collection::btree_map("[a-c]{1,2}", "[xyzé]{1,2}", 0..4),
    ) {
        let (left, right) = (Labels::from_pairs(&a), Labels::from_pairs(&b));
        prop_assert_eq!(left.cmp(&right), a.iter().cmp(b.iter()));
        prop_assert_eq!(left == right, a == b);
        for name in ["a", "b", "ab", "c"] {
            prop_assert_eq!(left.get(name), a.get(name).map(String::as_str));
        }
    }

    #[test]
    fn a_label_set_behaves_like_a_sorted_map(
        map in prop::collection::btree_map("[a-zé]{1,3}", "[a-c\u{1F600}]{0,300}", 0..6),
        name in "[a-c]{1,2}", value in "[x-z]{0,2}",
    ) {
        let mut model: BTreeMap<String, String> = map.clone();
        model.retain(|_, v| !v.is_empty());
        let labels = Labels::from_pairs(map.iter().rev());
        prop_assert_eq!(labels.len(), model.len());
        prop_assert!(labels.iter().eq(model.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        let changed = labels.with(&name, &value);
        if value.is_empty() { model.remove(&name); } else { model.insert(name.clone(), value); }
        prop_assert!(changed.iter().eq(model.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        let without = changed.filtered(|n| n != name);
        model.remove(&name);
        prop_assert!(without.iter().eq(model.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        prop_assert_eq!(without, Labels::from_pairs(&model));
    }
}
