//! Writes the event spool.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use launchway_model::runner::{EVENTS_FILE, RunnerEvent, RunnerEventKind};
use serde_json::Value;

use super::mask::Mask;

/// The spool of one build.
#[derive(Debug)]
pub(crate) struct Spool {
    state: Mutex<State>,
    /// What no event may show, once it is known.
    mask: OnceLock<Arc<Mask>>,
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
            mask: OnceLock::new(),
        })
    }

    /// From now on secrets are hidden in all texts of events.
    pub(crate) fn hide(&self, mask: Arc<Mask>) {
        // The mask of a build is made once.
        let _ = self.mask.set(mask);
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
        let written = self
            .line(&event)
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

    /// An event as JSON, with its texts masked one by one, so that no secret can break the line's own form.
    fn line(&self, event: &RunnerEvent) -> serde_json::Result<Vec<u8>> {
        let Some(mask) = self.mask.get() else {
            return serde_json::to_vec(event);
        };
        let mut value = serde_json::to_value(event)?;
        hide(&mut value, mask, true);
        serde_json::to_vec(&value)
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

/// Masks the texts of a value; the words that say which event it is are our own.
fn hide(value: &mut Value, mask: &Mask, top: bool) {
    match value {
        Value::String(text) => {
            let shown = mask.text(text);
            if shown != *text {
                *text = shown;
            }
        }
        Value::Array(items) => {
            for item in items {
                hide(item, mask, false);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let ours = (top && matches!(name.as_str(), "event" | "at"))
                    || matches!(name.as_str(), "result" | "kind" | "sha256" | "trigger");
                if !ours {
                    hide(field, mask, false);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
