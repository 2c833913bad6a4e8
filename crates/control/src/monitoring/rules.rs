//! Rules: the ready-made ones, those of files, and monitors in a few words; what fires is raised as an alert.
//!
//! Alerts of rules have the kind `monitor`. One that no rule knows any more (its app is gone, its file was removed) is
//! ended here. A crash of an instance does not wait for the next regular evaluation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::notice::Monitor;
use launchway_model::{AppName, InstanceId, Problem};
use launchway_monitor::http::Client;
use launchway_monitor::labels::Labels;
use launchway_monitor::notify::{Told, hand_over};
use launchway_monitor::rules::{AlertState, Notice, parse_rule_file, words};
use launchway_monitor::scrape::config::Alertmanager;
use launchway_monitor::scrape::discovery::matching_files;
use tokio_util::sync::CancellationToken;

use super::own;
use crate::Control;
use crate::alerts::{self, Which};

/// The kind of alerts that rules raise.
const KIND: &str = "monitor";
/// The rules that every installation has.
const READY_MADE: &str = include_str!("ready_made.yml");
/// The group of them that looks for crashes.
const CRASHES: &str = "apps";
/// How often monitors are evaluated.
const INTERVAL: &str = "15s";
/// How often alerts that no rule knows any more are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// The most of an alert's labels that its key holds, in bytes.
const KEY: usize = 500;

/// Evaluates rules until the end.
pub(super) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let monitoring = &control.monitoring;
    let state = control.settings.home.metrics().join("alerts.json");
    if let Err(error) = monitoring.rules.restore(&state) {
        tracing::warn!(%error, "the state of the rules is begun anew");
    }
    load(&control).await;
    let mut swept: Option<tokio::time::Instant> = None;
    loop {
        let rules = monitoring.rules.clone();
        let now = Timestamp::now().as_millisecond();
        let evaluated = tokio::task::spawn_blocking(move || rules.evaluate_due(now)).await;
        if let Ok(evaluation) = evaluated {
            for notice in &evaluation.notices {
                tell(&control, notice).await;
            }
            hand_on(&control, &evaluation.notices).await;
            if evaluation.changed
                && let Err(error) = monitoring.rules.save(&state)
            {
                tracing::warn!(%error, "the state of the rules cannot be kept");
            }
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            sweep(&control).await;
            swept = Some(tokio::time::Instant::now());
        }
        let now = Timestamp::now().as_millisecond();
        let pause = monitoring
            .rules
            .next_due()
            .map_or(1000, |due| (due - now).clamp(10, 60_000));
        tokio::select! {
            () = cancel.cancelled() => break,
            () = monitoring.rules_changed.notified() => {
                load(&control).await;
                swept = None;
            }
            () = monitoring.crashed.notified() => monitoring.rules.make_due(CRASHES),
            () = tokio::time::sleep(Duration::from_millis(pause as u64)) => {}
        }
    }
    if let Err(error) = monitoring.rules.save(&state) {
        tracing::warn!(%error, "the state of the rules cannot be kept");
    }
}

