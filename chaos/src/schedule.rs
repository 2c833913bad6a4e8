//! What is done, in which order: decided by the seed alone.

use crate::random::Random;

/// One blow, or one thing that a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A new version, which must serve afterwards.
    Deploy,
    /// A version that must never serve.
    BrokenDeploy(Broken),
    /// A version that answers its health check and crashes at the first real request: rolled back by itself.
    CrashOnFirstRequest,
    /// Back to the release before.
    Rollback,
    /// Another number of instances.
    Scale(u32),
    /// A restart of all instances.
    Restart,
    /// A changed configuration.
    Configure,
    /// SIGKILL.
    Kill(Victim),
    /// SIGSTOP, and SIGCONT after so many milliseconds.
    Halt(Victim, u64),
    /// Another binary of the platform.
    Upgrade,
    /// No byte left on the disk of the home, for a while.
    FullDisk,
    /// The clock of the platform jumps by so many seconds.
    ClockJump(i64),
    /// A deploy while control, the proxy and an app are killed.
    ManyAtOnce,
}

/// How a version is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Its build fails.
    Build,
    /// Its tests fail.
    Tests,
    /// It crashes at its start.
    Crash,
    /// It answers 500 for ever.
    Unhealthy,
    /// It listens on another port than it is told.
    WrongPort,
    /// Its release command fails.
    ReleaseCommand,
}

/// Who is killed or halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The role that decides.
    Control,
    /// The data plane.
    Proxy,
    /// The shim of an instance.
    Shim,
    /// The runner of a build that is under way.
    Runner,
    /// The main process of an instance.
    App,
}

const BROKEN: [Broken; 6] = [
    Broken::Build,
    Broken::Tests,
    Broken::Crash,
    Broken::Unhealthy,
    Broken::WrongPort,
    Broken::ReleaseCommand,
];
const KILLED: [Victim; 5] = [
    Victim::Control,
    Victim::Proxy,
    Victim::Shim,
    Victim::Runner,
    Victim::App,
];

/// An endless schedule. It comes in rounds: each has every kind of action once, in an order of its own, so that a short
/// run misses none for long.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: Random,
    round: Vec<Action>,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            round: Vec::new(),
        }
    }

    fn fill(&mut self) {
        let random = &mut self.random;
        let mut round = vec![
            Action::Deploy,
            Action::Deploy,
            Action::BrokenDeploy(random.pick(&BROKEN)),
            Action::BrokenDeploy(random.pick(&BROKEN)),
            Action::CrashOnFirstRequest,
            Action::Rollback,
            Action::Scale(1 + u32::try_from(random.below(3)).unwrap_or(0)),
            Action::Restart,
            Action::Configure,
            Action::Kill(random.pick(&KILLED)),
            Action::Kill(random.pick(&KILLED)),
            Action::Kill(Victim::Control),
            Action::Halt(random.pick(&KILLED), 200 + random.below(1800)),
            Action::Halt(random.pick(&KILLED), 200 + random.below(1800)),
            Action::Upgrade,
            Action::FullDisk,
            Action::ClockJump(random.pick(&[-86_400, -60, 60, 7_200, 86_400 * 40])),
            Action::ManyAtOnce,
        ];
        // Fisher and Yates.
        for last in (1..round.len()).rev() {
            let other = usize::try_from(random.below(last as u64 + 1)).unwrap_or(0);
            round.swap(last, other);
        }
        self.round = round;
    }
}

impl Iterator for Schedule {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        if self.round.is_empty() {
            self.fill();
        }
        self.round.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_schedule_and_another_seed_another() {
        let of = |seed| Schedule::new(seed).take(60).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn a_round_misses_nothing() {
        let round: Vec<Action> = Schedule::new(3).take(18).collect();
        assert!(round.contains(&Action::FullDisk) && round.contains(&Action::Upgrade));
        assert!(round.contains(&Action::Kill(Victim::Control)), "{round:?}");
    }
}
