//! One run: from its seed to its outcome.

use std::time::{Duration, Instant};

use crate::actions;
use crate::checks::{self, Sizes};
use crate::ledger::Kind;
use crate::schedule::{Action, Schedule};
use crate::world::World;

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides the schedule.
    pub seed: u64,
    /// How long new actions are begun.
    pub lasting: Duration,
    /// The actions, instead of a schedule from the seed.
    pub only: Option<Vec<Action>>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How many actions were carried out.
    pub actions: usize,
    /// How many requests were answered as they should be.
    pub answered: u64,
    /// How many failed in flight on a process that was killed with -9.
    pub excused: u64,
    /// Everything else that failed, in words.
    pub failures: Vec<String>,
}

/// Carries a plan out; `say` is told what happens, a line each.
///
/// # Panics
/// A promise other than that of the requests does not hold.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Outcome {
    let began = Instant::now();
    let mut world = World::start(say);
    let mut first: Option<Sizes> = None;
    let mut actions = 0;
    let schedule: Box<dyn Iterator<Item = Action>> = match &plan.only {
        Some(only) => Box::new(only.clone().into_iter()),
        None => Box::new(Schedule::new(plan.seed)),
    };
    let loaded = Instant::now();
    for action in schedule {
        if loaded.elapsed() >= plan.lasting {
            break;
        }
        let at = world.ledger.now();
        match actions::perform(&world, action) {
            Ok(()) => {
                checks::after_action(&world);
                actions += 1;
                let took = world.ledger.now().saturating_sub(at);
                say(&format!(
                    "{:7.1} s  {action:?} ({:.1} s)",
                    at.as_secs_f64(),
                    took.as_secs_f64()
                ));
            }
            Err(why) => say(&format!(
                "{:7.1} s  {action:?} left out: {why}",
                at.as_secs_f64()
            )),
        }
        // Caches and pools are warm after a few actions.
        if first.is_none() && (actions >= 4 || loaded.elapsed() > plan.lasting / 4) {
            first = Some(Sizes::of(&world));
        }
    }
    world.end_load();
    let first = first.unwrap_or_else(|| Sizes::of(&world));
    let last = checks::at_end(&world, &first);
    say(&format!("at first: {}", first.text()));
    say(&format!("at last:  {}", last.text()));
    world.installation.stop();
    checks::after_stop(&world);
    let (guilty, excused) = world.ledger.judge();
    let failures = guilty
        .iter()
        .map(|failure| {
            format!(
                "{} from {:.2} s to {:.2} s: {}{}; blows near: {:?}",
                failure.kind.name(),
                failure.from.as_secs_f64(),
                failure.to.as_secs_f64(),
                failure.why,
                match failure.again {
                    Some(false) => ", and again when it was sent once more",
                    _ => "",
                },
                world.ledger.blows_near(failure.to)
            )
        })
        .collect();
    let answered = Kind::ALL
        .iter()
        .map(|kind| world.ledger.answered(*kind))
        .sum();
    for kind in Kind::ALL {
        say(&format!(
            "{:>10}: {} answered",
            kind.name(),
            world.ledger.answered(kind)
        ));
    }
    say(&format!("all took {:.0} s", began.elapsed().as_secs_f64()));
    Outcome {
        actions,
        answered,
        excused,
        failures,
    }
}
