//! What is wanted of one app, as the loop holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use launchway_model::app::{AppSpec, HeaderMatch};
use launchway_model::deploy::Release;
use launchway_model::route::Maintenance;
use launchway_model::{InstanceId, Problem, ProcessType};
use launchway_store::StoredApp;

use crate::recipe::{self, Recipe};
use crate::{Control, wiring};

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
    /// What a person says of its routes.
    pub(crate) routing: Routing,
    /// The process types that others reach by an address of their own.
    pub(crate) wired: BTreeSet<ProcessType>,
    /// The instances of another release that take a part of the requests.
    pub(crate) canary: Option<CanaryWanted>,
}

/// Instances of a release that is tried on a part of the requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CanaryWanted {
    /// Those of them that are ready are routed.
    pub(crate) instances: Vec<InstanceId>,
    /// Their share in percent.
    pub(crate) percent: u8,
    /// Requests with this field go to them, whatever the share.
    pub(crate) header: Option<HeaderMatch>,
}

/// What a person says of an app's routes, whatever release serves.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Routing {
    /// The host names added to it.
    pub(crate) domains: Vec<String>,
    /// While it is in maintenance.
    pub(crate) maintenance: Option<Maintenance>,
}

impl Routing {
    /// As the store has it.
    pub(crate) fn of(app: &StoredApp) -> Self {
        Self {
            domains: app.domains.clone(),
            maintenance: app.maintenance.clone(),
        }
    }
}

impl Wanted {
    /// What is wanted of an app with a release in service.
    pub(crate) async fn of(
        control: &Control,
        app: &StoredApp,
        release: Release,
    ) -> Result<Self, Problem> {
        let recipes = recipe::of_release(control, &release).await?;
        let wired = wiring::asked_for(recipes.bare.env.values());
        Ok(Self {
            tree: recipes.bare.tree.clone(),
            recipes: recipes.processes,
            formation: formation(&release.spec, &app.formation),
            stopped: app.stopped,
            routing: Routing::of(app),
            wired,
            canary: None,
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
