//! Every output follows its published schema and says what the report says.

use std::fs;

use boon::{Compiler, Schemas};
use launchway_scanner::command::{Output, run};
use launchway_scanner::output::{Format, Style, render};
use launchway_scanner::report::{ExitCode, Report};
use serde_json::Value;

use crate::{Bench, data, grammar};

/// A report with everything in it that a format must cope with: findings of several kinds, a decision, a problem,
/// a gap in the data, and text that would break a careless writer.
fn full_report() -> Report {
    let bench = Bench::new();
    bench
        .file("requirements.txt", fs::read(data("cases/shop.requirements.txt")).unwrap())
        .file("api/Cargo.lock", fs::read(data("cases/ripgrep-11.0.0.Cargo.lock")).unwrap())
        .file("web/package-lock.json", r#"{"packages": {"node_modules/<script>&\"'": {"version": "1.0.0]]>"}}}"#)
        .file("b & <c>/poetry.lock", "[[package]]\nname = \n")
        .file("launchway-ignore.toml", "[[ignore]]\nid = \"PYSEC-2022-42969\"\nreason = \"no <svn> & co\"\nexpires = 2030-01-01\n");
    let report = bench.run().report;
    assert_eq!(report.verdict, ExitCode::NoData);
    assert_eq!(report.problems.len(), 1);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.verdict.is_ignored())
    );
    report
}

fn empty_report() -> Report {
    Bench::new().run().report
}

fn validate(document: &str, schema: &str) -> Value {
    let mut compiler = Compiler::new();
    for (url, file) in [
        (
            "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bom-1.6.schema.json",
        ),
        (
            "http://cyclonedx.org/schema/spdx.schema.json",
            "spdx.schema.json",
        ),
        (
            "http://cyclonedx.org/schema/jsf-0.82.schema.json",
            "jsf-0.82.schema.json",
        ),
        (
            "http://example.invalid/sarif-2.1.0.json",
            "sarif-2.1.0.schema.json",
        ),
    ] {
        let text = fs::read_to_string(data("schemas").join(file)).unwrap();
        compiler
            .add_resource(url, serde_json::from_str(&text).unwrap())
            .unwrap();
    }
    let mut schemas = Schemas::new();
    let schema = compiler.compile(schema, &mut schemas).unwrap();
    let value: Value = serde_json::from_str(document).unwrap();
    if let Err(error) = schemas.validate(&value, schema) {
        panic!("{error:#}");
    }
    value
}

fn text(report: &Report, format: Format) -> String {
    render(report, format, &Style::default())
}

#[test]
fn sarif_follows_its_schema() {
    for report in [full_report(), empty_report()] {
        let value = validate(
            &text(&report, Format::Sarif),
            "http://example.invalid/sarif-2.1.0.json",
        );
        let places: usize = report
            .findings
            .iter()
            .map(|finding| finding.locations.len())
            .sum();
        assert_eq!(
            value["runs"][0]["results"].as_array().unwrap().len(),
            places
        );
        assert_eq!(
            value["runs"][0]["invocations"][0]["executionSuccessful"],
            report.problems.is_empty()
        );
    }
}

#[test]
fn cyclonedx_follows_its_schema_and_is_reproducible() {
    for report in [full_report(), empty_report()] {
        let document = text(&report, Format::CycloneDx);
        let value = validate(&document, "http://cyclonedx.org/schema/bom-1.6.schema.json");
        assert_eq!(
            value["components"].as_array().unwrap().len(),
            report.packages.len()
        );
        assert_eq!(document, text(&report, Format::CycloneDx));
    }
}

