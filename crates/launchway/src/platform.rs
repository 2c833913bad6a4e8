//! The platform itself as something that is installed, upgraded and taken away: its binary, its units, its processes.
//!
//! Nothing here knows apps. Who runs control and proxy (a service manager, `launchway up`, a script) is found by looking,
//! and told to take a new binary up by signals that all of them pass on.

pub(crate) mod binary;
pub(crate) mod notify;
pub(crate) mod running;
pub(crate) mod units;
