//! `make chaos`: runs a schedule, prints what happened, and fails with the seed that replays it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a run tells what it does"
)]

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use launchway_chaos::{Plan, run};

/// Breaks what can break, by a seed, under constant load, and says what it hurt.
#[derive(Debug, Parser)]
struct Arguments {
    /// Decides the schedule; drawn from the clock where absent
    #[arg(long)]
    seed: Option<u64>,
    /// How long, in minutes
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_millis() as u64 % 1_000_000)
    });
    let minutes = arguments.minutes.clamp(0.1, 24.0 * 60.0);
    println!("seed {seed}, {minutes} minutes");
    let plan = Plan {
        seed,
        lasting: Duration::from_secs_f64(minutes * 60.0),
        only: None,
    };
    let ran = std::panic::catch_unwind(|| run(&plan, &mut |line| println!("{line}")));
    let replay = format!("replay with: make chaos SEED={seed} MINUTES={minutes}");
    match ran {
        Ok(outcome) if outcome.failures.is_empty() => {
            println!(
                "{} actions, {} requests answered, none failed but {} in flight on killed processes",
                outcome.actions, outcome.answered, outcome.excused
            );
            ExitCode::SUCCESS
        }
        Ok(outcome) => {
            eprintln!(
                "{} of {} requests failed:",
                outcome.failures.len(),
                outcome.answered
            );
            for failure in &outcome.failures {
                eprintln!("  {failure}");
            }
            eprintln!("{replay}");
            ExitCode::FAILURE
        }
        // The panic has told its reason.
        Err(_) => {
            eprintln!("{replay}");
            ExitCode::FAILURE
        }
    }
}
