//! JUnit XML: one suite per file, one case per package, so that a build server shows which dependency failed.

use std::collections::BTreeMap;

use super::xml::XmlWriter;
use crate::finding::{Finding, Verdict};
use crate::report::{Component, Problem, Report};

pub(super) fn render(report: &Report) -> String {
    let mut cases: BTreeMap<&str, Vec<&Component>> = report
        .files
        .iter()
        .map(|file| (file.path.as_ref(), Vec::new()))
        .collect();
    for component in &report.packages {
        // A package that several files name is one case, under the first of them.
        if let Some(location) = component.locations.first() {
            cases.entry(&location.file).or_default().push(component);
        }
    }
    let mut problems: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
    for problem in &report.problems {
        problems.entry(&problem.file).or_default().push(problem);
        cases.entry(&problem.file).or_default();
    }
    let mut by_package = ByPackage::new();
    for finding in &report.findings {
        by_package
            .entry((&finding.ecosystem, &finding.package, &finding.version))
            .or_default()
            .push(finding);
    }
    let fails = |component| {
        of(&by_package, component)
            .iter()
            .any(|finding| finding.verdict == Verdict::Fails)
    };
    let data: Vec<String> = report
        .data
        .iter()
        .filter(|data| data.state != crate::report::DataQuality::Usable)
        .map(|data| data.ecosystem.clone())
        .collect();
    let total: usize =
        cases.values().map(Vec::len).sum::<usize>() + report.problems.len() + data.len();
    let failures = report
        .packages
        .iter()
        .filter(|component| fails(component))
        .count();
    let errors = report.problems.len() + data.len();
    let mut xml = XmlWriter::new();
    let counts = [total, failures, errors].map(|count| count.to_string());
    xml.open(
        "testsuites",
        &[
            ("name", &report.project),
            ("tests", &counts[0]),
            ("failures", &counts[1]),
            ("errors", &counts[2]),
        ],
    );
    let time = report.generated_at.to_string();
    if !data.is_empty() {
        let count = data.len().to_string();
        xml.open(
            "testsuite",
            &[
                ("name", "advisory data"),
                ("tests", &count),
                ("failures", "0"),
                ("errors", &count),
                ("timestamp", &time),
            ],
        );
        for ecosystem in &data {
            xml.open(
                "testcase",
                &[("name", ecosystem), ("classname", "advisory data")],
            );
            xml.text(
                "error",
                &[("type", "no-data"), ("message", "no usable advisory data")],
                &report.reasons.join("\n"),
            );
            xml.close();
        }
        xml.close();
    }
    for (file, components) in cases {
        let problems = problems.get(file).map(Vec::as_slice).unwrap_or_default();
        let failed = components
            .iter()
            .filter(|component| fails(component))
            .count();
        let counts = [components.len() + problems.len(), failed, problems.len()]
            .map(|count| count.to_string());
        xml.open(
            "testsuite",
            &[
                ("name", file),
                ("tests", &counts[0]),
                ("failures", &counts[1]),
                ("errors", &counts[2]),
                ("timestamp", &time),
                ("file", file),
            ],
        );
        for component in components {
            case(&mut xml, file, component, of(&by_package, component));
        }
        for problem in problems {
            xml.open(
                "testcase",
                &[("name", "reading the file"), ("classname", file)],
            );
            xml.text(
                "error",
                &[("type", "unreadable"), ("message", &problem.message)],
                &problem.to_string(),
            );
            xml.close();
        }
        xml.close();
    }
    xml.finish()
}

type ByPackage<'r> = BTreeMap<(&'r str, &'r str, &'r str), Vec<&'r Finding>>;

fn of<'m, 'r>(by_package: &'m ByPackage<'r>, component: &'r Component) -> &'m [&'r Finding] {
    let key = (
        component.ecosystem.as_str(),
        component.name.as_str(),
        component.version.as_str(),
    );
    by_package.get(&key).map(Vec::as_slice).unwrap_or_default()
}

fn case(xml: &mut XmlWriter, file: &str, component: &Component, findings: &[&Finding]) {
    let name = format!("{} {}", component.name, component.version);
    let attributes = [("name", name.as_str()), ("classname", file)];
    if findings.is_empty() {
        xml.empty("testcase", &attributes);
        return;
    }
    xml.open("testcase", &attributes);
    let text = |finding: &Finding| {
        let mend = finding.fixed.as_ref().map_or_else(
            || "no version mends it yet".to_owned(),
            |fixed| format!("mended in {fixed}"),
        );
        format!(
            "{} ({}): {}\n{mend}; {}",
            finding.id, finding.severity.level, finding.summary, finding.url
        )
    };
    let mut quiet = Vec::new();
    for finding in findings {
        if finding.verdict == Verdict::Fails {
            let message = format!("{} ({})", finding.id, finding.severity.level);
            xml.text(
                "failure",
                &[("type", finding.kind.as_str()), ("message", &message)],
                &text(finding),
            );
        } else {
            quiet.push(text(finding));
        }
    }
    if !quiet.is_empty() {
        xml.text("system-out", &[], &quiet.join("\n\n"));
    }
    xml.close();
}
