//! Where everything lies below `$LAUNCHWAY_HOME`: the one place that knows the layout.

use std::path::{Path, PathBuf};

use crate::names::{AppName, BuildId, InstanceId};

/// The layout of one installation's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The layout below `root`, which must be absolute; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.root.join("launchway.db")
    }

    /// The key that encrypts stored secrets; mode 0600.
    pub fn secrets_key(&self) -> PathBuf {
        self.root.join("secrets.key")
    }

    /// Where a local client finds the API's address and a token; mode 0600. JSON of [`crate::api::ClientFile`].
    pub fn client_file(&self) -> PathBuf {
        self.root.join("client.json")
    }

    /// The lock that one `control` holds.
    pub fn control_lock(&self) -> PathBuf {
        self.root.join("control.lock")
    }

    /// The bare mirror of an app's repository.
    pub fn repository(&self, app: &AppName) -> PathBuf {
        self.root.join("repos").join(format!("{app}.git"))
    }

    /// A build's folder: job, event spool, logs, results, artifacts.
    pub fn build(&self, build: BuildId) -> PathBuf {
        self.root.join("builds").join(build.0.to_string())
    }

    /// The tree that a build makes and that its releases run: a release from a rollback or a changed configuration
    /// shares the tree of the build that it came from, so trees are named by build.
    pub fn tree(&self, app: &AppName, build: BuildId) -> PathBuf {
        self.root
            .join("releases")
            .join(app.as_str())
            .join(build.0.to_string())
    }

    /// All trees of an app.
    pub fn trees(&self, app: &AppName) -> PathBuf {
        self.root.join("releases").join(app.as_str())
    }

    /// What an app owns across releases: its HOME, caches, temporary folder and persistent paths.
    pub fn app(&self, app: &AppName) -> PathBuf {
        self.root.join("apps").join(app.as_str())
    }

    /// The HOME that an app's builds and instances see.
    pub fn app_home(&self, app: &AppName) -> PathBuf {
        self.app(app).join("home")
    }

    /// Build caches of an app, content-addressed, within a budget.
    pub fn app_cache(&self, app: &AppName) -> PathBuf {
        self.app(app).join("cache")
    }

    /// Files and folders of an app that outlive releases.
    pub fn app_persist(&self, app: &AppName) -> PathBuf {
        self.app(app).join("persist")
    }

    /// The folder of logs of an app's instances, kept across releases: `INSTANCE.log`, rotated to `INSTANCE.log.1`.
    pub fn app_logs(&self, app: &AppName) -> PathBuf {
        self.root.join("logs").join(app.as_str())
    }

    /// The log of one instance.
    pub fn instance_log(&self, instance: &InstanceId) -> PathBuf {
        self.app_logs(instance.app())
            .join(format!("{instance}.log"))
    }

    /// All instances' folders.
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// One instance's folder: spec, state, socket.
    pub fn instance(&self, instance: &InstanceId) -> PathBuf {
        self.instances().join(instance.to_string())
    }

    /// The proxy's folder.
    pub fn proxy(&self) -> PathBuf {
        self.root.join("proxy")
    }

    /// The last applied route table, as [`crate::route::Snapshot`].
    pub fn proxy_snapshot(&self) -> PathBuf {
        self.proxy().join("snapshot.json")
    }

    /// The Unix socket on which the proxy takes [`crate::route::ProxyRequest`]s.
    pub fn proxy_socket(&self) -> PathBuf {
        self.proxy().join("control.sock")
    }

    /// A Prometheus configuration, where somebody put one there.
    pub fn prometheus_config(&self) -> PathBuf {
        self.root.join("prometheus.yml")
    }

    /// The advisories that dependencies are checked against.
    pub fn advisories(&self) -> PathBuf {
        self.root.join("advisories")
    }

    /// Time series.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics")
    }
}
