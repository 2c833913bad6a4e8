//! Ports for instances: no two instances get the same, and one that somebody else uses is passed over.

use std::collections::BTreeSet;
use std::net::TcpListener;

use launchway_model::{Problem, ProblemKind};

/// The ports of one range and who has them.
#[derive(Debug)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
    next: u16,
    taken: BTreeSet<u16>,
}

impl Ports {
    /// The ports from `first` to `last`, given out from `start` on, so that a port is not used again at once.
    pub(crate) fn new((first, last): (u16, u16), start: u16) -> Self {
        let last = last.max(first);
        let span = u32::from(last - first) + 1;
        let offset = u16::try_from(u32::from(start) % span).unwrap_or(0);
        Self {
            first,
            last,
            next: first + offset,
            taken: BTreeSet::new(),
        }
    }

    /// Records a port that an adopted instance has.
    pub(crate) fn record(&mut self, port: u16) {
        self.taken.insert(port);
    }

    /// Gives a port back.
    pub(crate) fn release(&mut self, port: u16) {
        self.taken.remove(&port);
    }

    /// A port that no instance has and that can be bound, on loopback and on all addresses.
    pub(crate) fn take(&mut self) -> Result<u16, Problem> {
        for _ in self.first..=self.last {
            let port = self.next;
            self.next = if port == self.last {
                self.first
            } else {
                port + 1
            };
            if !self.taken.contains(&port) && is_free(port) {
                self.taken.insert(port);
                return Ok(port);
            }
        }
        Err(Problem::new(
            ProblemKind::Exhausted,
            format!(
                "no port from {} to {} is free for another instance",
                self.first, self.last
            ),
        )
        .hint("Scale something down, or end what else listens on these ports."))
    }
}

/// Whether an app could bind the port: on all addresses, which loopback is one of.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_over_what_is_taken_recorded_or_in_use_and_says_when_none_is_left() {
        // Three neighbouring ports, the middle one in use by somebody else.
        let (listener, port) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            if port > 2000 && port < 65_000 && is_free(port - 1) && is_free(port + 1) {
                break (listener, port);
            }
        };
        let mut ports = Ports::new((port - 1, port + 1), 0);
        assert_eq!(ports.take().unwrap(), port - 1);
        assert_eq!(ports.take().unwrap(), port + 1);
        let problem = ports.take().unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Exhausted);
        ports.release(port - 1);
        assert_eq!(ports.take().unwrap(), port - 1);
        drop(listener);
        ports.record(port);
        assert!(ports.take().is_err());
    }
}
