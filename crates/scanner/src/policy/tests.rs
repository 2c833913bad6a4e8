use super::*;
use crate::finding::Kind;
use crate::package::Location;
use crate::severity::Severity;

pub(super) fn finding(vector: Option<&str>) -> Finding {
    Finding {
        id: "PYSEC-1".into(),
        ids: vec!["PYSEC-1".into()],
        aliases: vec!["CVE-2024-1".into()],
        kind: Kind::Vulnerability,
        ecosystem: "PyPI".into(),
        package: "Zope.Interface".into(),
        version: "1.0".into(),
        purl: "pkg:pypi/zope-interface@1.0".into(),
        summary: String::new(),
        severity: vector.and_then(Severity::from_vector).unwrap_or_default(),
        cwes: vec!["CWE-79".into()],
        published: now().as_second() - 10 * DAY,
        modified: 0,
        url: String::new(),
        locations: vec![Location {
            file: "app/requirements.txt".into(),
            line: 1,
        }],
        dev: false,
        fixed: None,
        upgrade: None,
        command: None,
        verdict: Verdict::Fails,
    }
}

pub(super) fn now() -> Timestamp {
    "2025-06-15T12:00:00Z".parse().unwrap()
}

const MEDIUM: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N";

fn fails(policy: &Policy, finding: &Finding) -> bool {
    policy.verdict(finding, now()) == Verdict::Fails
}

#[test]
fn severity_decides_and_doubt_fails() {
    let at = |fail_on| Policy {
        fail_on,
        ..Policy::default()
    };
    let (medium, unknown) = (finding(Some(MEDIUM)), finding(None));
    assert!(fails(&at(Threshold::Any), &medium));
    assert!(fails(&at(Threshold::Level(Level::Medium)), &medium));
    assert!(!fails(&at(Threshold::Level(Level::High)), &medium));
    assert!(fails(&at(Threshold::Level(Level::Critical)), &unknown));
    assert!(fails(&at(Threshold::Score(6.1)), &medium));
    assert!(!fails(&at(Threshold::Score(7.0)), &medium));
    assert!(fails(&at(Threshold::Score(7.0)), &unknown));
    assert!(!fails(&at(Threshold::Score(11.0)), &unknown));
    assert!(!fails(&at(Threshold::Never), &unknown));
}

#[test]
fn fixable_age_warnings_and_development() {
    let mut one = finding(None);
    assert!(!fails(
        &Policy {
            fixable_only: true,
            ..Policy::default()
        },
        &one
    ));
    one.fixed = Some("2.0".into());
    assert!(fails(
        &Policy {
            fixable_only: true,
            ..Policy::default()
        },
        &one
    ));
    assert!(!fails(
        &Policy {
            grace_days: Some(11),
            ..Policy::default()
        },
        &one
    ));
    assert!(fails(
        &Policy {
            grace_days: Some(10),
            ..Policy::default()
        },
        &one
    ));
    one.dev = true;
    assert!(fails(&Policy::default(), &one));
    assert!(!fails(
        &Policy {
            dev: false,
            ..Policy::default()
        },
        &one
    ));
    one.kind = Kind::Unsound;
    assert!(!fails(&Policy::default(), &one));
    assert!(fails(
        &Policy {
            warnings: true,
            ..Policy::default()
        },
        &one
    ));
}
