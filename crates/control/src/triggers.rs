//! What starts builds by itself: webhooks, polls, schedules, builds of other apps.

use launchway_model::AppName;

/// What the secret of an app's webhooks is authenticated with.
pub(crate) fn secret_context(app: &AppName) -> String {
    format!("launchway hook {app}")
}
