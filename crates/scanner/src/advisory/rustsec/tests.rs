use super::*;
use crate::advisory::Format;

fn events(patched: &str, unaffected: &str) -> Vec<String> {
    let text = format!(
        "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"x\"\ndate = \"2020-01-02\"\n[versions]\npatched = [{patched}]\nunaffected = [{unaffected}]\n```\n\n# A title\n\nMore.\n"
    );
    let record = Record::parse(text.as_bytes(), Format::RustSec).unwrap();
    assert_eq!(
        (record.summary.as_str(), record.published),
        ("A title", Some(1_577_923_200))
    );
    let shown = |event: &Event| match event {
        Event::Introduced(version) => format!("+{version}"),
        Event::Fixed(version) => format!("-{version}"),
        other => panic!("{other:?}"),
    };
    record.affected[0].ranges[0]
        .events
        .iter()
        .map(shown)
        .collect()
}

#[test]
fn safe_requirements_become_affected_ranges() {
    assert_eq!(events("", ""), ["+0"]);
    assert_eq!(
        events("\">= 0.6.10\"", "\"< 0.6.5\""),
        ["+0.6.5", "-0.6.10"]
    );
    assert_eq!(
        events("\"^0.2.1\", \">= 0.3\"", ""),
        ["+0", "-0.2.1", "+0.3.0-0", "-0.3.0"]
    );
    assert_eq!(
        events(
            "\"^0.2.1\", \">= 0.4.2, < 0.5\", \">= 0.5.1\"",
            "\"<= 0.1.4\""
        ),
        [
            "+0.1.5-0", "-0.2.1", "+0.3.0-0", "-0.4.2", "+0.5.0", "-0.5.1"
        ]
    );
    assert_eq!(events("\"> 1.2.3\"", ""), ["+0", "-1.2.4-0"]);
    assert_eq!(events("\"> 1\"", ""), ["+0", "-2.0.0-0"]);
    assert_eq!(events("\"=1.0.1\"", ""), ["+0", "-1.0.1", "+1.0.2-0"]);
    assert_eq!(events("\"~1.2.3\"", ""), ["+0", "-1.2.3", "+1.3.0-0"]);
    assert_eq!(events("\"1.0.0\"", ""), ["+0", "-1.0.0", "+2.0.0-0"]);
    assert_eq!(events("", "\"*\""), [""; 0]);
    assert_eq!(
        events("\">= 2.0.0-rc.1\"", "\"< 1.0.0-alpha.1, >= 0.5\""),
        ["+0", "-0.5.0", "+1.0.0-alpha.1", "-2.0.0-rc.1"]
    );
}

#[test]
fn what_is_no_advisory_is_an_error() {
    for text in [
        "# Title",
        "```toml\nid = 1",
        "```toml\n[advisory]\nid = \"RUSTSEC-1\"\n```",
        "```toml\n[advisory]\nid = \"../x\"\npackage = \"x\"\ndate = \"2020-01-02\"\n```",
        "```toml\n[advisory]\nid = \"A\"\npackage = \"x\"\ndate = \"2020-01-02\"\n[versions]\npatched = [\">>1\"]\n```",
        "```toml\n[advisory]\nid = \"A\"\npackage = \"x\"\ndate = \"2020-01-02\"\n[versions]\npatched = [\">= 99999999999999999999\"]\n```",
    ] {
        assert!(
            Record::parse(text.as_bytes(), Format::RustSec).is_err(),
            "{text}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_requirement_makes_its_reader_panic(text in "[<>=^~*0-9., a+-]{0,24}") {
        let _ = span(&text);
    }
}
