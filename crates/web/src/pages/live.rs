//! What keeps open pages up to date: streams of [`Update`]s, rendered here, so that the script only puts them in place
//! and nothing is escaped twice or not at all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_control::logs::LogQuery;
use launchway_control::{apps, builds, deploys, logs as written, progress};
use launchway_model::api::{AppLogLine, Progress};
use launchway_model::build::{BuildResult, BuildState};
use launchway_model::{AppName, BuildId, DeployId};
use serde::Serialize;
use tokio::sync::mpsc;

use super::build::{self as build_page, Stages};
use super::log::{self, LINES, LogView, Only};
use super::{PageProblem, app as app_page, deploy as deploy_page, overview, part, parts};
use crate::Web;
use crate::extract::Param;
use crate::html::Html;
use crate::stream::{event_stream, seen};

/// The time between two looks at what changes all the time.
const INTERVAL: Duration = Duration::from_secs(2);
/// The most events that one update takes together.
const BATCH: usize = 500;

/// What a page does at once.
#[derive(Debug, Default, Serialize)]
struct Update {
    /// Elements to empty, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clear: Vec<String>,
    /// Elements whose content is replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    html: BTreeMap<String, String>,
    /// Logs that grow.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    append: BTreeMap<String, String>,
    /// Stages to unfold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open: Vec<String>,
    /// Stages to fold, unless the reader unfolded them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    close: Vec<String>,
    /// Whether the story ended and the page is to be loaded anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

impl Update {
    fn event(&self, id: usize) -> Event {
        let event = Event::default().event("update").id(id.to_string());
        match serde_json::to_string(self) {
            Ok(data) => event.data(data),
            Err(_) => event.comment("an update that cannot be written"),
        }
    }
}

/// Looks again and again, and sends what is different from the last look.
fn watch<F, L>(web: &Web, look: F) -> Response
where
    F: Fn() -> L + Send + 'static,
    L: Future<Output = Option<Vec<(String, Html)>>> + Send,
{
    let begin = (look, HashMap::<String, String>::new(), 0_usize);
    let events = stream::unfold(begin, async |(look, mut last, mut count)| {
        loop {
            if count > 0 {
                tokio::time::sleep(INTERVAL).await;
            }
            let mut update = Update::default();
            for (id, html) in look().await? {
                let lasting = without_times(html.as_str());
                if last.get(&id) != Some(&lasting) {
                    update.html.insert(id.clone(), html.to_string());
                    last.insert(id, lasting);
                }
            }
            count += 1;
            if !update.html.is_empty() {
                return Some((update.event(count), (look, last, count)));
            }
        }
    });
    event_stream(events, &web.cancel)
}

/// Markup without the words of its times, which the script keeps up to date: a part that differs in nothing else is
/// left alone, together with the focus that may be in it.
fn without_times(markup: &str) -> String {
    let mut out = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some(begin) = rest
        .find(" data-ago=")
        .into_iter()
        .chain(rest.find(" data-since="))
        .min()
    {
        let Some(end) = rest[begin..].find('>') else {
            break;
        };
        let words = begin + end + 1;
        out.push_str(&rest[..words]);
        rest = &rest[words..];
        rest = &rest[rest.find('<').unwrap_or(rest.len())..];
    }
    out.push_str(rest);
    out
}

pub(super) async fn all(State(web): State<Web>) -> Response {
    let state = web.clone();
    watch(&web, move || {
        let web = state.clone();
        async move { overview::load(&web).await.ok().map(|page| page.fragments()) }
    })
}

pub(super) async fn app(
    State(web): State<Web>,
    Param(name): Param<AppName>,
) -> Result<Response, PageProblem> {
    apps::get(&web.control, &name).await?;
    let state = web.clone();
    Ok(watch(&web, move || {
        let (web, name) = (state.clone(), name.clone());
        async move {
            let page = app_page::load(&web, &name).await.ok()?;
            Some(page.fragments())
        }
    }))
}

pub(super) async fn logs(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(only): Query<Only>,
) -> Result<Response, PageProblem> {
    let query = LogQuery {
        process: only.process()?,
        instance: None,
        lines: LINES,
        follow: true,
    };
    let received = written::read(&web.control, &name, query).await?;
    let zone = TimeZone::system();
    let events = stream::unfold(
        (received, zone, 0_usize),
        async |(mut received, zone, count)| {
            let mut batch: Vec<AppLogLine> = Vec::new();
            if received.recv_many(&mut batch, BATCH).await == 0 {
                return None;
            }
            let mut rendered = String::new();
            for line in &batch {
                log::app_line(line, &zone, &mut rendered);
            }
            let mut update = Update::default();
            if count == 0 {
                update.clear.push("log".to_owned());
            }
            update.append.insert("log".to_owned(), rendered);
            Some((update.event(count + 1), (received, zone, count + 1)))
        },
    );
    Ok(event_stream(events, &web.cancel))
}

/// `?stages=N`: how many stages the page shows already.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    stages: usize,
}