/// Sees crashes the moment that their shim tells of them, has them scraped, and their rules evaluated.
pub(super) async fn watch_crashes(control: Arc<Control>, cancel: CancellationToken) {
    let mut observed = control.observed.clone();
    let mut known: HashMap<InstanceId, u64> = HashMap::new();
    loop {
        let now: HashMap<InstanceId, u64> = {
            let seen = observed.borrow_and_update();
            seen.instances
                .iter()
                .map(|(id, seen)| (id.clone(), own::crashes(seen)))
                .collect()
        };
        let crashed = now
            .iter()
            .any(|(id, count)| known.get(id).is_some_and(|before| count > before));
        known = now;
        if crashed {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = control.monitoring.scraper.scrape_now("launchway") => {}
            }
            control.monitoring.crashed.notify_one();
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = observed.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Loads all rules anew. A file with mistakes is left out and told of.
async fn load(control: &Arc<Control>) {
    let home = &control.settings.home;
    let mut files = vec![(PathBuf::from("ready-made"), READY_MADE.to_owned())];
    let mut patterns = vec!["rules/*.yml".to_owned(), "rules/*.yaml".to_owned()];
    patterns.extend(
        control
            .monitoring
            .configured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rule_files
            .clone(),
    );
    let mut wrong = BTreeSet::new();
    for path in patterns
        .iter()
        .flat_map(|pattern| matching_files(home.root(), pattern))
    {
        let shown = path.display().to_string();
        let told = match std::fs::read_to_string(&path) {
            Ok(text) => match parse_rule_file(&text) {
                Ok(_) => {
                    files.push((path, text));
                    continue;
                }
                Err(errors) => errors
                    .iter()
                    .map(|error| format!("{shown}:{error}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            },
            Err(error) => format!("{shown}: {error}"),
        };
        tracing::error!("a file of rules is left out: {told}");
        let key = format!("rules/{shown}");
        let alert = NewAlert::new(
            "rules",
            key.clone(),
            AlertSeverity::Warning,
            format!("the file of rules {shown} is left out"),
        )
        .detail("mistakes", told)
        .hint("Mend it; it is read again when it changes.");
        if let Err(problem) = alerts::raise(control, alert).await {
            tracing::error!(%problem, "an alert cannot be raised");
        }
        wrong.insert(key);
    }
    match control.store.monitors().await {
        Ok(monitors) => {
            for monitor in monitors {
                match rule_file(&monitor) {
                    Ok(text) => {
                        files.push((PathBuf::from(format!("monitor/{}", monitor.name)), text))
                    }
                    Err(problem) => {
                        tracing::error!(%problem, monitor = monitor.name, "a monitor is left out")
                    }
                }
            }
        }
        Err(error) => tracing::error!(%error, "monitors cannot be read"),
    }
    if let Err(error) = control.monitoring.rules.load(&files) {
        tracing::error!(%error, "rules cannot be loaded");
    }
    for open in alerts::list(control, Which::Open, None, 1000)
        .await
        .unwrap_or_default()
    {
        if open.kind == "rules" && !wrong.contains(&open.key) {
            clear(control, "rules", &open.key).await;
        }
    }
}

/// The rules of a monitor.
fn rule_file(monitor: &Monitor) -> Result<String, Problem> {
    let app = monitor.app.as_ref().map(AppName::as_str);
    let read = words::Monitor::parse(&monitor.words, app).map_err(|error| {
        Problem::invalid(format!("`{}` is no monitor: {error}", monitor.words))
            .hint("Such as `p95 latency > 500ms for 5m`, `error rate > 5%, warning > 1%`, `disk used > 90% within 4h`.")
    })?;
    Ok(read.rule_file(&monitor.name, &monitor.words, app, INTERVAL))
}

/// Checks a monitor's words.
pub(crate) fn check(monitor: &Monitor) -> Result<(), Problem> {
    let text = rule_file(monitor)?;
    parse_rule_file(&text).map(drop).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        Problem::invalid(format!("`{}` makes no rule: {first}", monitor.words))
    })
}

fn key(labels: &Labels) -> String {
    let mut key = labels.to_string();
    if key.len() > KEY {
        let end = key.floor_char_boundary(KEY);
        key.truncate(end);
    }
    key
}

async fn tell(control: &Arc<Control>, notice: &Notice) {
    let key = key(&notice.labels);
    if notice.resolved {
        clear(control, KIND, &key).await;
        return;
    }
    let labels: serde_json::Map<String, serde_json::Value> = notice
        .labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let name = notice.labels.get("alertname").unwrap_or("");
    let severity = match notice.labels.get("severity") {
        Some("critical" | "page") => AlertSeverity::Critical,
        _ => AlertSeverity::Warning,
    };
    let text = |name: &str| notice.annotations.get(name).filter(|text| !text.is_empty());
    let summary = text("summary")
        .or_else(|| text("description"))
        .map_or(name, String::as_str);
    let mut alert = NewAlert::new(KIND, key, severity, summary)
        .detail("alertname", name)
        .detail("labels", labels);
    for name in ["description", "hint", "runbook_url"] {
        if let Some(text) = text(name) {
            alert = alert.detail(name, text.as_str());
        }
    }
    let app = notice
        .labels
        .get("app")
        .and_then(|app| app.parse::<AppName>().ok());
    if let Some(app) = app
        && control.app(&app).await.is_ok()
    {
        alert = alert.detail("link", format!("/apps/{app}")).of(app);
    }
    if let Err(problem) = alerts::raise(control, alert).await {
        // It is told again with the next evaluation after the resend delay.
        tracing::error!(%problem, "an alert cannot be raised");
    }
}

async fn clear(control: &Arc<Control>, kind: &str, key: &str) {
    if let Err(problem) = alerts::clear(control, kind, key).await {
        tracing::error!(%problem, "an alert cannot be ended; it is tried again");
    }
}

/// Ends alerts that no rule has firing any more.
async fn sweep(control: &Arc<Control>) {
    let firing: BTreeSet<String> = control
        .monitoring
        .rules
        .alerts()
        .iter()
        .filter(|alert| alert.state == AlertState::Firing)
        .map(|alert| key(&alert.labels))
        .collect();
    for open in alerts::list(control, Which::Open, None, 1000)
        .await
        .unwrap_or_default()
    {
        if open.kind == KIND && !firing.contains(&open.key) {
            clear(control, KIND, &open.key).await;
        }
    }
}

/// Hands alerts over to the Alertmanagers of the configuration.
async fn hand_on(control: &Arc<Control>, notices: &[Notice]) {
    let managers: Vec<Alertmanager> = control
        .monitoring
        .configured
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .alertmanagers
        .clone();
    if notices.is_empty() || managers.is_empty() {
        return;
    }
    let told: Vec<Told> = notices
        .iter()
        .map(|notice| Told {
            labels: notice
                .labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            annotations: notice
                .annotations
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
            starts_at: notice.starts_at,
            ends_at: notice.resolved.then_some(notice.ends_at),
            link: notice.generator_url.clone(),
        })
        .collect();
    let until = notices
        .iter()
        .map(|notice| notice.ends_at)
        .max()
        .unwrap_or(0);
    for manager in managers {
        let client = Client::new(manager.client.clone());
        for target in &manager.targets {
            let address = format!(
                "{}://{target}{}/api/v2/alerts",
                manager.scheme, manager.path_prefix
            );
            // Rules that still fire are handed over again after a minute, so that a lost hand-over is made up for.
            if let Err(error) = hand_over(&client, &address, &told, until).await {
                tracing::warn!(address, %error, "an Alertmanager does not take alerts");
            }
        }
    }
}
