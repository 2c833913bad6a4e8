//! Notices: who is told of which alerts, when, and that nobody is told too often.
//!
//! Alerts of one name and app are a group, told together: a moment after the first, again when others join or end, and
//! again after hours while they last. What a receiver was told last and the notice itself are stored in one step, and a
//! notice stays until it was taken: whatever dies in between, nothing is lost. Silences and alerts that hide others
//! keep a notice back, never an alert.
//!
//! **Invariant:** a receiver is told that an alert is over exactly when it was told that it began.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use launchway_model::Problem;
use launchway_model::alert::{Alert, AlertSeverity};
use launchway_model::notice::{
    Address, Change, Monitor, NewMonitor, NewReceiver, NewSilence, Receiver, Silence,
};
use launchway_monitor::notify::{Sender, Told, inhibits, is_silenced, payload};
use launchway_store::notices::{StoredNotice, StoredReceiver};
use tokio_util::sync::CancellationToken;

use crate::monitoring::rules;
use crate::{Control, alerts, problem};

/// How long a new group waits for more of its alerts.
const WAIT: SignedDuration = SignedDuration::from_millis(500);
/// The least time between two notices of a group.
const INTERVAL: SignedDuration = SignedDuration::from_secs(30);
/// After what time a receiver is told again of what lasts.
const REPEAT: SignedDuration = SignedDuration::from_hours(4);
/// The pause after the first try in vain; it doubles up to [`LONGEST`].
const RETRY: SignedDuration = SignedDuration::from_secs(2);
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// After what time a notice that nobody took is given up, with a word in the log.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24 * 7);
/// The most alerts that one notice names.
const MOST: usize = 100;
/// How long the end of control waits for notices that are being sent.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked without any reason.
const LOOK: Duration = Duration::from_secs(60);

/// What a receiver was told last of a group.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct State {
    /// The alerts that it knows as lasting, with the severity that it was told.
    told: BTreeMap<u64, AlertSeverity>,
    /// When.
    at: Timestamp,
}

/// What an address is sealed with.
pub(crate) fn context(name: &str) -> String {
    format!("receiver {name}")
}

/// Tells of alerts until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut changes = alerts::changes(&control);
    // Since when a group that nobody was told of waits.
    let mut waiting: HashMap<(String, String), Timestamp> = HashMap::new();
    loop {
        changes.borrow_and_update();
        let next = match decide(&control, &mut waiting).await {
            Ok(next) => next,
            Err(problem) => {
                tracing::error!(%problem, "notices cannot be decided; it is tried again");
                Some(Timestamp::now() + SignedDuration::from_secs(5))
            }
        };
        let retry = deliver(&control, &cancel).await;
        let now = Timestamp::now();
        let pause = [next, retry]
            .into_iter()
            .flatten()
            .map(|at| {
                Duration::try_from(at.duration_since(now)).unwrap_or(Duration::from_millis(10))
            })
            .min()
            .map_or(LOOK, |pause| pause.min(LOOK).max(Duration::from_millis(10)));
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            () = control.wake.notices.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The labels of an alert, by which it is grouped, silenced and hidden.
fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if let Some(serde_json::Value::Object(given)) = alert.details.get("labels") {
        for (name, value) in given {
            if let Some(value) = value.as_str() {
                labels.insert(name.clone(), value.to_owned());
            }
        }
    }
    labels
        .entry("alertname".to_owned())
        .or_insert_with(|| alert.kind.clone());
    if !alert.details.contains_key("labels") {
        labels.insert("key".to_owned(), alert.key.clone());
    }
    labels.insert("severity".to_owned(), alert.severity.word().to_owned());
    if let Some(app) = &alert.app {
        labels.insert("app".to_owned(), app.to_string());
    }
    labels
}

fn group(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let both = ["alertname", "app"].into_iter();
    both.filter_map(|name| Some((name.to_owned(), labels.get(name)?.clone())))
        .collect()
}

fn group_key(group: &BTreeMap<String, String>) -> String {
    let texts: Vec<&str> = group.values().map(String::as_str).collect();
    texts.join("/")
}

