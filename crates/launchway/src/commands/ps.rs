//! `launchway ps`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::alert::Alert;
use launchway_model::instance::{Instance, InstanceState};

use super::OfApp;
use crate::cli::Context;
use crate::client::segment;
use crate::output::{Table, Tone};
use crate::words;

/// List an app's instances: state, health, address, memory, CPU, requests.
#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    of: OfApp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Ps) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let instances: Vec<Instance> = client.get(&args.of.path("instances")?)?;
    let alerts: Vec<Alert> = client.get(&format!(
        "/alerts?which=open&limit=20&app={}",
        segment(args.of.name()?.as_str())
    ))?;
    context.output.result(&instances, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&[
            "instance", "state", "healthy", "address", "pid", "restarts", "memory", "cpu", "req/s",
        ]);
        for instance in &instances {
            let (state, pid) = state(&instance.status, now);
            table.row([
                instance.id.to_string(),
                state,
                match instance.healthy {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "no".to_owned(),
                    None => "-".to_owned(),
                },
                match (&instance.address, instance.routed) {
                    (Some(address), true) => address.to_string(),
                    (Some(address), false) => format!("{address} (not routed)"),
                    (None, _) => "-".to_owned(),
                },
                pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                instance.restarts.to_string(),
                instance
                    .memory_bytes
                    .map_or_else(|| "-".to_owned(), words::size),
                instance.cpu_millis.map_or_else(
                    || "-".to_owned(),
                    |cpu| format!("{:.1} %", f64::from(cpu) / 10.0),
                ),
                instance
                    .requests_per_second
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
            ]);
        }
        output.table(&table)?;
        for alert in &alerts {
            output.note(format!(
                "{} {}",
                output.note_tone(Tone::Warning, "!"),
                alert.summary
            ));
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn state(state: &InstanceState, now: Timestamp) -> (String, Option<u32>) {
    match state {
        InstanceState::Starting => ("starting".to_owned(), None),
        InstanceState::Running { pid, since } => {
            (format!("running {}", words::age(*since, now)), Some(*pid))
        }
        InstanceState::Backoff { exit, .. } => (format!("restarting after {exit}"), None),
        InstanceState::Stopping { .. } => ("stopping".to_owned(), None),
        InstanceState::Stopped { exit: Some(exit) } => (format!("stopped, {exit}"), None),
        InstanceState::Stopped { exit: None } => ("stopped".to_owned(), None),
    }
}