/// A build's story as one page follows it.
struct BuildStory {
    web: Web,
    id: BuildId,
    events: mpsc::Receiver<Progress>,
    /// How many events were received, and how many of them the page has seen.
    count: usize,
    seen: usize,
    /// Whether the page has elements for the stages.
    placed: bool,
    views: HashMap<u32, LogView>,
    cleared: HashSet<u32>,
    /// Stages that this story unfolded, to be folded again when they end well.
    ended: bool,
}

pub(super) async fn build(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
    Query(shown): Query<Shown>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let events = progress::of_build(&web.control, id).await?;
    let story = BuildStory {
        web: web.clone(),
        id,
        events,
        count: 0,
        seen: seen(&headers),
        placed: shown.stages > 0,
        views: HashMap::new(),
        cleared: HashSet::new(),
        ended: false,
    };
    let events = stream::unfold(story, async |mut story| {
        let event = story.next().await?;
        Some((event, story))
    });
    Ok(event_stream(events, &web.cancel))
}

impl BuildStory {
    /// The next update of the page: all that came in together.
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        loop {
            let mut batch = Vec::new();
            let received = self.events.recv_many(&mut batch, BATCH);
            let Ok(received) = tokio::time::timeout(INTERVAL, received).await else {
                // Nothing happened, but the bars of what runs grow.
                match self.growth().await {
                    Some(update) => return Some(update.event(self.count)),
                    None => continue,
                }
            };
            if received == 0 {
                return None;
            }
            let fresh = batch.split_off(self.seen.saturating_sub(self.count).min(batch.len()));
            self.count += batch.len() + fresh.len();
            if fresh.is_empty() {
                continue;
            }
            let update = self.update(&fresh).await;
            return Some(update.event(self.count));
        }
    }

    /// The headings of all stages while the build runs.
    async fn growth(&self) -> Option<Update> {
        let build = builds::get(&self.web.control, self.id).await.ok()?;
        if !self.placed || !matches!(build.state, BuildState::Running { .. }) {
            return None;
        }
        let now = Timestamp::now();
        let mut update = Update::default();
        for stage in &build.stages {
            update.html.insert(
                format!("stage-{}-head", stage.info.id.0),
                build_page::stage_head(&build, stage, &now).to_string(),
            );
        }
        Some(update)
    }

    async fn update(&mut self, events: &[Progress]) -> Update {
        let mut update = Update::default();
        let mut stages_changed = false;
        let mut deploys_changed = false;
        for event in events {
            match event {
                Progress::Log {
                    stage,
                    millis,
                    source,
                    text,
                } => {
                    let id = format!("stage-{}-log", stage.0);
                    // The story is told from its beginning, so what the page held of this log is told again.
                    if self.seen == 0 && self.cleared.insert(stage.0) {
                        update.clear.push(id.clone());
                        update.clear.push(format!("stage-{}-cut", stage.0));
                    }
                    let view = self
                        .views
                        .entry(stage.0)
                        .or_insert_with(|| LogView::since(None));
                    view.stage_line(*millis, *source, text, update.append.entry(id).or_default());
                }
                Progress::StageStarted { stage, .. } => {
                    stages_changed = true;
                    update.open.push(format!("stage-{}", stage.0));
                }
                Progress::StageFinished { stage, result, .. } => {
                    stages_changed = true;
                    if *result == BuildResult::Success {
                        let id = format!("stage-{}", stage.0);
                        update.open.retain(|open| *open != id);
                        update.close.push(id);
                    }
                }
                Progress::Queued { .. } | Progress::Planned { .. } | Progress::Built { .. } => {
                    stages_changed = true;
                }
                Progress::Released { .. } | Progress::Phase { .. } => deploys_changed = true,
                Progress::Tests { .. } | Progress::ReleaseLog { .. } => {}
                Progress::Finished { .. } => {
                    self.ended = true;
                    update.ended = true;
                }
            }
        }
        let build = match builds::get(&self.web.control, self.id).await {
            Ok(build) if stages_changed || deploys_changed => build,
            _ => return update,
        };
        let now = Timestamp::now();
        if stages_changed {
            update.html.insert(
                "build-state".to_owned(),
                parts::build_state(&build).badge().to_string(),
            );
            if !self.placed && !build.stages.is_empty() {
                self.placed = true;
                let stages = Stages::new(&build, Vec::new(), &now);
                update
                    .html
                    .insert("stages".to_owned(), part(&stages).to_string());
            } else {
                for stage in &build.stages {
                    update.html.insert(
                        format!("stage-{}-head", stage.info.id.0),
                        build_page::stage_head(&build, stage, &now).to_string(),
                    );
                }
            }
        }
        if deploys_changed && let Ok(deploys) = build_page::deploys_of(&self.web, &build).await {
            let lines: String = deploys
                .iter()
                .map(|deploy| {
                    format!(
                        "<p class=\"notice plain\"><span>{} <a href=\"/deploys/{}\">Deploy {}</a> of release {}</span></p>",
                        parts::deploy_state(deploy).badge(),
                        deploy.id.0,
                        deploy.id,
                        deploy.release
                    )
                })
                .collect();
            update.html.insert("build-deploys".to_owned(), lines);
        }
        update
    }
}

