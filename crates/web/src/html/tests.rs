use super::*;

#[test]
fn text_that_looks_like_markup_stays_text() {
    assert_eq!(
        Html::text(r#"<a href="x" title='y'>&"#).as_str(),
        "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;"
    );
    let badge = State::new(Tone::Bad, "<script>").badge();
    assert!(!badge.as_str().contains("<script>"));
    assert!(!commit("\"><script>").as_str().contains("<script"));
}

#[test]
fn backticks_become_code_and_nothing_else_does() {
    assert_eq!(
        prose("run `a <b>` or `c`").as_str(),
        "run <code>a &lt;b&gt;</code> or <code>c</code>"
    );
    assert_eq!(prose("it`s <i>").as_str(), "it`s &lt;i&gt;");
    assert_eq!(prose("`a` b `c").as_str(), "<code>a</code> b `c");
    assert_eq!(prose("plain").as_str(), "plain");
}

#[test]
fn a_sparkline_spans_its_box_and_is_empty_for_one_sample() {
    let graph = sparkline(&[0.0, 1.0, 4.0], "requests");
    assert!(
        graph.as_str().contains("M0.0 26.0L60.0 20.0L120.0 2.0"),
        "{graph}"
    );
    assert!(!sparkline(&[1.0], "requests").as_str().contains("<path"));
    assert!(!sparkline(&[0.0, 0.0], "requests").as_str().contains("NaN"));
}

#[test]
fn a_bar_never_leaves_its_track() {
    let bar = bar(0.9, 0.5, Tone::Good);
    assert!(
        bar.as_str().contains(r#"x="900" y="1" width="100""#),
        "{bar}"
    );
}
