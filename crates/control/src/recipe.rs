//! From a release to what a shim is told: command, environment, folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use launchway_model::app::{HealthSpec, Limits, NetworkSpec};
use launchway_model::deploy::Release;
use launchway_model::shim::{Seat, ShimSpec};
use launchway_model::{
    AppName, BuildId, InstanceId, PROTOCOL, Problem, ProcessType, ReleaseNumber,
};

use crate::confinement::Whose;
use crate::{Control, config, networks, problem, users, wiring};

/// How to run one process type of one release: a shim's specification but for the instance's own name and port.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recipe {
    pub(crate) app: AppName,
    pub(crate) process: ProcessType,
    pub(crate) release: ReleaseNumber,
    pub(crate) build: BuildId,
    pub(crate) command: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) tree: PathBuf,
    /// The path at which the build saw the tree, and so must the app; none for the tree's own folder.
    pub(crate) seen_at: Option<PathBuf>,
    /// The app's user and group, where it has its own.
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) folder: Option<String>,
    pub(crate) limits: Limits,
    /// Which network it is in.
    pub(crate) network: NetworkSpec,
    pub(crate) grace: Duration,
    pub(crate) health: HealthSpec,
    /// Whether its instances take requests: they get a port, are probed and routed.
    pub(crate) http: bool,
    /// Whether it is started again when it ends; false for commands that run once.
    pub(crate) restart: bool,
}

impl Recipe {
    /// Whether instances take requests: they get a port, are probed and routed.
    pub(crate) fn takes_requests(&self) -> bool {
        self.http && self.restart
    }

    /// The port of its instances, where it need not be taken from those of the host.
    pub(crate) fn own_port(&self, control: &Control) -> Option<u16> {
        control
            .networks
            .serves(&self.network)
            .then(|| self.network.port.unwrap_or(networks::PORT))
    }

    /// How to run the command of its health check, where it has one.
    pub(crate) fn health_command(&self) -> Option<Arc<Self>> {
        let command = self.health.command.clone()?;
        let process = "health".parse().ok()?;
        let check = Self {
            folder: self.folder.clone(),
            ..self.once(process, command)
        };
        Some(Arc::new(check))
    }

    /// A command that runs once in the same tree and environment.
    pub(crate) fn once(&self, process: ProcessType, command: String) -> Self {
        Self {
            process,
            command,
            folder: None,
            limits: Limits::default(),
            restart: false,
            ..self.clone()
        }
    }

    /// What the shim of an instance is told.
    pub(crate) fn shim_spec(
        &self,
        control: &Control,
        id: &InstanceId,
        port: Option<u16>,
        seat: Option<Seat>,
    ) -> Result<ShimSpec, Problem> {
        let mut env = self.env.clone();
        wiring::expand(control, &self.app, &mut env);
        if let Some(port) = port {
            env.insert("PORT".to_owned(), port.to_string());
            // Loopback is all that is needed, but in a network of its own, where it is reached from outside.
            let host = if seat.is_some() {
                "0.0.0.0"
            } else {
                "127.0.0.1"
            };
            wiring::own_port_variables(&self.command, (host, port), &mut env);
            // Only what an app does not decide by itself: many frameworks read HOST.
            env.entry("HOST".to_owned())
                .or_insert_with(|| host.to_owned());
        }
        env.insert("LAUNCHWAY_PROCESS".to_owned(), self.process.to_string());
        env.insert("LAUNCHWAY_INSTANCE".to_owned(), id.to_string());
        let settings = control.settings();
        let whose = Whose {
            app: &self.app,
            user: self.user,
        };
        let seen_at = self.seen_at.as_deref();
        let sandbox = control
            .confinement
            .of_instance(settings, whose, id, seen_at, seat)?;
        if sandbox.private_tmp {
            env.insert("TMPDIR".to_owned(), "/tmp".to_owned());
        }
        Ok(ShimSpec {
            protocol: PROTOCOL,
            instance: id.clone(),
            command: self.command.clone(),
            env,
            tree: self.tree.clone(),
            folder: self.folder.clone(),
            sandbox,
            limits: self.limits.clone(),
            log: settings.home.instance_log(id),
            // What reads the output of a command that runs once must find all of it in one file.
            log_bytes: if self.restart {
                settings.log_bytes
            } else {
                1 << 30
            },
            log_files: settings.log_files,
            grace_ms: u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX),
            restart: self.restart,
        })
    }
}

/// The recipes of all process types of a release, and one of its environment alone for commands that run once.
pub(crate) struct Recipes {
    /// By process type.
    pub(crate) processes: BTreeMap<ProcessType, Arc<Recipe>>,
    /// The tree and environment without a command.
    pub(crate) bare: Recipe,
}

