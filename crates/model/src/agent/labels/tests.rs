use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn holds(expression: &str, labels: &str) -> bool {
    let labels: BTreeSet<String> = labels.split_whitespace().map(str::to_owned).collect();
    expression
        .parse::<LabelExpression>()
        .unwrap_or_else(|error| panic!("{error}"))
        .matches(&labels)
}

fn error(expression: &str) -> (usize, &'static str, String) {
    let error = expression.parse::<LabelExpression>().unwrap_err();
    (error.column, error.expected, error.found)
}

#[test]
fn expressions_hold_as_jenkins_has_it() {
    for (expression, labels, expected) in [
        ("linux", "linux arm", true),
        ("linux && !arm", "linux arm", false),
        ("linux && !arm", "linux", true),
        ("linux&&!arm", "linux x86_64", true),
        ("a || b && c", "a", true),
        ("(a || b) && c", "a", false),
        ("(a || b) && c", "b c", true),
        ("!(a || b)", "c", true),
        ("!!a", "a", true),
        ("a -> b", "c", true),
        ("a -> b", "a", false),
        ("a <-> b", "a b", true),
        ("a <-> b", "b", false),
        ("node-18.x/eu:1", "node-18.x/eu:1", true),
    ] {
        assert_eq!(
            holds(expression, labels),
            expected,
            "{expression} with {labels}"
        );
    }
    let spaced: BTreeSet<String> = ["has space".to_owned()].into();
    let expression: LabelExpression = "\"has space\" || x".parse().unwrap();
    assert!(expression.matches(&spaced));
}

#[test]
fn errors_name_the_column_and_what_was_expected() {
    assert_eq!(error(""), (1, "a label, `!` or `(`", "the end".to_owned()));
    assert_eq!(
        error("linux &&"),
        (9, "a label, `!` or `(`", "the end".to_owned())
    );
    assert_eq!(error("linux & arm").0, 7);
    assert_eq!(
        error("linux arm"),
        (
            7,
            "an operator such as `&&` or `||`, or the end",
            "`arm`".to_owned()
        )
    );
    assert_eq!(error("(a || b"), (8, "`)`", "the end".to_owned()));
    assert_eq!(
        error("ä && )"),
        (6, "a label, `!` or `(`", "`)`".to_owned())
    );
    assert_eq!(error("\"a").1, "a closing `\"`");
    assert_eq!(error(&"(".repeat(500)).1, "fewer nested parentheses");
    assert_eq!(error(&"!".repeat(4000)).1, "fewer nested parentheses");
    assert_eq!(error(&"a".repeat(5000)).1, "at most 4096 bytes");
}

#[test]
fn the_needed_labels_are_those_of_the_outer_chain() {
    let expression: LabelExpression = "linux && (docker && !arm) && (a || b)".parse().unwrap();
    assert_eq!(expression.needed(), ["linux", "docker"]);
}

/// A tree of its own, written out with all parentheses, and what it comes to.
fn tree() -> impl Strategy<Value = (String, u32)> {
    // Each of the labels a, b, c is there or not in the 8 bits of the second part: a truth table.
    let leaf = prop_oneof![
        Just(("a".to_owned(), 0b1010_1010)),
        Just(("b".to_owned(), 0b1100_1100)),
        Just(("\"c\"".to_owned(), 0b1111_0000)),
    ];
    leaf.prop_recursive(4, 32, 2, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|(text, table)| (format!("!({text})"), !table & 0xff)),
            (inner.clone(), inner.clone())
                .prop_map(|((a, x), (b, y))| (format!("({a}) && ({b})"), x & y)),
            (inner.clone(), inner).prop_map(|((a, x), (b, y))| (format!("({a})||({b})"), x | y)),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_at_a_column_of_it(text in "[ab !&|()<>\"ä-]{0,40}") {
        match text.parse::<LabelExpression>() {
            Ok(expression) => {
                let again: LabelExpression = expression.as_str().parse().unwrap();
                prop_assert_eq!(again, expression);
            }
            Err(error) => prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1),
        }
    }

    #[test]
    fn a_tree_comes_to_its_truth_table((text, table) in tree()) {
        let expression: LabelExpression = text.parse().unwrap();
        for bits in 0..8_u32 {
            let labels: BTreeSet<String> = ["a", "b", "c"]
                .iter()
                .enumerate()
                .filter(|(at, _)| bits >> at & 1 == 1)
                .map(|(_, label)| (*label).to_owned())
                .collect();
            prop_assert_eq!(expression.matches(&labels), table >> bits & 1 == 1);
        }
    }
}
