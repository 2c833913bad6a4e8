//! Alerts: a page with all of them, and the banner that other pages show while some are open.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::alerts::{self, Which};
use launchway_model::AppName;
use launchway_model::alert::{Alert, AlertSeverity};

use super::{Frame, PageProblem};
use crate::Web;
use crate::html::{self, Html, State as Word, Tone};

/// How many open alerts a banner names one by one.
const NAMED: usize = 3;
/// How many alerts that are over the page shows.
const OVER: u32 = 100;

/// One alert as a row.
struct Row {
    state: Html,
    summary: Html,
    hint: Option<String>,
    app: Option<String>,
    kind: String,
    link: Option<String>,
    details: Vec<(String, String)>,
    began: Html,
    ended: Option<Html>,
}

impl Row {
    fn new(alert: &Alert, now: &Timestamp) -> Self {
        Self {
            state: state(alert).badge(),
            summary: html::prose(&alert.summary),
            hint: alert.hint().map(str::to_owned),
            app: alert.app.as_ref().map(ToString::to_string),
            kind: alert.kind.clone(),
            link: alert.link().map(str::to_owned),
            details: alert
                .details
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "hint" | "link"))
                .map(|(name, value)| (name.replace('_', " "), in_words(value)))
                .collect(),
            began: html::ago(&alert.raised_at, now),
            ended: alert.ended_at.as_ref().map(|at| html::ago(at, now)),
        }
    }
}

fn state(alert: &Alert) -> Word {
    match (alert.is_open(), alert.severity) {
        (false, _) => Word::new(Tone::Idle, "over"),
        (true, AlertSeverity::Critical) => Word::new(Tone::Bad, "critical"),
        (true, AlertSeverity::Warning) => Word::new(Tone::Warn, "warning"),
    }
}

/// A detail's value without JSON's quotes where it is plain.
fn in_words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => {
            values.iter().map(in_words).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The page.
#[derive(Template)]
#[template(path = "alerts.html")]
pub struct AlertsPage {
    frame: Frame,
    open: Html,
    over: Html,
}

#[derive(Template)]
#[template(path = "alerts_table.html")]
struct Table {
    rows: Vec<Row>,
    open: bool,
}

impl AlertsPage {
    /// The page of the alerts given.
    pub fn new(alerts: &[Alert], now: Timestamp) -> Self {
        let table = |open: bool| {
            super::part(&Table {
                rows: alerts
                    .iter()
                    .filter(|alert| alert.is_open() == open)
                    .map(|alert| Row::new(alert, &now))
                    .collect(),
                open,
            })
        };
        Self {
            frame: Frame {
                refresh: Some(30),
                stream: Some("/alerts/live".to_owned()),
                ..Frame::new("Alerts", "alerts")
            },
            open: table(true),
            over: table(false),
        }
    }

    /// The parts that change by themselves, by the id of their element.
    pub(super) fn fragments(self) -> Vec<(String, Html)> {
        vec![
            ("alerts-open".to_owned(), self.open),
            ("alerts-over".to_owned(), self.over),
        ]
    }
}

#[derive(Template)]
#[template(path = "alerts_banner.html")]
struct Banner<'a> {
    rows: &'a [Row],
    more: usize,
    with_app: bool,
}

/// What other pages show above their content while alerts are open; nothing where none is. `with_app` says whether the
/// app of each is named.
pub fn banner(open: &[Alert], with_app: bool, now: &Timestamp) -> Html {
    let mut worst_first: Vec<&Alert> = open.iter().filter(|alert| alert.is_open()).collect();
    worst_first.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    if worst_first.is_empty() {
        return Html::default();
    }
    let rows: Vec<Row> = worst_first
        .iter()
        .take(NAMED)
        .map(|alert| Row::new(alert, now))
        .collect();
    super::part(&Banner {
        rows: &rows,
        more: worst_first.len() - rows.len(),
        with_app,
    })
}

/// The open alerts for a banner: of one app, or all.
pub(super) async fn open(web: &Web, app: Option<&AppName>) -> Result<Vec<Alert>, PageProblem> {
    Ok(alerts::list(&web.control, Which::Open, app, 100).await?)
}

/// Asks control for the page's data.
pub(super) async fn load(web: &Web) -> Result<AlertsPage, PageProblem> {
    let alerts = alerts::list(&web.control, Which::All, None, OVER + 1000).await?;
    Ok(AlertsPage::new(&alerts, Timestamp::now()))
}

pub(super) async fn show(State(web): State<Web>) -> Result<Response, PageProblem> {
    Ok(super::show(&load(&web).await?))
}
