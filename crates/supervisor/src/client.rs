//! The side of control: starts, adopts, watches and stops shims.
//!
//! A handle follows its shim over one connection. That connection's end is how control learns of the shim's end; what
//! then may be left of the app is killed before anybody is told, so that "died" always means "nothing is left". Dropping a
//! handle, or the whole of control, leaves the shim and its app alone.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Once};
use std::time::Duration;

use launchway_model::InstanceId;
use launchway_model::home::Home;
use launchway_model::instance::{Exit, InstanceState};
use launchway_model::shim::{ShimReply, ShimRequest, ShimSpec, ShimStatus};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::cgroup::Base;
use crate::{SupervisorError, shim};

use folder::InstanceFolder;

mod folder;
mod leftovers;
mod link;

/// How long a shim may take to start, on a machine under load.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// How long a shim may take to answer a request.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// How often a request is made of a shim that lives and hangs up.
const ASK_AGAIN: usize = 20;
/// How long one that is adopted is waited for before its last written state is taken instead.
const ADOPT_PATIENCE: Duration = Duration::from_millis(400);
/// How long beyond the grace time a shim may take to stop before it is killed, and its app with it.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

/// Starts and adopts the shims of one installation.
#[derive(Debug, Clone)]
pub struct Supervisor {
    binary: PathBuf,
    home: Home,
    settled: Arc<Once>,
}

/// What is found of an instance when control starts.
#[derive(Debug)]
pub enum Adopted {
    /// Its shim lives.
    Live(ShimHandle),
    /// Its shim is gone; so are, by now, its processes. The folder stays until [`Supervisor::remove`].
    Dead(Box<DeadShim>),
}

/// An instance without a shim.
#[derive(Debug, Clone)]
pub struct DeadShim {
    /// Which instance.
    pub instance: InstanceId,
    /// Its specification, where it can be read.
    pub spec: Option<ShimSpec>,
    /// Its last state, where one was written.
    pub last: Option<ShimStatus>,
    /// How many left-over processes of the app were killed.
    pub leftovers: usize,
}

/// A shim as control last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimView {
    /// Its last status.
    pub status: ShimStatus,
    /// Whether it still lives.
    pub link: ShimLink,
}

/// The connection to a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimLink {
    /// The shim lives.
    Live,
    /// The shim ended as it should, after the app had stopped.
    Ended,
    /// The shim vanished while its app ran; nothing of the app is left.
    Died,
}

