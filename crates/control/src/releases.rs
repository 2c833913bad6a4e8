//! Releases: immutable, numbered per app.

use launchway_model::deploy::Release;
use launchway_model::{AppName, Problem, ReleaseNumber};

use crate::{Control, problem};

/// Releases of an app, newest first.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(control: &Control, app: &AppName, limit: u32) -> Result<Vec<Release>, Problem> {
    control.app(app).await?;
    control
        .store
        .releases(app, limit)
        .await
        .map_err(problem::store)
}

/// One release.
///
/// # Errors
/// The app or the release does not exist, or the store fails.
pub async fn get(
    control: &Control,
    app: &AppName,
    number: ReleaseNumber,
) -> Result<Release, Problem> {
    control.app(app).await?;
    let release = control
        .store
        .release(app, number)
        .await
        .map_err(problem::store)?;
    release.ok_or_else(|| {
        Problem::not_found(format!("{app} has no release {number}"))
            .hint(format!("`launchway releases --app {app}` lists them."))
    })
}
