//! The stories of a build and of a deploy, as one open page follows them.

use std::collections::{HashMap, HashSet};

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream;
use jiff::Timestamp;
use launchway_control::{builds, deploys, progress};
use launchway_model::api::Progress;
use launchway_model::build::{BuildResult, BuildState};
use launchway_model::{BuildId, DeployId};
use tokio::sync::mpsc;

use super::{BATCH, INTERVAL, Update};
use crate::Web;
use crate::extract::Param;
use crate::pages::build::{self as build_page, Stages};
use crate::pages::log::LogView;
use crate::pages::{PageProblem, deploy as deploy_page, part, parts};
use crate::stream::{event_stream, seen};

/// `?stages=N`: how many stages the page shows already.
#[derive(Debug, serde::Deserialize)]
pub(in crate::pages) struct Shown {
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

pub(in crate::pages) async fn build(
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
                Progress::Queued { .. }
                | Progress::Planned { .. }
                | Progress::Input { .. }
                | Progress::Built { .. } => {
                    stages_changed = true;
                }
                Progress::Released { .. } | Progress::Phase { .. } => deploys_changed = true,
                Progress::Tests { .. }
                | Progress::ReleaseLog { .. }
                | Progress::PhaseLog { .. } => {}
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

pub(in crate::pages) async fn deploy(
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
                    update
                        .append
                        .entry("release-log".to_owned())
                        .or_default()
                        .push_str(&deploy_page::line(None, text));
                }
                Progress::PhaseLog { line } if self.count > self.seen => {
                    update
                        .append
                        .entry("release-log".to_owned())
                        .or_default()
                        .push_str(&deploy_page::line(Some(line.phase), &line.text));
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
