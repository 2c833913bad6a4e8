use super::*;
use crate::storage::MatchOp;
use proptest::prelude::*;

fn assemble(series: &[Labels]) -> (Vec<u8>, Sections) {
    let encoded = encode(series).unwrap();
    let mut file = vec![];
    let mut add = |bytes: &[u8]| {
        let start = file.len();
        file.extend_from_slice(bytes);
        start..file.len()
    };
    let sections = Sections {
        names: add(&encoded.names),
        pairs: add(&encoded.pairs),
        offsets: add(&encoded.offsets),
        rows: add(&encoded.rows),
        pages: add(&encoded.pages),
    };
    (file, sections)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let one = (
        "[abcd]",
        prop::sample::select(vec!["x", "y", "", "x|y", ".+", ".*", "[yz]"]),
        0..4usize,
    )
        .prop_map(|(name, value, op)| {
            let op = [
                MatchOp::Equal,
                MatchOp::NotEqual,
                MatchOp::Regex,
                MatchOp::NotRegex,
            ][op];
            Matcher::new(&name, op, value).unwrap()
        });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn finds_what_a_scan_finds_and_gives_the_labels_back(
        all in prop::collection::btree_set(prop::collection::btree_map("[abc]", "[xyz]{1,2}", 1..4), 1..200),
        matchers in matchers(),
    ) {
        let mut series: Vec<Labels> = all.iter().map(Labels::from_pairs).collect();
        series.sort();
        let (file, sections) = assemble(&series);
        let index = Index::open(&file, sections, series.len()).unwrap();
        let found = index.matching(&file, &matchers).unwrap();
        let expected: Vec<u32> = (0..series.len() as u32)
            .filter(|at| matchers.iter().all(|m| m.matches(series[*at as usize].get(m.name()).unwrap_or(""))))
            .collect();
        prop_assert_eq!(found, expected);
        let mut page = RowPage::default();
        for (at, labels) in series.iter().enumerate() {
            prop_assert_eq!(&index.labels(&file, at as u32, &mut page).unwrap(), labels);
        }
        let mut values = vec![];
        index.values(&file, "a", |value, count| values.push((value.to_owned(), count))).unwrap();
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for value in series.iter().filter_map(|labels| labels.get("a")) {
            *counted.entry(value.to_owned()).or_default() += 1;
        }
        prop_assert_eq!(values, counted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_damaged_index_never_panics(at in 0usize..2000, with in any::<u8>(), matchers in matchers()) {
        let series: Vec<Labels> = (0..20).map(|i| Labels::from_pairs([("a", format!("x{i:02}")), ("b", "y".to_owned())])).collect();
        let (mut file, sections) = assemble(&series);
        let at = at % file.len();
        file[at] ^= with;
        if let Some(index) = Index::open(&file, sections, series.len()) {
            let mut page = RowPage::default();
            for series in index.matching(&file, &matchers).unwrap_or_default() {
                let _ = index.labels(&file, series, &mut page);
            }
            let _ = index.values(&file, "a", |_, _| {});
        }
    }
}
