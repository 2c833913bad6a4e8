//! An app's tests over its builds: a chart of what passed, failed and was left out, and what fails now, told apart.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use launchway_control::{apps, results};
use launchway_model::AppName;
use launchway_model::api::App;
use launchway_model::results::{FailureKind, TestHistory, TestPoint};

use super::app::Head;
use super::{Frame, PageProblem};
use crate::Web;
use crate::extract::Param;
use crate::html::{self, Html, Tone};

/// How many builds the chart has.
const POINTS: u32 = 100;
/// The chart's size.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 220.0;

/// A failed test as a row.
pub struct FailedRow {
    name: String,
    suite: String,
    state: Html,
    since: u64,
    failed: u32,
}

/// The page.
#[derive(Template)]
#[template(path = "tests.html")]
pub struct TestsPage {
    frame: Frame,
    head: Html,
    branch: String,
    chart: Html,
    points: Vec<(u64, u32, u32, u32)>,
    failed: Vec<FailedRow>,
    fixed: Vec<(String, String)>,
    flaky: Vec<(String, String)>,
    looked_at: u32,
}

/// A failure's kind for people.
pub(super) fn kind_state(kind: FailureKind) -> html::State {
    match kind {
        FailureKind::New => html::State::new(Tone::Bad, "newly failing"),
        FailureKind::Still => html::State::new(Tone::Bad, "still failing"),
        FailureKind::Flaky => html::State::new(Tone::Warn, "flaky"),
    }
}

impl TestsPage {
    /// The page of an app with its history.
    pub fn new(app: &App, history: &TestHistory) -> Self {
        let newest = history.newest.as_ref();
        Self {
            frame: Frame {
                refresh: Some(30),
                ..Frame::new(format!("{}: tests", app.name), "apps")
            },
            head: super::part(&Head::new(app, "tests")),
            branch: history
                .branch
                .clone()
                .unwrap_or_else(|| "all branches".to_owned()),
            chart: chart(&history.points),
            points: history
                .points
                .iter()
                .rev()
                .take(30)
                .map(|point| {
                    let counts = point.counts;
                    (point.build.0, counts.passed, counts.failed, counts.skipped)
                })
                .collect(),
            failed: newest
                .iter()
                .flat_map(|report| &report.failed)
                .map(|test| FailedRow {
                    name: test.name.clone(),
                    suite: test.suite.clone(),
                    state: kind_state(test.kind).mark(),
                    since: test.since.0,
                    failed: test.failed,
                })
                .collect(),
            fixed: newest
                .map(|report| report.fixed.clone())
                .unwrap_or_default(),
            flaky: newest
                .map(|report| report.flaky.clone())
                .unwrap_or_default(),
            looked_at: newest.map_or(0, |report| report.looked_at),
        }
    }
}

/// Areas one over the other: failed at the bottom, then skipped, then passed, a point a build.
fn chart(points: &[TestPoint]) -> Html {
    let most = points
        .iter()
        .map(|point| point.counts.total())
        .max()
        .unwrap_or(0);
    if most == 0 {
        return Html::default();
    }
    let top = f64::from(most);
    let step = if points.len() > 1 {
        WIDTH / (points.len() - 1) as f64
    } else {
        WIDTH
    };
    let place = |index: usize| index as f64 * step;
    let height = |count: u32| HEIGHT - f64::from(count) / top * HEIGHT;
    let mut out = format!(
        r#"<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Tests of {} builds: at most {most}">"#,
        points.len()
    );
    type Level = fn(&TestPoint) -> u32;
    let layers: [(&str, Level); 3] = [
        ("good", |point| point.counts.total()),
        ("idle", |point| point.counts.failed + point.counts.skipped),
        ("bad", |point| point.counts.failed),
    ];
    for (class, level) in layers {
        let mut line = String::new();
        for (index, point) in points.iter().enumerate() {
            line.push_str(&format!("{:.1},{:.1} ", place(index), height(level(point))));
        }
        if let [only] = points {
            line.push_str(&format!("{WIDTH},{:.1} ", height(level(only))));
        }
        out.push_str(&format!(
            r#"<polygon class="{class}" points="0,{HEIGHT} {line}{WIDTH},{HEIGHT}"/>"#
        ));
    }
    out.push_str("</svg>");
    Html::trusted(out)
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Chosen {
    branch: Option<String>,
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(chosen): Query<Chosen>,
) -> Result<Response, PageProblem> {
    let app = apps::get(&web.control, &name).await?;
    let branch = chosen.branch.as_deref().filter(|branch| !branch.is_empty());
    let history = results::history(&web.control, &name, branch, POINTS).await?;
    Ok(super::show(&TestsPage::new(&app, &history)))
}
