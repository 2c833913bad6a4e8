//! `dependencyCheck` and its publisher in builds, with a stand-in for the scanner that writes what a test tells it to; the
//! binary's own tests have the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use launchway_model::build::BuildResult;
use launchway_model::runner::{RunnerEventKind, ScannerJob};
use launchway_model::scan::ScanReport;

use crate::site::{Built, Site};

/// A stand-in that shows its arguments, writes a report of findings of these severities, and exits.
fn scanner(site: &Site, severities: &[&str], exit: u8) -> ScannerJob {
    let vulnerabilities: String = severities
        .iter()
        .enumerate()
        .map(|(at, word)| {
            format!(
                "<vulnerability><name>CVE-{at}</name><severity>{word}</severity></vulnerability>"
            )
        })
        .collect();
    let script = format!(
        "#!/bin/sh\necho \"called with $*\"\nfor word do [ \"$last\" = --summary ] && summary=$word; last=$word; done\n\
         echo '<analysis><dependencies><dependency><fileName>x</fileName><identifiers><package><id>pkg:pypi/x@1.0</id></package></identifiers><vulnerabilities>{vulnerabilities}</vulnerabilities></dependency></dependencies></analysis>' > dependency-check-report.xml\n\
         echo '{{\"report\":{{\"at\":\"2026-01-01T00:00:00Z\",\"verdict\":\"findings\",\"reasons\":[\"A finding fails the policy.\"],\"packages\":1,\"findings\":[]}},\"written\":[\"dependency-check-report.xml\"]}}' > \"$summary\"\n\
         exit {exit}\n"
    );
    let binary = site.path("scanner");
    fs::write(&binary, script).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    ScannerJob {
        binary,
        advisories: site.path("advisories"),
    }
}

fn jenkinsfile(steps: &str) -> String {
    format!(
        "pipeline {{\n  agent any\n  stages {{\n    stage('Check') {{\n      steps {{\n{steps}\n        echo 'goes on'\n      }}\n    }}\n  }}\n}}\n"
    )
}

fn build(site: &mut Site, steps: &str, scanner: Option<ScannerJob>) -> Built {
    site.commit(&[
        ("Procfile", "web: serve\n"),
        ("launchway.toml", "install = false\n"),
        ("Jenkinsfile", &jenkinsfile(steps)),
        // A commit needs a change, also where the same pipeline is built twice.
        ("when", &format!("{:?}", std::time::SystemTime::now())),
    ]);
    let mut job = site.job();
    job.scanner = scanner;
    site.start_job(job).finish()
}

fn reports(built: &Built) -> Vec<&ScanReport> {
    built
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            RunnerEventKind::Scanned { report } => Some(&**report),
            _ => None,
        })
        .collect()
}

fn archived(built: &Built) -> bool {
    built.events.iter().any(|event| {
        matches!(&event.kind, RunnerEventKind::Artifact { path, .. } if path == "dependency-check-report.xml")
    })
}

#[test]
fn a_scan_runs_with_its_arguments_and_keeps_its_report() {
    let mut site = Site::new(&[("Procfile", "web: serve\n")]);
    let scanner = scanner(&site, &["LOW"], 0);
    let built = build(
        &mut site,
        "dependencyCheck additionalArguments: '''--scan ./ --format XML\n  --project \"It's mine\"''', odcInstallation: 'OWASP-DC-9', stopBuild: true",
        Some(scanner),
    );
    assert_eq!(built.result(), BuildResult::Success, "{:?}", built.log(0));
    let log = built.log(0).join("\n");
    assert!(log.contains("the installation `OWASP-DC-9`"), "{log}");
    assert!(
        log.contains("--named shop #1 --text --scan ./ --format XML"),
        "{log}"
    );
    assert!(log.contains("--project \"It's mine\""), "{log}");
    assert!(archived(&built));
    assert_eq!(reports(&built).len(), 1);
}

