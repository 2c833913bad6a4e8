//! What can go wrong between control and a shim.

use std::io;
use std::path::PathBuf;

use launchway_model::InstanceId;

/// Why a shim could not be started, reached or removed.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The instance's folder, or a file in it, could not be made, read or removed.
    #[error("cannot {what} `{path}`")]
    Folder {
        /// What was tried ("create", "write").
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim's program could not be started.
    #[error("cannot start `{binary}`")]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim started and ended, or stayed silent, before its socket answered.
    #[error("the shim of {instance} did not start: {reason}")]
    NotReady {
        /// Which instance.
        instance: InstanceId,
        /// Its last words.
        reason: String,
    },
    /// The shim is gone.
    #[error("the shim of {instance} is gone")]
    Gone {
        /// Which instance.
        instance: InstanceId,
    },
    /// The shim refused a request.
    #[error("the shim of {instance} refused: {reason}")]
    Refused {
        /// Which instance.
        instance: InstanceId,
        /// Its reason.
        reason: String,
    },
    /// The shim did not do what it was asked in time.
    #[error("the shim of {instance} did not answer within {millis} ms")]
    Silent {
        /// Which instance.
        instance: InstanceId,
        /// How long was waited, in milliseconds.
        millis: u64,
    },
    /// A shim still lives in the folder that is to be removed or used.
    #[error("the shim of {instance} still lives")]
    StillLives {
        /// Which instance.
        instance: InstanceId,
    },
}
