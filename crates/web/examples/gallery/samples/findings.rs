//! A scan with findings of each sort.

use launchway_model::scan::{FindingLevel, ScanFinding, ScanReport, ScanVerdict};

use super::Samples;

impl Samples {
    pub fn scan(&self) -> ScanReport {
        let finding = |id: &str, package: &str, level, score, summary: &str| ScanFinding {
            id: id.to_owned(),
            aliases: vec![
                "CVE-2023-32681".to_owned(),
                "GHSA-j8r2-6x86-q33q".to_owned(),
            ],
            ecosystem: "PyPI".to_owned(),
            package: package.to_owned(),
            version: "2.30.0".to_owned(),
            level,
            score,
            summary: summary.to_owned(),
            url: format!("https://osv.dev/vulnerability/{id}"),
            place: "requirements.txt:3".to_owned(),
            fixed: Some("2.31.0".to_owned()),
            command: Some(format!("pip install '{package}==2.31.0'")),
            fails: true,
            warning: false,
            ignored: None,
        };
        let leak = "Leaks Proxy-Authorization headers to destination servers when it is redirected to an HTTPS endpoint";
        let mut unmended = finding(
            "PYSEC-2024-9",
            "flask",
            FindingLevel::Unknown,
            None,
            "A <script> in a session",
        );
        (unmended.fixed, unmended.command) = (None, None);
        let mut ignored = finding(
            "PYSEC-2022-1",
            "django",
            FindingLevel::Medium,
            Some(5.3),
            "A slow regular expression",
        );
        ignored.ignored = Some("no such field is used (until 2026-12-31)".to_owned());
        ignored.fails = false;
        ScanReport {
            at: self.ago(4000.0),
            verdict: ScanVerdict::Findings,
            reasons: vec!["2 findings fail the policy (1 critical, 1 unrated).".to_owned()],
            packages: 42,
            advisories: Some(self.ago(90_000.0)),
            findings: vec![
                finding(
                    "PYSEC-2023-74",
                    "requests",
                    FindingLevel::Critical,
                    Some(9.1),
                    leak,
                ),
                unmended,
                ignored,
            ],
            more: 0,
            notes: vec![
                "launchway-ignore.toml:7: this rule matches no finding and can be removed"
                    .to_owned(),
            ],
        }
    }
}
