//! OWASP Dependency-Check's XML report, version 4.0, for the tools that read `dependency-check-report.xml`.
//!
//! The order of elements is that of its published schema (`dependency-check.4.0.xsd`, Apache-2.0). Packages are
//! «virtual» dependencies, and as Dependency-Check does for npm's, their checksums are those of `name:version`.

use std::collections::BTreeMap;

use sha2::Digest;

use super::xml::XmlWriter;
use crate::finding::{Finding, Verdict};
use crate::report::{Component, Report};
use crate::severity::CvssVersion;

const NAMESPACE: &str = "https://jeremylong.github.io/DependencyCheck/dependency-check.4.0.xsd";

pub(super) fn render(report: &Report) -> String {
    let mut by_package: BTreeMap<(&str, &str, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        by_package
            .entry((&finding.ecosystem, &finding.package, &finding.version))
            .or_default()
            .push(finding);
    }
    let mut xml = XmlWriter::new();
    xml.open("analysis", &[("xmlns", NAMESPACE)]);
    scan_info(&mut xml, report);
    xml.open("projectInfo", &[]);
    xml.text("name", &[], &report.project);
    xml.text("reportDate", &[], &report.generated_at.to_string());
    xml.text("credits", &[], "Advisories: the Open Source Vulnerabilities database and its sources (https://osv.dev), under their licences. Written by Launchway.");
    xml.close();
    xml.open("dependencies", &[]);
    for component in &report.packages {
        let key = (
            component.ecosystem.as_str(),
            component.name.as_str(),
            component.version.as_str(),
        );
        dependency(
            &mut xml,
            component,
            by_package.get(&key).map(Vec::as_slice).unwrap_or_default(),
        );
    }
    xml.finish()
}

fn scan_info(xml: &mut XmlWriter, report: &Report) {
    xml.open("scanInfo", &[]);
    xml.text("engineVersion", &[], report.scanner_version);
    for data in &report.data {
        xml.open("dataSource", &[]);
        xml.text(
            "name",
            &[],
            &format!("OSV {} ({} records)", data.ecosystem, data.records),
        );
        xml.text(
            "timestamp",
            &[],
            &data
                .as_of
                .map_or_else(|| "no data".to_owned(), |time| time.to_string()),
        );
        xml.close();
    }
    // What could not be known stands where Dependency-Check puts its own failures.
    let failures = report.problems.iter().map(ToString::to_string);
    let gaps = report
        .data
        .iter()
        .filter(|data| data.state != crate::report::DataQuality::Usable);
    let failures: Vec<String> = failures
        .chain(gaps.map(|data| format!("no usable advisory data for {}", data.ecosystem)))
        .collect();
    if !failures.is_empty() {
        xml.open("analysisExceptions", &[]);
        for failure in failures {
            xml.open("exception", &[]);
            xml.text("message", &[], &failure);
            xml.close();
        }
        xml.close();
    }
    xml.close();
}

fn dependency(xml: &mut XmlWriter, component: &Component, findings: &[&Finding]) {
    let file = component
        .locations
        .first()
        .map_or("", |location| location.file.as_ref());
    let identity = format!("{}:{}", component.name, component.version);
    xml.open("dependency", &[("isVirtual", "true")]);
    xml.text("fileName", &[], &identity);
    xml.text("filePath", &[], &format!("{file}?{identity}"));
    xml.text("md5", &[], &hex(&md5::Md5::digest(&identity)));
    xml.text("sha1", &[], &hex(&sha1::Sha1::digest(&identity)));
    xml.text("sha256", &[], &hex(&sha2::Sha256::digest(&identity)));
    xml.open("projectReferences", &[]);
    for location in &component.locations {
        xml.text(
            "projectReference",
            &[],
            &format!("{}:{}", location.file, location.line),
        );
    }
    xml.close();
    xml.open("identifiers", &[]);
    xml.open("package", &[("confidence", "HIGHEST")]);
    xml.text("id", &[], &component.purl);
    xml.close();
    xml.close();
    if !findings.is_empty() {
        xml.open("vulnerabilities", &[]);
        // The schema wants suppressed ones last.
        let (suppressed, open): (Vec<&Finding>, Vec<&Finding>) = findings
            .iter()
            .partition(|finding| finding.verdict.is_ignored());
        for finding in open {
            vulnerability(xml, "vulnerability", component, finding);
        }
        for finding in suppressed {
            vulnerability(xml, "suppressedVulnerability", component, finding);
        }
        xml.close();
    }
    xml.close();
}

