use super::*;
use proptest::prelude::*;

const EXAMPLE: &str = r#"
groups:
  - name: host
    interval: 30s
    query_offset: 10s
    limit: 100
    labels: {team: ops, severity: info}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 1m
        keep_firing_for: 5m
        labels: {severity: page}
        annotations:
          summary: "{{ $labels.instance }} is down"
"#;

#[test]
fn prometheus_files_are_read_as_they_are() {
    let groups = parse(EXAMPLE).unwrap();
    let group = &groups[0];
    assert_eq!(
        (
            group.name.as_str(),
            group.interval,
            group.query_offset,
            group.limit
        ),
        ("host", Some(30_000), Some(10_000), 100)
    );
    assert_eq!(
        group.rules[0].kind,
        RuleKind::Recording {
            name: "job:up:sum".to_owned()
        }
    );
    let RuleKind::Alerting {
        name,
        hold,
        keep_firing,
        annotations,
    } = &group.rules[1].kind
    else {
        panic!()
    };
    assert_eq!(
        (name.as_str(), *hold, *keep_firing, annotations.len()),
        ("Down", 60_000, 300_000, 1)
    );
    let labels: Vec<_> = group.rules[1]
        .labels
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(labels, [("severity", "page"), ("team", "ops")]);
    assert_eq!(group.rules[1].place.line, 11);
    assert_eq!(parse("").unwrap(), []);
}

#[test]
fn every_mistake_is_pointed_at() {
    let text = r#"
groups:
  - name: a
    intervall: 3s
    rules:
      - record: x
        alert: y
        expr: up
      - record: x
        expr: sum(up
      - alert: z
        expr: up
        for: soon
        annotations: {summary: "{{ $labels.x "}
      - record: r
        expr: up
        for: 5m
      - expr: up
  - name: a
group: []
"#;
    let errors: Vec<String> = parse(text)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    for expected in [
        "4:5: \"intervall\" is no field of a group",
        "6:9: only one of 'record' and 'alert' must be set",
        "10:15: could not parse expression",
        "13:14: not a valid duration string",
        "11:9: template of \"summary\"",
        "15:9: invalid field 'for' in recording rule",
        "18:9: one of 'record' or 'alert' must be set",
        "19:5: groupname: \"a\" is repeated",
        "20:1: \"group\" is no field",
    ] {
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{expected} is not in {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 9, "{errors:#?}");
}

proptest! {
    #[test]
    fn mutations_never_panic(at in 0usize..EXAMPLE.len(), length in 0usize..30, with in "[ \\n:{}a-z\"$.-]{0,10}") {
        let end = (at + length).min(EXAMPLE.len());
        let _ = parse(&format!("{}{with}{}", &EXAMPLE[..at], &EXAMPLE[end..]));
    }
}
