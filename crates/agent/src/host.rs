//! What an agent can tell of its machine.

use std::collections::BTreeSet;

use launchway_model::agent::other_names;

/// The labels that follow from the machine: its system and architecture, by the names that people use.
pub fn labels() -> BTreeSet<String> {
    let mut labels: BTreeSet<String> = [std::env::consts::OS, std::env::consts::ARCH]
        .map(str::to_owned)
        .into();
    labels.extend(other_names(std::env::consts::ARCH).map(str::to_owned));
    labels
}

/// The machine's name.
pub fn name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Three quarters of the machine's memory, in bytes: the cap of a build, so that the machine itself goes on.
pub fn build_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024 / 4 * 3)
}
