//! A CycloneDX 1.6 bill of materials: every package as a component, every finding as a vulnerability.
//!
//! The serial number is derived from the content, so that the same tree gives the same document.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::finding::{Finding, Verdict};
use crate::report::Report;
use crate::severity::{CvssVersion, Level};

pub(super) fn render(report: &Report) -> String {
    let components: Vec<Value> = report
        .packages
        .iter()
        .map(|component| {
            let occurrences: Vec<Value> = component
                .locations
                .iter()
                .map(|location| {
                    let mut occurrence = json!({"location": location.file});
                    if location.line > 0 {
                        occurrence["line"] = json!(location.line);
                    }
                    occurrence
                })
                .collect();
            let mut value = json!({
                "type": "library",
                "bom-ref": component.purl,
                "name": component.name,
                "version": component.version,
                "purl": component.purl,
                "evidence": {"occurrences": occurrences},
            });
            if component.dev {
                value["scope"] = json!("excluded");
            }
            value
        })
        .collect();
    // One vulnerability may affect several packages.
    let mut by_id: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        by_id.entry(&finding.id).or_default().push(finding);
    }
    let vulnerabilities: Vec<Value> = by_id
        .into_values()
        .map(|findings| vulnerability(&findings))
        .collect();
    let time = report
        .generated_at
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "tools": {"components": [{"type": "application", "name": "Launchway", "version": report.scanner_version}]},
            "component": {"type": "application", "bom-ref": "project", "name": report.project},
        },
        "components": components,
        "vulnerabilities": vulnerabilities,
    });
    document["serialNumber"] = json!(serial_number(&document));
    serde_json::to_string_pretty(&document).expect("a JSON value can always be written")
}

/// A version 8 UUID (RFC 9562: custom) of the document's hash.
fn serial_number(document: &Value) -> String {
    let hash = Sha256::digest(document.to_string());
    let mut bytes: [u8; 16] = std::array::from_fn(|at| hash[at]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn vulnerability(findings: &[&Finding]) -> Value {
    let finding = findings[0];
    let source =
        json!({"name": "OSV", "url": format!("https://osv.dev/vulnerability/{}", finding.id)});
    let other = finding
        .ids
        .iter()
        .chain(&finding.aliases)
        .filter(|id| **id != finding.id);
    let references: Vec<Value> =
        other.map(|id| json!({"id": id, "source": {"name": "OSV", "url": format!("https://osv.dev/vulnerability/{id}")}})).collect();
    let mut rating = json!({"source": source, "severity": severity(finding.severity.level)});
    if let (Some(score), Some(vector)) = (finding.severity.score, &finding.severity.vector) {
        rating["score"] = json!(score);
        rating["vector"] = json!(vector);
        rating["method"] = json!(match finding.severity.cvss_version() {
            Some(CvssVersion::V2) => "CVSSv2",
            Some(CvssVersion::V30) => "CVSSv3",
            Some(CvssVersion::V31) => "CVSSv31",
            Some(CvssVersion::V40) => "CVSSv4",
            None => "other",
        });
    }
    // A weakness is a number here.
    let cwes: Vec<u64> = finding
        .cwes
        .iter()
        .filter_map(|cwe| cwe.strip_prefix("CWE-")?.parse().ok())
        .filter(|cwe| *cwe > 0)
        .collect();
    let affects: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"ref": finding.purl, "versions": [{"version": finding.version, "status": "affected"}]}))
        .collect();
    let recommendation = match &finding.upgrade {
        Some(upgrade) => format!("Upgrade {} to {upgrade}.", finding.package),
        None => "No version mends this yet.".to_owned(),
    };
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds)
            .map(|time| time.to_string())
            .unwrap_or_default()
    };
    let mut value = json!({
        "bom-ref": finding.id,
        "id": finding.id,
        "source": source,
        "references": references,
        "ratings": [rating],
        "description": finding.summary,
        "recommendation": recommendation,
        "advisories": [{"url": finding.url}],
        "published": time(finding.published),
        "updated": time(finding.modified),
        "affects": affects,
    });
    if !cwes.is_empty() {
        value["cwes"] = json!(cwes);
    }
    // Only where every place was decided upon is the vulnerability itself settled.
    if let Verdict::Ignored { reason, .. } = &finding.verdict
        && findings.iter().all(|finding| finding.verdict.is_ignored())
    {
        value["analysis"] = json!({"response": ["will_not_fix"], "detail": reason});
    }
    value
}

fn severity(level: Level) -> &'static str {
    level.as_str()
}
