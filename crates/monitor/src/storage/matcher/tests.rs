use super::*;

#[test]
fn operators_and_absent_labels() {
    let m = |op, value| Matcher::new("a", op, value).unwrap();
    assert!(m(MatchOp::Equal, "").matches("") && !m(MatchOp::Equal, "").matches("x"));
    assert!(m(MatchOp::NotEqual, "x").matches("") && !m(MatchOp::NotEqual, "x").matches("x"));
    assert!(m(MatchOp::Regex, "x|y").matches("y") && !m(MatchOp::Regex, "x|y").matches("xy"));
    assert!(m(MatchOp::Regex, "(x|y)").matches("y") && m(MatchOp::Regex, "x|").matches(""));
    assert!(m(MatchOp::Regex, "a.c").matches("a\nc") && !m(MatchOp::Regex, "a.c").matches("zabc"));
    assert!(m(MatchOp::NotRegex, ".+").matches("") && !m(MatchOp::NotRegex, ".*").matches(""));
    assert_eq!(m(MatchOp::NotRegex, "a\"b").to_string(), r#"a!~"a\"b""#);
}

#[test]
fn broken_expressions_are_refused() {
    for pattern in ["(", "a)(b", "[", "x{99999}{99999}", "(?P<n>a)(?P<n>b)"] {
        assert!(
            Matcher::new("a", MatchOp::Regex, pattern).is_err(),
            "{pattern}"
        );
    }
}
