//! `make bench`: Launchway's speed and size, beside what it replaces, as one table of medians with their spread.
//!
//! Nothing here passes or fails: a loaded machine makes numbers larger, and both sides of a ratio with them. Each line
//! names the budget of the design where there is one. A word on the command line (`supervision`) measures what has it in its
//! name alone.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its table"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agents;
mod deploys;
mod memory;
mod peer;
mod pipelines;
mod proxy;
mod sample;
mod scans;
mod starts;
mod supervision;

use sample::Row;

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("proxy", wanted)) = given
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        eprintln!("measuring {}", launchway_e2e::launchway().display());
        return proxy::run(wanted);
    }
    eprintln!("measuring {}", launchway_e2e::launchway().display());
    let mut rows: Vec<Row> = Vec::new();
    let only = std::env::args().nth(1).unwrap_or_default();
    for (what, measure) in [
        (
            "the program's start",
            starts::measure as fn() -> anyhow::Result<Vec<Row>>,
        ),
        ("deploys", deploys::measure),
        ("memory", memory::measure),
        ("supervision", supervision::measure),
        ("dispatch to agents", agents::measure),
        ("pipelines", pipelines::measure),
        ("scans of dependencies", scans::measure),
        ("a redeploy beside a stop-start script", peer::measure),
    ]
    .into_iter()
    .filter(|(what, _)| what.contains(&only))
    {
        eprintln!("  {what} …");
        match measure() {
            Ok(more) => rows.extend(more),
            // One measurement that cannot be made (no network, no Python) leaves the others alone.
            Err(error) => eprintln!("  {what}: not measured: {error:#}"),
        }
    }
    print!("{}", sample::table(&rows));
    Ok(())
}
