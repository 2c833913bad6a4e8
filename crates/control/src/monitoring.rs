//! The monitor of an installation: what it scrapes, where it keeps it, and who may ask.
//!
//! One store lies below the home (`metrics`). The host, control itself with all that it observes, and the apps' own
//! `/metrics` are scraped with no hand; a `prometheus.yml` in the home adds whatever a Prometheus would scrape. The crate
//! `monitor` does the work; here is only what it has to know of this installation.
//!
//! **Invariant:** a query runs on a thread of its own and stops when its asker is gone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use launchway_model::Problem;
use launchway_model::home::Home;
use launchway_monitor::api::{self, Api, Parameters, Sources};
use launchway_monitor::promql::{Cancellation, Engine, QueryError, Series, Value};
use launchway_monitor::rules::{RuleOptions, Rules};
use launchway_monitor::scrape::Scraper;
use launchway_monitor::scrape::config::{Config, Job};
use launchway_monitor::scrape::discovery::matching_files;
use launchway_monitor::storage::{Options, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Control;

mod apps;
mod history;
mod marks;
mod own;
pub mod remote;
pub(crate) mod rules;

pub use history::{History, Sample, history};
pub use marks::marks;

/// How often the configuration is looked at for changes.
const LOOK: Duration = Duration::from_secs(5);

/// How the monitor of an installation behaves.
#[derive(Debug, Clone)]
pub struct MonitoringSettings {
    /// How long samples are kept.
    pub retention: Duration,
    /// The most bytes that samples take on disk.
    pub max_bytes: u64,
    /// How often the host is scraped.
    pub host_interval: Duration,
    /// How often control, the instances and the routes are scraped.
    pub own_interval: Duration,
    /// How often apps' own metrics are scraped.
    pub app_interval: Duration,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(15 * 86_400),
            max_bytes: 1 << 30,
            host_interval: Duration::from_secs(15),
            own_interval: Duration::from_secs(5),
            app_interval: Duration::from_secs(15),
        }
    }
}

/// Adds the edge's own counters to an exposition text.
type Edge = Box<dyn Fn(&mut String) + Send + Sync>;

/// The parts of the monitor.
pub(crate) struct Monitoring {
    store: Store,
    engine: Engine,
    api: Api,
    scraper: Arc<Scraper>,
    rules: Arc<Rules>,
    /// Rules have to be loaded anew.
    pub(crate) rules_changed: Notify,
    /// An instance crashed, and that is scraped.
    crashed: Notify,
    /// What the configuration says beside targets.
    configured: Mutex<Config>,
    edge: Mutex<Option<Edge>>,
    own: own::Instances,
    history: history::Cache,
}

/// A request of Prometheus' HTTP API.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path, which begins with `/api/v1/`, or is `/federate`.
    pub path: String,
    /// The URL's query.
    pub query: String,
    /// The form of the body.
    pub form: String,
}

/// An answer of Prometheus' HTTP API.
pub use launchway_monitor::api::Response;