fn told(control: &Control, alert: &Alert) -> Told {
    let mut annotations = BTreeMap::from([("summary".to_owned(), alert.summary.clone())]);
    for (name, value) in &alert.details {
        if let Some(text) = value
            .as_str()
            .filter(|_| name != "alertname" && name != "link")
        {
            annotations.insert(name.clone(), text.to_owned());
        }
    }
    Told {
        labels: labels(alert),
        annotations,
        starts_at: alert.raised_at.as_millisecond(),
        ends_at: alert.ended_at.map(Timestamp::as_millisecond),
        link: format!(
            "{}{}",
            control.settings.url,
            alert.link().unwrap_or("/alerts")
        ),
    }
}

/// Makes the notices that are due; gives when the next one is.
async fn decide(
    control: &Arc<Control>,
    waiting: &mut HashMap<(String, String), Timestamp>,
) -> Result<Option<Timestamp>, Problem> {
    let receivers = control.store.receivers().await.map_err(problem::store)?;
    if receivers.is_empty() {
        waiting.clear();
        return Ok(None);
    }
    let now = Timestamp::now();
    let open = alerts::list(control, alerts::Which::Open, None, 1000).await?;
    let open: Vec<(Alert, BTreeMap<String, String>)> = open
        .into_iter()
        .map(|alert| (labels(&alert), alert))
        .map(|(labels, alert)| (alert, labels))
        .collect();
    let silences = control.store.silences(now).await.map_err(problem::store)?;
    let quiet = |labels: &BTreeMap<String, String>| {
        silences
            .iter()
            .any(|silence| silence.starts <= now && is_silenced(&silence.matchers, labels))
            || open.iter().any(|(_, source)| inhibits(source, labels))
    };
    let mut states: BTreeMap<(String, String), State> = BTreeMap::new();
    for (place, text) in control
        .store
        .notice_groups()
        .await
        .map_err(problem::store)?
    {
        // A state that cannot be read is told anew.
        states.insert(place, serde_json::from_str(&text).unwrap_or_default());
    }
    let mut next: Option<Timestamp> = None;
    let mut waits = HashMap::new();
    for StoredReceiver { receiver, .. } in &receivers {
        let mut groups: BTreeMap<String, (BTreeMap<String, String>, Vec<&Alert>)> = BTreeMap::new();
        for (alert, labels) in &open {
            let wanted = alert.severity >= receiver.least
                && receiver
                    .app
                    .as_ref()
                    .is_none_or(|app| alert.app.as_ref() == Some(app));
            if wanted && !quiet(labels) {
                let group = group(labels);
                groups
                    .entry(group_key(&group))
                    .or_insert_with(|| (group, Vec::new()))
                    .1
                    .push(alert);
            }
        }
        let keys: BTreeSet<String> = groups
            .keys()
            .cloned()
            .chain(
                states
                    .keys()
                    .filter(|(name, _)| *name == receiver.name)
                    .map(|(_, key)| key.clone()),
            )
            .collect();
        for key in keys {
            let place = (receiver.name.clone(), key.clone());
            let state = states.get(&place);
            let firing = groups
                .get(&key)
                .map(|(_, alerts)| alerts.clone())
                .unwrap_or_default();
            let ended: Vec<u64> = state
                .map(|state| {
                    state
                        .told
                        .keys()
                        .copied()
                        .filter(|id| !open.iter().any(|(alert, _)| alert.id == *id))
                        .collect()
                })
                .unwrap_or_default();
            let news = firing.iter().any(|alert| {
                state.and_then(|state| state.told.get(&alert.id)) != Some(&alert.severity)
            });
            let due = match state {
                None => *waiting.get(&place).unwrap_or(&now) + WAIT,
                Some(state) if news || !ended.is_empty() => state.at + INTERVAL,
                Some(state) if !firing.is_empty() => state.at + REPEAT,
                // All of it is silenced: it is neither over nor to be told.
                Some(_) => continue,
            };
            if due > now {
                if state.is_none() {
                    let since = *waiting.get(&place).unwrap_or(&now);
                    waits.insert(place, since);
                }
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            notify(control, receiver, &key, state, &firing, &ended, now).await?;
            next = Some(now + INTERVAL);
        }
    }
    *waiting = waits;
    Ok(next)
}

/// Stores one notice with what its receiver knows then.
async fn notify(
    control: &Control,
    receiver: &Receiver,
    key: &str,
    state: Option<&State>,
    firing: &[&Alert],
    ended: &[u64],
    now: Timestamp,
) -> Result<(), Problem> {
    let over = control
        .store
        .alerts_by_id(ended)
        .await
        .map_err(problem::store)?;
    let told: Vec<Told> = firing
        .iter()
        .copied()
        .chain(&over)
        .take(MOST)
        .map(|alert| told(control, alert))
        .collect();
    let mut after = state.cloned().unwrap_or_default();
    after.at = now;
    after.told.retain(|id, _| !ended.contains(id));
    after
        .told
        .extend(firing.iter().map(|alert| (alert.id, alert.severity)));
    let group = told
        .first()
        .map(|told| group(&told.labels))
        .unwrap_or_default();
    // Alerts that were over so long that they are forgotten leave nothing to tell.
    let body = (!told.is_empty())
        .then(|| payload(&receiver.name, &group, &control.settings.url, &told).to_string());
    let text = serde_json::to_string(&after)
        .map_err(|error| Problem::internal("a notice's state cannot be encoded").cause(error))?;
    let text = (!after.told.is_empty()).then_some(text);
    control
        .store
        .add_notice(&receiver.name, key, text.as_deref(), body.as_deref(), now)
        .await
        .map_err(problem::store)
}

/// Delivers what is due, each receiver's in order; gives when the next try is.
async fn deliver(control: &Arc<Control>, cancel: &CancellationToken) -> Option<Timestamp> {
    let waiting = match control.store.notices().await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::error!(%error, "notices cannot be read");
            return Some(Timestamp::now() + SignedDuration::from_secs(5));
        }
    };
    let now = Timestamp::now();
    let mut next: Option<Timestamp> = None;
    let mut sending = tokio::task::JoinSet::new();
    let mut by_receiver: BTreeMap<String, Vec<StoredNotice>> = BTreeMap::new();
    for notice in waiting {
        if notice.next > now {
            next = Some(next.map_or(notice.next, |next| next.min(notice.next)));
        } else {
            by_receiver
                .entry(notice.receiver.clone())
                .or_default()
                .push(notice);
        }
    }
    for (name, notices) in by_receiver {
        let control = control.clone();
        sending.spawn(async move {
            for notice in notices {
                if let Some(again) = one(&control, &name, &notice).await {
                    return Some(again);
                }
            }
            None
        });
    }
    loop {
        tokio::select! {
            () = cancel.cancelled() => {
                // What is being sent may be taken any moment, and that should be known; the rest stays stored.
                let all = async { while sending.join_next().await.is_some() {} };
                let _ = tokio::time::timeout(LAST_WAIT, all).await;
                return None;
            }
            done = sending.join_next() => match done {
                None => return next,
                Some(Ok(Some(again))) => next = Some(next.map_or(again, |next| next.min(again))),
                Some(_) => {}
            }
        }
    }
}

