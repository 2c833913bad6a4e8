use super::*;
use crate::labels::Labels;
use proptest::prelude::*;

fn expand(source: &str) -> String {
    let labels = Labels::from_pairs([("instance", "web1.example.org:9100"), ("job", "node")]);
    let query = |text: &str| match text {
        "up" => Ok(vec![
            (Labels::from_pairs([("instance", "b")]), 2.0),
            (
                Labels::from_pairs([("instance", "a"), ("__value__", "s")]),
                1.0,
            ),
        ]),
        "none" => Ok(vec![]),
        other => Err(format!("bad query {other}")),
    };
    let environment = Environment {
        query: &query,
        external_url: "http://host:9090/prom/",
    };
    match Template::parse(source)
        .and_then(|template| template.expand(&labels, 1234.5678, &environment))
    {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn what_rule_files_do() {
    for (source, expected) in [
        ("plain", "plain"),
        (
            "{{ $labels.instance }} of {{ $labels.job }}: {{ $value }}",
            "web1.example.org:9100 of node: 1234.5678",
        ),
        (
            "{{ .Labels.job }}{{ .Labels.nothing }} {{ .Value }}",
            "node 1234.5678",
        ),
        ("a {{- 1 -}} b", "a1b"),
        ("{{/* a }} comment */}}x", "error: unclosed comment"),
        ("{{/* a comment */}}x", "x"),
        (
            r#"{{ printf "%.2f" $value }} {{ printf "%5d|%-4s|%q" 42 "ab" "c" }}"#,
            "1234.57    42|ab  |\"c\"",
        ),
        (
            "{{ humanize $value }} {{ humanize 0.0012 }} {{ humanize1024 2048.0 }}",
            "1.235k 1.2m 2ki",
        ),
        (
            "{{ humanizeDuration 3661.0 }} {{ humanizeDuration 0.5 }} {{ humanizePercentage 0.123456 }}",
            "1h 1m 1s 500ms 12.35%",
        ),
        ("{{ humanizeTimestamp 0 }}", "1970-01-01 00:00:00 +0000 UTC"),
        (
            r#"{{ if eq $labels.job "node" }}yes{{ else }}no{{ end }}"#,
            "yes",
        ),
        (
            "{{ if gt $value 2000.0 }}a{{ else if gt $value 1000.0 }}b{{ else }}c{{ end }}",
            "b",
        ),
        (
            r#"{{ range query "up" }}{{ .Labels.instance }}={{ .Value }} {{ end }}"#,
            "b=2 a=1 ",
        ),
        (
            r#"{{ range $i, $s := query "up" | sortByLabel "instance" }}{{ $i }}{{ label "instance" $s }}{{ end }}"#,
            "0a1b",
        ),
        (
            r#"{{ range query "none" }}x{{ else }}nothing{{ end }}"#,
            "nothing",
        ),
        (
            r#"{{ with query "up" }}{{ . | first | value }}{{ end }}"#,
            "2",
        ),
        (r#"{{ (query "up" | first).Value }}"#, "2"),
        (
            r#"{{ query "none" | first | value }}"#,
            "error: first() called on vector with no elements",
        ),
        (r#"{{ query "x" }}"#, "error: bad query x"),
        (
            "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
            "2",
        ),
        (
            r#"{{ "a" | toUpper }}{{ title "hello world" }}{{ reReplaceAll "l+" "L" "hello" }}"#,
            "AHello WorldheLo",
        ),
        (
            "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}",
            "web1.example.org web1:9100",
        ),
        (
            "{{ externalURL }} {{ pathPrefix }}",
            "http://host:9090/prom/ /prom",
        ),
        (
            r#"{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" $value }}"#,
            "<1234.5678>",
        ),
        (
            r#"{{ and true "x" }}{{ or "" "y" }}{{ not false }}{{ len "abc" }}"#,
            "xytrue3",
        ),
        (
            r#"{{ index $labels "job" }}{{ match "^no" $labels.job }}"#,
            "nodetrue",
        ),
        (
            r#"{{ graphLink "up == 0" }}"#,
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0",
        ),
        (r#"{{ range query "up" }}{{ break }}{{ end }}x"#, "x"),
        ("{{ nosuch }}", "error: function \"nosuch\" not defined"),
        ("{{ $nosuch }}", "error: undefined variable \"$nosuch\""),
        ("{{ if }}x{{ end }}", "error: missing value for command"),
        ("{{ end }}", "error: unexpected {{end}}"),
        ("{{ $value", "error: unclosed action"),
        (
            r#"{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}"#,
            "error: templates call each other more than 100 deep",
        ),
    ] {
        assert_eq!(expand(source), expected, "{source}");
    }
}

#[test]
fn numbers_look_as_go_prints_them() {
    for (value, shortest, four) in [
        (0.0, "0", "0"),
        (1.0, "1", "1"),
        (123_456.0, "123456", "1.235e+05"),
        (0.1, "0.1", "0.1"),
        (1e-5, "1e-05", "1e-05"),
        (1e6, "1e+06", "1e+06"),
        (1_234_567.0, "1.234567e+06", "1.235e+06"),
        (-12.345_678, "-12.345678", "-12.35"),
        (999.96, "999.96", "1000"),
    ] {
        assert_eq!(
            (
                number::general(value, None),
                number::general(value, Some(4))
            ),
            (shortest.to_owned(), four.to_owned())
        );
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "(\\{\\{-? ?|-? ?\\}\\}|[a-z$.|:=()\" ,0-9]|range|if|end|else|with|query \"up\"|\\$value|printf|template){0,30}") {
        expand(&text);
    }
}
