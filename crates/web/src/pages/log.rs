//! Logs as pages show them: of a build's stage, and of an app's instances.

use std::io;
use std::path::Path;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_control::logs::LogQuery;
use launchway_control::{apps, builds, logs};
use launchway_model::api::{App, AppLogLine};
use launchway_model::build::StageId;
use launchway_model::runner::{LogLine, LogSource};
use launchway_model::{AppName, BuildId, Problem, ProcessType};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};

use super::app::Head;
use super::{Frame, PageProblem};
use crate::ansi::{self, Ansi};
use crate::extract::{Param, Params};
use crate::html::Html;
use crate::{Web, stream::Received};

/// How many lines of an app's log a page starts with.
pub(super) const LINES: usize = 300;
/// How much of the end of a stage's log a page holds.
const TAIL_BYTES: u64 = 256 * 1024;
/// The longest line that a page shows, in characters; the whole is in the log's text.
const LONGEST: usize = 4000;

/// Renders the lines of one log, keeping colours from line to line.
#[derive(Debug, Default)]
pub struct LogView {
    ansi: Ansi,
    begin: Option<i64>,
}

impl LogView {
    /// A log whose lines tell the time since `begin`, in Unix milliseconds; since the first line where absent.
    pub fn since(begin: Option<i64>) -> Self {
        Self {
            ansi: Ansi::default(),
            begin,
        }
    }

    /// The whole of a log's text, as its file has it.
    pub fn render(&mut self, text: &str) -> Html {
        let mut out = String::with_capacity(text.len() * 2);
        for line in text.lines() {
            let line = LogLine::parse(line);
            self.stage_line(line.millis, line.source, &line.text, &mut out);
        }
        Html::trusted(out)
    }

    /// One line of a stage's log, with the time since the stage began.
    pub fn stage_line(&mut self, millis: i64, source: LogSource, text: &str, out: &mut String) {
        let begin = *self.begin.get_or_insert(millis);
        let tenths = (millis - begin).max(0) / 100;
        let (minutes, seconds, tenth) = (tenths / 600, tenths / 10 % 60, tenths % 10);
        out.push_str(class(source));
        out.push_str("<time>");
        out.push_str(&format!("{minutes}:{seconds:02}.{tenth}"));
        out.push_str("</time><span>");
        out.push_str(&self.ansi.line(cut(text)));
        out.push_str("</span></div>");
    }
}

/// One line of an app's log, with the time of day and the instance.
pub fn app_line(line: &AppLogLine, zone: &TimeZone, out: &mut String) {
    let id = &line.instance;
    let time = Timestamp::from_millisecond(line.millis)
        .map(|at| at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default();
    out.push_str(class(line.source));
    out.push_str(&format!(
        "<time>{time}</time><i class=\"p{}\" title=\"{id}\">{}.{}</i><span>",
        id.serial() % 6,
        id.process(),
        id.serial()
    ));
    out.push_str(&Ansi::default().line(cut(&line.text)));
    out.push_str("</span></div>");
}

fn class(source: LogSource) -> &'static str {
    match source {
        LogSource::Out => "<div class=\"ln\">",
        LogSource::Err => "<div class=\"ln err\">",
        LogSource::Launchway => "<div class=\"ln own\">",
    }
}

fn cut(text: &str) -> &str {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// The end of a stage's log, rendered; and whether something before it was left out.
pub(super) async fn tail(path: &Path, begin: Option<i64>) -> (Html, bool) {
    match read_tail(path).await {
        Ok((text, cut)) => (LogView::since(begin).render(&text), cut),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "a stage's log cannot be read");
            }
            (Html::default(), false)
        }
    }
}

async fn read_tail(path: &Path) -> io::Result<(String, bool)> {
    let mut file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    let cut = size > TAIL_BYTES;
    if cut {
        file.seek(io::SeekFrom::Start(size - TAIL_BYTES)).await?;
    }
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).await?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if cut && let Some(end) = text.find('\n') {
        text.drain(..=end);
    }
    Ok((text, cut))
}

/// The logs of an app's instances.
#[derive(Template)]
#[template(path = "logs.html")]
pub struct LogsPage {
    frame: Frame,
    name: String,
    head: Html,
    processes: Vec<(String, bool)>,
    all: bool,
    lines: Html,
}

impl LogsPage {
    /// The page of an app with its last lines, of one process type or of all.
    pub fn new(app: &App, only: Option<&ProcessType>, lines: &[AppLogLine]) -> Self {
        let name = app.name.to_string();
        let zone = TimeZone::system();
        let mut rendered = String::new();
        for line in lines {
            app_line(line, &zone, &mut rendered);
        }
        let mut stream = format!("/apps/{name}/logs/live");
        if let Some(only) = only {
            stream.push_str(&format!("?process={only}"));
        }
        Self {
            frame: Frame {
                refresh: Some(10),
                stream: Some(stream),
                ..Frame::new(format!("{name}: logs"), "apps")
            },
            head: super::part(&Head::new(app, "logs")),
            processes: app
                .formation
                .keys()
                .map(|process| (process.to_string(), Some(process) == only))
                .collect(),
            all: only.is_none(),
            lines: Html::trusted(rendered),
            name,
        }
    }
}

/// `?process=TYPE`
#[derive(Debug, serde::Deserialize)]
pub(super) struct Only {
    pub(super) process: Option<String>,
}

impl Only {
    /// The process type, where one was asked for.
    pub(super) fn process(&self) -> Result<Option<ProcessType>, Problem> {
        match self.process.as_deref().filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|error| Problem::invalid("there is no such process type").cause(error)),
        }
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(only): Query<Only>,
) -> Result<Response, PageProblem> {
    let only = only.process()?;
    let app = apps::get(&web.control, &name).await?;
    let query = LogQuery {
        process: only.clone(),
        instance: None,
        lines: LINES,
        follow: false,
    };
    let mut received = logs::read(&web.control, &name, query).await?;
    let mut lines = Vec::new();
    while let Some(line) = received.recv().await {
        lines.push(line);
    }
    Ok(super::show(&LogsPage::new(&app, only.as_ref(), &lines)))
}

/// A stage's whole log as text for people: the time, then the line without control sequences.
pub(super) async fn show_stage(
    State(web): State<Web>,
    Params(build, stage): Params<BuildId, u32>,
) -> Result<Response, PageProblem> {
    let path = builds::stage_log(&web.control, build, StageId(stage)).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((kind, "").into_response());
        }
        Err(error) => {
            return Err(Problem::internal("a log cannot be read")
                .caused_by(&error)
                .into());
        }
    };
    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
    tokio::spawn(async move {
        let mut lines = BufReader::new(file).lines();
        let mut out = String::new();
        loop {
            let line = lines.next_line().await;
            let last = !matches!(line, Ok(Some(_)));
            if let Ok(Some(line)) = line {
                let line = LogLine::parse(&line);
                if let Ok(at) = Timestamp::from_millisecond(line.millis) {
                    out.push_str(&at.strftime("%Y-%m-%dT%H:%M:%SZ ").to_string());
                }
                out.push_str(&ansi::strip(&line.text));
                out.push('\n');
            }
            if last || out.len() > 32 * 1024 {
                let sent = sender.send(Ok(Bytes::from(std::mem::take(&mut out)))).await;
                if last || sent.is_err() {
                    return;
                }
            }
        }
    });
    Ok((kind, Body::from_stream(Received(receiver))).into_response())
}