/// One try; gives when the next one is, where it was in vain.
async fn one(control: &Control, name: &str, notice: &StoredNotice) -> Option<Timestamp> {
    let outcome = match (
        sender(control, name).await,
        serde_json::from_str(&notice.body),
    ) {
        (Ok(sender), Ok(body)) => sender.send(&body).await.map_err(|error| error.to_string()),
        (Err(problem), _) => Err(problem.to_string()),
        (_, Err(error)) => Err(error.to_string()),
    };
    let now = Timestamp::now();
    let stored = match outcome {
        Ok(()) => control.store.remove_notice(notice.id).await.map(|()| None),
        Err(error) if now.duration_since(notice.created) > GIVEN_UP => {
            tracing::error!(
                receiver = name,
                error,
                "a notice is given up after a week of tries"
            );
            control.store.remove_notice(notice.id).await.map(|()| None)
        }
        Err(error) => {
            tracing::warn!(
                receiver = name,
                error,
                attempts = notice.attempts + 1,
                "a notice was not taken and is sent again"
            );
            let doubled = RETRY * 2i32.pow(notice.attempts.min(12) as u32);
            let again = now + doubled.min(LONGEST);
            control
                .store
                .postpone_notice(notice.id, again, &error)
                .await
                .map(|()| Some(again))
        }
    };
    stored.unwrap_or_else(|error| {
        tracing::error!(%error, "a notice's record cannot be written; it is sent again");
        Some(now + SignedDuration::from_secs(5))
    })
}