/// A deploy's story as one page follows it.
struct DeployStory {
    web: Web,
    id: DeployId,
    events: mpsc::Receiver<Progress>,
    count: usize,
    seen: usize,
    ended: bool,
}

pub(super) async fn deploy(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let events = progress::of_deploy(&web.control, id).await?;
    let story = DeployStory {
        web: web.clone(),
        id,
        events,
        count: 0,
        seen: seen(&headers),
        ended: false,
    };
    let events = stream::unfold(story, async |mut story| {
        let event = story.next().await?;
        Some((event, story))
    });
    Ok(event_stream(events, &web.cancel))
}

impl DeployStory {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let mut batch = Vec::new();
        if self.events.recv_many(&mut batch, BATCH).await == 0 {
            return None;
        }
        let mut update = Update::default();
        for event in &batch {
            self.count += 1;
            match event {
                Progress::ReleaseLog { text } if self.count > self.seen => {
                    let mut line = "<div class=\"ln\"><span>".to_owned();
                    line.push_str(&crate::ansi::Ansi::default().line(text));
                    line.push_str("</span></div>");
                    update
                        .append
                        .entry("release-log".to_owned())
                        .or_default()
                        .push_str(&line);
                }
                Progress::Finished { .. } => {
                    self.ended = true;
                    update.ended = true;
                }
                _ => {}
            }
        }
        if let Ok(deploy) = deploys::get(&self.web.control, self.id).await {
            let now = Timestamp::now();
            update.html.insert(
                "phases".to_owned(),
                deploy_page::phases(&deploy, &now).to_string(),
            );
            update.html.insert(
                "deploy-state".to_owned(),
                parts::deploy_state(&deploy).badge().to_string(),
            );
        }
        Some(update.event(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::without_times;

    #[test]
    fn a_part_in_which_only_time_passed_is_the_same() {
        let at = |ago: &str, since: &str| {
            format!(
                "<td><time data-ago=\"5\" title=\"x\">{ago}</time> <b>a</b><span data-since=\"7\">{since}</span> end</td>"
            )
        };
        assert_eq!(
            without_times(&at("now", "1 s")),
            without_times(&at("3 s ago", "4 s"))
        );
        assert_eq!(
            without_times(&at("now", "1 s")),
            "<td><time data-ago=\"5\" title=\"x\"></time> <b>a</b><span data-since=\"7\"></span> end</td>"
        );
        assert_eq!(without_times("<i>plain</i>"), "<i>plain</i>");
        assert_eq!(without_times("cut data-ago="), "cut data-ago=");
    }
}
