//! Whether an instance is ready: one task an instance, which asks it and tells the loop what changed.
//!
//! Until an instance is ready it is asked often, from 10 ms on, so that a fast start is seen at once; afterwards at its
//! interval. An answer counts only when the process that listens is one of the instance's own: something else that
//! happens to hold the port must not make a release look healthy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use launchway_model::InstanceId;
use launchway_model::app::HealthSpec;
use launchway_model::instance::{Exit, InstanceState};
use launchway_supervisor::{ShimLink, ShimView, observe};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use regex::Regex;

use crate::recipe::Recipe;
use crate::reconcile::Event;
use crate::{Control, logs, task};

/// The first pause between probes of an instance that is not ready, and the longest.
const EAGER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How long a process that takes no requests must run to count as started.
const SETTLED: Duration = Duration::from_secs(1);
/// The most of a body that is looked at, in bytes.
const BODY: usize = 64 << 10;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is ready.
    Healthy,
    /// Nothing listens on its port.
    Refused,
    /// Somebody who is not of the instance listens on its port.
    Foreign,
    /// It took the connection and did not answer in time.
    TimedOut,
    /// It answered with a status that does not count.
    Status(StatusCode),
    /// Its answer lacks the text.
    Body,
    /// It took the connection and spoke no HTTP.
    Broken(String),
    /// The command of the health check said otherwise.
    Command(String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Healthy => f.write_str("it is healthy"),
            Self::Refused => f.write_str("nothing listens on the port"),
            Self::Foreign => f.write_str("a process of something else listens on the port"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "the answer was {status}"),
            Self::Body => f.write_str("the answer lacks the expected text"),
            Self::Command(words) => write!(f, "the health check's command {words}"),
            Self::Broken(words) => write!(f, "the answer was no HTTP: {words}"),
        }
    }
}

/// What is known of an instance's readiness; sent to the loop when it changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// Whether it is ready.
    pub(crate) ready: bool,
    /// What the last probe found.
    pub(crate) finding: Option<Finding>,
    /// Since when probes find that.
    pub(crate) since: Instant,
}

/// One instance to probe.
pub(crate) struct Subject {
    pub(crate) id: InstanceId,
    /// Where it takes requests; absent where it takes none.
    pub(crate) address: Option<SocketAddr>,
    /// Whether it may choose its port by itself: nobody else is in its network.
    pub(crate) any_port: bool,
    pub(crate) health: HealthSpec,
    /// What must match in the body, compiled.
    pub(crate) expression: Option<Regex>,
    /// The command to run in place of a request.
    pub(crate) check: Option<Check>,
    /// The Host header's value.
    pub(crate) host: String,
    /// What its shim says.
    pub(crate) shim: watch::Receiver<ShimView>,
    /// Whether it was ready when control was not there; then the first probe that fails takes that back.
    pub(crate) assumed: bool,
}

/// The expression of a health check. The one who read it has checked it.
pub(crate) fn expression(health: &HealthSpec) -> Option<Regex> {
    Regex::new(health.body_matches.as_deref()?).ok()
}

/// A command that says whether an instance is ready.
pub(crate) struct Check {
    control: Arc<Control>,
    recipe: Arc<Recipe>,
}

impl Check {
    pub(crate) fn new(control: Arc<Control>, recipe: Arc<Recipe>) -> Self {
        Self { control, recipe }
    }

    /// Runs it, with the instance's port. Nothing of it is left but what it says.
    async fn run(&self, port: Option<u16>, limit: Duration) -> Finding {
        let mut recipe = (*self.recipe).clone();
        if let Some(port) = port {
            recipe.env.insert("PORT".to_owned(), port.to_string());
        }
        let shim = match task::start(&self.control, &recipe).await {
            Ok(shim) => shim,
            Err(problem) => return Finding::Command(format!("cannot be started: {problem}")),
        };
        let log = task::log(&self.control, &shim);
        let ended = tokio::time::timeout(limit, task::finished(&self.control, &shim)).await;
        let finding = match ended {
            Ok(Some(Exit::Code(0))) => Finding::Healthy,
            Ok(exit) => {
                let said = logs::last_words(&log, 1).await.pop();
                let how = exit.map_or_else(
                    || "was killed".to_owned(),
                    |exit| format!("ended with {exit}"),
                );
                Finding::Command(match said {
                    Some(said) => format!("{how}: {said}"),
                    None => how,
                })
            }
            Err(_) => {
                task::stop(&self.control, &shim).await;
                Finding::Command(format!("did not end within {} ms", limit.as_millis()))
            }
        };
        // A log a probe would be thousands of files.
        let _ = tokio::fs::remove_file(&log).await;
        finding
    }
}

