//! The one struct that everything hangs on, and the life of control: open, run, end.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use launchway_model::api::ClientFile;
use launchway_model::home::Home;
use launchway_model::{AppName, Problem};
use launchway_store::{Store, StoredApp};
use launchway_supervisor::{ShimHandle, Supervisor};
use tokio::sync::{Notify, RwLock, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Agents;
use crate::confinement::Confinement;
use crate::metrics::Metrics;
use crate::monitoring::{self, Monitoring};
use crate::networks::Networks;
use crate::reconcile::{Event, Observed};
use crate::routes::{self, Proxy};
use crate::samples::Samples;
use crate::secrets::{self, Vault};
use crate::settings::Settings;
use crate::{
    auth, backup, builds, cron, deploys, disk, notices, problem, reconcile, samples, scans, strays,
    triggers,
};

/// How many events may wait for the loop.
const EVENTS: usize = 1024;

/// One installation's control.
pub struct Control {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) supervisor: Supervisor,
    /// How instances are kept apart on this host.
    pub(crate) confinement: Confinement,
    /// The private networks of instances.
    pub(crate) networks: Networks,
    pub(crate) tokens: auth::Tokens,
    pub(crate) agents: Agents,
    /// To the loop that owns the instances.
    pub(crate) events: mpsc::Sender<Event>,
    /// What the loop knows of the instances.
    pub(crate) observed: watch::Receiver<Observed>,
    /// What the proxy serves.
    pub(crate) proxy: Proxy,
    pub(crate) wake: Wake,
    pub(crate) deploying: deploys::Deploying,
    /// Builds that only wait.
    pub(crate) parked: builds::parked::Parked,
    /// Runs by the clock that are followed.
    pub(crate) cron: cron::Runs,
    /// Commands that outlived the control before.
    outliving: Mutex<Vec<ShimHandle>>,
    pub(crate) metrics: Metrics,
    pub(crate) looking: triggers::Looking,
    pub(crate) samples: Mutex<Samples>,
    /// Time series of all of it.
    pub(crate) monitoring: Monitoring,
    /// Ended with [`Self::run`]; streams and one-off commands end with it.
    pub(crate) cancel: CancellationToken,
    /// Tasks of streams and one-off commands, joined when control ends.
    pub(crate) tasks: TaskTracker,
    local_token: String,
    parts: Mutex<Option<Parts>>,
    this: Weak<Self>,
    /// Held for as long as control lives.
    _lock: File,
}

/// What the tasks of [`Control::run`] own.
struct Parts {
    events: mpsc::Receiver<Event>,
    observed: watch::Sender<Observed>,
    courier: routes::Courier,
}

/// Wakes the tasks that wait for records to change.
pub(crate) struct Wake {
    /// A build was queued.
    pub(crate) builds: Notify,
    /// A deploy was queued.
    pub(crate) deploys: Notify,
    /// Receivers or silences changed.
    pub(crate) notices: Notify,
    /// Counts changes of builds' and deploys' records.
    records: watch::Sender<u64>,
    /// The revision of the last change of an alert.
    alerts: watch::Sender<u64>,
}

impl Wake {
    fn new() -> Self {
        Self {
            builds: Notify::new(),
            deploys: Notify::new(),
            notices: Notify::new(),
            records: watch::Sender::new(0),
            alerts: watch::Sender::new(0),
        }
    }

