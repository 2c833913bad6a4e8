//! Notices: what a receiver is told of alerts, and the ways to tell it.
//!
//! [`payload`] is Alertmanager's webhook payload (version 4); every other form is made from it. When to tell whom is
//! decided elsewhere; sending here is one try.

use crate::http::{Call, Client, ClientSpec, HttpError};
use crate::promql::rfc3339;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where PagerDuty takes events (its Events API v2).
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// An alert as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// When it began, ms.
    pub starts_at: i64,
    /// When it ended, ms; `None` while it fires.
    pub ends_at: Option<i64>,
    /// Where more is to be seen.
    pub link: String,
}

/// Where notices go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The payload as it is, posted.
    Webhook {
        /// Where.
        url: String,
    },
    /// Slack's incoming webhooks.
    Slack {
        /// Where.
        url: String,
    },
    /// PagerDuty's events.
    Pagerduty {
        /// The integration's key.
        key: String,
        /// Where, if not at PagerDuty.
        url: Option<String>,
    },
    /// A topic of ntfy.
    Ntfy {
        /// The topic's address.
        url: String,
        /// A token, where one is needed.
        token: Option<String>,
    },
    /// E-mail.
    Email {
        /// To whom.
        to: String,
        /// From whom.
        from: String,
        /// The server, as a URL of `smtp` or `smtps`.
        server: String,
    },
    /// A command of the shell.
    Command {
        /// The command.
        command: String,
    },
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(String);

impl From<HttpError> for SendError {
    fn from(error: HttpError) -> Self {
        Self(error.to_string())
    }
}

/// Labels and annotations that all alerts have alike.
fn common<'a>(
    maps: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    maps.cloned()
        .reduce(|mut all, other| {
            all.retain(|name, value| other.get(name) == Some(value));
            all
        })
        .unwrap_or_default()
}

/// Alertmanager's webhook payload. A group is firing while one of its alerts does.
#[must_use]
pub fn payload(
    receiver: &str,
    group: &BTreeMap<String, String>,
    external_url: &str,
    alerts: &[Told],
) -> Json {
    let firing = alerts.iter().any(|alert| alert.ends_at.is_none());
    let list: Vec<Json> = alerts
        .iter()
        .map(|alert| {
            json!({
                "status": if alert.ends_at.is_none() { "firing" } else { "resolved" },
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": rfc3339(alert.starts_at),
                "endsAt": alert.ends_at.map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339),
                "generatorURL": alert.link,
                "fingerprint": fingerprint(&alert.labels),
            })
        })
        .collect();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{}", shown(group)),
        "truncatedAlerts": 0,
        "status": if firing { "firing" } else { "resolved" },
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": common(alerts.iter().map(|alert| &alert.labels)),
        "commonAnnotations": common(alerts.iter().map(|alert| &alert.annotations)),
        "externalURL": external_url,
        "alerts": list,
    })
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", crate::labels::quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Sixteen hexadecimal digits that are the same for the same labels.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(shown(labels).as_bytes());
    digest.iter().take(8).fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// One line for a subject: `[FIRING:2] AppDown shop`.