impl Monitoring {
    /// Opens the store; nothing is scraped before [`run`].
    pub(crate) async fn open(
        home: &Home,
        url: &str,
        settings: &MonitoringSettings,
    ) -> Result<Self, Problem> {
        let (folder, configuration) = (home.metrics(), home.prometheus_config());
        let options = Options {
            retention: Some(settings.retention),
            max_bytes: Some(settings.max_bytes),
            ..Options::default()
        };
        let opened = tokio::task::spawn_blocking(move || Store::open(&folder, options)).await;
        let store = opened
            .map_err(|error| {
                Problem::internal("opening the store of metrics ended badly").cause(error)
            })?
            .map_err(|error| store_problem(&error))?;
        for damage in store.damages() {
            tracing::warn!(path = %damage.path.display(), bytes = damage.bytes, "damage in the store of metrics: {}", damage.what);
        }
        let engine = Engine::default();
        let scraper = Arc::new(Scraper::new(store.clone(), home.root()));
        let sources = Sources {
            targets: Some(Box::new({
                let scraper = scraper.clone();
                move || scraper.targets_json()
            })),
            scrape_pools: Some(Box::new({
                let scraper = scraper.clone();
                move || scraper.pools_json()
            })),
            config: Some(Box::new(move || {
                std::fs::read_to_string(&configuration).unwrap_or_default()
            })),
            ..Sources::default()
        };
        let options = RuleOptions {
            external_url: url.to_owned(),
            ..RuleOptions::default()
        };
        let rules = Arc::new(Rules::new(store.clone(), engine.clone(), options));
        let api = Api::new(store.clone(), engine.clone())
            .with_sources(sources)
            .with_rules(rules.clone());
        Ok(Self {
            store,
            engine,
            api,
            scraper,
            rules,
            rules_changed: Notify::new(),
            crashed: Notify::new(),
            configured: Mutex::default(),
            edge: Mutex::default(),
            own: own::Instances::default(),
            history: history::Cache::default(),
        })
    }
}

fn store_problem(error: &StoreError) -> Problem {
    let problem = Problem::unavailable(format!("the store of metrics cannot be opened: {error}"));
    match error {
        StoreError::Format { .. } => {
            problem.hint("It was written by a later version: upgrade, or move the folder away.")
        }
        _ => problem
            .hint("Check the folder's rights and the disk, or move the folder away to begin anew."),
    }
}

/// Lets the HTTP edge add its own counters to what is scraped of control.
pub fn set_edge(control: &Control, edge: impl Fn(&mut String) + Send + Sync + 'static) {
    let mut slot = control
        .monitoring
        .edge
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *slot = Some(Box::new(edge));
}

/// Answers a request of Prometheus' HTTP API.
pub async fn answer(control: &Control, request: Request) -> Response {
    let cancellation = Cancellation::default();
    let _guard = CancelOnDrop(cancellation.clone());
    let asked = control.shared().map(|control| {
        tokio::task::spawn_blocking(move || {
            let mut parameters = Parameters::parse(&request.query);
            parameters.extend(Parameters::parse(&request.form));
            control.monitoring.api.handle(&api::Request {
                method: &request.method,
                path: &request.path,
                parameters,
                cancellation,
            })
        })
    });
    let failed = || Response {
        status: 503,
        content_type: "application/json",
        body: br#"{"status":"error","errorType":"unavailable","error":"control is ending"}"#
            .to_vec(),
    };
    match asked {
        Ok(task) => task.await.unwrap_or_else(|_| failed()),
        Err(_) => failed(),
    }
}

/// Stops a query whose asker went away.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Evaluates a query at every step (ms) of a range of time (ms since 1970).
///
/// # Errors
/// The query is wrong, or takes more than it may.
pub async fn range(
    control: &Control,
    query: &str,
    start: i64,
    end: i64,
    step: i64,
) -> Result<Vec<Series>, Problem> {
    let cancellation = Cancellation::default();
    let _guard = CancelOnDrop(cancellation.clone());
    let (shared, query) = (control.shared()?, query.to_owned());
    let task = tokio::task::spawn_blocking(move || {
        let monitoring = &shared.monitoring;
        monitoring
            .engine
            .range_with(&monitoring.store, &query, (start, end, step), &cancellation)
    });
    let answer = task
        .await
        .map_err(|error| Problem::internal("a query ended badly").cause(error))?
        .map_err(|error| query_problem(&error))?;
    match answer.value {
        Value::Vector(series) | Value::Matrix(series) => Ok(series),
        Value::Scalar(..) | Value::Text(..) => Ok(Vec::new()),
    }
}

fn query_problem(error: &QueryError) -> Problem {
    match error {
        QueryError::Parse(_) | QueryError::Execution(_) => Problem::invalid(error.to_string()),
        _ => Problem::unavailable(error.to_string())
            .hint("Ask for less at once: fewer series, a shorter range, a longer step."),
    }
}

