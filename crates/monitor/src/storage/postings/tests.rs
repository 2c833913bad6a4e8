use super::*;
use crate::storage::MatchOp;
use proptest::prelude::*;

fn matcher() -> impl Strategy<Value = Matcher> {
    (
        "[abc]",
        prop_oneof![
            "[xyz]?".prop_map(|v| (MatchOp::Equal, v)),
            "[xyz]?".prop_map(|v| (MatchOp::NotEqual, v)),
            prop::sample::select(vec!["x|y", ".*", ".+", "x?", "[yz]", "", "q", "(x|z)"])
                .prop_map(|v| (MatchOp::Regex, v.to_owned())),
            prop::sample::select(vec!["x|y", ".*", ".+", "x?", "[yz]", ""])
                .prop_map(|v| (MatchOp::NotRegex, v.to_owned())),
        ],
    )
        .prop_map(|(name, (op, value))| Matcher::new(&name, op, &value).unwrap())
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        all in prop::collection::vec(prop::collection::btree_map("[abc]", "[xyz]", 1..4), 1..30),
        matchers in prop::collection::vec(matcher(), 0..4),
        gone in prop::collection::vec(0usize..30, 0..5),
    ) {
        let mut series: Vec<Option<Labels>> = all.iter().map(|m| Some(Labels::from_pairs(m))).collect();
        let mut postings = Postings::default();
        for (slot, labels) in series.iter().enumerate() {
            postings.insert(slot as u32, labels.as_ref().unwrap());
        }
        let mut removed = vec![];
        for slot in gone {
            if let Some(labels) = series.get_mut(slot).and_then(Option::take) {
                removed.push((slot as u32, labels));
            }
        }
        postings.remove(&removed);
        let found = postings.matching(&matchers, series.len(), |slot| series[slot as usize].as_ref());
        let expected: Vec<u32> = (0..series.len() as u32)
            .filter(|slot| series[*slot as usize].as_ref().is_some_and(|labels| {
                matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
            }))
            .collect();
        prop_assert_eq!(found, expected);
        let pairs: BTreeSet<_> = series.iter().flatten().flat_map(|labels| labels.iter()).collect();
        prop_assert_eq!(postings.pairs(), pairs.len());
    }

    #[test]
    fn intersections_are_exact(mut a in prop::collection::btree_set(0u32..500, 0..100), b in prop::collection::btree_set(0u32..500, 0..400)) {
        let mut result: Vec<u32> = a.iter().copied().collect();
        intersect(&mut result, &b.iter().copied().collect::<Vec<_>>());
        a.retain(|v| b.contains(v));
        prop_assert_eq!(result, a.into_iter().collect::<Vec<_>>());
    }
}
