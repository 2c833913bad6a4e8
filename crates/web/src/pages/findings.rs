//! What a scan of dependencies found: a panel of the pages of builds and releases.

use askama::Template;
use jiff::Timestamp;
use launchway_model::scan::{FindingLevel, ScanFinding, ScanReport, ScanVerdict};

use crate::html::{self, Html, State, Tone};

/// The panel.
#[derive(Template)]
#[template(path = "findings.html")]
struct Findings {
    title: &'static str,
    state: Html,
    about: String,
    when: Html,
    reasons: Vec<String>,
    rows: Vec<Row>,
    more: u64,
    notes: Vec<String>,
}

struct Row {
    level: Html,
    score: Option<String>,
    id: String,
    url: Option<String>,
    aliases: String,
    package: String,
    version: String,
    place: String,
    summary: String,
    mend: Html,
    ignored: Option<String>,
}

impl Row {
    fn new(finding: &ScanFinding) -> Self {
        let tone = match (finding.counts(), finding.level) {
            (false, _) => Tone::Idle,
            (true, FindingLevel::Critical | FindingLevel::High | FindingLevel::Unknown) => {
                Tone::Bad
            }
            (true, _) => Tone::Warn,
        };
        let word = match (&finding.ignored, finding.warning) {
            (Some(_), _) => "ignored",
            (None, true) => "warning",
            (None, false) => finding.level.word(),
        };
        Self {
            level: State::new(tone, word).badge(),
            score: finding.score.map(|score| format!("{score:.1}")),
            id: finding.id.clone(),
            url: Some(finding.url.clone())
                .filter(|url| url.starts_with("https://") || url.starts_with("http://")),
            aliases: finding.aliases.join(", "),
            package: finding.package.clone(),
            version: finding.version.clone(),
            place: finding.place.clone(),
            summary: finding.summary.clone(),
            mend: match (&finding.command, &finding.fixed) {
                (Some(command), _) => html::prose(&format!("`{command}`")),
                (None, Some(fixed)) => Html::text(&format!("upgrade to {fixed}")),
                (None, None) => Html::text("no version mends it yet"),
            },
            ignored: finding.ignored.clone(),
        }
    }
}

/// The panel of a report.
pub fn panel(title: &'static str, report: &ScanReport, now: &Timestamp) -> Html {
    let tone = match report.verdict {
        ScanVerdict::Findings => Tone::Bad,
        ScanVerdict::Unreadable | ScanVerdict::Unknown => Tone::Warn,
        ScanVerdict::Clean if report.counts().total() > 0 => Tone::Warn,
        ScanVerdict::Clean => Tone::Good,
    };
    let mut about = vec![match report.packages {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    }];
    if let Some(of) = report.advisories {
        about.push(format!("advisories of {}", of.strftime("%Y-%m-%d")));
    }
    let counts = report.counts();
    if counts.ignored > 0 {
        about.push(format!("{} ignored", counts.ignored));
    }
    super::part(&Findings {
        title,
        state: State::new(tone, report.words()).badge(),
        about: about.join(", "),
        when: html::ago(&report.at, now),
        reasons: match report.verdict {
            ScanVerdict::Clean => Vec::new(),
            _ => report.reasons.clone(),
        },
        rows: report.findings.iter().map(Row::new).collect(),
        more: report.more,
        notes: report.notes.clone(),
    })
}
