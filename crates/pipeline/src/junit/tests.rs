use super::*;

fn shown(xml: &str) -> Vec<(String, String, TestOutcome)> {
    read(xml.as_bytes())
        .unwrap()
        .into_iter()
        .map(|case| (case.suite, case.name, case.outcome))
        .collect()
}

const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="3" time="0.1">
<testcase classname="tests.test_app" name="test_ok" time="0.012" />
<testcase classname="tests.test_app" name="test_bad" time="1"><failure message="assert 1 == 2&#10;x &lt; y">def test_bad():
&gt;   assert 1 == 2</failure><system-out>noise</system-out></testcase>
<testcase classname="tests.test_app" name="test_skip"><skipped type="pytest.skip" message="not now">...</skipped></testcase>
</testsuite></testsuites>"#;

#[test]
fn pytest() {
    let cases = read(PYTEST.as_bytes()).unwrap();
    let outcomes: Vec<_> = cases.iter().map(|case| case.outcome).collect();
    assert_eq!(
        outcomes,
        [
            TestOutcome::Passed,
            TestOutcome::Failed,
            TestOutcome::Skipped
        ]
    );
    assert!((cases[0].seconds - 0.012).abs() < 1e-9);
    let detail = cases[1].detail.as_deref().unwrap();
    assert!(detail.starts_with("assert 1 == 2\nx < y"), "{detail}");
    assert!(detail.ends_with(">   assert 1 == 2"), "{detail}");
    assert!(!detail.contains("noise"));
    assert_eq!(cases[2].detail.as_deref(), Some("not now"));
}

#[test]
fn nested_suites_missing_counts_and_cdata() {
    let xml = "<testsuites><testsuite name='outer'><testsuite name='inner'><testcase name='a'/>\
               <testcase name='b' time='1,234.5'><error type='E'><![CDATA[<boom> & so on]]></error></testcase>\
               </testsuite><testcase name='c' status='disabled'/></testsuite></testsuites>";
    let cases = read(xml.as_bytes()).unwrap();
    assert_eq!(cases.len(), 3);
    assert_eq!(cases[0].suite, "inner");
    assert_eq!(cases[2].suite, "outer");
    assert_eq!(cases[2].outcome, TestOutcome::Skipped);
    assert!((cases[1].seconds - 1234.5).abs() < 1e-9);
    assert!(
        cases[1]
            .detail
            .as_deref()
            .unwrap()
            .ends_with("<boom> & so on")
    );
}

#[test]
fn a_bare_suite_a_failed_suite_and_flaky_reruns() {
    assert_eq!(
        shown("<testsuite><testcase name='x'/></testsuite>").len(),
        1
    );
    let failed = shown("<testsuite name='s'><error message='set-up'/></testsuite>");
    assert_eq!(
        failed,
        [("s".to_owned(), "(suite)".to_owned(), TestOutcome::Failed)]
    );
    let flaky = shown(
        "<testsuite><testcase name='x'><flakyFailure>once</flakyFailure></testcase></testsuite>",
    );
    assert_eq!(flaky[0].2, TestOutcome::Passed);
    let both = read(b"<testsuite><testcase name='x'><failure>one</failure><error>two</error></testcase></testsuite>").unwrap();
    assert_eq!(both[0].detail.as_deref(), Some("one\n\ntwo"));
}

#[test]
fn encodings() {
    let xml = "<?xml version='1.0' encoding='ISO-8859-1'?><testsuite><testcase name='Pr\u{fc}fung'/></testsuite>";
    let latin: Vec<u8> = xml
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    assert_eq!(read(&latin).unwrap()[0].name, "Prüfung");
    let xml = "<testsuite><testcase name='Prüfung €'/></testsuite>";
    for little in [true, false] {
        let mut bytes = if little {
            vec![0xff, 0xfe]
        } else {
            vec![0xfe, 0xff]
        };
        bytes.extend(xml.encode_utf16().flat_map(|unit| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        }));
        assert_eq!(read(&bytes).unwrap()[0].name, "Prüfung €");
        assert_eq!(read(&bytes[2..]).unwrap()[0].name, "Prüfung €");
    }
    assert_eq!(read(format!("\u{feff}{xml}").as_bytes()).unwrap().len(), 1);
}

#[test]
fn other_xml_is_not_a_report_and_a_broken_report_keeps_its_cases() {
    assert!(matches!(read(b"<coverage/>"), Err(JunitError::NotAReport)));
    assert!(matches!(read(b""), Err(JunitError::NotAReport)));
    assert!(matches!(read(b"hello"), Err(JunitError::NotAReport)));
    assert_eq!(
        shown("<testsuite><testcase name='x'/><testcase name=").len(),
        1
    );
}

#[test]
fn a_huge_trace_is_cut() {
    let xml = format!(
        "<testsuite><testcase name='x'><failure>{}</failure></testcase></testsuite>",
        "ä".repeat(100_000)
    );
    assert!(
        read(xml.as_bytes()).unwrap()[0]
            .detail
            .as_ref()
            .unwrap()
            .len()
            <= MAX_DETAIL
    );
}

#[test]
fn changed_reports_never_panic() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..800 {
        let mut bytes = PYTEST.as_bytes().to_vec();
        for _ in 0..=random(5) {
            let at = random(bytes.len());
            match random(3) {
                0 if bytes.len() > 1 => drop(bytes.remove(at)),
                1 => bytes[at] = u8::try_from(random(256)).unwrap(),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _ = read(&bytes);
    }
    let deep = "<testsuite>".repeat(50_000);
    let _ = read(deep.as_bytes());
}