    /// A build's or deploy's record changed.
    pub(crate) fn changed(&self) {
        self.records
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// An alert changed.
    pub(crate) fn alerted(&self, revision: u64) {
        self.alerts
            .send_modify(|newest| *newest = revision.max(*newest));
    }

    /// Waits for the next change of an alert.
    pub(crate) fn alerts(&self) -> watch::Receiver<u64> {
        self.alerts.subscribe()
    }

    /// Waits for the next change.
    pub(crate) fn records(&self) -> watch::Receiver<u64> {
        self.records.subscribe()
    }
}

impl Control {
    /// Opens the installation: takes its lock, opens and migrates its store, reads its key, writes `client.json`.
    /// Nothing runs yet, but every function of this crate may be called.
    ///
    /// # Errors
    /// Another control holds the home, or its files cannot be read.
    pub async fn open(settings: Settings) -> Result<Arc<Self>, Problem> {
        let home = settings.home.clone();
        make_folders(&home)?;
        let lock = lock(&home)?;
        private_file(&home.database())?;
        let store = Store::open(&home.database())
            .await
            .map_err(problem::store)?;
        let vault = Vault::open(&home.secrets_key())?;
        let tokens = RwLock::new(store.tokens().await.map_err(problem::store)?);
        let monitoring = Monitoring::open(&home, &settings.url, &settings.monitoring).await?;
        let agents = Agents::open(&store).await?;
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let (observed_sender, observed) = watch::channel(Observed::default());
        let (proxy, courier) = routes::new(home.proxy());
        let mut control = Self {
            supervisor: Supervisor::new(settings.binary.clone(), home.clone()),
            confinement: Confinement::of_this_host(&settings),
            networks: Networks::of_this_host(settings.isolate),
            settings,
            store,
            vault,
            tokens,
            agents,
            events,
            observed,
            proxy,
            wake: Wake::new(),
            deploying: deploys::Deploying::default(),
            parked: builds::parked::Parked::default(),
            cron: cron::Runs::default(),
            outliving: Mutex::default(),
            metrics: Metrics::new(),
            monitoring,
            looking: triggers::Looking::default(),
            samples: Mutex::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            local_token: String::new(),
            parts: Mutex::new(Some(Parts {
                events: event_receiver,
                observed: observed_sender,
                courier,
            })),
            this: Weak::new(),
            _lock: lock,
        };
        crate::credentials::finish_rotation(&control).await?;
        control.local_token = write_client_file(&control).await?;
        Ok(Arc::new_cyclic(|this| {
            control.this = this.clone();
            control
        }))
    }

    /// Runs builds, deploys and supervision until `cancel`, then ends every task. What runs goes on running, unless
    /// [`Settings::stop_instances_on_shutdown`].
    ///
    /// # Errors
    /// It runs already or ran before, the store cannot be read at the start, or a part of control broke.
    pub async fn run(&self, cancel: CancellationToken) -> Result<(), Problem> {
        let parts = self
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (Some(parts), Some(control)) = (parts, self.this.upgrade()) else {
            return Err(Problem::internal("control runs already"));
        };
        // Each part ends when its token does; the loop and the courier outlive those that need them.
        let outer = TaskTracker::new();
        let inner = TaskTracker::new();
        let inner_cancel = CancellationToken::new();
        let reconciler =
            reconcile::Reconciler::new(control.clone(), parts.observed, inner_cancel.clone())
                .await?;
        let courier = parts.courier;
        let mut carrying = inner.spawn({
            let (control, cancel) = (control.clone(), inner_cancel.clone());
            async move { courier.run(&control, cancel).await }
        });
        let mut reconciling = inner.spawn(reconciler.run(parts.events));
        // Ended by us as well where one part ends before its time.
        let cancel = cancel.child_token();
        let mut building = outer.spawn(builds::queue::run(control.clone(), cancel.clone()));
        let mut deploying = outer.spawn(deploys::queue::run(control.clone(), cancel.clone()));
        outer.spawn(builds::sweep::run(control.clone(), cancel.clone()));
        outer.spawn(strays::run(control.clone(), cancel.clone()));
        outer.spawn(samples::run(control.clone(), cancel.clone()));
        outer.spawn(monitoring::run(control.clone(), cancel.clone()));
        outer.spawn(scans::watch::run(control.clone(), cancel.clone()));
        outer.spawn(scans::update::run(control.clone(), cancel.clone()));
        outer.spawn(triggers::deliveries::run(control.clone(), cancel.clone()));
        outer.spawn(triggers::clock::run(control.clone(), cancel.clone()));
        outer.spawn(triggers::statuses::run(control.clone(), cancel.clone()));
        outer.spawn(notices::run(control.clone(), cancel.clone()));
        outer.spawn(disk::run(control.clone(), cancel.clone()));
        outer.spawn(backup::run(control.clone(), cancel.clone()));
        outer.spawn(cron::run(control.clone(), cancel.clone()));
        outer.close();
        let ended = tokio::select! {
            // A part that ends because it is told to may be seen in the same moment.
            biased;
            () = cancel.cancelled() => Ok(()),
            // A part that ends by itself has panicked. Control without it would look alive and do nothing; the next
            // control takes everything up again.
            _ = &mut carrying => Err("the way to the proxy"),
            _ = &mut reconciling => Err("the loop of instances"),
            _ = &mut building => Err("the queue of builds"),
            _ = &mut deploying => Err("the queue of deploys"),
        };
        cancel.cancel();
        outer.wait().await;
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if self.settings.stop_instances_on_shutdown {
            reconcile::stop_all(self).await;
        }
        inner.close();
        inner_cancel.cancel();
        inner.wait().await;
        self.store.close().await;
        ended.map_err(|part| Problem::internal(format!("{part} ended, and control with it")))
    }

