//! One lease: the right of one agent to one try of one build, as a machine without clock or network.
//!
//! **Invariants:** a lost lease stays lost, whatever its agent says later; a build whose agent has taken it is lost only when
//! the agent says so itself, is silent for longer than the deadline, or may not speak any more.

use std::time::Duration;

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// The agent is told of it until it says that it holds it.
    Offered,
    /// The agent holds it, and builds.
    Held,
    /// The agent will not bring the build to its end.
    Lost(Loss),
}

/// Why a lease is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The agent went away before it took the build.
    NeverTaken,
    /// The agent was silent for longer than the deadline.
    Silent,
    /// The agent is there and does not have the build any more.
    Forgotten,
    /// The agent's token was revoked.
    Revoked,
}

/// After what silence an agent is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Where it has taken the build: it may still bring it.
    pub(crate) held: Duration,
    /// Where it has not, or was told to cancel it: nothing is lost.
    pub(crate) idle: Duration,
}

impl Lease {
    /// The agent said what it holds.
    pub(crate) fn reported(&mut self, holds: bool) {
        *self = match (*self, holds) {
            (Self::Offered, true) => Self::Held,
            (Self::Held, false) => Self::Lost(Loss::Forgotten),
            (state, _) => state,
        };
    }

    /// The agent has been silent for this long.
    pub(crate) fn silent(&mut self, silence: Duration, cancelled: bool, patience: Patience) {
        *self = match *self {
            Self::Offered if silence >= patience.idle => Self::Lost(Loss::NeverTaken),
            Self::Held if silence >= patience.held || (cancelled && silence >= patience.idle) => {
                Self::Lost(Loss::Silent)
            }
            state => state,
        };
    }

    /// The agent may not speak any more.
    pub(crate) fn revoked(&mut self) {
        if !matches!(self, Self::Lost(_)) {
            *self = Self::Lost(Loss::Revoked);
        }
    }

    /// Whether the agent may still deliver.
    pub(crate) fn is_live(self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

#[cfg(test)]
mod tests;
