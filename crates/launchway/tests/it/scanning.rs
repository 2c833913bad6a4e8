//! Scans by the binary itself: as a command, as Dependency-Check, and in a pipeline.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{folder, stderr, stdout};

/// Real records that lie with the scanner.
fn records() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scanner/tests/data/advisories")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    Command::new(env!("CARGO_BIN_EXE_launchway"))
        .args(arguments)
        .current_dir(folder)
        .env("LAUNCHWAY_HOME", home.path().join("home"))
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path().join("cache"))
        .env("NVD_API_KEY", "not-to-be-seen")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn git(folder: &Path) {
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-q",
            "-m",
            "one",
        ],
    ] {
        let done = Command::new("git")
            .args(arguments)
            .current_dir(folder)
            .status();
        assert!(done.unwrap().success());
    }
}

#[test]
fn dependency_checks_command_is_understood() {
    let tree = folder(&[("requirements.txt", "django==2.2.0\n")]);
    let data = records();
    let data = data.to_str().unwrap();
    let scan = run(
        tree.path(),
        &[
            "dependency-check",
            "--scan",
            ".",
            "--format",
            "XML",
            "--format",
            "HTML",
            "--out",
            "reports",
            "--project",
            "shop",
            "--noupdate",
            "--nvdApiKey",
            "SECRET",
            "--disableYarnAudit",
            "--failOnCVSS",
            "7",
            "--data",
            data,
        ],
    );
    assert_eq!(
        scan.status.code(),
        Some(1),
        "{}{}",
        stdout(&scan),
        stderr(&scan)
    );
    assert!(
        !stderr(&scan).contains("SECRET"),
        "a key is no one's business"
    );
    for report in ["xml", "html"] {
        let path = tree
            .path()
            .join(format!("reports/dependency-check-report.{report}"));
        assert!(path.is_file(), "{report}");
    }
    let harmless = run(
        tree.path(),
        &["dependency-check", "--data", data, "--failOnCVSS", "11"],
    );
    assert_eq!(harmless.status.code(), Some(0), "{}", stderr(&harmless));
    let without = run(tree.path(), &["dependency-check", "--scan", "."]);
    assert_eq!(without.status.code(), Some(3), "no advisories, no verdict");
    let unknown = run(tree.path(), &["dependency-check", "--frobnicate"]);
    assert_eq!(unknown.status.code(), Some(2));
    let shown = run(tree.path(), &["advisories", "--db", data]);
    assert!(
        stdout(&shown).contains("PyPI"),
        "{}{}",
        stdout(&shown),
        stderr(&shown)
    );
}

#[test]
fn a_pipeline_scans_and_judges() {
    let jenkinsfile = |limit: &str| {
        format!(
            "pipeline {{\n  agent any\n  stages {{\n    stage('OWASP') {{\n      steps {{\n        dependencyCheck additionalArguments: '''--scan ./ --format ALL\n            --nvdApiKey ${{NVD_API_KEY}} --project \"$JOB_NAME\"''', odcInstallation: 'DP-Check'\n        dependencyCheckPublisher pattern: '**/dependency-check-report.xml', {limit}\n      }}\n    }}\n  }}\n}}\n"
        )
    };
    let data = records();
    let data = data.to_str().unwrap();
    for (limit, code, words) in [
        (
            "failedTotalCritical: 1000",
            0,
            "wrote dependency-check-report.xml",
        ),
        (
            "unstableTotalCritical: 1",
            1,
            "1 critical, and the limit is 1",
        ),
    ] {
        let tree = folder(&[
            (
                "Cargo.lock",
                "version = 4\n\n[[package]]\nname = \"smallvec\"\nversion = \"1.6.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
            ),
            ("Jenkinsfile", &jenkinsfile(limit)),
        ]);
        git(tree.path());
        let built = run(tree.path(), &["pipeline", "run", "--db", data, "--keep"]);
        let said = format!("{}{}", stdout(&built), stderr(&built));
        assert_eq!(built.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("not-to-be-seen"), "{said}");
        let kept = said
            .split("kept in ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        let report = Path::new(kept).join("build/artifacts/dependency-check-report.xml");
        assert!(
            std::fs::read_to_string(report)
                .unwrap()
                .contains("<analysis")
        );
        std::fs::remove_dir_all(kept).unwrap();
    }
}
