//! Bad input: each bad file is named with its place, the rest is scanned, and what is unknown never looks clean.

use std::fs;

use launchway_scanner::command::{Options, run};
use launchway_scanner::index::{CURRENT, PREVIOUS};
use launchway_scanner::policy::{Policy, Threshold};
use launchway_scanner::report::{DataQuality, ExitCode};
use launchway_scanner::severity::Level;

use crate::{Bench, data};

#[test]
fn a_clean_tree_is_clean() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==3.0.0\n");
    let outcome = bench.run();
    assert_eq!(
        (outcome.exit, outcome.exit.code()),
        (ExitCode::Clean, 0),
        "{}",
        outcome.stdout
    );
    assert_eq!(
        outcome.report.reasons,
        ["Nothing was found that fails the policy."]
    );
}

#[test]
fn bad_files_are_named_and_the_rest_is_scanned() {
    let bench = Bench::new();
    bench
        .file("requirements.txt", "flask==2.2.2\n-r loop.txt\n")
        .file("loop.txt", "-r requirements.txt\n")
        .file("a/Cargo.lock", "[[package]]\nname = \"x\n")
        .file("b/package-lock.json", "{\n  \"packages\": {\n")
        .file("c/poetry.lock", b"[[package]]\nname = \"\xff\"\n")
        .file("d/yarn.lock", "  version 1\n")
        .file(
            "e/pnpm-lock.yaml",
            "lockfileVersion: '9.0'\npackages:\n  : :\n   - ]\n",
        )
        .file("f/package-lock.json", "[".repeat(200_000))
        .file("g/go.mod", "module x\nrequire (\n");
    let outcome = bench.run();
    assert_eq!((outcome.exit, outcome.exit.code()), (ExitCode::Errors, 2));
    let places: Vec<String> = outcome
        .report
        .problems
        .iter()
        .map(|problem| format!("{}:{}", problem.file, problem.line))
        .collect();
    assert_eq!(
        places,
        [
            "a/Cargo.lock:2",
            "b/package-lock.json:3",
            "c/poetry.lock:2",
            "d/yarn.lock:1",
            "e/pnpm-lock.yaml:4",
            "f/package-lock.json:1",
            "g/go.mod:2",
            "loop.txt:1"
        ]
    );
    assert!(
        outcome
            .report
            .findings
            .iter()
            .any(|finding| finding.id == "PYSEC-2023-62"),
        "the good line is still scanned"
    );
    assert!(
        outcome
            .stdout
            .contains("loop.txt:1: `requirements.txt` includes itself"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn an_ecosystem_without_data_fails_closed() {
    let bench = Bench::new();
    bench
        .file("requirements.txt", "flask==3.0.0\n")
        .file("yarn.lock", "lodash@^4:\n  version \"4.17.20\"\n");
    let outcome = bench.run();
    assert_eq!((outcome.exit, outcome.exit.code()), (ExitCode::NoData, 3));
    assert!(
        outcome
            .report
            .reasons
            .iter()
            .any(|reason| reason.contains("no advisory data for npm")),
        "{:?}",
        outcome.report.reasons
    );
    assert!(!outcome.stdout.contains("Nothing was found"));
    // No database at all is the same, not an empty one.
    fs::write(bench.path("cut.zip"), b"PK\x03\x04 and no more").unwrap();
    fs::write(bench.path("junk.index"), "junk").unwrap();
    for database in ["missing", "empty", "cut.zip", "junk.index"] {
        fs::create_dir_all(bench.path("empty")).unwrap();
        let outcome = run(&bench.options_for(&bench.path(database))).unwrap();
        assert_eq!(outcome.exit, ExitCode::NoData);
        assert!(
            outcome
                .report
                .data
                .iter()
                .all(|data| data.state == DataQuality::Missing)
        );
    }
}

#[test]
fn data_older_than_the_policy_allows_fails_closed() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==3.0.0\n");
    let mut options = bench.options();
    options.policy.max_data_age_days = Some(7);
    let outcome = run(&options).unwrap();
    assert_eq!(outcome.exit, ExitCode::NoData);
    assert_eq!(outcome.report.data[0].state, DataQuality::TooOld);
    options.policy.max_data_age_days = Some(10_000);
    assert_eq!(run(&options).unwrap().exit, ExitCode::Clean);
}

#[test]
fn a_tree_that_does_not_exist_is_an_error() {
    let bench = Bench::new();
    let mut options = Options::new(bench.path("nowhere"), data("advisories"));
    options.cache = Some(bench.path("cache"));
    assert!(run(&options).unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn an_index_is_built_once_and_a_damaged_one_is_replaced() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\n");
    assert_eq!(bench.run().exit, ExitCode::Findings);
    let folder = fs::read_dir(bench.path("cache"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let index = folder.join(CURRENT);
    let built = fs::metadata(&index).unwrap().modified().unwrap();
    assert_eq!(bench.run().exit, ExitCode::Findings);
    assert_eq!(
        fs::metadata(&index).unwrap().modified().unwrap(),
        built,
        "the second scan builds nothing"
    );
    let mut bytes = fs::read(&index).unwrap();
    bytes.truncate(100);
    fs::remove_file(&index).unwrap();
    fs::write(&index, bytes).unwrap();
    assert_eq!(bench.run().exit, ExitCode::Findings);
}

#[test]
fn a_damaged_payload_falls_back_to_the_last_good_index() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\n");
    bench.run();
    let built = fs::read_dir(bench.path("cache"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let database = bench.path("db");
    fs::create_dir(&database).unwrap();
    let good = fs::read(built.join(CURRENT)).unwrap();
    // Damage in the middle: the header and the table are whole.
    let mut bad = good.clone();
    let header_and_table =
        |at: usize| at < 64 || at > u64::from_le_bytes(good[24..32].try_into().unwrap()) as usize;
    for (at, byte) in bad.iter_mut().enumerate() {
        if !header_and_table(at) {
            *byte ^= 1;
        }
    }
    fs::write(database.join(CURRENT), &bad).unwrap();
    let outcome = run(&bench.options_for(&database)).unwrap();
    assert_eq!(
        outcome.exit,
        ExitCode::NoData,
        "without a good one nothing is known"
    );
    fs::write(database.join(PREVIOUS), &good).unwrap();
    let outcome = run(&bench.options_for(&database)).unwrap();
    assert_eq!(outcome.exit, ExitCode::Findings);
    assert!(
        outcome
            .report
            .notes
            .iter()
            .any(|note| note.contains("last good")),
        "{:?}",
        outcome.report.notes
    );
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\n");
    fs::write(bench.path("cache"), "a file where the folder should be").unwrap();
    assert_eq!(bench.run().exit, ExitCode::Findings);
}

#[test]
fn policies_decide() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\npy==1.11.0\n");
    let with = |policy: Policy| {
        let mut options = bench.options();
        options.policy = policy;
        run(&options)
            .unwrap()
            .report
            .failing()
            .map(|finding| finding.package.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(with(Policy::default()), ["flask", "py"]);
    assert_eq!(
        with(Policy {
            fixable_only: true,
            ..Policy::default()
        }),
        ["flask"],
        "py has no mending version"
    );
    assert_eq!(
        with(Policy {
            fail_on: Threshold::Never,
            ..Policy::default()
        }),
        [""; 0]
    );
    assert_eq!(
        with(Policy {
            fail_on: Threshold::Level(Level::Critical),
            ..Policy::default()
        }),
        ["flask", "py"],
        "neither has a severity, and doubt fails"
    );
    assert_eq!(
        with(Policy {
            grace_days: Some(600),
            ..Policy::default()
        }),
        ["py"],
        "flask's advisory is of May 2023"
    );
    bench.file("launchway-ignore.toml", "[[ignore]]\nid = \"X\"\n");
    assert!(
        run(&bench.options())
            .unwrap_err()
            .to_string()
            .contains("launchway-ignore.toml")
    );
}

#[test]
fn what_is_installed_answers_for_what_is_not_pinned() {
    let bench = Bench::new();
    bench
        .file("requirements.txt", "flask\nattrs\n")
        .file(".venv/pyvenv.cfg", "")
        .file(
            ".venv/lib/python3.12/site-packages/flask-2.2.2.dist-info/METADATA",
            "Name: Flask\nVersion: 2.2.2\n\n",
        );
    assert_eq!(bench.run().report.unresolved.len(), 2);
    let mut options = bench.options();
    options.walk.installed = true;
    let report = run(&options).unwrap().report;
    assert_eq!(
        report
            .unresolved
            .iter()
            .map(|open| open.name.as_str())
            .collect::<Vec<_>>(),
        ["attrs"]
    );
    assert_eq!(report.findings[0].id, "PYSEC-2023-62");
    assert!(report.findings[0].locations[0].file.ends_with("METADATA"));
}

#[test]
fn suppression_files_are_used_by_the_jenkins_arguments() {
    use launchway_scanner::dependency_check::from_text;
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\n").file("dc.xml", "<suppressions><suppress><notes>n</notes><cve>CVE-2023-30861</cve></suppress></suppressions>");
    let tree = bench.path("tree");
    let scan = |more: &str| {
        let text = format!(
            "--scan {} --format XML --out {} --noupdate --failOnCVSS 7 {more}",
            tree.display(),
            bench.path("out").display()
        );
        run(&from_text(&text, bench.options(), &|_| None)
            .unwrap()
            .options)
        .unwrap()
    };
    assert_eq!(
        scan("").exit,
        ExitCode::Findings,
        "without a score a finding meets every threshold"
    );
    assert_eq!(
        scan(&format!("--suppression {}", tree.join("dc.xml").display())).exit,
        ExitCode::Clean
    );
    assert!(
        fs::read_to_string(bench.path("out/dependency-check-report.xml"))
            .unwrap()
            .contains("<suppressedVulnerability ")
    );
    assert_eq!(scan("--failOnCVSS 11").exit, ExitCode::Clean);
}
