//! Marks of graphs: when what was deployed, and what was wrong from when to when.

use jiff::Timestamp;
use launchway_model::deploy::DeployState;
use launchway_model::notice::Mark;
use launchway_model::{AppName, Problem};

use crate::alerts::{self, Which};
use crate::{Control, apps, deploys};

/// How many deploys of an app and how many alerts are looked at.
const MOST: u32 = 200;

/// The deploys and alerts of a time, of one app or all, the oldest first.
///
/// # Errors
/// There is no such app, or the store fails.
pub async fn marks(
    control: &Control,
    app: Option<&AppName>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Mark>, Problem> {
    let names = match app {
        Some(app) => vec![app.clone()],
        None => apps::list(control)
            .await?
            .into_iter()
            .map(|app| app.name)
            .collect(),
    };
    let mut marks = Vec::new();
    for name in &names {
        for deploy in deploys::list(control, name, MOST).await? {
            let took: u64 = deploy.phases.iter().filter_map(|phase| phase.millis).sum();
            let ended = deploy.created
                + jiff::SignedDuration::from_millis(i64::try_from(took).unwrap_or(0));
            let what = match deploy.state {
                DeployState::Succeeded => "deployed",
                DeployState::Failed { .. } => "failed to deploy",
                _ => continue,
            };
            if deploy.created <= to && ended >= from {
                marks.push(Mark {
                    kind: "deploy".to_owned(),
                    app: Some(name.clone()),
                    text: format!("{name}: release {} {what}", deploy.release),
                    link: format!("/deploys/{}", deploy.id),
                    from: deploy.created,
                    to: Some(ended),
                });
            }
        }
    }
    for alert in alerts::list(control, Which::All, app, MOST).await? {
        if alert.raised_at <= to && alert.ended_at.is_none_or(|ended| ended >= from) {
            marks.push(Mark {
                kind: alert.severity.word().to_owned(),
                text: alert.summary.clone(),
                link: alert.link().unwrap_or("/alerts").to_owned(),
                from: alert.raised_at,
                to: alert.ended_at,
                app: alert.app,
            });
        }
    }
    marks.sort_by_key(|mark| mark.from);
    Ok(marks)
}
