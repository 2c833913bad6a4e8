//! Every ecosystem from its lock file to a finding: names, version orders, mending versions and commands fit together.

use std::fs;

use launchway_scanner::command::run;
use launchway_scanner::finding::Kind;
use launchway_scanner::report::{ExitCode, Report};

use crate::Bench;

/// A record that says: affected from the first version until `fixed`.
fn record(id: &str, ecosystem: &str, name: &str, fixed: &str, aliases: &str, more: &str) -> String {
    let kind = if matches!(ecosystem, "npm" | "Go" | "crates.io") {
        "SEMVER"
    } else {
        "ECOSYSTEM"
    };
    format!(
        r#"{{"id": "{id}", "modified": "2024-11-30T00:00:00Z", "aliases": [{aliases}], "affected": [{{"package": {{"ecosystem": "{ecosystem}", "name": "{name}"}}, "ranges": [{{"type": "{kind}", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]{more}}}"#
    )
}

fn scan(records: &[String], files: &[(&str, &str)]) -> Report {
    let bench = Bench::new();
    fs::create_dir(bench.path("records")).unwrap();
    for (number, record) in records.iter().enumerate() {
        fs::write(bench.path(&format!("records/{number}.json")), record).unwrap();
    }
    for (path, text) in files {
        bench.file(path, text);
    }
    run(&bench.options_for(&bench.path("records")))
        .unwrap()
        .report
}

#[test]
fn each_ecosystem_finds_its_own() {
    let cases = [
        (
            "npm",
            "@scope/pkg",
            "2.0.0",
            "package-lock.json",
            "{\"packages\": {\n\"node_modules/@scope/pkg\": {\"version\": \"2.0.0-rc.1\"}}}",
            "npm install @scope/pkg@2.0.0",
        ),
        (
            "Go",
            "github.com/a/b",
            "1.2.4",
            "go.mod",
            "module x\nrequire github.com/a/b v1.2.4-0.20200101000000-abcdefabcdef\n",
            "go get github.com/a/b@v1.2.4",
        ),
        (
            "Maven",
            "g:a",
            "2.9.10.1",
            "gradle.lockfile",
            "\ng:a:2.9.10=runtimeClasspath\n",
            "gradle dependencies --update-locks g:a:2.9.10.1",
        ),
        (
            "RubyGems",
            "rails",
            "5.2.4",
            "Gemfile.lock",
            "GEM\n  specs:\n    rails (5.2.4.rc1)\n",
            "bundle update rails",
        ),
        (
            "Packagist",
            "symfony/http-kernel",
            "5.4.20",
            "composer.lock",
            "{\"packages\": [\n{\"name\": \"Symfony/Http-Kernel\", \"version\": \"v5.4.3\"}]}",
            "composer require Symfony/Http-Kernel:^5.4.20",
        ),
        (
            "NuGet",
            "Newtonsoft.Json",
            "13.0.1",
            "packages.lock.json",
            "{\"dependencies\": {\"net6.0\": {\n\"newtonsoft.json\": {\"resolved\": \"12.0.3\"}}}}",
            "dotnet add package newtonsoft.json --version 13.0.1",
        ),
        (
            "PyPI",
            "zope-interface",
            "5.0",
            "poetry.lock",
            "[[package]]\nname = \"Zope.Interface\"\nversion = \"5.0rc1\"\n",
            "poetry add 'Zope.Interface>=5.0'",
        ),
    ];
    for (ecosystem, name, fixed, file, text, command) in cases {
        let report = scan(
            &[record("A-1", ecosystem, name, fixed, "", "")],
            &[(file, text)],
        );
        assert_eq!(
            report.verdict,
            ExitCode::Findings,
            "{ecosystem}: {:?}",
            report.reasons
        );
        let finding = &report.findings[0];
        // Bundler's sections put the gem on the third line, the others have theirs on the second.
        let line = if ecosystem == "RubyGems" { 3 } else { 2 };
        assert_eq!(
            (finding.fixed.as_deref(), finding.upgrade.as_deref()),
            (Some(fixed), Some(fixed)),
            "{ecosystem}"
        );
        assert_eq!(finding.command.as_deref(), Some(command));
        assert_eq!(
            (&*finding.locations[0].file, finding.locations[0].line),
            (file, line),
            "{ecosystem}"
        );
    }
}

#[test]
fn debian_packages_are_matched_as_their_source_in_their_release() {
    let status = "Package: libssl3\nStatus: install ok installed\nSource: openssl\nVersion: 3.0.11-1~deb12u2\n";
    let files = [
        ("image/var/lib/dpkg/status", status),
        ("image/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
    ];
    let twelve = record("DSA-1", "Debian:12", "openssl", "3.0.13-1~deb12u1", "", "");
    let report = scan(&[twelve], &files);
    assert_eq!(
        report.findings[0].fixed.as_deref(),
        Some("3.0.13-1~deb12u1")
    );
    assert_eq!(report.findings[0].ecosystem, "Debian:12");
    let eleven = record("DSA-1", "Debian:11", "openssl", "3.0.13-1~deb12u1", "", "");
    assert_eq!(
        scan(&[eleven], &files).verdict,
        ExitCode::NoData,
        "another release's data says nothing"
    );
}

#[test]
fn records_of_one_vulnerability_are_one_finding() {
    let severity = r#", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]"#;
    let informational = record("RUSTSEC-1", "crates.io", "x", "2.0.0", "\"CVE-1\"", "").replace(
        "\"ranges\"",
        "\"database_specific\": {\"informational\": \"unsound\"}, \"ranges\"",
    );
    let records = [
        record("CVE-1", "crates.io", "x", "1.5.0", "", ""),
        record(
            "GHSA-aaaa",
            "crates.io",
            "x",
            "1.5.0",
            "\"CVE-1\"",
            severity,
        ),
        informational,
        record("RUSTSEC-2", "crates.io", "x", "1.7.0", "\"CVE-2\"", ""),
    ];
    let lock = "[[package]]\nname = \"x\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let report = scan(&records, &[("Cargo.lock", lock)]);
    assert_eq!(report.findings.len(), 2);
    let merged = &report.findings[0];
    assert_eq!(merged.ids, ["RUSTSEC-1", "GHSA-aaaa", "CVE-1"]);
    assert_eq!(
        merged.kind,
        Kind::Vulnerability,
        "one database calls it a vulnerability"
    );
    assert_eq!(merged.severity.score, Some(9.8));
    assert_eq!(
        merged.fixed.as_deref(),
        Some("2.0.0"),
        "mended where every record says so"
    );
    assert_eq!(merged.upgrade.as_deref(), Some("2.0.0"));
    assert_eq!(report.findings[1].id, "RUSTSEC-2");
}

#[test]
fn a_package_in_several_files_is_one_finding_with_all_places() {
    let lock = "lodash@^4:\n  version \"4.17.20\"\n";
    let report = scan(
        &[record("GHSA-1", "npm", "lodash", "4.17.21", "", "")],
        &[("a/yarn.lock", lock), ("b/yarn.lock", lock)],
    );
    let places: Vec<String> = report.findings[0]
        .locations
        .iter()
        .map(|place| format!("{}:{}", place.file, place.line))
        .collect();
    assert_eq!(
        (report.findings.len(), places),
        (
            1,
            vec!["a/yarn.lock:1".to_owned(), "b/yarn.lock:1".to_owned()]
        )
    );
}