fn title(payload: &Json) -> String {
    let alerts = payload["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    let firing = alerts
        .iter()
        .filter(|alert| alert["status"] == "firing")
        .count();
    let status = if firing > 0 {
        format!("FIRING:{firing}")
    } else {
        "RESOLVED".to_owned()
    };
    let label = |name: &str| {
        payload["groupLabels"][name]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    format!("[{status}] {} {}", label("alertname"), label("app"))
        .trim_end()
        .to_owned()
}

/// What is the matter, a line for each alert.
fn lines(payload: &Json) -> String {
    let mut out = String::new();
    for alert in payload["alerts"].as_array().map_or(&[][..], Vec::as_slice) {
        let text = |name: &str| alert["annotations"][name].as_str().unwrap_or("").to_owned();
        let over = if alert["status"] == "resolved" {
            "over: "
        } else {
            ""
        };
        let summary = match text("summary") {
            summary if summary.is_empty() => alert["labels"]["alertname"]
                .as_str()
                .unwrap_or("an alert")
                .to_owned(),
            summary => summary,
        };
        let _ = writeln!(out, "{over}{summary}");
        if !text("hint").is_empty() && over.is_empty() {
            let _ = writeln!(out, "  {}", text("hint"));
        }
    }
    let url = payload["externalURL"].as_str().unwrap_or("");
    if !url.is_empty() {
        let _ = writeln!(out, "{url}/alerts");
    }
    out
}

fn is_critical(payload: &Json) -> bool {
    let alerts = payload["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    alerts
        .iter()
        .any(|alert| alert["status"] == "firing" && alert["labels"]["severity"] == "critical")
}

fn slack(payload: &Json) -> Json {
    let color = match (payload["status"].as_str(), is_critical(payload)) {
        (Some("resolved"), _) => "good",
        (_, true) => "danger",
        _ => "warning",
    };
    let title = title(payload);
    json!({"text": title, "attachments": [{"color": color, "fallback": title, "text": lines(payload)}]})
}

fn pagerduty(key: &str, payload: &Json) -> Json {
    let resolved = payload["status"] == "resolved";
    json!({
        "routing_key": key,
        "event_action": if resolved { "resolve" } else { "trigger" },
        "dedup_key": payload["groupKey"],
        "client": "Launchway",
        "client_url": payload["externalURL"],
        "payload": {
            "summary": format!("{}: {}", title(payload), lines(payload).lines().next().unwrap_or("")),
            "source": payload["externalURL"].as_str().filter(|url| !url.is_empty()).unwrap_or("launchway"),
            "severity": if is_critical(payload) { "critical" } else { "warning" },
            "custom_details": {"alerts": payload["alerts"]},
        },
    })
}

impl Sender {
    /// Tells once.
    ///
    /// # Errors
    /// It was not taken; the caller tries again.
    pub async fn send(&self, payload: &Json) -> Result<(), SendError> {
        match tokio::time::timeout(PATIENCE, self.once(payload)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError(format!(
                "no answer within {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    async fn once(&self, payload: &Json) -> Result<(), SendError> {
        match self {
            Self::Webhook { url } => post(Call::json(url, payload.to_string())).await,
            Self::Slack { url } => post(Call::json(url, slack(payload).to_string())).await,
            Self::Pagerduty { key, url } => {
                let url = url.as_deref().unwrap_or(PAGERDUTY);
                post(Call::json(url, pagerduty(key, payload).to_string())).await
            }
            Self::Ntfy { url, token } => {
                let name = http::HeaderName::from_static;
                let mut call = Call::json(url, lines(payload))
                    .with(name("title"), title(payload))
                    .with(
                        name("priority"),
                        if is_critical(payload) {
                            "urgent"
                        } else {
                            "default"
                        },
                    )
                    .with(
                        name("tags"),
                        if payload["status"] == "resolved" {
                            "white_check_mark"
                        } else {
                            "rotating_light"
                        },
                    );
                call.headers[0].1 = "text/plain; charset=utf-8".to_owned();
                if let Some(token) = token {
                    call = call.with(http::header::AUTHORIZATION, format!("Bearer {token}"));
                }
                post(call).await
            }
            Self::Email { to, from, server } => email(to, from, server, payload).await,
            Self::Command { command } => run(command, payload).await,
        }
    }
}

async fn post(call: Call<'_>) -> Result<(), SendError> {
    let answer = Client::new(ClientSpec::default()).send(&call).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    let first: String = text
        .lines()
        .next()
        .unwrap_or("")
        .chars()
        .take(200)
        .collect();
    Err(SendError(
        format!("the answer was {} {first}", answer.status)
            .trim_end()
            .to_owned(),
    ))
}

async fn email(to: &str, from: &str, server: &str, payload: &Json) -> Result<(), SendError> {
    use lettre::{AsyncTransport, Message, Tokio1Executor};
    let mailbox = |text: &str| {
        text.parse()
            .map_err(|error| SendError(format!("{text:?} is no address: {error}")))
    };
    let message = Message::builder()
        .from(mailbox(from)?)
        .to(mailbox(to)?)
        .subject(title(payload))
        .body(lines(payload))
        .map_err(|error| SendError(error.to_string()))?;
    let transport = lettre::AsyncSmtpTransport::<Tokio1Executor>::from_url(server)
        .map_err(|error| SendError(format!("the mail server's address: {error}")))?
        .build();
    transport
        .send(message)
        .await
        .map(drop)
        .map_err(|error| SendError(format!("the mail server: {error}")))
}

async fn run(command: &str, payload: &Json) -> Result<(), SendError> {
    use tokio::io::AsyncWriteExt;
    let failed = |error: std::io::Error| SendError(format!("the command: {error}"));
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input is right as well.
        let _ = input.write_all(payload.to_string().as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: String = text
        .lines()
        .last()
        .unwrap_or("")
        .chars()
        .take(200)
        .collect();
    Err(SendError(format!(
        "the command ended with {}: {last}",
        output.status
    )))
}

/// Hands alerts over to a real Alertmanager (its API, version 2).
///
/// # Errors
/// It was not taken.
pub async fn hand_over(
    client: &Client,
    address: &str,
    alerts: &[Told],
    valid_until: i64,
) -> Result<(), SendError> {
    let list: Vec<Json> = alerts
        .iter()
        .map(|alert| {
            json!({
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": rfc3339(alert.starts_at),
                "endsAt": rfc3339(alert.ends_at.unwrap_or(valid_until)),
                "generatorURL": alert.link,
            })
        })
        .collect();
    let call = Call::json(address, Json::from(list).to_string());
    let answer = match tokio::time::timeout(PATIENCE, client.send(&call)).await {
        Ok(answer) => answer?,
        Err(_) => {
            return Err(SendError(format!(
                "no answer within {} s",
                PATIENCE.as_secs()
            )));
        }
    };
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(SendError(format!("the answer was {}", answer.status)))
    }
}

/// Whether an alert has all labels of a silence's matchers. Of an empty set of matchers none.
#[must_use]
pub fn is_silenced(matchers: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !matchers.is_empty()
        && matchers
            .iter()
            .all(|(name, value)| labels.get(name).map_or("", String::as_str) == value)
}

/// What makes other alerts of the same app silent: a source's name, and the names that it hides. Whoever knows that an
/// app is down need not be told that it is slow.
const INHIBITS: [(&str, &[&str]); 2] = [
    (
        "AppDown",
        &["AppErrors", "AppSlow", "AppCrashed", "TargetDown"],
    ),
    ("AppCrashLoop", &["AppCrashed"]),
];

/// Whether one alert hides another: by [`INHIBITS`], or because it is the same trouble with more weight.
#[must_use]
pub fn inhibits(source: &BTreeMap<String, String>, target: &BTreeMap<String, String>) -> bool {
    let of = |labels: &BTreeMap<String, String>, name: &str| {
        labels.get(name).cloned().unwrap_or_default()
    };
    if of(source, "app") != of(target, "app") {
        return false;
    }
    let (from, to) = (of(source, "alertname"), of(target, "alertname"));
    if from == to {
        let rest = |labels: &BTreeMap<String, String>| {
            let mut rest = labels.clone();
            rest.remove("severity");
            rest
        };
        return of(source, "severity") == "critical"
            && of(target, "severity") == "warning"
            && rest(source) == rest(target);
    }
    INHIBITS
        .iter()
        .any(|(name, hidden)| *name == from && hidden.contains(&to.as_str()))
}