#[test]
fn a_scan_that_fails_fails_the_build_and_the_stage_goes_on_unless_told_to_stop() {
    let mut site = Site::new(&[("Procfile", "web: serve\n")]);
    for (stop, goes_on) in [(false, true), (true, false)] {
        let scanner = scanner(&site, &["HIGH"], 1);
        let steps = format!(
            "dependencyCheck additionalArguments: '--failOnCVSS 7', odcInstallation: 'x', stopBuild: {stop}"
        );
        let built = build(&mut site, &steps, Some(scanner));
        assert_eq!(built.result(), BuildResult::Failure);
        assert_eq!(built.log(0).iter().any(|line| line == "goes on"), goes_on);
        let problem = built.problem();
        assert_eq!(problem.message, "the scan of the dependencies failed");
        assert_eq!(problem.causes, ["A finding fails the policy"]);
        assert!(archived(&built), "what was found is kept all the more");
    }
    let built = build(&mut site, "dependencyCheck odcInstallation: 'x'", None);
    assert_eq!(built.result(), BuildResult::Failure, "nothing was scanned");
}

#[test]
fn thresholds_of_the_publisher_decide() {
    let mut site = Site::new(&[("Procfile", "web: serve\n")]);
    let judged = |site: &mut Site, severities: &[&str], arguments: &str| {
        let scanner = scanner(site, severities, 0);
        let steps = format!(
            "dependencyCheck additionalArguments: '', odcInstallation: 'x'\n dependencyCheckPublisher {arguments}"
        );
        build(site, &steps, Some(scanner))
    };
    let limits = "pattern: '**/dependency-check-report.xml', failedTotalCritical: 1, unstableTotalHigh: 2, unstableNewMedium: '1'";
    assert_eq!(
        judged(&mut site, &["HIGH"], limits).result(),
        BuildResult::Success
    );
    assert_eq!(
        judged(&mut site, &["HIGH", "MEDIUM"], limits).result(),
        BuildResult::Unstable,
        "one medium is new"
    );
    assert_eq!(
        judged(&mut site, &["HIGH", "MEDIUM"], limits).result(),
        BuildResult::Success,
        "none is new"
    );
    let built = judged(&mut site, &["HIGH", "HIGH"], limits);
    assert_eq!(built.result(), BuildResult::Unstable);
    let problem = built.problem();
    assert_eq!(problem.causes[0], "2 high, and the limit is 2");
    assert!(
        problem.causes[1].starts_with("CVE-0 (high) in x 1.0"),
        "{problem}"
    );
    let built = judged(&mut site, &["CRITICAL"], limits);
    assert_eq!(built.result(), BuildResult::Failure);
    assert!(built.log(0).iter().any(|line| line == "goes on"));
    let built = judged(
        &mut site,
        &["CRITICAL"],
        "failedTotalCritical: 1, stopBuild: true",
    );
    assert_eq!(built.result(), BuildResult::Failure);
    assert!(!built.log(0).iter().any(|line| line == "goes on"));
    assert_eq!(
        judged(&mut site, &["CRITICAL"], "pattern: ''").result(),
        BuildResult::Success,
        "no threshold, no verdict"
    );
    assert_eq!(
        judged(&mut site, &[], "failedTotalCritical: 'many'").result(),
        BuildResult::Failure
    );
}

#[test]
fn reports_of_others_are_judged_and_shown_and_a_missing_one_is_not_clean() {
    let mut site = Site::new(&[("Procfile", "web: serve\n")]);
    let write = "writeFile file: 'reports/dependency-check-report.xml', text: '<analysis><dependencies><dependency><fileName>a.jar</fileName><vulnerabilities><vulnerability><name>CVE-7</name><severity>MODERATE</severity></vulnerability></vulnerabilities></dependency></dependencies></analysis>'\n dependencyCheckPublisher unstableTotalMedium: 1";
    let built = build(&mut site, write, None);
    assert_eq!(built.result(), BuildResult::Unstable);
    let found = reports(&built);
    assert_eq!(found[0].findings[0].id, "CVE-7");
    let built = build(&mut site, "dependencyCheckPublisher()", None);
    assert_eq!(built.result(), BuildResult::Unstable);
    let problem = built.problem();
    assert_eq!(
        problem.message,
        "there is no report of Dependency-Check to judge"
    );
    let half = "writeFile file: 'dependency-check-report.xml', text: '<analysis><dependencies>'\n dependencyCheckPublisher()";
    assert_eq!(build(&mut site, half, None).result(), BuildResult::Failure);
}