async fn sender(control: &Control, name: &str) -> Result<Sender, Problem> {
    let all = control.store.receivers().await.map_err(problem::store)?;
    let stored = all
        .into_iter()
        .find(|stored| stored.receiver.name == name)
        .ok_or_else(|| no_receiver(name))?;
    let text = control
        .vault
        .unseal_bytes(&context(name), &stored.ciphertext)
        .ok_or_else(|| {
            crate::secrets::unreadable(format!(
                "the address of the receiver {name} cannot be decrypted"
            ))
        })?;
    let address: Address = serde_json::from_slice(&text)
        .map_err(|error| Problem::internal("a receiver's address cannot be read").cause(error))?;
    Ok(match address {
        Address::Webhook { url } => Sender::Webhook { url },
        Address::Slack { url } => Sender::Slack { url },
        Address::Pagerduty { key, url } => Sender::Pagerduty { key, url },
        Address::Ntfy { url, token } => Sender::Ntfy { url, token },
        Address::Email { to, from, server } => Sender::Email { to, from, server },
        Address::Command { command } => Sender::Command { command },
    })
}

fn no_receiver(name: &str) -> Problem {
    Problem::not_found(format!("there is no receiver `{name}`"))
        .hint("`launchway notices` lists them.")
}

/// A name for a receiver or monitor: short, and without what would have to be escaped.
fn checked_name(name: &str) -> Result<(), Problem> {
    let fits = !name.is_empty()
        && name.len() <= 100
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_. %<>=/".contains(c));
    if fits {
        return Ok(());
    }
    Err(Problem::invalid(format!("`{name}` is no name"))
        .hint("A name has up to a hundred letters, digits, blanks and -_.%<>=/."))
}

/// Who is told of alerts.
///
/// # Errors
/// The store fails.
pub async fn receivers(control: &Control) -> Result<Vec<Receiver>, Problem> {
    let all = control.store.receivers().await.map_err(problem::store)?;
    Ok(all.into_iter().map(|stored| stored.receiver).collect())
}

/// Adds a receiver, or replaces the one of that name.
///
/// # Errors
/// Its name or address is none, its app does not exist, or the store fails.
pub async fn add_receiver(control: &Control, new: NewReceiver) -> Result<Receiver, Problem> {
    checked_name(&new.name)?;
    if let Some(app) = &new.app {
        control.app(app).await?;
    }
    let url = match &new.address {
        Address::Webhook { url } | Address::Slack { url } | Address::Ntfy { url, .. } => Some(url),
        Address::Pagerduty { url, .. } => url.as_ref(),
        Address::Email { .. } | Address::Command { .. } => None,
    };
    if let Some(url) = url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(Problem::invalid(format!("`{url}` is no address"))
            .hint("It begins with https:// or http://."));
    }
    let text = serde_json::to_vec(&new.address)
        .map_err(|error| Problem::internal("cannot encode an address").cause(error))?;
    let receiver = Receiver {
        kind: new.address.kind().to_owned(),
        least: new.least.unwrap_or(AlertSeverity::Warning),
        app: new.app,
        created: Timestamp::now(),
        name: new.name,
    };
    let ciphertext = control.vault.seal_bytes(&context(&receiver.name), &text)?;
    let stored = StoredReceiver {
        receiver: receiver.clone(),
        ciphertext,
    };
    control
        .store
        .set_receiver(&stored)
        .await
        .map_err(problem::store)?;
    control.wake.notices.notify_one();
    Ok(receiver)
}

/// Removes a receiver.
///
/// # Errors
/// There is none of that name, or the store fails.
pub async fn remove_receiver(control: &Control, name: &str) -> Result<(), Problem> {
    match control
        .store
        .remove_receiver(name)
        .await
        .map_err(problem::store)?
    {
        true => Ok(()),
        false => Err(no_receiver(name)),
    }
}

