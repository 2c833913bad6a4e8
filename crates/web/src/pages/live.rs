//! What keeps open pages up to date: streams of [`Update`]s, rendered here, so that the script only puts them in place
//! and nothing is escaped twice or not at all.

mod story;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream;
use jiff::tz::TimeZone;
use launchway_control::logs::LogQuery;
use launchway_control::{apps, logs as written};
use launchway_model::AppName;
use launchway_model::api::AppLogLine;
use serde::Serialize;

use super::log::{self, LINES, Only};
use super::{PageProblem, alerts as alert_page, app as app_page, overview};
use crate::Web;
use crate::extract::Param;
use crate::html::Html;
use crate::stream::event_stream;

pub(super) use story::{build, deploy};

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

pub(super) async fn alerts(State(web): State<Web>) -> Response {
    let state = web.clone();
    watch(&web, move || {
        let web = state.clone();
        async move {
            alert_page::load(&web)
                .await
                .ok()
                .map(|page| page.fragments())
        }
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
