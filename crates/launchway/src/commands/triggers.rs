//! `launchway triggers`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::credential::CredentialId;
use launchway_model::trigger::{
    Delivery, Forge, Forks, HookSecret, LookReport, TriggerSettings, Triggers as Shown,
};

use super::OfApp;
use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// What makes an app's builds start by themselves: webhooks, polls, branches and pull requests.
///
/// `launchway triggers set --remote URL --multibranch on` builds every branch and pull request that has a Jenkinsfile or a
/// launchway.toml; `launchway triggers secret` gives what the forge needs to tell of each push.
#[derive(Debug, clap::Args)]
pub(crate) struct Triggers {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the settings, and whether remote and forge could be reached
    Show {
        #[command(flatten)]
        of: OfApp,
    },
    /// Change settings; what is not named stays as it is
    Set(Box<Set>),
    /// Make a new secret for webhooks, and print it with their address; an earlier one is worth nothing then
    Secret {
        #[command(flatten)]
        of: OfApp,
    },
    /// Look at the remote repository now, and build what is new
    Poll {
        #[command(flatten)]
        of: OfApp,
    },
    /// List the webhooks that came last, and what became of them
    Deliveries {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        of: OfApp,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ForgeName {
    /// GitHub, or GitHub Enterprise
    Github,
    /// GitLab
    Gitlab,
    /// Gitea or Forgejo
    Gitea,
    /// Any git server: no pull requests, no commit statuses
    Plain,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ForksName {
    /// They are listed, not built
    Never,
    /// They are built with neither credentials nor configuration nor caches
    WithoutCredentials,
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    of: OfApp,
    /// The remote repository's address; `off` for none
    #[arg(long, value_name = "URL")]
    remote: Option<String>,
    /// The kind of its server [default: known by its name, else plain]
    #[arg(long, value_enum)]
    forge: Option<ForgeName>,
    /// The address of the forge's API, where it is not the usual one; `off` for the usual one
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// The credential that the remote is fetched with; `off` for none
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Whether every branch, tag and pull request builds by itself
    #[arg(long, value_enum)]
    multibranch: Option<Switch>,
    /// Only branches that match; may be given several times, `off` for all
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// No branches that match; may be given several times, `off` for none
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Whether new tags are built
    #[arg(long, value_enum)]
    tags: Option<Switch>,
    /// What is done with pull requests of forks
    #[arg(long, value_enum)]
    forks: Option<ForksName>,
    /// When the remote is looked at, such as `H/5 * * * *`; `off` for never
    #[arg(long, value_name = "SCHEDULE")]
    poll: Option<String>,
    /// The credential whose token reports builds as commit statuses; `off` for no statuses
    #[arg(long, value_name = "ID")]
    statuses: Option<String>,
    /// Branches that get a preview, such as `PR-*`; may be given several times, `off` for none
    #[arg(long, value_name = "PATTERN")]
    previews: Vec<String>,
    /// The domain below which previews have their names; `off` for `*.localhost` alone
    #[arg(long, value_name = "DOMAIN")]
    preview_domain: Option<String>,
    /// A variable of the app that its previews get too; may be given several times, `off` for none
    #[arg(long, value_name = "NAME")]
    preview_var: Vec<String>,
    /// How many previews there may be at once
    #[arg(long, value_name = "N")]
    preview_limit: Option<u32>,
}

impl Set {
    fn apply(self, settings: &mut TriggerSettings) -> anyhow::Result<()> {
        let off = |text: String| (text != "off").then_some(text);
        let id = |text: String| {
            off(text)
                .map(|text| text.parse::<CredentialId>())
                .transpose()
        };
        let list = |given: Vec<String>, list: &mut Vec<String>| {
            if !given.is_empty() {
                *list = given.into_iter().filter(|one| one != "off").collect();
            }
        };
        if let Some(remote) = self.remote {
            settings.remote = off(remote);
            // Another server may be of another kind; control tells it by its name where it can.
            settings.forge = Forge::Plain;
        }
        if let Some(forge) = self.forge {
            settings.forge = match forge {
                ForgeName::Github => Forge::Github,
                ForgeName::Gitlab => Forge::Gitlab,
                ForgeName::Gitea => Forge::Gitea,
                ForgeName::Plain => Forge::Plain,
            };
        }
        if let Some(api) = self.api {
            settings.api = off(api);
        }
        if let Some(credential) = self.credential {
            settings.credential = id(credential)?;
        }
        if let Some(multibranch) = self.multibranch {
            settings.multibranch = multibranch.is_on();
        }
        list(self.include, &mut settings.include);
        list(self.exclude, &mut settings.exclude);
        if let Some(tags) = self.tags {
            settings.tags = tags.is_on();
        }
        if let Some(forks) = self.forks {
            settings.forks = match forks {
                ForksName::Never => Forks::Never,
                ForksName::WithoutCredentials => Forks::WithoutCredentials,
            };
        }
        if let Some(poll) = self.poll {
            settings.poll = off(poll);
        }
        if let Some(statuses) = self.statuses {
            settings.status_credential = id(statuses)?;
        }
        list(self.previews, &mut settings.previews);
        if let Some(domain) = self.preview_domain {
            settings.preview_domain = off(domain);
        }
        list(self.preview_var, &mut settings.preview_vars);
        if let Some(limit) = self.preview_limit {
            settings.preview_limit = limit;
        }
        Ok(())
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Triggers) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what {
        What::Show { of } => show(context, &client.get(&of.path("triggers")?)?)?,
        What::Set(set) => {
            let path = set.of.path("triggers")?;
            let now: Shown = client.get(&path)?;
            let mut settings = now.settings;
            set.apply(&mut settings)?;
            show(context, &client.put(&path, &settings)?)?;
        }
        What::Secret { of } => {
            let made: HookSecret = client.post(&of.path("triggers/secret")?, &())?;
            let url = format!("{}{}", client.server().url, made.hook);
            context.output.result(&made, |output| {
                output.line(format!("address  {url}"))?;
                Ok(output.line(format!("secret   {}", made.secret))?)
            })?;
            context.output.note(
                "enter both at the forge as a webhook with JSON for pushes, tags, deletions and pull requests; the secret is not shown again",
            );
        }
        What::Poll { of } => {
            let report: LookReport = client.post(&of.path("triggers/poll")?, &())?;
            context.output.result(&report, |output| {
                for (branch, build) in &report.queued {
                    output.line(format!("{branch}: build {build} is queued"))?;
                }
                for branch in &report.gone {
                    output.line(format!("{branch} is gone"))?;
                }
                if report.queued.is_empty() && report.gone.is_empty() {
                    output.line(format!(
                        "{} branches, tags and pull requests; none is new",
                        report.seen
                    ))?;
                }
                Ok(())
            })?;
        }
        What::Deliveries { limit, of } => {
            let path = format!("{}?limit={limit}", of.path("deliveries")?);
            let deliveries: Vec<Delivery> = client.get(&path)?;
            context.output.result(&deliveries, |output| {
                let now = Timestamp::now();
                let mut table = Table::new(&["age", "event", "id", "outcome"]);
                for one in &deliveries {
                    table.row([
                        words::age(one.at, now),
                        one.event.clone(),
                        one.id.clone(),
                        one.outcome.clone(),
                    ]);
                }
                Ok(output.table(&table)?)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, shown: &Shown) -> anyhow::Result<()> {
    context.output.result(shown, |output| {
        let settings = &shown.settings;
        let now = Timestamp::now();
        let dash = || "-".to_owned();
        let joined = |list: &[String]| {
            if list.is_empty() {
                dash()
            } else {
                list.join(", ")
            }
        };
        let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
        let mut table = Table::new(&["setting", "value"]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("remote", settings.remote.clone().unwrap_or_else(dash));
        row("forge", format!("{:?}", settings.forge).to_lowercase());
        if let Some(api) = &settings.api {
            row("api", api.clone());
        }
        row(
            "credential",
            settings
                .credential
                .as_ref()
                .map_or_else(dash, ToString::to_string),
        );
        row("multibranch", switch(settings.multibranch));
        row("include", joined(&settings.include));
        row("exclude", joined(&settings.exclude));
        row("tags", switch(settings.tags));
        row(
            "forks",
            match settings.forks {
                Forks::Never => "never".to_owned(),
                Forks::WithoutCredentials => "without-credentials".to_owned(),
            },
        );
        row("poll", settings.poll.clone().unwrap_or_else(dash));
        row(
            "statuses",
            settings
                .status_credential
                .as_ref()
                .map_or_else(dash, ToString::to_string),
        );
        row("previews", joined(&settings.previews));
        if !settings.previews.is_empty() {
            row(
                "preview domain",
                settings.preview_domain.clone().unwrap_or_else(dash),
            );
            row("preview vars", joined(&settings.preview_vars));
            row("preview limit", settings.preview_limit.to_string());
        }
        row(
            "webhooks",
            if shown.has_secret {
                shown.hook.clone()
            } else {
                "no secret yet: `launchway triggers secret`".to_owned()
            },
        );
        row(
            "last look",
            shown
                .looked
                .map_or_else(dash, |at| format!("{} ago", words::age(at, now))),
        );
        if let Some(trouble) = &shown.trouble {
            row("trouble", trouble.clone());
        }
        if let Some(trouble) = &shown.status_trouble {
            row(
                "statuses waiting",
                format!("{} ({trouble})", shown.statuses_waiting),
            );
        }
        Ok(output.table(&table)?)
    })?;
    Ok(())
}