/// Probes an instance until it is cancelled or the shim is gone.
pub(crate) async fn run(
    mut subject: Subject,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) {
    let mut last: Option<Report> = None;
    let work = async {
        while let Some(pid) = running(&mut subject.shim).await {
            tokio::select! {
                () = watch_one_run(&mut last, &subject, &events) => {}
                () = ended(subject.shim.clone(), pid) => {}
            }
            subject.assumed = false;
            tell(&events, &subject, &mut last, false, None).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

/// Waits until the app runs, and gives its process; none once the shim is gone.
async fn running(shim: &mut watch::Receiver<ShimView>) -> Option<u32> {
    let view = shim
        .wait_for(|view| {
            view.link != ShimLink::Live
                || matches!(view.status.state, InstanceState::Running { .. })
        })
        .await
        .ok()?;
    match (&view.link, &view.status.state) {
        (ShimLink::Live, InstanceState::Running { pid, .. }) => Some(*pid),
        _ => None,
    }
}

/// Waits until the app is not that process any more.
async fn ended(mut shim: watch::Receiver<ShimView>, was: u32) {
    // An error means that the shim's handle is gone, which is an end as well.
    let _ = shim
        .wait_for(|view| {
            view.link != ShimLink::Live
                || !matches!(view.status.state, InstanceState::Running { pid, .. } if pid == was)
        })
        .await;
}

/// One run of the app: from its start for as long as it lives.
async fn watch_one_run(last: &mut Option<Report>, subject: &Subject, events: &mpsc::Sender<Event>) {
    if subject.address.is_none() && subject.check.is_none() {
        tokio::time::sleep(if subject.assumed {
            Duration::ZERO
        } else {
            SETTLED
        })
        .await;
        tell(events, subject, last, true, None).await;
        return std::future::pending().await;
    }
    let mut address = subject.address;
    let interval = Duration::from_millis(subject.health.interval_ms.max(10));
    let (mut ready, mut rising, mut falling) = (subject.assumed, 0, 0);
    let mut assumed = subject.assumed;
    let mut pause = EAGER.0;
    let mut verified = false;
    loop {
        let mut finding = probe(subject, address).await;
        if finding == Finding::Refused
            && subject.any_port
            && let Some(known) = &mut address
            && let Some(port) = only_port(subject).await
            && port != known.port()
        {
            known.set_port(port);
            // The loop is gone only when control ends.
            let id = subject.id.clone();
            let _ = events.send(Event::Listens { id, port }).await;
            finding = probe(subject, address).await;
        }
        if finding == Finding::Healthy
            && !verified
            && let Some(address) = address
        {
            verified = is_own_listener(subject, address.port()).await;
            if !verified {
                finding = Finding::Foreign;
            }
        }
        if finding == Finding::Healthy {
            (rising, falling) = (rising + 1, 0);
            ready |= rising >= subject.health.rise.max(1);
        } else {
            (rising, falling) = (0, falling + 1);
            verified = false;
            if assumed || falling >= subject.health.fall.max(1) {
                ready = false;
            }
        }
        assumed = false;
        tell(events, subject, last, ready, Some(finding)).await;
        if ready {
            pause = EAGER.0;
            tokio::time::sleep(interval).await;
        } else {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(EAGER.1).min(interval.max(EAGER.0));
        }
    }
}

/// Tells the loop where something changed.
async fn tell(
    events: &mpsc::Sender<Event>,
    subject: &Subject,
    last: &mut Option<Report>,
    ready: bool,
    finding: Option<Finding>,
) {
    if let Some(last) = last
        && last.ready == ready
        && last.finding == finding
    {
        return;
    }
    let report = Report {
        ready,
        finding,
        since: Instant::now(),
    };
    *last = Some(report.clone());
    // The loop is gone only when control ends.
    let _ = events
        .send(Event::Probed {
            id: subject.id.clone(),
            report,
        })
        .await;
}

/// Whether the process that listens on the port belongs to the instance.
async fn is_own_listener(subject: &Subject, port: u16) -> bool {
    let shim = subject.shim.borrow().status.shim_pid;
    let looked = tokio::task::spawn_blocking(move || {
        let pids = observe::tree(shim).pids;
        observe::listening_ports(&pids)
            .iter()
            .any(|(_, address)| address.port() == port)
    });
    looked.await.unwrap_or(false)
}

/// The port on which the instance listens, where it is one alone.
async fn only_port(subject: &Subject) -> Option<u16> {
    let shim = subject.shim.borrow().status.shim_pid;
    let looked = tokio::task::spawn_blocking(move || observe::only_port(shim));
    looked.await.unwrap_or_default()
}

async fn probe(subject: &Subject, address: Option<SocketAddr>) -> Finding {
    let limit = Duration::from_millis(subject.health.timeout_ms.max(1));
    if let Some(check) = &subject.check {
        return check
            .run(address.map(|address| address.port()), limit)
            .await;
    }
    let Some(address) = address else {
        return Finding::Healthy;
    };
    match tokio::time::timeout(limit, ask(subject, address)).await {
        Ok(finding) => finding,
        Err(_) => Finding::TimedOut,
    }
}

async fn ask(subject: &Subject, address: SocketAddr) -> Finding {
    let Ok(stream) = TcpStream::connect(address).await else {
        return Finding::Refused;
    };
    let Some(path) = &subject.health.path else {
        return Finding::Healthy;
    };
    match exchange(stream, path, subject).await {
        Ok(finding) => finding,
        Err(error) => Finding::Broken(error.to_string()),
    }
}

async fn exchange(
    stream: TcpStream,
    path: &str,
    subject: &Subject,
) -> Result<Finding, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(subject.health.method.as_str())
        .uri(path)
        .header(header::HOST, &subject.host)
        .header(header::USER_AGENT, "launchway-health")
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close");
    for (name, value) in &subject.health.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let talk = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if !subject.health.statuses.contains(status.as_u16()) {
            return Ok(Finding::Status(status));
        }
        if subject.health.body.is_none() && subject.expression.is_none() {
            return Ok(Finding::Healthy);
        }
        // A body beyond the limit is as good as one without the text.
        let Ok(body) = Limited::new(answer.into_body(), BODY).collect().await else {
            return Ok(Finding::Body);
        };
        let bytes = body.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let wanted = subject.health.body.as_deref();
        let found = wanted.is_none_or(|wanted| text.contains(wanted));
        let matches = subject
            .expression
            .as_ref()
            .is_none_or(|expression| expression.is_match(&text));
        Ok(if found && matches {
            Finding::Healthy
        } else {
            Finding::Body
        })
    };
    tokio::pin!(talk);
    tokio::select! {
        finding = &mut talk => finding,
        // The connection may end in the moment in which the answer is there: the talk knows.
        _ = connection => talk.await,
    }
}
