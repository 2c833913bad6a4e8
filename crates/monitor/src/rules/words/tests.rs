use super::*;
use crate::rules::parse_rule_file;

fn rules(words: &str, app: Option<&str>) -> Vec<(String, &'static str, String)> {
    let monitor = Monitor::parse(words, app).unwrap_or_else(|error| panic!("{words}: {error}"));
    let file = monitor.rule_file("m", words, app, "15s");
    parse_rule_file(&file).unwrap_or_else(|errors| panic!("{words}: {errors:?}\n{file}"));
    monitor
        .rules
        .into_iter()
        .map(|rule| (rule.expression, rule.severity, rule.hold))
        .collect()
}

#[test]
fn thresholds() {
    let found = rules("p95 latency > 500ms for 5m", Some("web"));
    assert_eq!(
        found,
        [(
            "(histogram_quantile(0.95, sum by (app, le) (rate(launchway_request_duration_seconds_bucket{app=\"web\"}[1m])))) > 0.5".to_owned(),
            "critical",
            "5m".to_owned()
        )]
    );
    let found = rules("error rate > 7%", Some("web"));
    assert!(
        found[0].0.contains("{app=\"web\",code=\"5xx\"}") && found[0].0.ends_with("> 0.07"),
        "{found:?}"
    );
    assert!(
        rules("memory > 300MB", Some("web"))[0]
            .0
            .ends_with("> 314572800")
    );
    assert!(rules("disk used > 90%", None)[0].0.ends_with("> 0.9"));
    assert_eq!(rules("`sum(up)` < 3 for 1m", None)[0].0, "(sum(up)) < 3");
}

#[test]
fn a_warning_comes_before_and_a_recovery_after() {
    let found = rules(
        "requests > 10 for 1m, warning > 5, recovery < 4",
        Some("web"),
    );
    assert_eq!((found[0].1, found[1].1), ("critical", "warning"));
    assert!(
        found[1].0.starts_with(
            "(sum by (app) (rate(launchway_requests_total{app=\"web\"}[1m]))) > 5 or (("
        ),
        "{}",
        found[1].0
    );
    assert!(found[0].0.contains(">= 4 and on () ALERTS{alertname=%ALERTNAME%, alertstate=\"firing\", severity=\"critical\"}"), "{}", found[0].0);
}

#[test]
fn changes_anomalies_forecasts_and_absence() {
    let found = rules("requests drops by 50% in 10m for 2m", Some("web"));
    assert!(
        found[0].0.starts_with("-((sum by") && found[0].0.contains("offset 10m)) > 0) - 1) > 0.5"),
        "{}",
        found[0].0
    );
    assert!(
        rules("memory rises by 20% in 1h", Some("web"))[0]
            .0
            .starts_with("((sum")
    );
    let found = rules("requests anomaly", Some("web"));
    assert!(
        found[0].0.contains("offset 4w") && found[0].2 == "10m",
        "{found:?}"
    );
    let found = rules("disk used > 95% within 4h", None);
    assert!(
        found[0]
            .0
            .starts_with("predict_linear((1 - node_filesystem_avail_bytes")
            && found[0].0.ends_with("[1h:1m], 14400) > 0.95"),
        "{found:?}"
    );
    assert_eq!(
        rules("requests no data for 10m", Some("web"))[0].0,
        "absent(sum by (app) (rate(launchway_requests_total{app=\"web\"}[1m])))"
    );
}

#[test]
fn what_is_not_understood_is_said() {
    let error =
        |words: &str, app: Option<&str>| Monitor::parse(words, app).unwrap_err().to_string();
    assert!(
        error("temperature > 3", None)
            .starts_with("expected a quantity, found \"temperature > 3\": there are p50 latency, ")
    );
    assert_eq!(
        error("requests above 3", None),
        "expected >, <, >=, <=, ==, !=, rises, drops, anomaly or no data, found above"
    );
    assert_eq!(
        error("requests > much", None),
        "expected a number, found \"much\""
    );
    assert_eq!(
        error("latency > 5MB", None),
        "\"MB\" is no unit of this quantity"
    );
    assert_eq!(
        error("requests > 3 for 5", None),
        "expected a time such as 5m after for, found \"5\""
    );
    assert_eq!(
        error("requests > 3 please", None),
        "expected the end, found \"please\""
    );
    assert_eq!(
        error("disk used > 90%", Some("web")),
        "disk used is of the host, not of an app"
    );
    assert_eq!(
        error("requests drops by 50%", None),
        "expected in and a time, such as in 10m"
    );
    assert!(error("`sum(` > 3", None).starts_with("the query cannot be read: "));
}