fn vulnerability(
    xml: &mut XmlWriter,
    element: &'static str,
    component: &Component,
    finding: &Finding,
) {
    // Readers of this format look for CVE names first.
    let name = finding
        .ids
        .iter()
        .chain(&finding.aliases)
        .find(|id| id.starts_with("CVE-"))
        .unwrap_or(&finding.id);
    xml.open(element, &[("source", "OSV")]);
    xml.text("name", &[], name);
    let level = finding.severity.level.as_str().to_ascii_uppercase();
    let unscored = if finding.severity.score.is_none() {
        "true"
    } else {
        "false"
    };
    xml.text("severity", &[("unscored", unscored)], &level);
    cvss(xml, finding);
    if !finding.cwes.is_empty() {
        xml.open("cwes", &[]);
        for cwe in &finding.cwes {
            xml.text("cwe", &[], cwe);
        }
        xml.close();
    }
    xml.text("description", &[], &finding.summary);
    match &finding.verdict {
        Verdict::Ignored { reason, .. } => xml.text("notes", &[], reason),
        _ if finding.kind.is_warning() => xml.text("notes", &[], finding.kind.as_str()),
        _ => {}
    }
    xml.open("references", &[]);
    for id in finding.ids.iter().chain(&finding.aliases) {
        xml.open("reference", &[]);
        xml.text("source", &[], "OSV");
        xml.text("url", &[], &format!("https://osv.dev/vulnerability/{id}"));
        xml.text("name", &[], id);
        xml.close();
    }
    xml.close();
    let end = finding.fixed.as_deref().unwrap_or_default();
    let mut attributes = vec![("vulnerabilityIdMatched", "true")];
    if !end.is_empty() {
        attributes.push(("versionEndExcluding", end));
    }
    xml.open("vulnerableSoftware", &[]);
    xml.text("software", &attributes, &component.purl);
    xml.close();
    xml.close();
}

/// The metrics of a CVSS 2 or 3 vector, spelled out; this version of the format has no place for CVSS 4.
fn cvss(xml: &mut XmlWriter, finding: &Finding) {
    let (Some(vector), Some(score), Some(version)) = (
        &finding.severity.vector,
        finding.severity.score,
        finding.severity.cvss_version(),
    ) else {
        return;
    };
    let metric = |key: &str| {
        vector
            .split('/')
            .find_map(|part| part.strip_prefix(key)?.strip_prefix(':'))
            .unwrap_or_default()
    };
    let score = format!("{score:.1}");
    let level = finding.severity.level.as_str().to_ascii_uppercase();
    match version {
        CvssVersion::V2 => {
            xml.open("cvssV2", &[]);
            xml.text("score", &[], &score);
            xml.text(
                "accessVector",
                &[],
                word(
                    metric("AV"),
                    &[("L", "LOCAL"), ("A", "ADJACENT_NETWORK"), ("N", "NETWORK")],
                ),
            );
            xml.text(
                "accessComplexity",
                &[],
                word(
                    metric("AC"),
                    &[("H", "HIGH"), ("M", "MEDIUM"), ("L", "LOW")],
                ),
            );
            // The published schema spells it so.
            xml.text(
                "authenticationr",
                &[],
                word(
                    metric("Au"),
                    &[("M", "MULTIPLE"), ("S", "SINGLE"), ("N", "NONE")],
                ),
            );
            for (name, key) in [
                ("confidentialityImpact", "C"),
                ("integrityImpact", "I"),
                ("availabilityImpact", "A"),
            ] {
                xml.text(
                    name,
                    &[],
                    word(
                        metric(key),
                        &[("N", "NONE"), ("P", "PARTIAL"), ("C", "COMPLETE")],
                    ),
                );
            }
            xml.text("severity", &[], &level);
            xml.text("version", &[], "2.0");
            xml.close();
        }
        CvssVersion::V30 | CvssVersion::V31 => {
            xml.open("cvssV3", &[]);
            xml.text("baseScore", &[], &score);
            xml.text(
                "attackVector",
                &[],
                word(
                    metric("AV"),
                    &[
                        ("N", "NETWORK"),
                        ("A", "ADJACENT"),
                        ("L", "LOCAL"),
                        ("P", "PHYSICAL"),
                    ],
                ),
            );
            xml.text(
                "attackComplexity",
                &[],
                word(metric("AC"), &[("L", "LOW"), ("H", "HIGH")]),
            );
            xml.text(
                "privilegesRequired",
                &[],
                word(metric("PR"), &[("N", "NONE"), ("L", "LOW"), ("H", "HIGH")]),
            );
            xml.text(
                "userInteraction",
                &[],
                word(metric("UI"), &[("N", "NONE"), ("R", "REQUIRED")]),
            );
            xml.text(
                "scope",
                &[],
                word(metric("S"), &[("U", "UNCHANGED"), ("C", "CHANGED")]),
            );
            for (name, key) in [
                ("confidentialityImpact", "C"),
                ("integrityImpact", "I"),
                ("availabilityImpact", "A"),
            ] {
                xml.text(
                    name,
                    &[],
                    word(metric(key), &[("N", "NONE"), ("L", "LOW"), ("H", "HIGH")]),
                );
            }
            xml.text("baseSeverity", &[], &level);
            xml.text(
                "version",
                &[],
                if version == CvssVersion::V30 {
                    "3.0"
                } else {
                    "3.1"
                },
            );
            xml.close();
        }
        CvssVersion::V40 => {}
    }
}

fn word<'w>(value: &'w str, words: &[(&str, &'w str)]) -> &'w str {
    words
        .iter()
        .find(|(letter, _)| *letter == value)
        .map_or(value, |(_, word)| word)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