/// A live shim. Clones share one connection; dropping them all leaves the shim and its app alone.
#[derive(Debug, Clone)]
pub struct ShimHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: ShimSpec,
    folder: InstanceFolder,
    view: watch::Receiver<ShimView>,
    /// Follows the connection; ends with the last handle.
    _follower: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// A supervisor that starts `binary shim FOLDER` and keeps the folders below `home`. Nothing is created or started.
    pub fn new(binary: PathBuf, home: Home) -> Self {
        Self {
            binary,
            home,
            settled: Arc::new(Once::new()),
        }
    }

    /// Makes the instance's folder, writes its specification and starts its shim, which outlives this process. Returns
    /// when the shim's socket answers and the app's process was started (not when the app is ready).
    ///
    /// # Errors
    /// [`SupervisorError::StillLives`] where the instance has a shim already; [`SupervisorError::NotReady`] with the
    /// shim's words where it cannot start. A command that cannot run is no error here: the shim says so in its status and log,
    /// and tries again.
    pub async fn start(&self, spec: ShimSpec) -> Result<ShimHandle, SupervisorError> {
        let folder = InstanceFolder::new(self.home.instance(&spec.instance));
        let settled = self.settled.clone();
        let (folder, spec) = blocking(move || {
            if spec.sandbox.cgroup.is_some() {
                settled.call_once(|| Base::find().settle());
            }
            folder.make(&spec)?;
            Ok((folder, spec))
        })
        .await?;
        let mut command = Command::new(&self.binary);
        command
            .arg("shim")
            .arg(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| SupervisorError::Spawn {
            binary: self.binary.clone(),
            source,
        })?;
        let started = timeout(START_PATIENCE, until_ready(child)).await;
        let reason = match started {
            Ok(Ok(())) => return Ok(link::connect_to_new(folder, spec, ANSWER_PATIENCE).await),
            Ok(Err(words)) => words,
            Err(_) => format!("it was silent for {} s", START_PATIENCE.as_secs()),
        };
        Err(SupervisorError::NotReady {
            reason: folder.last_words(&reason),
            instance: spec.instance,
        })
    }

    /// All instances that have a folder, connected to where their shims live, side by side. What dead shims left of their
    /// apps is gone when this returns.
    pub async fn adopt_all(&self) -> Vec<Adopted> {
        let instances = self.home.instances();
        let folders = spawn_blocking(move || InstanceFolder::all_in(&instances))
            .await
            .unwrap_or_default();
        let mut tasks = JoinSet::new();
        for (instance, folder) in folders {
            tasks.spawn(adopt(instance, folder));
        }
        let mut adopted = Vec::new();
        let mut dead = Vec::new();
        while let Some(found) = tasks.join_next().await {
            match found {
                Ok(Found::Live(handle)) => adopted.push(Adopted::Live(handle)),
                Ok(Found::Dead(shim, folder)) => dead.push((shim, folder)),
                // A task that panicked was one of ours that broke; nothing of the instance is touched then.
                Ok(Found::Unreadable) | Err(_) => {}
            }
        }
        // One look at all processes serves all of the dead.
        let folders: Vec<PathBuf> = dead.iter().map(|(_, folder)| folder.marker()).collect();
        let groups: Vec<String> = dead
            .iter()
            .filter_map(|(shim, _)| shim.spec.as_ref()?.sandbox.cgroup.clone())
            .collect();
        let left = if folders.is_empty() {
            HashMap::new()
        } else {
            spawn_blocking(move || {
                let left = leftovers::end(&folders);
                leftovers::end_groups(&groups);
                left
            })
            .await
            .unwrap_or_default()
        };
        adopted.extend(dead.into_iter().map(|(mut shim, folder)| {
            shim.leftovers = left.get(&folder.marker()).copied().unwrap_or(0);
            Adopted::Dead(shim)
        }));
        adopted
    }

    /// Removes the folder of an instance whose shim is gone, and whatever may be left of its processes; its log stays. An instance
    /// without a folder is no error.
    ///
    /// # Errors
    /// [`SupervisorError::StillLives`] where its shim lives.
    pub async fn remove(&self, instance: &InstanceId) -> Result<(), SupervisorError> {
        let folder = InstanceFolder::new(self.home.instance(instance));
        let instance = instance.clone();
        blocking(move || {
            if !folder.path().exists() {
                return Ok(());
            }
            let Some(_lock) = folder.lock() else {
                return Err(SupervisorError::StillLives { instance });
            };
            leftovers::end(&[folder.marker()]);
            if let Some(name) = folder.spec().and_then(|spec| spec.sandbox.cgroup) {
                leftovers::end_groups(&[name]);
            }
            folder.remove()
        })
        .await
    }
}

impl ShimHandle {
    /// Which instance.
    pub fn instance(&self) -> &InstanceId {
        &self.shared.spec.instance
    }

    /// Its specification.
    pub fn spec(&self) -> &ShimSpec {
        &self.shared.spec
    }

    /// Its last known status; nothing is asked.
    pub fn status(&self) -> ShimStatus {
        self.shared.view.borrow().status.clone()
    }

    /// Each change of its status, and its end. Changes that follow each other fast may be seen as one. The receiver's sender is gone
    /// after the end, or once all handles are dropped.
    pub fn watch(&self) -> watch::Receiver<ShimView> {
        self.shared.view.clone()
    }

    /// Stops the app and waits until it, all its descendants and the shim are gone. `grace` is the time between TERM and
    /// KILL, the specification's where absent. Gives how the app's main process last ended.
    ///
    /// A shim that does not answer, or does not end in its time, is killed, and its app with it. Stopping one that is gone
    /// already is no error.
    pub async fn stop(&self, grace: Option<Duration>) -> Result<Option<Exit>, SupervisorError> {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let wait = Duration::from_millis(grace_ms.unwrap_or(self.spec().grace_ms));
        match self.ask(&ShimRequest::Stop { grace_ms }).await {
            Ok(()) => {
                if let Some(view) = self.ends_within(wait + STOP_PATIENCE).await {
                    return Ok(exit_of(&view));
                }
            }
            // Between the answer and the news of its end there is a moment; it is waited for below.
            Err(SupervisorError::Gone { .. }) => {}
            Err(SupervisorError::Silent { .. }) => {
                // It may only be halted; then it has the request already.
                self.signal_shim(rustix::process::Signal::CONT);
                if let Some(view) = self.ends_within(wait + STOP_PATIENCE).await {
                    return Ok(exit_of(&view));
                }
            }
            Err(error) => return Err(error),
        }
        if let Some(view) = self.ends_within(ANSWER_PATIENCE).await {
            return Ok(exit_of(&view));
        }
        tracing::warn!(instance = %self.instance(), "the shim does not end and is killed");
        self.signal_shim(rustix::process::Signal::KILL);
        match self.ends_within(START_PATIENCE).await {
            Some(view) => Ok(exit_of(&view)),
            None => Err(SupervisorError::StillLives {
                instance: self.instance().clone(),
            }),
        }
    }

