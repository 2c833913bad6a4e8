//! The command line's grammar: global options, the list of commands, and what happens around one command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::Client;
use crate::commands;
use crate::failure;
use crate::output::Output;
use crate::settings::Settings;

/// From a git commit to a tested, load-balanced, monitored service, on one machine.
///
/// Start with `launchway up`, then `launchway deploy` in the repository of an app.
#[derive(Debug, Parser)]
#[command(
    name = "launchway",
    version,
    max_term_width = 100,
    disable_help_subcommand = false,
    arg_required_else_help = true,
    after_help = "Exit codes: `launchway help exit-codes`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print JSON: one document, or one document a line where the command follows something
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The installation's folder [default: /var/lib/launchway for root, else ~/.local/share/launchway]
    #[arg(
        long,
        global = true,
        env = "LAUNCHWAY_HOME",
        hide_env_values = true,
        value_name = "FOLDER"
    )]
    pub(crate) home: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Deploy(commands::deploy::Deploy),
    Plan(commands::plan::Plan),
    Init(commands::init::Init),
    Pipeline(commands::pipeline::Pipeline),
    Alerts(commands::alerts::Alerts),
    Notices(commands::notices::Notices),
    NodeExporter(commands::node_exporter::NodeExporter),
    Apps(commands::apps::Apps),
    Builds(commands::builds::Builds),
    Branches(commands::branches::Branches),
    Triggers(commands::triggers::Triggers),
    Deploys(commands::deploys::Deploys),
    Releases(commands::releases::Releases),
    Rollback(commands::rollback::Rollback),
    Ps(commands::ps::Ps),
    Scale(commands::scale::Scale),
    Restart(commands::restart::Restart),
    Stop(commands::stop::Stop),
    Start(commands::start::Start),
    Logs(commands::logs::Logs),
    Run(commands::run::Run),
    Cron(commands::cron::Cron),
    Once(commands::once::Once),
    Maintenance(commands::maintenance::MaintenanceCommand),
    HashPassword(commands::hash_password::HashPassword),
    Config(commands::config::Config),
    Credentials(commands::credentials::Credentials),
    Domains(commands::domains::Domains),
    Scan(commands::scan::Scan),
    DependencyCheck(commands::dependency_check::DependencyCheck),
    Advisories(commands::advisories::Advisories),
    Doctor(commands::doctor::Doctor),
    Status(commands::status::Status),
    Open(commands::open::Open),
    Login(commands::login::Login),
    Tokens(commands::tokens::Tokens),
    Disk(commands::disk::Disk),
    Backup(commands::backup::Backup),
    Install(commands::install::Install),
    Uninstall(commands::uninstall::Uninstall),
    Upgrade(commands::upgrade::Upgrade),
    #[command(hide = true)]
    SelfCheck(commands::self_check::SelfCheckArgs),
    Agents(commands::agents::Agents),
    Agent(commands::agent::Agent),
    Completions(commands::completions::Completions),
    ExitCodes(commands::exit_codes::ExitCodes),
    #[command(hide = true)]
    CommandReference(commands::reference::CommandReference),
    Control(commands::control::Control),
    Proxy(commands::proxy::Proxy),
}

/// What a command works with.
pub(crate) struct Context {
    /// The options given to every command.
    pub(crate) global: Global,
    /// Standard output and error.
    pub(crate) output: Output,
}

impl Context {
    /// A client of the control that the environment, the home or a login names.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(Settings::new(&self.global)?.server()?))
    }

    /// Where this installation's folder is and who the server is.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        Settings::new(&self.global)
    }
}

/// Parses the arguments, runs the command, prints its failure.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context {
        output: Output::new(cli.global.json),
        global: cli.global,
    };
    match run(&context, cli.command) {
        Ok(code) => code,
        Err(error) => failure::report(&context.output, &error),
    }
}

fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => commands::up::run(context, args),
        Command::Deploy(args) => commands::deploy::run(context, args),
        Command::Plan(args) => commands::plan::run(context, args),
        Command::Init(args) => commands::init::run(context, args),
        Command::Pipeline(args) => commands::pipeline::run(context, args),
        Command::Alerts(args) => commands::alerts::run(context, args),
        Command::Notices(args) => commands::notices::run(context, args),
        Command::NodeExporter(args) => commands::node_exporter::run(args),
        Command::Apps(args) => commands::apps::run(context, args),
        Command::Builds(args) => commands::builds::run(context, args),
        Command::Branches(args) => commands::branches::run(context, args),
        Command::Triggers(args) => commands::triggers::run(context, args),
        Command::Deploys(args) => commands::deploys::run(context, args),
        Command::Releases(args) => commands::releases::run(context, args),
        Command::Rollback(args) => commands::rollback::run(context, args),
        Command::Ps(args) => commands::ps::run(context, args),
        Command::Scale(args) => commands::scale::run(context, args),
        Command::Restart(args) => commands::restart::run(context, args),
        Command::Stop(args) => commands::stop::run(context, args),
        Command::Start(args) => commands::start::run(context, args),
        Command::Logs(args) => commands::logs::run(context, args),
        Command::Cron(args) => commands::cron::run(context, args),
        Command::Once(args) => commands::once::run(context, args),
        Command::Maintenance(args) => commands::maintenance::run(context, args),
        Command::HashPassword(args) => commands::hash_password::run(context, args),
        Command::Run(args) => commands::run::run(context, args),
        Command::Config(args) => commands::config::run(context, args),
        Command::Credentials(args) => commands::credentials::run(context, args),
        Command::Domains(args) => commands::domains::run(context, args),
        Command::Scan(args) => commands::scan::run(context, args),
        Command::DependencyCheck(args) => commands::dependency_check::run(context, args),
        Command::Advisories(args) => commands::advisories::run(context, args),
        Command::Doctor(args) => commands::doctor::run(context, args),
        Command::Status(args) => commands::status::run(context, args),
        Command::Open(args) => commands::open::run(context, args),
        Command::Login(args) => commands::login::run(context, args),
        Command::Tokens(args) => commands::tokens::run(context, args),
        Command::Disk(args) => commands::disk::run(context, args),
        Command::Backup(args) => commands::backup::run(context, args),
        Command::Install(args) => commands::install::run(context, args),
        Command::Uninstall(args) => commands::uninstall::run(context, args),
        Command::Upgrade(args) => commands::upgrade::run(context, args),
        Command::SelfCheck(args) => commands::self_check::run(context, args),
        Command::Agents(args) => commands::agents::run(context, args),
        Command::Agent(args) => commands::agent::run(context, args),
        Command::Completions(args) => commands::completions::run(context, args),
        Command::ExitCodes(args) => commands::exit_codes::run(context, args),
        Command::CommandReference(args) => commands::reference::run(context, args),
        Command::Control(args) => commands::control::run(context, args),
        Command::Proxy(args) => commands::proxy::run(context, args),
    }
}

#[cfg(test)]
mod tests;