    /// What control was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The token of `client.json`, which has all rights.
    pub fn local_token(&self) -> &str {
        &self.local_token
    }

    /// One stored app.
    pub(crate) async fn app(&self, name: &AppName) -> Result<StoredApp, Problem> {
        let stored = self.store.app(name).await.map_err(problem::store)?;
        stored.ok_or_else(|| problem::no_app(name))
    }

    /// Sends the loop an event. It goes nowhere before [`Self::run`] and after its end, when nothing is to be done.
    pub(crate) async fn tell(&self, event: Event) {
        // The channel is closed only when control has ended.
        let _ = self.events.send(event).await;
    }

    /// Keeps a command that outlived the control before, for whoever follows it to its end.
    pub(crate) fn keep_outliving(&self, shim: ShimHandle) {
        self.outliving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shim);
    }

    /// Those commands.
    pub(crate) fn take_outliving(&self) -> Vec<ShimHandle> {
        let mut kept = self
            .outliving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }

    /// Control as its tasks hold it.
    pub(crate) fn shared(&self) -> Result<Arc<Self>, Problem> {
        self.this
            .upgrade()
            .ok_or_else(|| Problem::unavailable("control is ending"))
    }
}

/// Makes the folders of the layout. What holds secrets or the like is for us alone; apps reach what is theirs below
/// `apps` and `releases`.
fn make_folders(home: &Home) -> Result<(), Problem> {
    let private =
        ["repos", "builds", "instances", "proxy", "logs", "metrics"].map(|name| (name, 0o700));
    let open = ["apps", "releases"].map(|name| (name, 0o711));
    for (name, mode) in private.into_iter().chain(open) {
        let folder = home.root().join(name);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::set_permissions(&folder, Permissions::from_mode(mode)))
            .map_err(|error| problem::file("make", &folder, &error))?;
    }
    Ok(())
}

/// Makes a file that only we may read, before somebody else makes it with other rights.
fn private_file(path: &Path) -> Result<(), Problem> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
        .map_err(|error| problem::file("make", path, &error))
}

/// One control a home.
fn lock(home: &Home) -> Result<File, Problem> {
    let path = home.control_lock();
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| problem::file("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Problem::conflict(format!(
            "another Launchway runs in {}",
            home.root().display()
        ))
        .hint("Use it, stop it, or give this one another folder with LAUNCHWAY_HOME.")),
        Err(std::fs::TryLockError::Error(error)) => Err(problem::file("lock", &path, &error)),
    }
}

/// Writes how a command on this machine reaches control, and gives the token in it.
async fn write_client_file(control: &Control) -> Result<String, Problem> {
    let path = control.settings.home.client_file();
    let kept = std::fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice::<ClientFile>(&text).ok())
        .map(|kept| kept.token);
    let token = auth::local_token(control, kept).await?;
    let content = ClientFile {
        url: control.settings.url.clone(),
        token: token.clone(),
    };
    let text = serde_json::to_vec(&content)
        .map_err(|error| Problem::internal("cannot encode client.json").cause(error))?;
    secrets::write_private(&path, &text).map_err(|error| problem::file("write", &path, &error))?;
    Ok(token)
}
