//! `launchway notices`

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use launchway_model::AppName;
use launchway_model::alert::AlertSeverity;
use launchway_model::notice::{Address, Change, NewReceiver, NewSilence, Receiver, Silence};

use crate::cli::Context;
use crate::client::segment;
use crate::output::{Table, Tone};
use crate::words;

/// Say who is told of alerts, and keep notices back for a while.
///
/// A notice is sent until it is taken, and again after four hours while its alerts last.
#[derive(Debug, clap::Args)]
pub(crate) struct Notices {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List who is told of alerts (as without a word)
    List,
    /// Add a receiver, or replace the one of that name
    Add(Add),
    /// Remove a receiver with the notices that wait for it
    Remove {
        /// Its name
        name: String,
    },
    /// Send a receiver a notice that is none, now
    Test {
        /// Its name
        name: String,
    },
    /// Keep notices of some alerts back
    Silence(Hush),
    /// List the silences that last
    Silences,
    /// End a silence
    Unsilence {
        /// Its number
        id: u64,
    },
    /// Show who was added, removed and silenced, the newest first
    Changes,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("address").required(true).args(["webhook", "slack", "pagerduty", "ntfy", "email", "command"]))]
struct Add {
    /// Its name
    name: String,
    /// Post Alertmanager's webhook payload there
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Post to an incoming webhook of Slack, or of what speaks like it
    #[arg(long, value_name = "URL")]
    slack: Option<String>,
    /// Send PagerDuty events with this integration key
    #[arg(long, value_name = "KEY")]
    pagerduty: Option<String>,
    /// Publish to a topic of ntfy, such as https://ntfy.sh/mytopic
    #[arg(long, value_name = "URL")]
    ntfy: Option<String>,
    /// The token of the ntfy topic, where it needs one
    #[arg(long, value_name = "TOKEN", requires = "ntfy")]
    ntfy_token: Option<String>,
    /// Send e-mail to this address
    #[arg(long, value_name = "ADDRESS", requires = "server")]
    email: Option<String>,
    /// The mail's sender [default: the receiver's address]
    #[arg(long, value_name = "ADDRESS", requires = "email")]
    from: Option<String>,
    /// The mail server: smtps://USER:PASSWORD@HOST or smtp://HOST:PORT
    #[arg(long, value_name = "URL", requires = "email")]
    server: Option<String>,
    /// Run a command by the shell, with the webhook's payload as its input
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Only alerts that are critical
    #[arg(long)]
    critical: bool,
    /// Only alerts of this app [default: all alerts]
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
}

#[derive(Debug, clap::Args)]
struct Hush {
    /// Labels that the alerts have, such as app=shop or alertname=AppSlow
    #[arg(required = true, value_name = "LABEL=VALUE")]
    matchers: Vec<String>,
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "2h")]
    length: String,
    /// Why
    #[arg(long, default_value = "")]
    comment: String,
}

impl Add {
    fn address(&self) -> anyhow::Result<Address> {
        let given = |text: &Option<String>| text.clone();
        if let Some(url) = given(&self.webhook) {
            return Ok(Address::Webhook { url });
        }
        if let Some(url) = given(&self.slack) {
            return Ok(Address::Slack { url });
        }
        if let Some(key) = given(&self.pagerduty) {
            return Ok(Address::Pagerduty { key, url: None });
        }
        if let Some(url) = given(&self.ntfy) {
            return Ok(Address::Ntfy {
                url,
                token: given(&self.ntfy_token),
            });
        }
        if let (Some(to), Some(server)) = (given(&self.email), given(&self.server)) {
            let from = given(&self.from).unwrap_or_else(|| to.clone());
            return Ok(Address::Email { to, from, server });
        }
        let command = given(&self.command).context("say where notices go")?;
        Ok(Address::Command { command })
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Notices) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what.unwrap_or(What::List) {
        What::List => list(context)?,
        What::Add(add) => {
            let new = NewReceiver {
                name: add.name.clone(),
                address: add.address()?,
                least: add.critical.then_some(AlertSeverity::Critical),
                app: add.app,
            };
            let receiver: Receiver = client.post("/receivers", &new)?;
            context.output.result(&receiver, |output| {
                output.note(format!(
                    "{} {} is told of alerts; try it: launchway notices test {}",
                    output.note_tone(Tone::Good, "✔"),
                    receiver.name,
                    receiver.name
                ));
                Ok(())
            })?;
        }
        What::Remove { name } => {
            client.delete(&format!("/receivers/{}", segment(&name)))?;
            context.output.note(format!("{name} is told no more"));
        }
        What::Test { name } => {
            client.send(
                ureq::http::Method::POST,
                &format!("/receivers/{}/test", segment(&name)),
                None::<&()>,
            )?;
            context.output.note(format!("{name} took the notice"));
        }
        What::Silence(hush) => {
            let mut matchers = BTreeMap::new();
            for pair in &hush.matchers {
                let (name, value) = pair
                    .split_once('=')
                    .with_context(|| format!("`{pair}` is no LABEL=VALUE"))?;
                matchers.insert(name.to_owned(), value.to_owned());
            }
            let length: SignedDuration = hush
                .length
                .parse()
                .with_context(|| format!("`{}` is no time such as 2h or 30m", hush.length))?;
            let seconds = u64::try_from(length.as_secs())
                .context("a time that has passed silences nothing")?;
            let silence: Silence = client.post(
                "/silences",
                &NewSilence {
                    matchers,
                    seconds,
                    comment: hush.comment,
                },
            )?;
            context.output.result(&silence, |output| {
                output.note(format!(
                    "silence {} lasts until {}",
                    silence.id, silence.ends
                ));
                Ok(())
            })?;
        }
        What::Silences => {
            let silences: Vec<Silence> = client.get("/silences")?;
            context.output.result(&silences, |output| {
                let mut table = Table::new(&["number", "labels", "until", "why"]);
                for silence in &silences {
                    let labels: Vec<String> = silence
                        .matchers
                        .iter()
                        .map(|(name, value)| format!("{name}={value}"))
                        .collect();
                    table.row([
                        silence.id.to_string(),
                        labels.join(" "),
                        silence.ends.to_string(),
                        silence.comment.clone(),
                    ]);
                }
                output.table(&table)?;
                Ok(())
            })?;
        }
        What::Unsilence { id } => {
            client.delete(&format!("/silences/{id}"))?;
            context.output.note(format!("silence {id} is over"));
        }
        What::Changes => {
            let changes: Vec<Change> = client.get("/notice-changes")?;
            context.output.result(&changes, |output| {
                let mut table = Table::new(&["when", "what"]);
                for change in &changes {
                    table.row([change.at.to_string(), change.what.clone()]);
                }
                output.table(&table)?;
                Ok(())
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> anyhow::Result<()> {
    let receivers: Vec<Receiver> = context.client()?.get("/receivers")?;
    context.output.result(&receivers, |output| {
        if receivers.is_empty() {
            output
                .note("nobody is told of alerts; add one: launchway notices add ops --webhook URL");
            return Ok(());
        }
        let now = Timestamp::now();
        let mut table = Table::new(&["name", "kind", "from", "app", "age"]);
        for receiver in &receivers {
            table.row([
                receiver.name.clone(),
                receiver.kind.clone(),
                receiver.least.word().to_owned(),
                receiver
                    .app
                    .as_ref()
                    .map_or("all", AppName::as_str)
                    .to_owned(),
                words::age(receiver.created, now),
            ]);
        }
        output.table(&table)?;
        Ok(())
    })
}
