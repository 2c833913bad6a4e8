use super::*;
use crate::advisory::{Format, Record};
use crate::index::builder::Builder;

/// Builds an index of npm's `x` from pairs of events and listed versions, and matches a version.
fn matched(affected: &[(&str, &str)], version: &str) -> Matched {
    let mut builder = Builder::new();
    for (number, (events, versions)) in affected.iter().enumerate() {
        let text = format!(
            r#"{{"id": "A-{number}", "modified": "2024-01-01T00:00:00Z", "affected": [{{"package": {{"ecosystem": "npm", "name": "x"}},
            "ranges": [{{"type": "SEMVER", "events": [{events}]}}], "versions": [{versions}]}}]}}"#
        );
        builder.add(Record::parse(text.as_bytes(), Format::Json).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = crate::index::publish(folder.path(), &builder.finish(0).unwrap().0).unwrap();
    match_package(&Index::open(&path).unwrap(), &Ecosystem::Npm, "x", version).unwrap()
}

fn hits(events: &str, versions: &str, version: &str) -> bool {
    !matched(&[(events, versions)], version).hits.is_empty()
}

#[test]
fn ranges_begin_and_end_where_their_events_say() {
    let range = r#"{"introduced": "1.0.0"}, {"fixed": "1.2.0"}"#;
    for (version, expected) in [
        ("0.9.9", false),
        ("1.0.0-rc.1", false),
        ("1.0.0", true),
        ("1.1.9", true),
        ("1.2.0-beta", true),
        ("1.2.0", false),
        ("3.0.0", false),
    ] {
        assert_eq!(hits(range, "", version), expected, "{version}");
    }
    let last = r#"{"introduced": "0"}, {"last_affected": "1.2.0"}"#;
    for (version, expected) in [("0.0.0-alpha", true), ("1.2.0", true), ("1.2.1", false)] {
        assert_eq!(hits(last, "", version), expected, "{version}");
    }
}

#[test]
fn several_stretches_in_any_order_of_events() {
    let range =
        r#"{"fixed": "2.0.5"}, {"introduced": "0"}, {"introduced": "2.0.0"}, {"fixed": "1.4.2"}"#;
    for (version, expected) in [
        ("1.0.0", true),
        ("1.4.2", false),
        ("1.9.0", false),
        ("2.0.0", true),
        ("2.0.5", false),
    ] {
        assert_eq!(hits(range, "", version), expected, "{version}");
    }
}

#[test]
fn limits_end_what_is_known() {
    let range = r#"{"introduced": "1.0.0"}, {"limit": "2.0.0"}"#;
    assert!(hits(range, "", "1.5.0"));
    assert!(!hits(range, "", "2.0.0"));
    assert!(hits(
        r#"{"introduced": "1.0.0"}, {"limit": "*"}"#,
        "",
        "9.0.0"
    ));
}

#[test]
fn listed_versions_count_beside_ranges() {
    let range = r#"{"introduced": "1.0.0"}, {"fixed": "1.2.0"}"#;
    assert!(hits(range, r#""3.0.0""#, "3.0.0"));
    assert!(hits("", r#""3.0.0""#, "v3.0.0"));
    assert!(!hits("", r#""3.0.0""#, "3.0.1"));
}

#[test]
fn the_smallest_mending_version_is_free_of_every_advisory() {
    let first = (r#"{"introduced": "0"}, {"fixed": "1.2.0"}"#, "");
    let second = (r#"{"introduced": "1.2.0"}, {"fixed": "1.3.0"}"#, "");
    let third = (r#"{"introduced": "0"}, {"fixed": "1.1.0"}"#, "");
    let result = matched(&[first, second, third], "1.0.0");
    assert_eq!(result.hits.len(), 2);
    assert_eq!(result.hits[0].fixed.as_deref(), Some("1.2.0"));
    assert_eq!(result.hits[1].fixed.as_deref(), Some("1.1.0"));
    // 1.2.0 would bring the second advisory in.
    assert_eq!(result.upgrade.as_deref(), Some("1.3.0"));
    let stretches = (
        r#"{"introduced": "0"}, {"fixed": "1.4.2"}, {"introduced": "2.0.0"}, {"fixed": "2.0.5"}"#,
        "",
    );
    assert_eq!(
        matched(&[stretches], "1.0.0").upgrade.as_deref(),
        Some("1.4.2")
    );
    assert_eq!(
        matched(&[stretches], "2.0.1").upgrade.as_deref(),
        Some("2.0.5")
    );
    let unmended = (r#"{"introduced": "0"}, {"last_affected": "9.0.0"}"#, "");
    assert_eq!(matched(&[first, unmended], "1.0.0").upgrade, None);
}