/// Works out the recipes of a release, with the configuration that it was made with.
pub(crate) async fn of_release(control: &Control, release: &Release) -> Result<Recipes, Problem> {
    let home = &control.settings().home;
    let tree = home.tree(&release.app, release.build);
    let built_at = control
        .store
        .seen_at(release.build)
        .await
        .map_err(problem::store)?;
    let seen_at = built_at.filter(|place| {
        let same = control.confinement.place().as_ref() == Some(place);
        if !same {
            tracing::warn!(app = %release.app, build = %release.build, place = %place.display(),
                "the tree was built to be seen there, which this host does not allow (any more)");
        }
        same
    });
    let user = users::of_app(control, &release.app).await?;
    let env = environment(control, release, seen_at.as_deref(), user).await?;
    let bare = Recipe {
        app: release.app.clone(),
        process: ProcessType::web(),
        release: release.number,
        build: release.build,
        command: String::new(),
        env,
        tree,
        seen_at,
        user,
        folder: None,
        limits: Limits::default(),
        network: release
            .spec
            .processes
            .get(&ProcessType::web())
            .or_else(|| release.spec.processes.values().next())
            .map(|process| process.network.clone())
            .unwrap_or_default(),
        grace: Duration::from_secs(10),
        health: release.spec.health.clone(),
        http: false,
        restart: true,
    };
    let processes = release
        .spec
        .processes
        .iter()
        .map(|(process, spec)| {
            let recipe = Recipe {
                process: process.clone(),
                command: spec.command.clone(),
                folder: spec.folder.clone(),
                limits: spec.limits.clone(),
                network: spec.network.clone(),
                grace: Duration::from_millis(spec.grace_ms),
                http: release.spec.takes_requests(process),
                health: match &spec.health {
                    Some(own) => own.clone(),
                    None if process.is_web() => bare.health.clone(),
                    // What the app says of its health is about `web`; others are asked for a connection.
                    None => HealthSpec {
                        start_ms: bare.health.start_ms,
                        ..HealthSpec::default()
                    },
                },
                ..bare.clone()
            };
            (process.clone(), Arc::new(recipe))
        })
        .collect();
    Ok(Recipes { processes, bare })
}

/// The environment of all processes of a release. What comes later wins: our defaults, the repository's, `config set`,
/// and what only Launchway can say.
async fn environment(
    control: &Control,
    release: &Release,
    seen_at: Option<&Path>,
    user: Option<(u32, u32)>,
) -> Result<BTreeMap<String, String>, Problem> {
    let home = &control.settings().home;
    let lies_at = home.tree(&release.app, release.build);
    let tmp = home.app(&release.app).join("tmp");
    let logs = home.app_logs(&release.app);
    std::fs::create_dir_all(&logs).map_err(|error| problem::file("make", &logs, &error))?;
    let mut own = vec![
        home.app_home(&release.app),
        tmp.clone(),
        home.app_persist(&release.app),
    ];
    if lies_at.is_dir() {
        // One that was built before the app had a user of its own.
        own.push(lies_at.clone());
    }
    let given =
        tokio::task::spawn_blocking(move || users::give(&own.iter().collect::<Vec<_>>(), user));
    given
        .await
        .map_err(|error| Problem::internal("the app's folders cannot be made").cause(error))??;
    let tree = seen_at.map_or(lies_at, Path::to_path_buf);
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let inherited = std::env::var_os("PATH");
    let path = launchway_pipeline::search_path::for_tree(&tree, inherited.as_deref());
    let mut env = BTreeMap::from([
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), path.to_string_lossy().into_owned()),
        // Without it Python keeps its output until 8 KiB are full, and logs lag behind.
        ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
    ]);
    env.extend(release.spec.env.clone());
    env.extend(config::vars(control, &release.app, release.config_version).await?);
    env.extend([
        ("HOME".to_owned(), text(home.app_home(&release.app))),
        ("TMPDIR".to_owned(), text(tmp)),
        ("LAUNCHWAY_APP".to_owned(), release.app.to_string()),
        ("LAUNCHWAY_RELEASE".to_owned(), release.number.0.to_string()),
    ]);
    Ok(env)
}

/// Recipes for tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// One process type of `shop`.
    pub(crate) fn recipe(process: &str, http: bool) -> Recipe {
        Recipe {
            app: "shop".parse().unwrap(),
            process: process.parse().unwrap(),
            release: ReleaseNumber(1),
            build: BuildId(1),
            command: "true".to_owned(),
            env: BTreeMap::new(),
            tree: PathBuf::from("/"),
            seen_at: None,
            user: None,
            folder: None,
            limits: Limits::default(),
            network: NetworkSpec::default(),
            grace: Duration::from_secs(1),
            health: HealthSpec::default(),
            http,
            restart: true,
        }
    }
}
