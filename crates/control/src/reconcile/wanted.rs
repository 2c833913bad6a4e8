//! What is wanted of one app, as the loop holds it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use launchway_model::app::AppSpec;
use launchway_model::deploy::Release;
use launchway_model::{Problem, ProcessType};
use launchway_store::StoredApp;

use crate::Control;
use crate::recipe::{self, Recipe};

/// What is wanted of one app.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The release that serves.
    pub(crate) release: Arc<Release>,
    /// Its tree.
    pub(crate) tree: PathBuf,
    /// How to run each of its process types.
    pub(crate) recipes: BTreeMap<ProcessType, Arc<Recipe>>,
    /// How many instances of each of its process types.
    pub(crate) formation: BTreeMap<ProcessType, u32>,
    /// Whether a person stopped it.
    pub(crate) stopped: bool,
    /// The host names added to it.
    pub(crate) domains: Vec<String>,
}

impl Wanted {
    /// What is wanted of an app with a release in service.
    pub(crate) async fn of(
        control: &Control,
        app: &StoredApp,
        release: Release,
    ) -> Result<Self, Problem> {
        let recipes = recipe::of_release(control, &release).await?;
        Ok(Self {
            tree: recipes.bare.tree.clone(),
            recipes: recipes.processes,
            formation: formation(&release.spec, &app.formation),
            stopped: app.stopped,
            domains: app.domains.clone(),
            release: Arc::new(release),
        })
    }

    /// How many instances of a process type are to run.
    pub(crate) fn count(&self, process: &ProcessType) -> u32 {
        if self.stopped {
            0
        } else {
            self.formation.get(process).copied().unwrap_or(0)
        }
    }
}

/// How many instances of each process type of a release: what a person said, else what the release says.
pub(crate) fn formation(
    spec: &AppSpec,
    said: &BTreeMap<ProcessType, u32>,
) -> BTreeMap<ProcessType, u32> {
    spec.processes
        .iter()
        .map(|(process, spec)| {
            (
                process.clone(),
                said.get(process).copied().unwrap_or(spec.instances),
            )
        })
        .collect()
}
