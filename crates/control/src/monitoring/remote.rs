//! Samples that others write to us or read from us, and those that we send on (`remote_write` of the configuration).
//!
//! **Invariant:** what a receiver took is not sent again by a restart, and what it did not take is: the time up to which
//! it has all is kept in a file, and samples go in the order of their time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use launchway_monitor::http::{Call, Client};
use launchway_monitor::labels::{Labels, LabelsBuilder};
use launchway_monitor::remote::{self, Written};
use launchway_monitor::scrape::config::RemoteWrite;
use launchway_monitor::scrape::relabel;
use launchway_monitor::storage::Store;
use tokio_util::sync::CancellationToken;

use super::Response;
use crate::Control;

/// How often samples are sent on.
const EVERY: Duration = Duration::from_secs(5);
/// Samples younger than this may still get company of their own time, ms.
const SETTLED: i64 = 5_000;
/// The longest time that one round sends, ms: after an outage the rest follows.
const SPAN: i64 = 600_000;

/// A request of a remote protocol.
#[derive(Debug, Clone)]
pub enum Request {
    /// Samples to store; of the protocol's second version or the first.
    Write {
        /// The body.
        body: Vec<u8>,
        /// Whether it is the second version.
        version_2: bool,
    },
    /// A question for samples.
    Read {
        /// The body.
        body: Vec<u8>,
    },
}

/// Answers a request of a remote protocol; the counts of a write are those of its headers.
pub async fn answer(control: &Control, request: Request) -> (Response, Written) {
    let store = control.monitoring.store.clone();
    let done = tokio::task::spawn_blocking(move || match request {
        Request::Write {
            body,
            version_2: false,
        } => remote::write_v1(&store, &body).map(|written| (Vec::new(), written)),
        Request::Write {
            body,
            version_2: true,
        } => remote::write_v2(&store, &body).map(|written| (Vec::new(), written)),
        Request::Read { body } => {
            remote::read(&store, &body).map(|body| (body, Written::default()))
        }
    });
    let plain = |status: u16, text: String| Response {
        status,
        content_type: "text/plain; charset=utf-8",
        body: text.into_bytes(),
    };
    match done.await {
        Ok(Ok((body, written))) if body.is_empty() => {
            let answer = match &written.reason {
                // As Prometheus: what can be stored is, and the sender is told not to send the rest again.
                Some(reason) => plain(
                    400,
                    format!("{} samples were refused: {reason}\n", written.refused),
                ),
                None => plain(204, String::new()),
            };
            (answer, written)
        }
        Ok(Ok((body, written))) => (
            Response {
                status: 200,
                content_type: "application/x-protobuf",
                body,
            },
            written,
        ),
        Ok(Err(error)) => {
            let status = if error.is_temporary() { 503 } else { 400 };
            (plain(status, format!("{error}\n")), Written::default())
        }
        Err(_) => (
            plain(500, "the request ended badly\n".to_owned()),
            Written::default(),
        ),
    }
}

/// The times up to which receivers have all samples, ms, by address.
type Sent = BTreeMap<String, i64>;

/// Sends samples on until the end.
pub(super) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let path = control.settings.home.metrics().join("remote-write.json");
    let mut sent: Sent = std::fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let (receivers, external) = {
            let configured = control
                .monitoring
                .configured
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (
                configured.remote_write.clone(),
                configured.external_labels.clone(),
            )
        };
        for receiver in receivers {
            let client = clients
                .entry(receiver.url.clone())
                .or_insert_with(|| Client::new(receiver.client.clone()));
            let now = Timestamp::now().as_millisecond();
            let since = *sent.entry(receiver.url.clone()).or_insert(now - SETTLED);
            let until = (now - SETTLED).min(since + SPAN);
            if until <= since {
                continue;
            }
            let done = tokio::select! {
                () = cancel.cancelled() => return,
                done = send_on(&control.monitoring.store, client, &receiver, &external, (since, until)) => done,
            };
            match done {
                Ok(()) => {
                    sent.insert(receiver.url.clone(), until);
                    if let Err(error) = keep(&path, &sent) {
                        tracing::warn!(%error, "how far samples were sent on cannot be kept");
                    }
                }
                Err(error) => tracing::warn!(
                    receiver = receiver.url,
                    error,
                    "samples are not taken and sent again"
                ),
            }
        }
    }
}

fn keep(path: &Path, sent: &Sent) -> std::io::Result<()> {
    let text = serde_json::to_vec(sent)?;
    crate::secrets::write_private(path, &text)
}

/// A series with its samples.
type Series = (Labels, Vec<(i64, f64)>);

/// Sends the samples after one time up to another. A receiver that does not want some of them does not get them again.
async fn send_on(
    store: &Store,
    client: &Client,
    receiver: &RemoteWrite,
    external: &[(String, String)],
    (since, until): (i64, i64),
) -> Result<(), String> {
    let (store, rules, external, batch) = (
        store.clone(),
        receiver.relabel.clone(),
        external.to_vec(),
        receiver.batch,
    );
    let batches = tokio::task::spawn_blocking(move || {
        batches(&store, &rules, &external, batch, since, until)
    })
    .await
    .map_err(|error| error.to_string())?;
    for batch in batches {
        let body = if receiver.version_2 {
            remote::request_v2(&batch)
        } else {
            remote::request_v1(&batch)
        };
        let (kind, version) = if receiver.version_2 {
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            )
        } else {
            ("application/x-protobuf", "0.1.0")
        };
        let mut call = Call::json(&receiver.url, body)
            .with(http::header::CONTENT_ENCODING, "snappy")
            .with(
                http::HeaderName::from_static("x-prometheus-remote-write-version"),
                version,
            );
        kind.clone_into(&mut call.headers[0].1);
        let limit = Duration::from_millis(receiver.timeout.max(1) as u64);
        let answer = tokio::time::timeout(limit, client.send(&call))
            .await
            .map_err(|_| "no answer in time".to_owned())?;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_server_error() || answer.status.as_u16() == 429 {
            return Err(format!("the answer was {}", answer.status));
        }
        if !answer.status.is_success() {
            let text = String::from_utf8_lossy(&answer.body)
                .lines()
                .next()
                .unwrap_or("")
                .to_owned();
            tracing::warn!(receiver = receiver.url, status = %answer.status, text, "samples are refused and not sent again");
        }
    }
    Ok(())
}

fn batches(
    store: &Store,
    rules: &[relabel::Rule],
    external: &[(String, String)],
    batch: usize,
    since: i64,
    until: i64,
) -> Vec<Vec<Series>> {
    let (mut all, mut current, mut size) = (Vec::new(), Vec::new(), 0);
    let mut selection = store.select(&[], since + 1, until);
    while let Some(series) = selection.next_series() {
        let mut labels = remote::with_external(series.labels, external);
        if !rules.is_empty() {
            let mut builder = LabelsBuilder::from_labels(&labels);
            if !relabel::apply(rules, &mut builder) {
                continue;
            }
            labels = builder.build();
        }
        let samples: Vec<(i64, f64)> = series
            .times
            .iter()
            .copied()
            .zip(series.values.iter().copied())
            .collect();
        size += samples.len();
        current.push((labels, samples));
        if size >= batch {
            all.push(std::mem::take(&mut current));
            size = 0;
        }
    }
    if !current.is_empty() {
        all.push(current);
    }
    all
}
