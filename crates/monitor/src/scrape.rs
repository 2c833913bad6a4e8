//! Scraping with Prometheus' semantics: targets from a configuration or from the program, each asked at its interval,
//! its samples relabelled and stored, `up` and `scrape_*` beside them, staleness markers where a series ends.
//!
//! [`Scraper::run`] owns one task per target. A target is asked over HTTP ([`crate::http`]), or in process where the
//! program is its own target ([`Own`]). What is pure (configuration, relabelling, ingesting) is in the modules below
//! and needs no runtime.
//! **Invariant:** a target that is removed is marked stale; one that merely survives the end of the program is not, so
//! that a restart leaves no hole.

use crate::exposition::Format;
use crate::http::{Call, Client, HttpError};
use crate::labels::Labels;
use crate::promql::rfc3339;
use crate::storage::Store;
use config::{Job, TargetGroup};
use ingest::{Cache, Ingested};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use target::Target;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod config;
pub mod discovery;
pub mod ingest;
pub mod relabel;
pub mod target;

#[cfg(test)]
mod tests;

/// A scrape that begins at most this late is stored under its regular time, so that times lie at even distances and
/// pack well, ms.
const TOLERANCE: i64 = 20;
/// A body above this size is read on a thread of its own rather than on the event loop's, bytes.
const LARGE: usize = 512 << 10;
/// How often files of targets are looked at most, ms. Prometheus is told by the kernel; looking costs less than a watch.
const LOOK: i64 = 5_000;

/// A body that the program makes for itself.
pub type OwnBody = Pin<Box<dyn Future<Output = Result<(String, Format), String>> + Send>>;
/// Makes the body of a target of the program's own; it is given the target's labels.
pub type Own = Arc<dyn Fn(&Labels) -> OwnBody + Send + Sync>;

/// How the last scrape of a target went.
#[derive(Clone, Debug, Default)]
struct State {
    /// When it began, ms; `None` before the first.
    at: Option<i64>,
    took: f64,
    error: Option<String>,
    /// What was left out, in words.
    warnings: Vec<String>,
}

struct Running {
    target: Target,
    state: Arc<Mutex<State>>,
    cancel: CancellationToken,
    /// Asks for a scrape before its time.
    asked: Arc<Notify>,
    /// Counts scrapes.
    scrapes: watch::Receiver<u64>,
}

struct Pool {
    job: Arc<Job>,
    client: Arc<Client>,
    own: Option<Own>,
    /// Groups by discovery: the configuration's, the program's, those of files and endpoints.
    groups: BTreeMap<String, Vec<TargetGroup>>,
    /// When each discovery is due, ms.
    due: HashMap<String, i64>,
    running: Vec<Running>,
    dropped: Vec<Labels>,
    errors: Vec<String>,
    changed: bool,
    /// Whether it is of the program, hence survives another configuration.
    built_in: bool,
}

/// Scrapes whatever it is told to, until it is cancelled.
pub struct Scraper {
    store: Store,
    /// What names in a configuration are relative to.
    folder: PathBuf,
    pools: Mutex<Vec<Pool>>,
    /// Ends of pools that were replaced.
    changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_millis() as i64
}

