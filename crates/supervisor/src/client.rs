//! The side of control: starts, adopts, watches and stops shims.

use std::path::PathBuf;
use std::time::Duration;

use launchway_model::InstanceId;
use launchway_model::home::Home;
use launchway_model::instance::Exit;
use launchway_model::shim::{ShimSpec, ShimStatus};
use tokio::sync::watch;

use crate::SupervisorError;

/// Starts and adopts the shims of one installation.
#[derive(Debug, Clone)]
pub struct Supervisor {
    binary: PathBuf,
    home: Home,
}

/// What is found of an instance when control starts.
#[derive(Debug)]
pub enum Adopted {
    /// Its shim lives.
    Live(ShimHandle),
    /// Its shim is gone; so are, by now, its processes. The folder stays until [`Supervisor::remove`].
    Dead(DeadShim),
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
    /// Whether it still speaks.
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
    view: watch::Receiver<ShimView>,
}

impl Supervisor {
    /// A supervisor that starts `binary shim FOLDER` and keeps the folders below `home`. Nothing is created or started.
    pub fn new(binary: PathBuf, home: Home) -> Self {
        Self { binary, home }
    }

    /// Makes the instance's folder, writes its specification and starts its shim, which outlives this process. Returns
    /// when the shim's socket answers and the app's process was started (not when the app is ready).
    pub async fn start(&self, _spec: ShimSpec) -> Result<ShimHandle, SupervisorError> {
        let _ = (&self.binary, &self.home);
        unimplemented!()
    }

    /// All instances that have a folder, connected to where their shims live, side by side.
    pub async fn adopt_all(&self) -> Vec<Adopted> {
        unimplemented!()
    }

    /// Removes the folder of an instance whose shim is gone; its log stays.
    pub async fn remove(&self, _instance: &InstanceId) -> Result<(), SupervisorError> {
        unimplemented!()
    }
}

impl ShimHandle {
    /// Which instance.
    pub fn instance(&self) -> &InstanceId {
        unimplemented!()
    }

    /// Its specification.
    pub fn spec(&self) -> &ShimSpec {
        unimplemented!()
    }

    /// Its last known status; nothing is asked.
    pub fn status(&self) -> ShimStatus {
        self.view.borrow().status.clone()
    }

    /// Each change of its status, and its end. Changes that follow each other fast may be seen as one.
    pub fn watch(&self) -> watch::Receiver<ShimView> {
        self.view.clone()
    }

    /// Stops the app and waits until it, all its descendants and the shim are gone. `grace` is the time between TERM and
    /// KILL, the specification's where absent.
    pub async fn stop(&self, _grace: Option<Duration>) -> Result<Option<Exit>, SupervisorError> {
        unimplemented!()
    }

    /// Stops the app and starts it again at once; returns when the shim has accepted.
    pub async fn restart(&self) -> Result<(), SupervisorError> {
        unimplemented!()
    }
}
