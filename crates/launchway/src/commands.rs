//! The commands, one file each: an arguments struct whose doc comment is the help, then one function.

pub(crate) mod advisories;
pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod apps;
pub(crate) mod backup;
pub(crate) mod branches;
pub(crate) mod builds;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod credentials;
pub(crate) mod cron;
pub(crate) mod dependency_check;
pub(crate) mod deploy;
pub(crate) mod deploys;
pub(crate) mod disk;
pub(crate) mod doctor;
pub(crate) mod domains;
pub(crate) mod exit_codes;
pub(crate) mod hash_password;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod node_exporter;
pub(crate) mod notices;
pub(crate) mod once;
pub(crate) mod open;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod proxy;
pub(crate) mod ps;
pub(crate) mod reference;
pub(crate) mod releases;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod scan;
pub(crate) mod self_check;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod tokens;
pub(crate) mod triggers;
pub(crate) mod uninstall;
pub(crate) mod up;
pub(crate) mod upgrade;

use launchway_model::AppName;
use launchway_model::api::ChangeAccepted;

use crate::cli::Context;
use crate::client::{Client, segment};
use crate::output::Tone;
use crate::{progress, repository};

/// Which app a command is about.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfApp {
    /// The app [default: of the repository around the current folder]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) app: Option<AppName>,
}

impl OfApp {
    /// The app's name.
    pub(crate) fn name(&self) -> anyhow::Result<AppName> {
        repository::app(self.app.as_ref())
    }

    /// The path of one of the app's resources.
    pub(crate) fn path(&self, resource: &str) -> anyhow::Result<String> {
        Ok(app_path(&self.name()?, resource))
    }
}

/// The path of an app's resource: `/apps/shop/releases`.
pub(crate) fn app_path(app: &AppName, resource: &str) -> String {
    let slash = if resource.is_empty() { "" } else { "/" };
    format!("/apps/{}{slash}{resource}", segment(app.as_str()))
}

/// Follows a change to its end, or says that there is nothing to wait for.
pub(crate) fn await_change(
    context: &Context,
    client: &Client,
    change: &ChangeAccepted,
    done: &str,
) -> anyhow::Result<()> {
    match change.deploy {
        Some(deploy) => {
            progress::follow_deploy(context.output, client, deploy)?;
            Ok(())
        }
        None if context.output.is_json() => context.output.record(change),
        None => {
            context.output.note(format!(
                "{} {done}",
                context.output.note_tone(Tone::Good, "✔")
            ));
            Ok(())
        }
    }
}