impl Scraper {
    /// A scraper into a store, without targets. Names of files in its configuration are relative to `folder`.
    #[must_use]
    pub fn new(store: Store, folder: impl Into<PathBuf>) -> Self {
        Self {
            store,
            folder: folder.into(),
            pools: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Adds a job of the program's own, which no configuration replaces. Its targets are the job's static ones and
    /// those of [`set_targets`](Self::set_targets); `own` makes their bodies, or HTTP does.
    pub fn add_job(&self, job: Job, own: Option<Own>) {
        let pool = Pool::new(job, own, true);
        let mut pools = lock(&self.pools);
        pools.retain(|other| other.job.name != pool.job.name);
        pools.push(pool);
        self.changed.notify_one();
    }

    /// Replaces the targets that the program found for one of its own jobs.
    pub fn set_targets(&self, job: &str, groups: Vec<TargetGroup>) {
        let mut pools = lock(&self.pools);
        if let Some(pool) = pools.iter_mut().find(|pool| pool.job.name == job)
            && pool.groups.get("program") != Some(&groups)
        {
            pool.groups.insert("program".to_owned(), groups);
            pool.changed = true;
            self.changed.notify_one();
        }
    }

    /// Scrapes the targets of a job before their time, and waits until that is done: something happened that somebody
    /// wants to know at once.
    pub async fn scrape_now(&self, job: &str) {
        let running: Vec<(Arc<Notify>, watch::Receiver<u64>)> = {
            let pools = lock(&self.pools);
            let pools = pools.iter().filter(|pool| pool.job.name == job);
            let all = pools.flat_map(|pool| &pool.running);
            all.map(|running| (running.asked.clone(), running.scrapes.clone()))
                .collect()
        };
        for (asked, mut scrapes) in running {
            scrapes.mark_unchanged();
            asked.notify_one();
            // A target that is just being removed answers no more.
            let _ = scrapes.changed().await;
        }
    }

    /// Replaces all jobs that came from a configuration.
    pub fn configure(&self, jobs: Vec<Job>) {
        let mut pools = lock(&self.pools);
        for pool in pools.iter().filter(|pool| !pool.built_in) {
            pool.stop();
        }
        pools.retain(|pool| pool.built_in);
        for job in jobs {
            if pools.iter().any(|pool| pool.job.name == job.name) {
                tracing::warn!(
                    job = job.name,
                    "a job of the configuration has the name of a built-in one and is left out"
                );
                continue;
            }
            pools.push(Pool::new(job, None, false));
        }
        self.changed.notify_one();
    }

    /// Scrapes until `cancel`.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let asked = self.sync(&tasks, &cancel);
            let mut next = now() + 60_000;
            for (job, discovery, client) in asked {
                // Endpoints are few; a slow one delays the others' next look by its time limit at most.
                let found = tokio::time::timeout(
                    Duration::from_secs(10),
                    discovery::of_http(&discovery, &client),
                )
                .await;
                self.found(
                    &job,
                    &discovery.url,
                    found.unwrap_or_else(|_| Err(format!("{}: timed out", discovery.url))),
                );
            }
            for pool in lock(&self.pools).iter() {
                next = pool.due.values().copied().fold(next, i64::min);
            }
            let pause = Duration::from_millis((next - now()).max(10) as u64);
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Looks at what is due and starts and stops targets; gives the endpoints that are due.
    fn sync(
        &self,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Vec<(String, config::HttpDiscovery, Arc<Client>)> {
        let mut asked = Vec::new();
        let at = now();
        for pool in lock(&self.pools).iter_mut() {
            for (number, discovery) in pool.job.files.clone().iter().enumerate() {
                let key = format!("file {number}");
                if pool.due.get(&key).is_none_or(|due| *due <= at) {
                    let kept = pool.groups.get(&key).cloned().unwrap_or_default();
                    let found = discovery::of_files(discovery, &self.folder, &kept, |message| {
                        tracing::warn!(
                            job = pool.job.name,
                            message,
                            "a file of targets cannot be read; its targets stay as they were"
                        );
                    });
                    pool.changed |= found != kept;
                    pool.groups.insert(key.clone(), found);
                    pool.due.insert(key, at + discovery.refresh.min(LOOK));
                }
            }
            for discovery in &pool.job.http {
                if pool.due.get(&discovery.url).is_none_or(|due| *due <= at) {
                    pool.due
                        .insert(discovery.url.clone(), at + discovery.refresh);
                    asked.push((
                        pool.job.name.clone(),
                        discovery.clone(),
                        Arc::new(Client::new(discovery.client.clone())),
                    ));
                }
            }
            if std::mem::take(&mut pool.changed) {
                self.start(pool, tasks, cancel);
            }
        }
        asked
    }

    fn found(&self, job: &str, url: &str, found: Result<Vec<TargetGroup>, String>) {
        match found {
            Ok(groups) => {
                let mut pools = lock(&self.pools);
                if let Some(pool) = pools.iter_mut().find(|pool| pool.job.name == job)
                    && pool.groups.get(url) != Some(&groups)
                {
                    pool.groups.insert(url.to_owned(), groups);
                    pool.changed = true;
                    self.changed.notify_one();
                }
            }
            Err(message) => tracing::warn!(
                job,
                message,
                "an endpoint of targets cannot be read; its targets stay as they were"
            ),
        }
    }

    fn start(&self, pool: &mut Pool, tasks: &TaskTracker, cancel: &CancellationToken) {
        let groups: Vec<TargetGroup> = pool.groups.values().flatten().cloned().collect();
        let found = target::targets(&pool.job, &groups);
        for error in &found.errors {
            tracing::warn!(job = pool.job.name, error, "a target cannot be scraped");
        }
        pool.dropped = found.dropped;
        pool.errors = found.errors;
        pool.running.retain(|running| {
            let stays = found.active.contains(&running.target);
            if !stays {
                running.cancel.cancel();
            }
            stays
        });
        for target in found.active {
            if pool.running.iter().any(|running| running.target == target) {
                continue;
            }
            let (scraped, scrapes) = watch::channel(0);
            let running = Running {
                target: target.clone(),
                state: Arc::default(),
                cancel: CancellationToken::new(),
                asked: Arc::default(),
                scrapes,
            };
            let task = Task {
                store: self.store.clone(),
                job: pool.job.clone(),
                client: pool.client.sibling(),
                own: pool.own.clone(),
                cache: Some(Cache::new(&target.labels)),
                state: running.state.clone(),
                removed: running.cancel.clone(),
                asked: running.asked.clone(),
                scraped,
                target,
            };
            tasks.spawn(task.run(cancel.clone()));
            pool.running.push(running);
        }
    }

    /// `data` of `/api/v1/targets`.
    #[must_use]
    pub fn targets_json(&self) -> Json {
        let pools = lock(&self.pools);
        let mut active = Vec::new();
        let mut dropped = Vec::new();
        let mut counts = serde_json::Map::new();
        for pool in pools.iter() {
            for running in &pool.running {
                let state = lock(&running.state);
                let target = &running.target;
                active.push(json!({
                    "discoveredLabels": target.discovered,
                    "labels": target.labels,
                    "scrapePool": pool.job.name,
                    "scrapeUrl": target.url,
                    "globalUrl": target.url,
                    "lastError": state.error.clone().unwrap_or_default(),
                    "lastScrape": state.at.map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339),
                    "lastScrapeDuration": state.took,
                    "health": match (&state.error, state.at) {
                        (_, None) => "unknown",
                        (None, _) => "up",
                        (Some(_), _) => "down",
                    },
                    "warnings": state.warnings,
                    "scrapeInterval": duration_text(target.interval),
                    "scrapeTimeout": duration_text(target.timeout),
                }));
            }
            dropped.extend(
                pool.dropped
                    .iter()
                    .map(|labels| json!({"discoveredLabels": labels, "scrapePool": pool.job.name})),
            );
            counts.insert(pool.job.name.clone(), pool.dropped.len().into());
        }
        json!({"activeTargets": active, "droppedTargets": dropped, "droppedTargetCounts": counts})
    }

    /// `data` of `/api/v1/scrape_pools`.
    #[must_use]
    pub fn pools_json(&self) -> Json {
        let names: Vec<String> = lock(&self.pools)
            .iter()
            .map(|pool| pool.job.name.clone())
            .collect();
        json!({"scrapePools": names})
    }

    /// The targets with their last error, for people: job, address, labels, error.
    #[must_use]
    pub fn targets(&self) -> Vec<(String, String, Labels, Option<String>)> {
        let pools = lock(&self.pools);
        let all = pools.iter().flat_map(|pool| {
            pool.running.iter().map(|running| {
                let target = &running.target;
                (
                    pool.job.name.clone(),
                    target.url.clone(),
                    target.labels.clone(),
                    lock(&running.state).error.clone(),
                )
            })
        });
        all.collect()
    }
}

fn duration_text(ms: i64) -> String {
    if ms % 60_000 == 0 {
        format!("{}m", ms / 60_000)
    } else if ms % 1000 == 0 {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

impl Pool {
    fn new(job: Job, own: Option<Own>, built_in: bool) -> Self {
        let client = Arc::new(Client::new(job.client.clone()));
        let groups = BTreeMap::from([("configuration".to_owned(), job.static_groups.clone())]);
        Self {
            job: Arc::new(job),
            client,
            own,
            groups,
            due: HashMap::new(),
            running: Vec::new(),
            dropped: Vec::new(),
            errors: Vec::new(),
            changed: true,
            built_in,
        }
    }

    fn stop(&self) {
        for running in &self.running {
            running.cancel.cancel();
        }
    }
}

/// The scraping of one target.
struct Task {
    store: Store,
    job: Arc<Job>,
    target: Target,
    client: Client,
    own: Option<Own>,
    /// Away only while a large body is read on another thread.
    cache: Option<Cache>,
    state: Arc<Mutex<State>>,
    removed: CancellationToken,
    asked: Arc<Notify>,
    scraped: watch::Sender<u64>,
}

impl Task {
    async fn run(mut self, cancel: CancellationToken) {
        let interval = self.target.interval;
        let (removed, asked) = (self.removed.clone(), self.asked.clone());
        // Targets are spread over the interval, each always at the same place of it.
        let offset = if self.own.is_some() {
            0
        } else {
            spread(&self.target) % interval
        };
        let mut first = self.own.is_some();
        loop {
            let begun = now();
            let due = if std::mem::take(&mut first) {
                begun
            } else {
                (begun - offset).div_euclid(interval) * interval + offset + interval
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = removed.cancelled() => break,
                () = asked.notified() => {}
                () = tokio::time::sleep(Duration::from_millis((due - begun).max(0) as u64)) => {}
            }
            let woken = now();
            let at = if (woken - due).abs() <= TOLERANCE.min(interval / 10) {
                due
            } else {
                woken
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = removed.cancelled() => break,
                () = self.scrape(at) => {}
            }
            self.scraped.send_modify(|count| *count += 1);
        }
        if let Some(mut cache) = self.cache.take() {
            let ended = cache
                .end(&self.store, now())
                .and_then(|()| cache.end_report(&self.store, now()));
            if let Err(error) = ended {
                tracing::warn!(%error, "a target's end cannot be stored");
            }
        }
    }

    async fn scrape(&mut self, at: i64) {
        let begun = Instant::now();
        let limit = Duration::from_millis(self.target.timeout.max(1) as u64);
        let fetched = match tokio::time::timeout(limit, self.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!(
                "context deadline exceeded: no answer within {}",
                duration_text(self.target.timeout)
            )),
        };
        let took = begun.elapsed().as_secs_f64();
        let outcome = match fetched {
            Ok((body, format)) => self.ingest(body, format, at).await,
            Err(message) => {
                if let Some(cache) = &mut self.cache
                    && let Err(error) = cache.end(&self.store, at)
                {
                    tracing::warn!(%error, "staleness cannot be stored");
                }
                Err(message)
            }
        };
        let (done, error) = match outcome {
            Ok(done) => (done, None),
            Err(error) => (Ingested::default(), Some(error)),
        };
        if let Some(cache) = &mut self.cache
            && let Err(error) = cache.report(&self.store, at, error.is_none(), took, &done)
        {
            tracing::warn!(%error, "a scrape's report cannot be stored");
        }
        let mut state = lock(&self.state);
        if error.is_some() && state.error != error {
            tracing::debug!(url = self.target.url, error, "a scrape failed");
        }
        *state = State {
            at: Some(at),
            took,
            error,
            warnings: done.warnings,
        };
    }

    async fn fetch(&self) -> Result<(Vec<u8>, Format), String> {
        if let Some(own) = &self.own {
            return own(&self.target.labels)
                .await
                .map(|(text, format)| (text.into_bytes(), format));
        }
        let mut call = Call::get(&self.target.url)
            .with(http::header::ACCEPT, accept(&self.job))
            .with(
                http::HeaderName::from_static("x-prometheus-scrape-timeout-seconds"),
                (self.target.timeout as f64 / 1e3).to_string(),
            );
        if self.job.compression {
            call = call.with(http::header::ACCEPT_ENCODING, "gzip");
        }
        if self.job.limits.body > 0 {
            call.limit = self.job.limits.body;
        }
        let answer = self
            .client
            .send(&call)
            .await
            .map_err(|error: HttpError| error.to_string())?;
        if answer.status != http::StatusCode::OK {
            return Err(format!("server returned HTTP status {}", answer.status));
        }
        let kind = answer.header(&http::header::CONTENT_TYPE);
        let format = Format::of_content_type(kind).or(self.job.fallback).ok_or_else(|| {
            format!("received unsupported Content-Type {kind:?} and no fallback_scrape_protocol specified for target")
        })?;
        Ok((answer.body, format))
    }

    async fn ingest(&mut self, body: Vec<u8>, format: Format, at: i64) -> Result<Ingested, String> {
        let Some(mut cache) = self.cache.take() else {
            return Err("the scrape before was ended half way".to_owned());
        };
        let outcome = if body.len() < LARGE {
            let outcome = cache.ingest(
                &self.store,
                &self.job,
                &self.target.labels,
                &body,
                format,
                at,
            );
            self.cache = Some(cache);
            outcome
        } else {
            let (store, job, labels) = (
                self.store.clone(),
                self.job.clone(),
                self.target.labels.clone(),
            );
            let read = tokio::task::spawn_blocking(move || {
                let outcome = cache.ingest(&store, &job, &labels, &body, format, at);
                (cache, outcome)
            });
            match read.await {
                Ok((cache, outcome)) => {
                    self.cache = Some(cache);
                    outcome
                }
                Err(_) => {
                    self.cache = Some(Cache::new(&self.target.labels));
                    return Err("reading the body ended badly".to_owned());
                }
            }
        };
        outcome.map_err(|error| error.to_string())
    }
}

/// A number that is the same for a target on every run.
fn spread(target: &Target) -> i64 {
    let mut text = target.url.clone();
    text.push_str(&target.labels.to_string());
    i64::from(crc32fast::hash(text.as_bytes()))
}

/// The `Accept` header of a job: its formats, the first with the highest weight.
fn accept(job: &Job) -> String {
    let mut parts = Vec::new();
    for (at, format) in job.formats.iter().enumerate() {
        let weight = 0.9 - at as f64 / 10.0;
        parts.push(match format {
            Format::OpenMetrics => format!("application/openmetrics-text;version=1.0.0;q={weight}"),
            Format::Text => format!("text/plain;version=0.0.4;q={weight}"),
            Format::Protobuf => {
                format!("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q={weight}")
            }
        });
    }
    parts.push("*/*;q=0.1".to_owned());
    parts.join(",")
}
