use super::*;

/// As Dependency-Check 10 writes it: identifiers, evidence and suppressed vulnerabilities have names too.
const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<analysis xmlns="https://jeremylong.github.io/DependencyCheck/dependency-check.4.0.xsd">
  <scanInfo><engineVersion>10.0.4</engineVersion></scanInfo>
  <projectInfo><name>shop</name><reportDate>2026-01-01T00:00:00Z</reportDate><credits/></projectInfo>
  <dependencies>
    <dependency isVirtual="true">
      <fileName>requests:2.30.0</fileName><filePath>/app/requirements.txt?requests:2.30.0</filePath>
      <evidenceCollected><evidence type="vendor"><source>pkg</source><name>requests</name><value>x</value></evidence></evidenceCollected>
      <identifiers><package confidence="HIGHEST"><id>pkg:pypi/requests@2.30.0</id></package></identifiers>
      <vulnerabilities>
        <vulnerability source="OSV"><name>CVE-2023-32681</name><severity unscored="false">medium</severity>
          <cvssV3><baseScore>6.1</baseScore></cvssV3><description>leaks &lt;Proxy-Authorization&gt;
more</description><references><reference><url>https://osv.dev/x</url></reference><reference><url>https://second.example</url></reference></references></vulnerability>
        <vulnerability><name>CVE-1</name><severity>CRITICAL</severity><references><reference><url>javascript:alert(1)</url></reference></references></vulnerability>
        <suppressedVulnerability><name>CVE-2</name><severity>CRITICAL</severity></suppressedVulnerability>
      </vulnerabilities>
    </dependency>
    <dependency><fileName>a.jar</fileName><filePath>lib/a.jar</filePath><vulnerabilities><vulnerability><name>CVE-3</name><severity>weird</severity></vulnerability></vulnerabilities></dependency>
  </dependencies>
</analysis>"#;

#[test]
fn vulnerabilities_are_read_and_suppressed_ones_are_not() {
    let findings = read(REPORT.as_bytes()).unwrap();
    let lines: Vec<_> = findings
        .iter()
        .map(|f| {
            (
                f.id.as_str(),
                f.package.as_str(),
                f.version.as_str(),
                f.level,
                f.place.as_str(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (
                "CVE-2023-32681",
                "requests",
                "2.30.0",
                FindingLevel::Medium,
                "/app/requirements.txt"
            ),
            (
                "CVE-1",
                "requests",
                "2.30.0",
                FindingLevel::Critical,
                "/app/requirements.txt"
            ),
            ("CVE-3", "a.jar", "", FindingLevel::Unknown, "lib/a.jar"),
        ]
    );
    assert_eq!(findings[0].score, Some(6.1));
    assert_eq!(findings[0].summary, "leaks <Proxy-Authorization>");
    assert_eq!(findings[0].url, "https://osv.dev/x");
    assert_eq!(findings[1].url, "", "only links to pages");
}

#[test]
fn half_a_report_and_other_files_are_errors() {
    assert_eq!(read(b"<testsuite/>"), Err(ReportError::NotAReport));
    assert_eq!(read(b"not xml"), Err(ReportError::NotAReport));
    assert_eq!(read(b""), Err(ReportError::NotAReport));
    assert_eq!(read(b"<analysis/>"), Ok(Vec::new()));
    for end in (100..REPORT.len() - 12).step_by(37) {
        assert!(read(&REPORT.as_bytes()[..end]).is_err(), "{end}");
    }
    let deep = format!("<analysis>{}", "<a>".repeat(5000));
    assert_eq!(read(deep.as_bytes()), Err(ReportError::TooLarge));
}

fn counts(critical: u64, high: u64) -> FindingCounts {
    FindingCounts {
        critical,
        high,
        ..FindingCounts::default()
    }
}

#[test]
fn thresholds_are_met_as_the_plugin_meets_them() {
    let thresholds = Thresholds {
        failed_total: Limits {
            critical: Some(1),
            ..Limits::default()
        },
        unstable_total: Limits {
            high: Some(2),
            ..Limits::default()
        },
        failed_new: Limits {
            high: Some(5),
            ..Limits::default()
        },
        unstable_new: Limits {
            high: Some(1),
            ..Limits::default()
        },
    };
    let judge = |now: FindingCounts, before: Option<FindingCounts>| {
        thresholds.judge(&now, before.as_ref()).0
    };
    assert_eq!(judge(counts(0, 1), None), BuildResult::Success);
    assert_eq!(judge(counts(0, 2), None), BuildResult::Unstable);
    assert_eq!(judge(counts(1, 0), None), BuildResult::Failure);
    assert_eq!(
        judge(counts(0, 1), Some(counts(0, 0))),
        BuildResult::Unstable,
        "one is new"
    );
    assert_eq!(
        judge(counts(0, 1), Some(counts(0, 1))),
        BuildResult::Success
    );
    assert_eq!(
        judge(counts(0, 6), Some(counts(0, 1))),
        BuildResult::Failure,
        "five are new"
    );
    let zero = Thresholds {
        failed_total: Limits {
            critical: Some(0),
            ..Limits::default()
        },
        ..Thresholds::default()
    };
    assert_eq!(
        zero.judge(&counts(0, 9), None).0,
        BuildResult::Success,
        "none is none"
    );
    assert_eq!(zero.judge(&counts(1, 0), None).0, BuildResult::Failure);
    assert_eq!(
        Thresholds::default().judge(&counts(9, 9), Some(&counts(0, 0))),
        (BuildResult::Success, None)
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(text in "(<analysis>|<dependencies>|<dependency>|<vulnerabilities>|<vulnerability>|</vulnerability>|<name>|</name>|&amp;|&#x41;|&bad;|<![CDATA[|]]>|[a-z<>/]|\\PC){0,40}") {
        let _ = read(text.as_bytes());
    }
}