    /// Stops the app and starts it again at once; returns when the shim has accepted.
    pub async fn restart(&self) -> Result<(), SupervisorError> {
        self.ask(&ShimRequest::Restart).await
    }

    /// Asks over a connection of its own, so that the answer is not lost among the news.
    async fn ask(&self, request: &ShimRequest) -> Result<(), SupervisorError> {
        let instance = || self.instance().clone();
        for _ in 0..ASK_AGAIN {
            match link::ask(&self.shared.folder, request, ANSWER_PATIENCE).await {
                Ok(ShimReply::Status(_)) => return Ok(()),
                Ok(ShimReply::Refused { reason }) => {
                    return Err(SupervisorError::Refused {
                        instance: instance(),
                        reason,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(SupervisorError::Silent {
                        instance: instance(),
                        millis: u64::try_from(ANSWER_PATIENCE.as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Err(_) if !self.shared.folder.has_shim() => break,
                // It lives and hung up, or is about to be gone: a moment tells.
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
        Err(SupervisorError::Gone {
            instance: instance(),
        })
    }

    async fn ends_within(&self, limit: Duration) -> Option<ShimView> {
        let mut view = self.watch();
        let ended = timeout(limit, view.wait_for(|view| view.link != ShimLink::Live)).await;
        match ended {
            Ok(Ok(view)) => Some(view.clone()),
            _ => None,
        }
    }

    fn signal_shim(&self, signal: rustix::process::Signal) {
        self.shared
            .folder
            .signal_shim(self.status().shim_pid, signal);
    }
}

/// What is found in one instance's folder.
enum Found {
    Live(ShimHandle),
    Dead(Box<DeadShim>, InstanceFolder),
    /// Its shim lives, and what it was told cannot be read: nothing can be done but to leave it.
    Unreadable,
}

async fn adopt(instance: InstanceId, folder: InstanceFolder) -> Found {
    let looked = {
        let folder = folder.clone();
        spawn_blocking(move || (folder.has_shim(), folder.spec(), folder.state())).await
    };
    let Ok((lives, spec, last)) = looked else {
        return Found::Unreadable;
    };
    let dead = |spec, last| {
        Box::new(DeadShim {
            instance: instance.clone(),
            spec,
            last,
            leftovers: 0,
        })
    };
    match (lives, spec) {
        (false, spec) => Found::Dead(dead(spec, last), folder),
        (true, None) => {
            tracing::error!(%instance, "its shim lives, but its specification cannot be read");
            Found::Unreadable
        }
        (true, Some(spec)) => {
            match link::connect(folder.clone(), spec.clone(), ADOPT_PATIENCE).await {
                Ok(handle) => Found::Live(handle),
                // It ended between the two looks.
                Err(_) if !folder.has_shim() => {
                    Found::Dead(dead(Some(spec), folder.state()), folder)
                }
                Err(error) => {
                    tracing::error!(%instance, %error, "its shim lives, but cannot be reached");
                    Found::Unreadable
                }
            }
        }
    }
}

/// Waits for the line that says that the shim answers; else gives its words.
async fn until_ready(mut child: Child) -> Result<(), String> {
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = [0; 16];
        loop {
            match stdout.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => said.extend_from_slice(&buffer[..count]),
            }
            if said.ends_with(b"\n") {
                break;
            }
        }
    }
    let ready = said.trim_ascii() == shim::READY.as_bytes();
    let mut words = String::new();
    if !ready && let Some(mut stderr) = child.stderr.take() {
        // Not a text, or not to be read: then there are no words.
        let _ = stderr.read_to_string(&mut words).await;
    }
    // The command itself ends as soon as it has forked.
    let _ = child.wait().await;
    if ready { Ok(()) } else { Err(words) }
}

fn exit_of(view: &ShimView) -> Option<Exit> {
    match view.status.state {
        InstanceState::Stopped { exit } => exit,
        _ => view.status.last_exit,
    }
}

/// Runs what touches the disk beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SupervisorError> + Send + 'static,
) -> Result<T, SupervisorError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn folder_error(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> SupervisorError + use<> {
    let path = path.to_path_buf();
    move |source| SupervisorError::Folder { what, path, source }
}
