//! Constant load of four kinds, a few requests a second each, so that a run measures hurt and not the machine.

mod http1;
mod http2;
mod raw;
mod socket;
mod upload;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::app::version_in;
use crate::ledger::{Failure, Kind, Ledger};

/// The longest that one read or write of a client may take: longer than any halt.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client asks.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    pub(crate) proxy: SocketAddr,
    pub(crate) host: String,
}

/// Starts all clients; they end when the ledger does.
pub(crate) fn start(ledger: &Arc<Ledger>, aim: &Aim) -> Vec<JoinHandle<()>> {
    let kinds: [fn(&Ledger, &Aim); 6] = [
        http1::ask,
        http1::ask,
        http2::ask,
        socket::ask,
        upload::ask,
        upload::ask,
    ];
    kinds
        .into_iter()
        .map(|ask| {
            let (ledger, aim) = (ledger.clone(), aim.clone());
            std::thread::spawn(move || ask(&ledger, &aim))
        })
        .collect()
}

/// Why a request failed: with words, and whether another release answered than may.
#[derive(Debug)]
struct Fault {
    why: String,
    wrong_release: bool,
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            why.push_str(": ");
            why.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self {
            why,
            wrong_release: false,
        }
    }
}

fn fault(why: impl Into<String>) -> Fault {
    Fault {
        why: why.into(),
        wrong_release: false,
    }
}

/// Checks an answer: 200, from a version that may answer. The versions that may are those of the request's beginning and of
/// its end, since a switch between the two makes both right.
fn check(
    ledger: &Ledger,
    before: &BTreeSet<u32>,
    status: u16,
    text: &str,
    ending: &str,
) -> Result<(), Fault> {
    if status != 200 {
        let shown: String = text.chars().take(160).collect();
        return Err(fault(format!("status {status}: {shown}")));
    }
    let Some(version) = version_in(text) else {
        return Err(fault(format!("`{text}` names no version")));
    };
    if !before.contains(&version) && !ledger.allowed().contains(&version) {
        return Err(Fault {
            why: format!("version {version} answered; {before:?} may"),
            wrong_release: true,
        });
    }
    if !text.ends_with(ending) {
        return Err(fault(format!("`{text}` does not end with `{ending}`")));
    }
    Ok(())
}

/// Notes what came of a request; a safe one that failed is asked once more first.
fn note(
    ledger: &Ledger,
    kind: Kind,
    from: Duration,
    result: Result<(), Fault>,
    again: impl FnOnce() -> Result<(), Fault>,
) {
    let Err(fault) = result else {
        ledger.count(kind);
        return;
    };
    let to = ledger.now();
    let again = kind.is_safe().then(|| again().is_ok());
    ledger.fail(Failure {
        kind,
        from,
        to,
        why: fault.why,
        again,
        wrong_release: fault.wrong_release,
    });
}
