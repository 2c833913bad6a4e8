use super::*;

#[test]
fn a_record_with_nulls_and_informational_marks_is_read() {
    let text = r#"{"schema_version": null, "id": "RUSTSEC-2018-0018", "modified": "2023-06-13T13:10:24Z",
      "aliases": ["CVE-2018-25023"], "summary": "s", "severity": [], "withdrawn": null,
      "affected": [{"package": {"ecosystem": "crates.io", "name": "smallvec"},
        "database_specific": {"informational": "unsound", "cvss": null},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0.0.0-0"}, {"fixed": "0.6.13"}]}], "versions": []}]}"#;
    let record = Record::parse(text.as_bytes(), Format::Json).unwrap();
    assert!(!record.withdrawn);
    assert_eq!(
        record.affected[0].informational,
        Some(Informational::Unsound)
    );
    assert_eq!(
        record.affected[0].ranges[0].events,
        [
            Event::Introduced("0.0.0-0".into()),
            Event::Fixed("0.6.13".into())
        ]
    );
}

#[test]
fn yaml_timestamps_are_read_quoted_or_not() {
    for written in [
        "2021-03-23T16:15:00Z",
        "\"2021-03-23T16:15:00Z\"",
        "2021-03-23 16:15:00",
        "2021-03-23T16:15:00.123456Z",
        "2021-03-23T16:15:00+00:00",
    ] {
        let text =
            format!("id: PYSEC-1\nmodified: {written}\nwithdrawn: {written}\naffected: []\n");
        let record = Record::parse(text.as_bytes(), Format::Yaml).unwrap();
        assert_eq!(record.modified, 1_616_516_100, "{written}");
        assert!(record.withdrawn);
    }
}

#[test]
fn what_breaks_the_schema_is_an_error_with_its_line() {
    let cases = [
        ("{}", "`id`"),
        (
            r#"{"id": "../../etc/passwd", "modified": "2021-03-23T16:15:00Z"}"#,
            "`id`",
        ),
        (r#"{"id": "A"}"#, "`modified`"),
        (r#"{"id": "A", "modified": "yesterday"}"#, "RFC 3339"),
        (
            r#"{"id": "A", "modified": "2021-03-23T16:15:00Z", "affected": {}}"#,
            "list",
        ),
        (
            r#"{"id": "A", "modified": "2021-03-23T16:15:00Z", "affected": [{"package": {"name": "x"}}]}"#,
            "ecosystem",
        ),
        (
            r#"{"id": "A", "modified": "2021-03-23T16:15:00Z", "affected": [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "X"}]}]}"#,
            "SEMVER",
        ),
        ("[1]", "mapping"),
    ];
    for (text, part) in cases {
        let error = Record::parse(text.as_bytes(), Format::Json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(Record::parse(&[0xff, 0xfe], Format::Json).is_err());
}

#[test]
fn long_details_become_a_short_summary() {
    let record = |details: &str| {
        let text =
            serde_json::json!({"id": "A", "modified": "2021-03-23T16:15:00Z", "details": details})
                .to_string();
        Record::parse(text.as_bytes(), Format::Json)
            .unwrap()
            .summary
    };
    assert_eq!(record("one\n  two"), "one two");
    let long = record(&"word ".repeat(200));
    assert!(
        long.len() <= SUMMARY_BYTES + 4 && long.ends_with("word…"),
        "{long}"
    );
    assert!(record(&"ä".repeat(5000)).len() < 200);
}

#[test]
fn only_web_addresses_become_links() {
    let text = r#"{"id": "A", "modified": "2021-03-23T16:15:00Z", "references": [{"type": "ADVISORY", "url": "javascript:alert(1)"}]}"#;
    assert_eq!(
        Record::parse(text.as_bytes(), Format::Json).unwrap().url,
        None
    );
}

/// A record with everything in it, to be mutilated.
const SEED: &str = r#"{"id": "A-1", "modified": "2024-01-01T00:00:00Z", "published": "2024-01-01T00:00:00Z", "withdrawn": null, "aliases": ["CVE-1"], "summary": "s", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}], "references": [{"type": "WEB", "url": "https://x"}], "database_specific": {"severity": "LOW", "cwe_ids": ["CWE-1"]}, "affected": [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0"}, {"last_affected": "2"}, {"limit": "3"}]}], "versions": ["1"]}]}"#;

proptest::proptest! {
    #[test]
    fn no_mutilated_record_makes_a_reader_panic(cut in 0_usize..900, at in 0_usize..900, insert in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4)) {
        let mut bytes = SEED.as_bytes().to_vec();
        let at = at.min(bytes.len());
        bytes.splice(at..at, insert);
        bytes.truncate(cut.max(20));
        for format in [Format::Json, Format::Yaml, Format::RustSec] {
            if let Ok(record) = Record::parse(&bytes, format) {
                let mut builder = crate::index::builder::Builder::new();
                builder.add(record);
                builder.finish(0).unwrap();
            }
        }
    }
}
