//! A page with everything in it: no script, nothing loaded from elsewhere, readable in light and dark.

use quick_xml::escape::escape;

use crate::finding::{Finding, Verdict};
use crate::report::{DataQuality, ExitCode, Report};

use super::xml::clean;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--bad:#c0262d;--warn:#a35b00;--good:#15803d}
@media(prefers-color-scheme:dark){:root{--bad:#ff7b80;--warn:#ffb454;--good:#5fd38d}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid var(--line)}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
.critical,.high,.unknown,.bad{color:var(--bad);font-weight:600}.medium{color:var(--warn);font-weight:600}.good{color:var(--good);font-weight:600}
.quiet{opacity:.65}small{display:block}
";

pub(super) fn render(report: &Report) -> String {
    let mut page = String::new();
    let project = text(&report.project);
    page.push_str(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Scan of {project}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Scan of {project}</h1>\n"
    ));
    let class = if report.verdict == ExitCode::Clean {
        "good"
    } else {
        "bad"
    };
    for reason in &report.reasons {
        page.push_str(&format!("<p class=\"{class}\">{}</p>\n", text(reason)));
    }
    page.push_str(&format!(
        "<p>{} packages in {} files, checked on {}.</p>\n",
        report.packages.len(),
        report.files.len(),
        text(
            &report
                .generated_at
                .strftime("%Y-%m-%d %H:%M UTC")
                .to_string()
        )
    ));
    findings(report, &mut page);
    list(
        &mut page,
        "Could not be read",
        report.problems.iter().map(ToString::to_string),
    );
    list(
        &mut page,
        "Not pinned, so not checked",
        report.unresolved.iter().map(|open| {
            format!(
                "{}:{}: {} ({})",
                open.location.file, open.location.line, open.name, open.requirement
            )
        }),
    );
    list(
        &mut page,
        "From no registry, so not checked",
        report.skipped.iter().map(|package| {
            format!(
                "{}:{}: {} {}",
                package.location.file, package.location.line, package.name, package.version
            )
        }),
    );
    list(&mut page, "Notes", report.notes.iter().cloned());
    list(
        &mut page,
        "Advisory data",
        report
            .data
            .iter()
            .map(|data| match (data.state, data.as_of) {
                (DataQuality::Missing, _) | (_, None) => format!("{}: none", data.ecosystem),
                (_, Some(time)) => format!(
                    "{}: {} advisories, as of {}",
                    data.ecosystem,
                    data.records,
                    time.strftime("%Y-%m-%d")
                ),
            }),
    );
    page.push_str("</body>\n</html>\n");
    page
}

fn findings(report: &Report, page: &mut String) {
    if report.findings.is_empty() {
        return;
    }
    page.push_str("<h2>Findings</h2>\n<table>\n<thead><tr><th>Package</th><th>Advisory</th><th>Severity</th><th>Mended in</th><th>Upgrade</th></tr></thead>\n<tbody>\n");
    for finding in &report.findings {
        row(finding, page);
    }
    page.push_str("</tbody>\n</table>\n");
}

fn row(finding: &Finding, page: &mut String) {
    let quiet = if finding.verdict == Verdict::Fails {
        ""
    } else {
        " class=\"quiet\""
    };
    let places: Vec<String> = finding
        .locations
        .iter()
        .map(|location| {
            format!(
                "<small><code>{}:{}</code></small>",
                text(&location.file),
                location.line
            )
        })
        .collect();
    let others: Vec<&str> = finding
        .ids
        .iter()
        .chain(&finding.aliases)
        .filter(|id| **id != finding.id)
        .map(String::as_str)
        .collect();
    let severity = match finding.severity.score {
        _ if finding.kind.is_warning() => finding.kind.as_str().to_owned(),
        Some(score) => format!("{} {score:.1}", finding.severity.level),
        None => finding.severity.level.to_string(),
    };
    let verdict = match &finding.verdict {
        Verdict::Fails => String::new(),
        Verdict::Passes { because } => format!("<small>passes: {}</small>", text(because)),
        Verdict::Ignored { reason, expires } => {
            format!(
                "<small>ignored until {}: {}</small>",
                text(expires.as_deref().unwrap_or("further notice")),
                text(reason)
            )
        }
    };
    page.push_str(&format!(
        "<tr{quiet}><td>{} {}{}</td><td><a href=\"{}\" rel=\"noreferrer\">{}</a> {}<small>{}</small></td><td class=\"{}\">{}{verdict}</td><td>{}</td><td><code>{}</code></td></tr>\n",
        text(&finding.package),
        text(&finding.version),
        places.join(""),
        text(&finding.url),
        text(&finding.id),
        text(&others.join(" ")),
        text(&finding.summary),
        finding.severity.level,
        text(&severity),
        text(finding.fixed.as_deref().unwrap_or("—")),
        text(finding.command.as_deref().or(finding.upgrade.as_deref()).unwrap_or("—")),
    ));
}

fn list(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items
        .map(|item| format!("<li>{}</li>\n", text(&item)))
        .collect();
    if !items.is_empty() {
        page.push_str(&format!(
            "<h2>{title}</h2>\n<ul>\n{}</ul>\n",
            items.join("")
        ));
    }
}

fn text(raw: &str) -> String {
    escape(clean(raw)).into_owned()
}