/// Sends a receiver a notice that is none, now.
///
/// # Errors
/// There is none of that name, or it does not take the notice: the reason is the cause.
pub async fn test_receiver(control: &Control, name: &str) -> Result<(), Problem> {
    let sender = sender(control, name).await?;
    let labels = BTreeMap::from([
        ("alertname".to_owned(), "Test".to_owned()),
        ("severity".to_owned(), "warning".to_owned()),
    ]);
    let now = Timestamp::now().as_millisecond();
    let test = Told {
        annotations: BTreeMap::from([(
            "summary".to_owned(),
            "this is a test: notices of Launchway arrive here".to_owned(),
        )]),
        labels: labels.clone(),
        starts_at: now,
        ends_at: None,
        link: format!("{}/alerts", control.settings.url),
    };
    let body = payload(name, &group(&labels), &control.settings.url, &[test]);
    sender.send(&body).await.map_err(|error| {
        Problem::unavailable(format!("the receiver `{name}` did not take the notice"))
            .cause(error)
            .hint("Check its address; real notices are sent again until they are taken.")
    })
}

/// Silences that are not over.
///
/// # Errors
/// The store fails.
pub async fn silences(control: &Control) -> Result<Vec<Silence>, Problem> {
    control
        .store
        .silences(Timestamp::now())
        .await
        .map_err(problem::store)
}

/// Keeps notices of some alerts back from now on.
///
/// # Errors
/// It would silence everything or nothing, or the store fails.
pub async fn add_silence(control: &Control, new: NewSilence) -> Result<Silence, Problem> {
    if new.matchers.is_empty() || new.seconds == 0 {
        return Err(Problem::invalid("a silence needs at least one label and a time")
            .hint("Such as `app=shop` for two hours; `alertname`, `app` and `severity` are labels of every alert."));
    }
    let starts = Timestamp::now();
    let length =
        SignedDuration::from_secs(i64::try_from(new.seconds.min(366 * 86_400)).unwrap_or(i64::MAX));
    let mut silence = Silence {
        id: 0,
        matchers: new.matchers,
        starts,
        ends: starts + length,
        comment: new.comment,
    };
    silence.id = control
        .store
        .add_silence(&silence)
        .await
        .map_err(problem::store)?;
    Ok(silence)
}

/// Ends a silence.
///
/// # Errors
/// There is none of that number, or the store fails.
pub async fn remove_silence(control: &Control, id: u64) -> Result<(), Problem> {
    match control
        .store
        .remove_silence(id)
        .await
        .map_err(problem::store)?
    {
        true => {
            control.wake.notices.notify_one();
            Ok(())
        }
        false => Err(Problem::not_found(format!("there is no silence {id}"))),
    }
}

/// All monitors.
///
/// # Errors
/// The store fails.
pub async fn monitors(control: &Control) -> Result<Vec<Monitor>, Problem> {
    control.store.monitors().await.map_err(problem::store)
}

/// Adds a monitor in a few words, or replaces the one of that name.
///
/// # Errors
/// The words are not understood, its app does not exist, or the store fails.
pub async fn add_monitor(control: &Control, new: NewMonitor) -> Result<Monitor, Problem> {
    if let Some(app) = &new.app {
        control.app(app).await?;
    }
    let name = new.name.unwrap_or_else(|| {
        let words: String = new
            .words
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || " %<>=.".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .take(60)
            .collect();
        match &new.app {
            Some(app) => format!("{app} {words}"),
            None => words,
        }
    });
    checked_name(&name)?;
    let monitor = Monitor {
        name,
        app: new.app,
        words: new.words.trim().to_owned(),
        created: Timestamp::now(),
    };
    rules::check(&monitor)?;
    control
        .store
        .set_monitor(&monitor)
        .await
        .map_err(problem::store)?;
    control.monitoring.rules_changed.notify_one();
    Ok(monitor)
}

/// Removes a monitor; its alerts end.
///
/// # Errors
/// There is none of that name, or the store fails.
pub async fn remove_monitor(control: &Control, name: &str) -> Result<(), Problem> {
    match control
        .store
        .remove_monitor(name)
        .await
        .map_err(problem::store)?
    {
        true => {
            control.monitoring.rules_changed.notify_one();
            Ok(())
        }
        false => Err(Problem::not_found(format!("there is no monitor `{name}`"))
            .hint("`launchway alerts monitors` lists them.")),
    }
}

/// Who changed what of monitors, receivers and silences.
///
/// # Errors
/// The store fails.
pub async fn changes(control: &Control, limit: u32) -> Result<Vec<Change>, Problem> {
    control
        .store
        .notice_changes(limit.min(1000))
        .await
        .map_err(problem::store)
}
