//! Writes the event spool.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use launchway_model::runner::{EVENTS_FILE, RunnerEvent, RunnerEventKind};

/// The spool of one build.
#[derive(Debug)]
pub(crate) struct Spool {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    seq: u64,
    /// The first error: from then on nothing is written, so that a reader sees no gap.
    broken: Option<io::Error>,
}

impl Spool {
    /// A new spool in a build's folder. One that is there already is refused: two runners of one build are a fault.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(EVENTS_FILE);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the build's folder holds the events of a runner already",
            ));
        }
        Ok(Self {
            state: Mutex::new(State {
                file,
                seq: 0,
                broken: None,
            }),
        })
    }

    /// Appends an event.
    pub(crate) fn emit(&self, kind: RunnerEventKind) {
        let last = matches!(kind, RunnerEventKind::Finished { .. });
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.broken.is_some() {
            return;
        }
        let event = RunnerEvent {
            seq: state.seq,
            at: jiff::Timestamp::now(),
            kind,
        };
        let written = serde_json::to_vec(&event)
            .map_err(io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                state.file.write_all(&line)?;
                if last { state.file.sync_data() } else { Ok(()) }
            });
        match written {
            Ok(()) => state.seq += 1,
            Err(error) => state.broken = Some(error),
        }
    }

    /// Whether all that was emitted was written.
    pub(crate) fn close(self) -> io::Result<()> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state.broken.map_or(Ok(()), Err)
    }
}
