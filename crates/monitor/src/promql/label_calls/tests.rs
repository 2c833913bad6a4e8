use super::*;

#[test]
fn numbers_within_texts_are_compared_as_numbers() {
    let mut texts = vec!["node10", "node9", "node", "a2b", "a10b", "node09", ""];
    texts.sort_by(|a, b| natural_order(a, b));
    assert_eq!(
        texts,
        ["", "a2b", "a10b", "node", "node9", "node09", "node10"]
    );
}

#[test]
fn absent_takes_what_equality_fixes() {
    let labels = |query: &str| absent_labels(&crate::promql::parse(query).unwrap()).to_string();
    assert_eq!(
        labels(r#"up{job="a",instance=~"b.*",x="1",x="2"}"#),
        r#"{job="a"}"#
    );
    assert_eq!(labels(r#"sum(up{job="a"})"#), "{}");
}
