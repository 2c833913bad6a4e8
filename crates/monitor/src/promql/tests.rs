use super::*;
use crate::storage::Options;
use proptest::prelude::*;

/// Samples every 30 s from 0 to 600 s; `_` is no sample, `s` the staleness marker.
fn store(lines: &[(&str, &str)]) -> Store {
    let store = Store::in_memory(Options {
        future_limit: None,
        ..Options::default()
    });
    let mut appender = store.appender();
    for (series, values) in lines {
        let expression = parse(series).unwrap();
        let promql_parser::parser::Expr::VectorSelector(selector) = &expression else {
            panic!("{series}")
        };
        let labels = Labels::from_pairs(
            selector_matchers(selector)
                .unwrap()
                .iter()
                .map(|m| (m.name().to_owned(), m.value().to_owned())),
        );
        for (at, value) in values.split_whitespace().enumerate() {
            let value = match value {
                "_" => continue,
                "s" => crate::labels::stale_nan(),
                value => value.parse().unwrap(),
            };
            appender.append(&labels, at as i64 * 30_000, value).unwrap();
        }
    }
    appender.commit().unwrap();
    store
}

fn example() -> Store {
    store(&[
        (
            r#"requests_total{job="a",instance="1"}"#,
            "0 10 20 30 40 50 60 70 80 90 100",
        ),
        (
            r#"requests_total{job="a",instance="2"}"#,
            "0 20 40 60 80 100 10 30 50 70 90",
        ),
        (
            r#"requests_total{job="b",instance="3"}"#,
            "0 1 2 3 4 5 6 7 8 9 10",
        ),
        (r#"memory{job="a",instance="1"}"#, "5 5 5 5 5 5 5 5 5 5 7"),
        (r#"memory{job="a",instance="2"}"#, "1 2 3 4 5 6 7 8 9 10 3"),
        (
            r#"memory{job="b",instance="3"}"#,
            "NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN",
        ),
        (r#"gone{job="a"}"#, "1 1 1 s"),
        (r#"limit{job="a"}"#, "4 4 4 4 4 4 4 4 4 4 4"),
        (r#"latency_bucket{le="0.1"}"#, "0 0 0 0 0 0 0 0 0 0 10"),
        (r#"latency_bucket{le="1"}"#, "0 0 0 0 0 0 0 0 0 0 30"),
        (r#"latency_bucket{le="+Inf"}"#, "0 0 0 0 0 0 0 0 0 0 40"),
        (
            r#"target_info{job="a",instance="1",version="9"}"#,
            "1 1 1 1 1 1 1 1 1 1 1",
        ),
    ])
}

fn show(value: &Value) -> String {
    let series = |all: &[Series]| -> String {
        let lines = all.iter().map(|s| {
            let points: Vec<_> = s
                .points
                .iter()
                .map(|(t, v)| format!("{}@{}", format_value(*v), t / 1000))
                .collect();
            format!("{} {}", s.labels, points.join(" "))
        });
        lines.collect::<Vec<_>>().join("; ")
    };
    match value {
        Value::Scalar(_, value) => format_value(*value),
        Value::Text(_, text) => text.clone(),
        Value::Vector(all) => series(all).replace("@300", ""),
        Value::Matrix(all) => series(all),
    }
}

fn ask(store: &Store, query: &str) -> String {
    match Engine::default().instant(store, query, 300_000) {
        Ok(answer) => show(&answer.value),
        Err(error) => format!("error: {error}"),
    }
}

/// Expectations worked out by hand from Prometheus' documentation.
#[test]
fn expressions_at_one_time() {
    let store = example();
    let cases = [
        ("1 + 2 * 3 ^ 2", "19"),
        ("-2 ^ 2", "-4"),
        ("2 > bool 1", "1"),
        ("5m", "300"),
        (r#""text""#, "text"),
        ("pi()", "3.141592653589793"),
        ("time()", "300"),
        (
            r#"memory{instance="1"}"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        (
            r#"{"memory", instance="1"}"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        (
            r#"memory{instance="2"} offset 1m"#,
            r#"memory{instance="2", job="a"} 9"#,
        ),
        (
            r#"memory{instance="2"} @ 60"#,
            r#"memory{instance="2", job="a"} 3"#,
        ),
        (
            r#"memory{instance="2"} @ end() offset 30s"#,
            r#"memory{instance="2", job="a"} 10"#,
        ),
        ("gone", ""),
        ("gone offset 4m", r#"gone{job="a"} 1"#),
        (r#"-memory{instance="1"}"#, r#"{instance="1", job="a"} -7"#),
        (
            r#"memory{instance="1"} > 6"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        (
            r#"memory{job="a"} > bool 6"#,
            r#"{instance="1", job="a"} 1; {instance="2", job="a"} 0"#,
        ),
        (
            r#"6 < memory{job="a"}"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        // Windows are left-open: (240, 300] holds the samples at 270 and 300.
        (
            r#"rate(requests_total{instance="1"}[1m])"#,
            r#"{instance="1", job="a"} 0.3333333333333333"#,
        ),
        (
            r#"count_over_time(memory{instance="1"}[1m])"#,
            r#"{instance="1", job="a"} 2"#,
        ),
        (
            r#"irate(requests_total{instance="2"}[5m])"#,
            r#"{instance="2", job="a"} 0.6666666666666666"#,
        ),
        (
            r#"resets(requests_total{instance="2"}[10m])"#,
            r#"{instance="2", job="a"} 1"#,
        ),
        (
            r#"changes(memory{instance="1"}[10m])"#,
            r#"{instance="1", job="a"} 1"#,
        ),
        (
            r#"delta(memory{instance="1"}[1m])"#,
            r#"{instance="1", job="a"} 4"#,
        ),
        (
            r#"deriv(requests_total{instance="3"}[5m])"#,
            r#"{instance="3", job="b"} 0.03333333333333333"#,
        ),
        (
            r#"predict_linear(requests_total{instance="3"}[5m], 60)"#,
            r#"{instance="3", job="b"} 12"#,
        ),
        (
            r#"last_over_time(memory{instance="1"}[5m])"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        (
            r#"first_over_time(memory{instance="2"}[5m])"#,
            r#"memory{instance="2", job="a"} 2"#,
        ),
        (
            r#"ts_of_max_over_time(memory{instance="2"}[5m])"#,
            r#"{instance="2", job="a"} 270"#,
        ),
        (
            r#"max_over_time(memory{instance="2"}[5m:1m])"#,
            r#"{instance="2", job="a"} 9"#,
        ),
        (
            r#"sum_over_time(memory{instance="1"}[2m:1m] offset 1m)"#,
            r#"{instance="1", job="a"} 10"#,
        ),
        (
            r#"quantile_over_time(0.5, memory{instance="2"}[2m])"#,
            r#"{instance="2", job="a"} 8.5"#,
        ),
        ("sum(requests_total)", "{} 200"),
        (
            "sum by (job) (requests_total)",
            r#"{job="a"} 190; {job="b"} 10"#,
        ),
        ("sum without (instance, job) (requests_total)", "{} 200"),
        ("count(memory)", "{} 3"),
        ("max(memory)", "{} 7"),
        ("avg by (job) (memory)", r#"{job="a"} 5; {job="b"} NaN"#),
        (r#"stddev(memory{job="a"})"#, "{} 2"),
        ("group(memory)", "{} 1"),
        (
            "topk(1, requests_total)",
            r#"requests_total{instance="1", job="a"} 100"#,
        ),
        (
            "bottomk(2, requests_total)",
            r#"requests_total{instance="3", job="b"} 10; requests_total{instance="2", job="a"} 90"#,
        ),
        (
            "limitk(1, requests_total)",
            r#"requests_total{instance="1", job="a"} 100"#,
        ),
        ("quantile(0.5, requests_total)", "{} 90"),
        (
            r#"count_values("v", memory{job="a"})"#,
            r#"{v="7"} 1; {v="3"} 1"#,
        ),
        (
            r#"memory{job="a"} / on(instance, job) requests_total"#,
            r#"{instance="1", job="a"} 0.07; {instance="2", job="a"} 0.03333333333333333"#,
        ),
        (
            r#"memory{job="a"} / on(job) group_left limit"#,
            r#"{instance="1", job="a"} 1.75; {instance="2", job="a"} 0.75"#,
        ),
        (
            r#"limit * on(job) group_right memory"#,
            r#"{instance="1", job="a"} 28; {instance="2", job="a"} 12"#,
        ),
        (
            r#"memory{instance="1"} and on(job) limit"#,
            r#"memory{instance="1", job="a"} 7"#,
        ),
        (
            r#"requests_total unless on(job) limit"#,
            r#"requests_total{instance="3", job="b"} 10"#,
        ),
        (
            r#"limit or on(job) memory"#,
            r#"limit{job="a"} 4; memory{instance="3", job="b"} NaN"#,
        ),
        (r#"limit + fill(1) gone"#, r#"{job="a"} 5"#),
        (r#"gone + fill_left(2) limit"#, r#"{job="a"} 6"#),
        ("absent(memory)", ""),
        (r#"absent(nothing{a="b"})"#, r#"{a="b"} 1"#),
        (r#"absent_over_time(gone{job="a"}[1m])"#, r#"{job="a"} 1"#),
        ("vector(3)", "{} 3"),
        ("scalar(limit)", "4"),
        ("scalar(memory)", "NaN"),
        ("clamp(limit, 5, 6)", r#"{job="a"} 5"#),
        ("clamp(limit, 6, 5)", ""),
        ("round(limit / 3, 0.5)", r#"{job="a"} 1.5"#),
        ("timestamp(limit offset 1m)", r#"{job="a"} 240"#),
        ("year(vector(0))", "{} 1970"),
        ("days_in_month(vector(951782400))", "{} 29"),
        ("histogram_quantile(0.5, latency_bucket)", "{} 0.55"),
        ("histogram_fraction(0, 0.1, latency_bucket)", "{} 0.25"),
        (
            r#"histogram_quantiles(latency_bucket, "q", 0.25, 0.75)"#,
            r#"{q="0.25"} 0.1; {q="0.75"} 1"#,
        ),
        ("histogram_count(latency_bucket)", ""),
        (
            r#"label_replace(limit, "x", "$1-y", "job", "(.*)")"#,
            r#"limit{job="a", x="a-y"} 4"#,
        ),
        (
            r#"label_join(limit, "x", "-", "job", "job")"#,
            r#"limit{job="a", x="a-a"} 4"#,
        ),
        (
            "sort_desc(requests_total)",
            r#"requests_total{instance="1", job="a"} 100; requests_total{instance="2", job="a"} 90; requests_total{instance="3", job="b"} 10"#,
        ),
        (
            r#"sort_by_label_desc(requests_total, "instance")"#,
            r#"requests_total{instance="3", job="b"} 10; requests_total{instance="2", job="a"} 90; requests_total{instance="1", job="a"} 100"#,
        ),
        (
            r#"info(memory{instance="1"})"#,
            r#"memory{instance="1", job="a", version="9"} 7"#,
        ),
        ("max_of(1, 2) + min_of(3, 4)", "5"),
        ("limit[1m]", r#"limit{job="a"} 4@270 4@300"#),
        ("gone[10m]", r#"gone{job="a"} 1@0 1@30 1@60"#),
    ];
    let wrong: Vec<_> = cases
        .into_iter()
        .map(|(query, expected)| (query, expected, ask(&store, query)))
        .filter(|(_, expected, got)| expected != got)
        .map(|(query, expected, got)| format!("{query}\n  expected {expected}\n  got      {got}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_say_what_is_wrong() {
    let store = example();
    let cases = [
        (
            "requests_total + on(job) memory",
            "many-to-many matching not allowed",
        ),
        (
            "requests_total + on(job) limit",
            "many-to-one matching must be explicit",
        ),
        (
            r#"{__name__=~"requests_total|memory"} * 2"#,
            "same labelset",
        ),
        (
            r#"rate({__name__=~"requests_total|memory"}[5m])"#,
            "same labelset",
        ),
        (
            r#"sum(rate({__name__=~"requests_total|memory"}[5m]))"#,
            "same labelset",
        ),
        ("topk(NaN, limit)", "Parameter value is NaN"),
        ("topk(Inf, limit)", "overflows int64"),
        (
            r#"label_replace(limit, "a", "", "b", "(")"#,
            "invalid regular expression",
        ),
        (r#"count_values("", limit)"#, "invalid label name"),
        (
            "double_exponential_smoothing(limit[5m], 2, 0.5)",
            "invalid smoothing factor",
        ),
        ("holt_winters(limit[5m], 0.5, 0.5)", "holt_winters"),
        ("sum(limit", ""),
        ("{}", ""),
        (r#"{a=~".*"}"#, "at least one non-empty matcher"),
        (r#"limit{__name__="x"}"#, "set twice"),
        (r#"limit{a="b" or c="d"}"#, "<or>"),
        ("rate(limit)", ""),
        ("limit[1e30]", ""),
        ("limit[0s]", "greater than 0"),
        ("start_timestamp(limit)", "not supported"),
        ("1 > 2", "BOOL"),
        ("nosuch(limit)", "nosuch"),
    ];
    for (query, part) in cases {
        let got = ask(&store, query);
        assert!(
            got.starts_with("error: ") && got.contains(part),
            "{query}: {got}"
        );
    }
}

#[test]
fn remarks_are_given_once() {
    let store = example();
    let answer = |query: &str| Engine::default().instant(&store, query, 300_000).unwrap();
    assert_eq!(
        answer("rate(memory[5m])").infos,
        [
            r#"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "memory""#
        ]
    );
    assert_eq!(
        answer("quantile(2, memory)").warnings,
        ["PromQL warning: quantile value should be between 0 and 1, got 2"]
    );
    assert_eq!(answer("histogram_quantile(0.5, memory)").warnings.len(), 1);
    assert_eq!(answer("rate(requests_total[5m])").infos, [""; 0]);
}

#[test]
fn ranges_are_evaluated_at_every_step() {
    let store = example();
    let range = |query: &str| {
        show(
            &Engine::default()
                .range(&store, query, 0, 120_000, 60_000)
                .unwrap()
                .value,
        )
    };
    assert_eq!(range("limit * 2"), r#"{job="a"} 8@0 8@60 8@120"#);
    assert_eq!(range("gone"), r#"gone{job="a"} 1@0 1@60"#);
    assert_eq!(range("time()"), "{} 0@0 60@60 120@120");
    assert_eq!(
        range(r#"memory{instance="2"} @ start()"#),
        r#"memory{instance="2", job="a"} 1@0 1@60 1@120"#
    );
    assert_eq!(
        range(r#"sum_over_time(memory{instance="2"}[1m] @ end())"#),
        r#"{instance="2", job="a"} 9@0 9@60 9@120"#
    );
    assert_eq!(range("step() + range()"), "{} 180@0 180@60 180@120");
    let empty: [Series; 0] = [];
    assert_eq!(
        Engine::default()
            .range(&store, "nothing", 0, 1, 1)
            .unwrap()
            .value,
        Value::Matrix(empty.into())
    );
    assert!(
        Engine::default()
            .range(&store, "limit[1m]", 0, 1, 1)
            .is_err()
    );
    assert!(Engine::default().range(&store, "limit", 1, 0, 1).is_err());
    assert!(Engine::default().range(&store, "limit", 0, 1, 0).is_err());
}

#[test]
fn a_query_stops_at_its_limits() {
    let store = example();
    let few = Engine {
        limits: Limits {
            max_points: 1000,
            ..Limits::default()
        },
        ..Engine::default()
    };
    let error = few
        .range(&store, "requests_total", 0, 1_000_000, 1000)
        .unwrap_err();
    assert_eq!(error, QueryError::TooManyPoints { limit: 1000 });
    assert!(error.to_string().contains("1000"));
    let short = Engine {
        limits: Limits {
            timeout: Duration::ZERO,
            ..Limits::default()
        },
        ..Engine::default()
    };
    assert!(matches!(
        short.instant(&store, "limit", 0),
        Err(QueryError::Timeout { .. })
    ));
    let cancellation = Cancellation::default();
    cancellation.cancel();
    let stopped = Engine::default().instant_with(&store, "limit", 0, &cancellation);
    assert_eq!(stopped, Err(QueryError::Canceled));
}

#[test]
fn huge_queries_are_refused_before_they_are_parsed() {
    for query in [
        "(".repeat(5000),
        "-".repeat(50_000) + "1",
        "1".to_owned() + &"+1".repeat(50_000),
        "a".to_owned() + &" or a".repeat(20_000),
        "x".repeat(1 << 20),
        "sum(".repeat(2000),
    ] {
        assert!(parse(&query).is_err());
    }
    // What is accepted has to be evaluated, too, on the small stack of a test's thread.
    let store = store(&[("x", "1")]);
    for query in [
        "x".to_owned() + &"+1".repeat(1900),
        "(".repeat(390) + "x" + &")".repeat(390),
        "-".repeat(390) + "x",
        "abs(".repeat(390) + "x" + &")".repeat(390),
        "x".to_owned() + &" or x".repeat(1900),
    ] {
        let answer = Engine::default().instant(&store, &query, 0);
        assert!(answer.is_ok(), "{answer:?}");
        let pretty = with_room(&query, || parse(&query).unwrap().prettify());
        assert!(pretty.unwrap().contains('x'));
        drop(parse(&query));
    }
    let long = format!(r#"a{{b="{}"}}"#, "(+-".repeat(10_000));
    assert!(parse(&long).is_ok(), "texts in quotes are not counted");
}

#[test]
fn ratios_complement_each_other() {
    let store = example();
    let count = |query: &str| ask(&store, query).matches("instance=").count();
    for ratio in ["0.3", "0.5", "0.8"] {
        let (some, rest) = (
            count(&format!("limit_ratio({ratio}, requests_total)")),
            count(&format!("limit_ratio({ratio} - 1, requests_total)")),
        );
        assert_eq!(some + rest, 3);
    }
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "requests_total",
        "memory",
        "gone",
        "limit",
        "1",
        "0",
        "NaN",
        "Inf",
        "time()",
        "memory offset 1m",
        "memory @ 100",
        "memory[2m]",
        "memory[3m:30s]",
        "latency_bucket",
        "\"x\"",
        "nothing",
        "memory{job=~\"a|b\"}",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 40, 3, |inner| {
            let functions = vec![
                "rate",
                "increase",
                "sum",
                "avg",
                "topk",
                "quantile",
                "abs",
                "absent",
                "histogram_quantile",
                "sort",
                "label_join",
                "count_values",
                "clamp",
                "vector",
                "scalar",
                "max_over_time",
                "predict_linear",
                "stddev",
                "sum by (job)",
                "max without (instance)",
                "deriv",
                "timestamp",
                "year",
                "round",
                "info",
                "limit_ratio",
            ];
            let operators = vec![
                "+",
                "-",
                "*",
                "/",
                "%",
                "^",
                "==",
                "> bool",
                "<",
                "and",
                "or",
                "unless",
                "+ on(job)",
                "* on(job) group_left",
                "/ ignoring(instance) group_right",
                "atan2",
                "+ fill(0)",
            ];
            prop_oneof![
                (
                    prop::sample::select(functions),
                    prop::collection::vec(inner.clone(), 1..3)
                )
                    .prop_map(|(f, a)| format!("{f}({})", a.join(", "))),
                (
                    inner.clone(),
                    prop::sample::select(operators),
                    inner.clone()
                )
                    .prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
                (
                    inner.clone(),
                    prop::sample::select(vec!["[5m]", "[2m:1m]", " offset -1m", " @ end()"])
                )
                    .prop_map(|(a, m)| format!("({a}){m}")),
                inner.prop_map(|a| format!("-{a}")),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// An instant query is the range query of one step: the two ways through the engine agree.
    #[test]
    fn an_instant_is_a_range_of_one_step(query in expression(), at in 0i64..20) {
        let store = example();
        let engine = Engine { limits: Limits { max_points: 1_000_000, ..Limits::default() }, ..Engine::default() };
        let time = at * 30_000;
        let instant = engine.instant(&store, &query, time);
        let (start, end) = (time - 60_000, time + 60_000);
        let range = engine.range(&store, &query, start, end, 30_000);
        let uses_range = query.contains("@ end()") || query.contains("start()") || query.contains("limit_ratio");
        if let (Ok(Answer { value: Value::Vector(mut vector), .. }), Ok(Answer { value: Value::Matrix(matrix), .. }), false) = (instant, range, uses_range) {
            let mut at_time: Vec<Series> = matrix.into_iter().filter_map(|mut s| {
                s.points.retain(|p| p.0 == time);
                (!s.points.is_empty()).then_some(s)
            }).collect();
            vector.sort_by(|a, b| a.labels.cmp(&b.labels));
            at_time.sort_by(|a, b| a.labels.cmp(&b.labels));
            prop_assert_eq!(show(&Value::Matrix(vector)), show(&Value::Matrix(at_time)), "{}", query);
        }
    }

    #[test]
    fn garbage_never_panics(query in "[a-z0-9(){}\\[\\]\",:@+*/=~!<> .^-]{0,60}", cut in 0usize..80, real in expression()) {
        let store = store(&[("a", "1 2 3")]);
        let mut text = real;
        if text.is_char_boundary(cut.min(text.len())) {
            text.insert_str(cut.min(text.len()), &query);
        }
        let engine = Engine { limits: Limits { max_points: 100_000, timeout: Duration::from_secs(5) }, ..Engine::default() };
        let _ = engine.instant(&store, &text, 60_000);
        let _ = engine.range(&store, &query, 0, 60_000, 10_000);
    }
}
