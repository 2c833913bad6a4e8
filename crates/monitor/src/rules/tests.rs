use super::*;
use crate::promql::Value;
use crate::storage::Options;

const MINUTE: i64 = 60_000;

fn store() -> Store {
    Store::in_memory(Options {
        future_limit: None,
        ..Options::default()
    })
}

fn append(store: &Store, series: &str, time: i64, value: f64) {
    let labels = Labels::from_pairs(
        crate::promql::parse_selector(series)
            .unwrap()
            .iter()
            .map(|m| (m.name().to_owned(), m.value().to_owned())),
    );
    let mut appender = store.appender();
    appender.append(&labels, time, value).unwrap();
    appender.commit().unwrap();
}

fn rules(store: &Store, text: &str) -> Rules {
    let rules = Rules::new(
        store.clone(),
        Engine::default(),
        RuleOptions {
            external_url: "http://h".into(),
            ..RuleOptions::default()
        },
    );
    rules.load(&[("r.yml".into(), text.to_owned())]).unwrap();
    rules
}

fn instant(store: &Store, query: &str, at: i64) -> Vec<String> {
    let Value::Vector(all) = Engine::default().instant(store, query, at).unwrap().value else {
        panic!()
    };
    all.iter()
        .map(|s| format!("{} {}", s.labels, s.points[0].1))
        .collect()
}

const DOWN: &str = r#"
groups:
  - name: g
    interval: 1m
    rules:
      - alert: Down
        expr: up == 0
        for: 2m
        keep_firing_for: 3m
        labels: {severity: "{{ if eq $labels.job \"a\" }}page{{ else }}mail{{ end }}"}
        annotations: {summary: "{{ $labels.job }} is {{ $value }}"}
"#;