#[test]
fn the_schema_check_itself_can_fail() {
    let broken = text(&empty_report(), Format::CycloneDx).replace("\"CycloneDX\"", "\"Cyclone\"");
    let caught = std::panic::catch_unwind(|| {
        validate(&broken, "http://cyclonedx.org/schema/bom-1.6.schema.json")
    });
    assert!(caught.is_err());
    let grammar = fs::read_to_string(data("schemas/junit-10.grammar")).unwrap();
    assert!(
        std::panic::catch_unwind(|| grammar::check(
            "<testsuites><testcase name=\"x\"/></testsuites>",
            &grammar
        ))
        .is_err()
    );
    assert!(
        std::panic::catch_unwind(|| grammar::check(
            "<testsuites><testsuite name=\"x\"/></testsuites>",
            &grammar
        ))
        .is_err()
    );
}

#[test]
fn junit_follows_its_schema() {
    let grammar = fs::read_to_string(data("schemas/junit-10.grammar")).unwrap();
    for report in [full_report(), empty_report()] {
        let document = text(&report, Format::Junit);
        grammar::check(&document, &grammar);
        assert_eq!(
            document.matches("<failure ").count(),
            report.failing().count()
        );
        let gaps = report
            .data
            .iter()
            .filter(|data| data.state != launchway_scanner::report::DataQuality::Usable)
            .count();
        assert_eq!(
            document.matches("<error ").count(),
            report.problems.len() + gaps
        );
    }
}

#[test]
fn dependency_check_follows_its_schema() {
    let grammar = fs::read_to_string(data("schemas/dependency-check-4.0.grammar")).unwrap();
    for report in [full_report(), empty_report()] {
        let document = text(&report, Format::DependencyCheck);
        grammar::check(&document, &grammar);
        assert_eq!(
            document.matches("<vulnerability ").count()
                + document.matches("<suppressedVulnerability ").count(),
            report.findings.len()
        );
    }
    assert!(text(&full_report(), Format::DependencyCheck).contains("<cvssV3>"));
}

#[test]
fn html_holds_no_markup_of_others() {
    let page = text(&full_report(), Format::Html);
    assert!(!page.contains("<script"));
    assert!(page.contains("&lt;svn&gt; &amp; co"));
    assert!(page.contains("PYSEC-2022-42969"));
    // Every element that is opened is closed.
    for element in [
        "table", "tr", "td", "ul", "li", "p", "h1", "h2", "small", "code",
    ] {
        let opened = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        assert_eq!(
            opened,
            page.matches(&format!("</{element}>")).count(),
            "{element}"
        );
    }
}

#[test]
fn json_is_the_report() {
    let report = full_report();
    let value: Value = serde_json::from_str(&text(&report, Format::Json)).unwrap();
    assert_eq!(value["schema"], "launchway-scan/1");
    assert_eq!(value["verdict"], "no-data");
    assert_eq!(
        value["findings"].as_array().unwrap().len(),
        report.findings.len()
    );
}

#[test]
fn the_table_is_what_people_read() {
    let bench = Bench::new();
    bench
        .file("requirements.txt", "flask==2.2.2\npy==1.11.0\nattrs>=20\n")
        .file("launchway-ignore.toml", "[[ignore]]\nid = \"CVE-2022-42969\"\npackage = \"py\"\nreason = \"no Subversion here\"\nexpires = 2030-01-01\n");
    let outcome = bench.run();
    insta::assert_snapshot!(outcome.stdout.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn outputs_are_written_where_asked() {
    let bench = Bench::new();
    bench.file("requirements.txt", "flask==2.2.2\n");
    let mut options = bench.options();
    options.outputs = Format::ALL
        .iter()
        .map(|format| Output {
            format: *format,
            path: Some(bench.path(&format!("out/{format}"))),
        })
        .collect();
    let outcome = run(&options).unwrap();
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.written.len(), 7);
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 7);
    for path in &outcome.written {
        assert!(
            fs::read_to_string(path).unwrap().contains("flask"),
            "{}",
            path.display()
        );
    }
    options.outputs = vec![Output {
        format: Format::Json,
        path: Some(bench.path("tree/requirements.txt/x")),
    }];
    assert!(run(&options).is_err());
}
