use super::super::tests::{finding, now};
use super::*;
use crate::finding::Verdict;
use crate::policy::Policy;

fn ignore(text: &str) -> Result<Vec<Rule>, SyntaxError> {
    parse_ignore(text, "ignore.toml")
}

#[test]
fn a_decision_holds_to_its_last_day() {
    let rule = |expires: &str| {
        ignore(&format!("[[ignore]]\nid = \"CVE-2024-1\"\npackage = \"zope_interface\"\nreason = \"why\"\nexpires = {expires}\n")).unwrap()
    };
    let mut findings = [finding(None)];
    let notes = Policy::default().decide(&mut findings, &rule("2025-06-15"), now());
    assert_eq!(
        findings[0].verdict,
        Verdict::Ignored {
            reason: "why".into(),
            expires: Some("2025-06-15".into())
        }
    );
    assert_eq!(notes, [""; 0]);
    let notes = Policy::default().decide(&mut findings, &rule("2025-06-14"), now());
    assert_eq!(findings[0].verdict, Verdict::Fails);
    assert!(notes[0].contains("ended on 2025-06-14 (why)"), "{notes:?}");
}

#[test]
fn a_decision_hides_nothing_else() {
    for (key, value) in [("id", "CVE-2024-2"), ("package", "other"), ("path", "lib/")] {
        let mut lines = vec![
            ("id", "CVE-2024-1"),
            ("reason", "why"),
            ("expires", "2030-01-01"),
        ];
        lines.retain(|(known, _)| *known != key);
        lines.push((key, value));
        let text: String = lines
            .iter()
            .map(|(key, value)| format!("{key} = \"{value}\"\n"))
            .collect();
        let mut findings = [finding(None)];
        let notes = Policy::default().decide(
            &mut findings,
            &ignore(&format!("[[ignore]]\n{text}")).unwrap(),
            now(),
        );
        assert_eq!(findings[0].verdict, Verdict::Fails, "{text}");
        assert!(notes[0].contains("matches no finding"));
    }
}

#[test]
fn incomplete_decisions_are_errors_with_their_line() {
    let cases = [
        (
            "[[ignore]]\nid = \"A\"\nreason = \"x\"\n",
            "line 2: an ignore rule needs `expires`",
        ),
        (
            "[[ignore]]\nid = \"A\"\nexpires = 2025-01-01\n",
            "needs `reason`",
        ),
        (
            "[[ignore]]\nreason = \"x\"\nexpires = 2025-01-01\n",
            "needs `id`",
        ),
        (
            "[[ignore]]\nid = \"A\"\nreason = \"x\"\nexpires = \"soon\"\n",
            "no date",
        ),
        (
            "[[ignore]]\nid = \"A\"\nbecause = \"x\"\n",
            "`because` is not known",
        ),
        ("ignored = 1\n", "expected `[[ignore]]`"),
    ];
    for (text, part) in cases {
        let error = ignore(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn suppression_files_of_dependency_check_are_applied() {
    let suppressed = |inner: &str, attributes: &str| {
        let text = format!(
            "<?xml version=\"1.0\"?>\n<suppressions xmlns=\"https://jeremylong.github.io/DependencyCheck/dependency-suppression.1.3.xsd\">\n<suppress{attributes}><notes><![CDATA[ a\n reason ]]></notes>{inner}</suppress>\n</suppressions>"
        );
        let (rules, notes) = parse_suppressions(&text, "s.xml").unwrap();
        let mut findings = [finding(Some(
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
        ))];
        Policy::default().decide(&mut findings, &rules, now());
        (findings[0].verdict.is_ignored(), notes.len())
    };
    assert_eq!(suppressed("<cve>CVE-2024-1</cve>", ""), (true, 0));
    assert_eq!(
        suppressed(
            "<packageUrl regex=\"true\">^pkg:pypi/zope-.*@.*$</packageUrl><cve>CVE-2024-1</cve>",
            ""
        ),
        (true, 0)
    );
    assert_eq!(
        suppressed(
            "<packageUrl regex=\"true\">^pkg:npm/.*$</packageUrl><cve>CVE-2024-1</cve>",
            ""
        ),
        (false, 0)
    );
    assert_eq!(
        suppressed(
            "<vulnerabilityName regex=\"true\">PYSEC-\\d</vulnerabilityName>",
            " until=\"2025-06-15Z\""
        ),
        (true, 0)
    );
    assert_eq!(
        suppressed("<cve>CVE-2024-1</cve>", " until=\"2025-06-14Z\""),
        (false, 0)
    );
    assert_eq!(suppressed("<cvssBelow>7</cvssBelow>", ""), (true, 0));
    assert_eq!(suppressed("<cvssBelow>6</cvssBelow>", ""), (false, 0));
    assert_eq!(suppressed("<cwe>79</cwe>", ""), (true, 0));
    assert_eq!(
        suppressed("<sha1>aa</sha1><cve>CVE-2024-1</cve>", ""),
        (false, 1)
    );
    assert_eq!(suppressed("<cpe>cpe:/a:x:y</cpe>", ""), (false, 1));
    assert!(parse_suppressions("<other/>", "s.xml").is_err());
    assert!(parse_suppressions("<suppressions><suppress><cve regex=\"true\">x</cve><vulnerabilityName regex=\"true\">(</vulnerabilityName></suppress></suppressions>", "s.xml").is_err());
}

proptest::proptest! {
    #[test]
    fn no_mutilated_decision_makes_a_reader_panic(cut in 0_usize..260, at in 0_usize..260, insert in "[\\[\\]<>&;=\"'#()\n a]{0,4}") {
        let seeds = [
            "[[ignore]]\nid = \"A\"\npackage = \"p\"\nreason = \"r\"\nexpires = 2025-01-01\n",
            "<suppressions><suppress until=\"2025-01-01Z\"><notes>n</notes><packageUrl regex=\"true\">^a$</packageUrl><cvssBelow>5</cvssBelow><cve>A</cve></suppress></suppressions>",
        ];
        for seed in seeds {
            let mut text = seed.to_owned();
            text.insert_str(at.min(text.len()), &insert);
            text.truncate(cut.max(10));
            let _ = parse_ignore(&text, "x");
            let _ = parse_suppressions(&text, "x");
        }
    }
}