#[test]
fn an_alert_pends_fires_lingers_and_resolves() {
    let store = store();
    let rules = rules(&store, DOWN);
    let states = [
        // minute, up, expected state, notices (resolved?)
        (0, 1.0, None, vec![]),
        (1, 0.0, Some(AlertState::Pending), vec![]),
        (2, 0.0, Some(AlertState::Pending), vec![]),
        (3, 0.0, Some(AlertState::Firing), vec![false]),
        (4, 0.0, Some(AlertState::Firing), vec![false]),
        (5, 1.0, Some(AlertState::Firing), vec![false]),
        (6, 1.0, Some(AlertState::Firing), vec![false]),
        (7, 1.0, Some(AlertState::Firing), vec![false]),
        (8, 1.0, None, vec![true]),
        (9, 1.0, None, vec![true]),
        (10, 0.0, Some(AlertState::Pending), vec![]),
        (11, 1.0, None, vec![]),
    ];
    for (minute, up, expected, notices) in states {
        append(&store, r#"up{job="a"}"#, minute * MINUTE, up);
        let evaluation = rules.evaluate_due(minute * MINUTE);
        assert_eq!(evaluation.failed, 0);
        let alerts = rules.alerts();
        assert_eq!(alerts.first().map(|a| a.state), expected, "minute {minute}");
        let resolved: Vec<bool> = evaluation.notices.iter().map(|n| n.resolved).collect();
        assert_eq!(resolved, notices, "minute {minute}");
        if minute == 3 {
            let notice = &evaluation.notices[0];
            assert_eq!(
                notice.labels.to_string(),
                r#"{alertname="Down", job="a", severity="page"}"#
            );
            assert_eq!(notice.annotations["summary"], "a is 0");
            assert_eq!((notice.starts_at, notice.ends_at), (3 * MINUTE, 7 * MINUTE));
            assert_eq!(
                notice.generator_url,
                "http://h/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
            );
            assert_eq!(
                instant(&store, "ALERTS", 3 * MINUTE),
                [r#"ALERTS{alertname="Down", alertstate="firing", job="a", severity="page"} 1"#]
            );
            assert_eq!(
                instant(&store, "ALERTS_FOR_STATE", 3 * MINUTE),
                [r#"ALERTS_FOR_STATE{alertname="Down", job="a", severity="page"} 60"#]
            );
        }
        if minute == 8 {
            assert_eq!(instant(&store, "ALERTS", 8 * MINUTE), [""; 0]);
        }
    }
}

#[test]
fn state_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.json");
    let store = store();
    {
        let rules = rules(&store, DOWN);
        rules.restore(&path).unwrap();
        for minute in 1..=2 {
            append(&store, r#"up{job="a"}"#, minute * MINUTE, 0.0);
            rules.evaluate_due(minute * MINUTE);
        }
        rules.save(&path).unwrap();
    }
    let again = Rules::new(store.clone(), Engine::default(), RuleOptions::default());
    again.restore(&path).unwrap();
    again.load(&[("r.yml".into(), DOWN.to_owned())]).unwrap();
    assert_eq!(again.alerts()[0].active_at, MINUTE);
    append(&store, r#"up{job="a"}"#, 3 * MINUTE, 0.0);
    let evaluation = again.evaluate_due(3 * MINUTE);
    assert_eq!(
        evaluation.notices.len(),
        1,
        "it fires without waiting again"
    );
    again.save(&path).unwrap();
    // The same once more while it fires, with a reload in between: it resolves in the end.
    let third = Rules::new(store.clone(), Engine::default(), RuleOptions::default());
    third.restore(&path).unwrap();
    third.load(&[("r.yml".into(), DOWN.to_owned())]).unwrap();
    third.load(&[("r.yml".into(), DOWN.to_owned())]).unwrap();
    append(&store, r#"up{job="a"}"#, 4 * MINUTE, 1.0);
    third.evaluate_due(4 * MINUTE);
    let evaluation = third.evaluate_due(7 * MINUTE);
    assert_eq!(
        evaluation
            .notices
            .iter()
            .map(|n| (n.resolved, n.starts_at))
            .collect::<Vec<_>>(),
        [(true, 3 * MINUTE)]
    );
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(
        third.restore(&path),
        Err(RulesError::State { .. })
    ));
}

#[test]
fn recorded_series_are_in_order_and_end_when_their_source_ends() {
    let store = store();
    let text = "groups: [{name: g, interval: 1m, rules: [{record: 'a:sum', expr: 'sum by (job) (x)', labels: {k: v}}, {record: 'b:double', expr: '2 * a:sum'}]}]";
    let rules = rules(&store, text);
    append(&store, r#"x{job="j"}"#, MINUTE, 3.0);
    rules.evaluate_due(MINUTE);
    assert_eq!(
        instant(&store, "{__name__=~\"a:sum|b:double\"}", MINUTE),
        [
            r#"a:sum{job="j", k="v"} 3"#,
            r#"b:double{job="j", k="v"} 6"#
        ]
    );
    append(
        &store,
        r#"x{job="j"}"#,
        2 * MINUTE,
        crate::labels::stale_nan(),
    );
    rules.evaluate_due(2 * MINUTE);
    assert_eq!(
        instant(&store, "{__name__=~\"a:sum|b:double\"}", 2 * MINUTE),
        [""; 0]
    );
}

#[test]
fn removed_rules_end_their_series_and_changed_ones_start_anew() {
    let store = store();
    let rules = rules(
        &store,
        "groups: [{name: g, rules: [{record: 'a:x', expr: x}]}]",
    );
    append(&store, "x", MINUTE, 3.0);
    rules.evaluate_due(MINUTE);
    rules.load(&[("r.yml".into(), String::new())]).unwrap();
    rules.evaluate_due(2 * MINUTE);
    assert_eq!(instant(&store, "a:x", 2 * MINUTE), [""; 0]);
    let wrong = rules
        .load(&[(
            "bad.yml".into(),
            "groups: [{name: g, rules: [{record: r}]}]".into(),
        )])
        .unwrap_err();
    assert!(wrong.to_string().starts_with("bad.yml:1:"), "{wrong}");
}

#[test]
fn limits_and_errors_are_the_rules_health() {
    let store = store();
    let text = "groups: [{name: g, limit: 1, rules: [{record: r, expr: x}, {alert: A, expr: x}, {record: s, expr: 'x + on(k) x'}, {record: t, expr: vector(1)}]}]";
    let rules = rules(&store, text);
    for job in ["a", "b"] {
        append(&store, &format!(r#"x{{job="{job}"}}"#), MINUTE, 1.0);
    }
    let evaluation = rules.evaluate_due(MINUTE);
    assert_eq!((evaluation.groups, evaluation.failed), (1, 3));
    let view = rules.groups();
    let health = |at: usize| view[0].rules[at].health.error.clone().unwrap_or_default();
    assert_eq!(health(0), "exceeded limit of 1 with 2 series");
    assert_eq!(health(1), "exceeded limit of 1 with 2 alerts");
    assert!(health(2).contains("many-to-many"), "{}", health(2));
    assert_eq!(
        (health(3).as_str(), view[0].rules[3].health.name()),
        ("", "ok")
    );
}

#[test]
fn groups_keep_their_own_time() {
    let store = store();
    let rules = rules(
        &store,
        "groups: [{name: a, interval: 10s, rules: [{record: ra, expr: time()}]}, {name: b, interval: 30s, query_offset: 5s, rules: [{record: rb, expr: time()}]}]",
    );
    assert_eq!(rules.evaluate_due(100_000).groups, 2);
    assert_eq!(instant(&store, "rb", 100_000), ["rb 95"]);
    assert_eq!(rules.next_due(), Some(110_000));
    assert_eq!(rules.evaluate_due(109_999).groups, 0);
    assert_eq!(rules.evaluate_due(110_000).groups, 1);
    // Late by several intervals: once, at a regular time.
    assert_eq!(rules.evaluate_due(147_000).groups, 2);
    assert_eq!(instant(&store, "ra", 147_000), ["ra 140"]);
    assert_eq!(rules.next_due(), Some(150_000));
}

#[test]
fn equal_labels_after_templates_are_refused() {
    let store = store();
    let rules = rules(
        &store,
        "groups: [{name: g, rules: [{alert: A, expr: x, labels: {job: same}}]}]",
    );
    for job in ["a", "b"] {
        append(&store, &format!(r#"x{{job="{job}"}}"#), MINUTE, 1.0);
    }
    rules.evaluate_due(MINUTE);
    assert!(
        rules.groups()[0].rules[0]
            .health
            .error
            .as_ref()
            .unwrap()
            .contains("same labelset")
    );
}
