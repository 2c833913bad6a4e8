//! Known vulnerabilities: the gate before a release, and what serves when the advisories change.

use std::path::Path;

use launchway_control::alerts::{self, Which};
use launchway_control::{releases, scans};
use launchway_model::app::AppSpec;
use launchway_model::scan::{FindingLevel, ScanPolicy, ScanVerdict};
use launchway_model::{BuildId, ReleaseNumber};
use launchway_scanner::advisory::source::Source;
use launchway_scanner::index::builder::build;
use launchway_scanner::index::publish;

use crate::world::{Repository, World, name, spec, until};

/// Publishes advisories, each of a package and the version that mends it, as an update does.
fn advisories(home: &Path, records: &[(&str, &str, &str)]) {
    let raw = tempfile::tempdir().unwrap();
    for (id, package, fixed) in records {
        let record = format!(
            r#"{{"schema_version": "1.6.0", "id": "{id}", "modified": "2024-06-01T00:00:00Z", "published": "2024-01-01T00:00:00Z",
                "summary": "a flaw of {package}", "severity": [{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
                "affected": [{{"package": {{"ecosystem": "PyPI", "name": "{package}"}},
                "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#
        );
        std::fs::write(raw.path().join(format!("{id}.json")), record).unwrap();
    }
    let now = jiff::Timestamp::now().as_second();
    let (bytes, report) = build(&[Source::detect(raw.path()).unwrap()], now).unwrap();
    assert_eq!(report.records, records.len());
    std::fs::create_dir_all(home).unwrap();
    publish(home, &bytes).unwrap();
}

fn gated(fail_on: &str) -> AppSpec {
    AppSpec {
        scan: ScanPolicy {
            fail_on: fail_on.to_owned(),
            ..ScanPolicy::default()
        },
        ..spec("serve")
    }
}

fn requirements(repository: &Repository, text: &str) {
    repository.write("requirements.txt", text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_breaks_the_policy_makes_no_release_and_says_how_to_mend_it() {
    let world = World::new().await;
    let home = world.settings.home.advisories();
    let repository = world.repository("shop");
    requirements(&repository, "quux==1.0\n");
    repository.version("one", &gated("high"));
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert!(
        problem.message.contains("nothing is known"),
        "no advisories are not the same as none that apply: {problem}"
    );
    assert!(
        problem
            .hint
            .as_deref()
            .unwrap()
            .contains("launchway scan --update")
    );

    advisories(
        &home,
        &[("PYSEC-1", "quux", "1.2"), ("PYSEC-2", "other", "1.0")],
    );
    repository.version("two", &gated("high"));
    let outcome = world.deploy(&repository).await;
    let problem = outcome.refused();
    assert!(problem.message.contains("break the policy"), "{problem}");
    assert!(
        problem
            .causes
            .iter()
            .any(|cause| cause
                == "PYSEC-1 (critical) in quux 1.0 (requirements.txt:1): upgrade to 1.2"),
        "{:?}",
        problem.causes
    );
    assert!(
        problem.hint.as_deref().unwrap().contains("quux"),
        "{problem:?}"
    );
    let control = &world.control;
    assert!(
        releases::list(control, &name("shop"), 5)
            .await
            .unwrap()
            .is_empty()
    );
    let report = scans::of_build(control, BuildId(2)).await.unwrap().unwrap();
    assert_eq!(report.verdict, ScanVerdict::Findings);
    assert_eq!(report.findings[0].level, FindingLevel::Critical);

    repository.write(
        "launchway-ignore.toml",
        "[[ignore]]\nid = \"PYSEC-1\"\nreason = \"not reached\"\nexpires = \"2999-01-01\"\n",
    );
    repository.version("three", &gated("high"));
    world.deploy(&repository).await.succeeded();
    let report = scans::of_release(control, &name("shop"), ReleaseNumber(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        report.findings[0].ignored.as_deref(),
        Some("not reached (until 2999-01-01)")
    );
    let briefs = scans::list(control, &name("shop"), 10).await.unwrap();
    assert_eq!(briefs[0].words, "none known");

    repository.write("launchway-ignore.toml", "");
    requirements(&repository, "quux==\u{0}1.0\n-r /etc/passwd\n");
    repository.version("four", &gated("high"));
    let outcome = world.deploy(&repository).await;
    assert!(
        outcome.refused().message.contains("cannot be read"),
        "{:?}",
        outcome.problem
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_serves_is_looked_at_again_when_the_advisories_change() {
    let world = World::new().await;
    let home = world.settings.home.advisories();
    let control = &world.control;
    let repository = world.repository("shop");
    requirements(&repository, "quux==1.0\nother==0.5\n");
    repository.version("one", &spec("serve"));
    advisories(&home, &[("PYSEC-2", "other", "1.0")]);
    world.deploy(&repository).await.succeeded();
    let open = async || {
        alerts::list(control, Which::Open, Some(&name("shop")), 10)
            .await
            .unwrap()
    };
    let report = scans::of_release(control, &name("shop"), ReleaseNumber(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(report.words(), "1 critical");
    assert!(
        open().await.is_empty(),
        "what was known at the build is no news"
    );

    advisories(
        &home,
        &[("PYSEC-1", "quux", "1.2"), ("PYSEC-2", "other", "1.0")],
    );
    let raised = until("an alert is raised", async || open().await.pop()).await;
    assert_eq!(raised.key, "shop/PyPI/quux/PYSEC-1");
    assert_eq!(
        raised.summary,
        "PYSEC-1 (critical) in quux 1.0, which shop serves"
    );
    assert_eq!(raised.link(), Some("/apps/shop/releases/1"));
    let report = scans::of_release(control, &name("shop"), ReleaseNumber(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(report.words(), "2 critical");

    // Deployed again with the same finding, the alert goes on.
    repository.version("two", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    until("the new release is looked at", async || {
        let report = scans::of_release(control, &name("shop"), ReleaseNumber(2)).await;
        report.unwrap().map(|_| ())
    })
    .await;
    assert_eq!(open().await, [raised]);

    requirements(&repository, "quux==1.2\nother==0.5\n");
    repository.version("three", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    until("the alert ends", async || {
        open().await.is_empty().then_some(())
    })
    .await;
}