/// Makes a copy of all samples at one moment in a new folder, for backups. Files are linked where they can be.
///
/// # Errors
/// The copy cannot be written.
pub async fn snapshot(control: &Control, target: PathBuf) -> Result<(), Problem> {
    let store = control.monitoring.store.clone();
    let made = tokio::task::spawn_blocking(move || store.snapshot(&target)).await;
    made.map_err(|error| Problem::internal("the snapshot of metrics ended badly").cause(error))?
        .map_err(|error| Problem::internal("the metrics cannot be copied").caused_by(&error))
}

/// Scrapes until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let monitoring = &control.monitoring;
    own::add_jobs(&control);
    let tasks = TaskTracker::new();
    tasks.spawn(monitoring.scraper.clone().run(cancel.clone()));
    tasks.spawn(apps::run(control.clone(), cancel.clone()));
    tasks.spawn(rules::run(control.clone(), cancel.clone()));
    tasks.spawn(remote::run(control.clone(), cancel.clone()));
    tasks.spawn(rules::watch_crashes(control.clone(), cancel.clone()));
    tasks.spawn(watch_configuration(
        Arc::downgrade(&control),
        cancel.clone(),
    ));
    tasks.close();
    tasks.wait().await;
    // What the interval of syncing has not written yet is written now.
    let store = monitoring.store.clone();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.sync()).await {
        tracing::warn!(%error, "the log of metrics cannot be synced");
    }
}

/// Reads the configuration whenever its files change; one with mistakes leaves what was there.
async fn watch_configuration(control: Weak<Control>, cancel: CancellationToken) {
    let mut known: Option<Vec<(PathBuf, Option<SystemTime>)>> = None;
    loop {
        let Some(control) = control.upgrade() else {
            return;
        };
        let path = control.settings.home.prometheus_config();
        let changed = known
            .as_ref()
            .is_none_or(|files| files.iter().any(|(path, at)| modified(path) != *at));
        if changed {
            let mut files = vec![(path.clone(), modified(&path))];
            match read_configuration(&path, &mut files) {
                Ok(config) => {
                    let mut config = config.unwrap_or_default();
                    let monitoring = &control.monitoring;
                    monitoring
                        .scraper
                        .configure(std::mem::take(&mut config.jobs));
                    *monitoring
                        .configured
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = config;
                    monitoring.rules_changed.notify_one();
                }
                Err(errors) => {
                    for error in errors {
                        tracing::error!("{error}");
                    }
                }
            }
            // Rule files, and the folder that more may come into.
            let folder = control.settings.home.root();
            files.push((folder.join("rules"), modified(&folder.join("rules"))));
            let configured = control
                .monitoring
                .configured
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .rule_files
                .clone();
            let patterns = ["rules/*.yml".to_owned(), "rules/*.yaml".to_owned()]
                .into_iter()
                .chain(configured);
            for path in patterns.flat_map(|pattern| matching_files(folder, &pattern)) {
                files.push((path.clone(), modified(&path)));
            }
            known = Some(files);
        }
        drop(control);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

/// The configuration with the files that it names; `None` where there is none.
fn read_configuration(
    path: &Path,
    files: &mut Vec<(PathBuf, Option<SystemTime>)>,
) -> Result<Option<Config>, Vec<String>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])
    };
    let placed = |path: &Path| {
        let name = path.display().to_string();
        move |errors: Vec<launchway_monitor::yaml::YamlError>| -> Vec<String> {
            errors
                .iter()
                .map(|error| format!("{name}:{error}"))
                .collect()
        }
    };
    if modified(path).is_none() {
        return Ok(None);
    }
    let mut config = Config::parse(&read(path)?).map_err(placed(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for pattern in config.scrape_config_files.clone() {
        for more in matching_files(folder, &pattern) {
            files.push((more.clone(), modified(&more)));
            config
                .add_scrape_configs(&read(&more)?, &Job::new(""))
                .map_err(placed(&more))?;
        }
    }
    Ok(Some(config))
}
