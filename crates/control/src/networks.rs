//! The private networks of instances: who sits where, who may reach whom, and under which names.
//!
//! Where Launchway is root, an instance of a process type with `network = "private"` gets a network namespace before its shim
//! starts, which stays until the instance is gone, so that a crash of the app changes nothing. Where everybody sits is in
//! the shims' own specifications: a control that comes back reads it there. Without root the host's network takes its place.
//!
//! **Invariant:** rules are worked out from all that is observed, and put in force as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use launchway_model::app::NetworkSpec;
use launchway_model::shim::Seat;
use launchway_model::{AppName, InstanceId, Problem};
use launchway_supervisor::network::{self, Network, Policy};

use crate::reconcile::Observed;
use crate::{Control, confinement, problem};

/// The port that an instance in a private network is told to listen on, unless its description names another.
pub(crate) const PORT: u16 = 8080;

/// The file that keeps the subnet, in Launchway's home.
const SUBNET_FILE: &str = "network.json";

/// The private network of this installation.
pub(crate) struct Networks {
    able: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    network: Option<Network>,
    seats: BTreeMap<u64, Ipv4Addr>,
    policy: Option<Policy>,
    /// What each app's file of names was last written with.
    names: BTreeMap<AppName, String>,
}

impl Networks {
    /// Asks the host; takes some milliseconds.
    pub(crate) fn of_this_host(isolate: bool) -> Self {
        Self {
            able: isolate && network::ability().is_ok(),
            state: Arc::default(),
        }
    }

    /// Whether instances can have private networks here.
    pub(crate) fn able(&self) -> bool {
        self.able
    }

    /// Whether instances of a process type get one here.
    pub(crate) fn serves(&self, spec: &NetworkSpec) -> bool {
        self.able && spec.private
    }

    /// Records the seat of an instance that was found alive.
    pub(crate) fn record(&self, seat: &Seat) {
        lock(&self.state).seats.insert(seat.number, seat.address);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives an instance its place in the private network; none where its process type has none, or the host allows none.
pub(crate) async fn seat(
    control: &Control,
    id: &InstanceId,
    spec: &NetworkSpec,
) -> Result<Option<Seat>, Problem> {
    if !control.networks.serves(spec) {
        return Ok(None);
    }
    let state = control.networks.state.clone();
    let home = control.settings().home.root().to_owned();
    let (number, spec) = (id.serial(), spec.clone());
    let seated = tokio::task::spawn_blocking(move || {
        let (network, address) = take(&state, &home, number)?;
        match network.join(number, address) {
            Ok(namespace) => Ok(Seat {
                number,
                namespace,
                address,
                allow: spec.allow,
                reaches_host: spec.reaches_host,
            }),
            Err(error) => {
                lock(&state).seats.remove(&number);
                Err(error)
            }
        }
    });
    let seated = seated
        .await
        .map_err(|error| Problem::internal("a private network cannot be made").cause(error))?;
    seated.map(Some).map_err(|error| {
        Problem::failed(format!("no private network can be made for {id}"))
            .cause(error)
            .hint("`launchway doctor` says what is missing; `network = \"host\"` does without.")
    })
}

/// Opens the network where it is not open, and takes an address.
fn take(state: &Mutex<State>, home: &Path, number: u64) -> std::io::Result<(Network, Ipv4Addr)> {
    let mut state = lock(state);
    let network = open(&mut state, home)?;
    let taken: BTreeSet<Ipv4Addr> = state.seats.values().copied().collect();
    let address = network
        .addresses()
        .find(|address| !taken.contains(address))
        .ok_or_else(|| std::io::Error::other("all addresses are taken"))?;
    state.seats.insert(number, address);
    Ok((network, address))
}

fn open(state: &mut State, home: &Path) -> std::io::Result<Network> {
    if let Some(network) = &state.network {
        // Somebody may have removed it by hand.
        network.open()?;
        return Ok(network.clone());
    }
    let file = home.join(SUBNET_FILE);
    let before = std::fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let network = Network::new(&confinement::key(home), before)?;
    if before != Some(network.subnet()) {
        let text = serde_json::to_vec(&network.subnet()).map_err(std::io::Error::other)?;
        crate::secrets::write_private(&file, &text)?;
    }
    network.open()?;
    // Closed to all until the first rules are worked out.
    network.enforce(&Policy::default())?;
    state.policy = Some(Policy::default());
    state.network = Some(network.clone());
    Ok(network)
}

/// Gives an instance's place back. The last one takes bridge and rules along.
pub(crate) async fn leave(control: &Control, number: u64) {
    let state = control.networks.state.clone();
    let left = tokio::task::spawn_blocking(move || {
        let network = lock(&state).network.clone();
        let Some(network) = network else { return };
        network.leave(number);
        let mut state = lock(&state);
        state.seats.remove(&number);
        if state.seats.is_empty() {
            network.close();
            state.network = None;
            state.policy = None;
        }
    });
    if let Err(error) = left.await {
        tracing::error!(%error, number, "a private network cannot be removed");
    }
}

/// After control came back: opens the network again where instances sit in it, and removes what belongs to none.
pub(crate) async fn settle(control: &Control) {
    if !control.networks.able() {
        return;
    }
    let state = control.networks.state.clone();
    let home = control.settings().home.root().to_owned();
    let settled = tokio::task::spawn_blocking(move || {
        let mut state = lock(&state);
        if state.seats.is_empty() {
            if let Ok(network) = Network::new(&confinement::key(&home), None) {
                let members = network.members();
                members.iter().for_each(|number| network.leave(*number));
                if !members.is_empty() {
                    network.close();
                }
            }
            return Ok(());
        }
        let network = open(&mut state, &home)?;
        for number in network.members() {
            if !state.seats.contains_key(&number) {
                network.leave(number);
            }
        }
        Ok(())
    });
    match settled.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error: std::io::Error = error;
            tracing::error!(%error, "the private network cannot be opened again");
        }
        Err(error) => tracing::error!(%error, "the private network cannot be opened again"),
    }
}

/// Puts in force who may reach whom, and under which names, where that changed.
pub(crate) fn enforce(control: &Control, observed: &Observed) {
    if !control.networks.able() {
        return;
    }
    let seats: Vec<(InstanceId, Seat)> = observed
        .instances
        .iter()
        .filter_map(|(id, seen)| Some((id.clone(), seen.seat.clone()?)))
        .collect();
    let policy = policy(&seats);
    let names = names(&seats);
    {
        let state = lock(&control.networks.state);
        if state.policy.as_ref() == Some(&policy) && state.names == names {
            return;
        }
    }
    let home = control.settings().home.clone();
    let state = control.networks.state.clone();
    control.tasks.spawn_blocking(move || {
        let mut state = lock(&state);
        let Some(network) = state.network.clone() else {
            return;
        };
        if state.policy.as_ref() != Some(&policy) {
            match network.enforce(&policy) {
                Ok(()) => state.policy = Some(policy),
                Err(error) => tracing::error!(%error, "who may reach whom cannot be put in force"),
            }
        }
        for (app, text) in &names {
            if state.names.get(app) != Some(text)
                && let Err(error) = write_names(&home.app(app), text)
            {
                tracing::error!(%app, %error, "the names of the private network cannot be written");
            }
        }
        state.names = names;
    });
}

/// Who may reach whom.
fn policy(seats: &[(InstanceId, Seat)]) -> Policy {
    let mut policy = Policy::default();
    for (to, seat) in seats {
        for (from, other) in seats {
            if from != to && seat.allow.iter().any(|party| means(party, to.app(), from)) {
                policy.pairs.push((other.address, seat.address));
            }
        }
        if seat.reaches_host {
            policy.to_host.push(seat.address);
        }
    }
    policy.pairs.sort_unstable();
    policy.to_host.sort_unstable();
    policy
}

/// Whether a word of an app's `allow` means an instance.
fn means(party: &str, own: &AppName, id: &InstanceId) -> bool {
    match party.split_once('/') {
        None => id.app() == own && id.process().as_str() == party,
        Some((app, process)) => {
            id.app().as_str() == app && (process == "*" || id.process().as_str() == process)
        }
    }
}

/// The names that each app's instances know: of their own app, and of those that let one of them in.
fn names(seats: &[(InstanceId, Seat)]) -> BTreeMap<AppName, String> {
    let mut names: BTreeMap<AppName, String> = BTreeMap::new();
    for (reader, _) in seats {
        names.entry(reader.app().clone()).or_default();
    }
    for (app, text) in &mut names {
        for (id, seat) in seats {
            let lets_in = || {
                seats.iter().any(|(from, _)| {
                    from.app() == app && seat.allow.iter().any(|party| means(party, id.app(), from))
                })
            };
            let short = if id.app() == app {
                format!(" {}", id.process())
            } else {
                String::new()
            };
            if id.app() == app || lets_in() {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "{} {}.{}.internal{short}",
                    seat.address,
                    id.process(),
                    id.app()
                );
            }
        }
    }
    names
}

/// Writes an app's `hosts` in place: its instances see this very file.
fn write_names(folder: &Path, own: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let system = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let text = format!("{}\n{own}", system.trim_end());
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("hosts"))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// The files that an instance in a private network sees in place of the system's: its names, and name servers that are not
/// on the host's own loopback, which it does not reach.
pub(crate) fn files(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Problem> {
    let hosts = folder.join("hosts");
    if !hosts.exists() {
        write_names(folder, "").map_err(|error| problem::file("write", &hosts, &error))?;
    }
    let mut replaced = vec![(PathBuf::from("/etc/hosts"), hosts)];
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let system = read("/etc/resolv.conf");
    if let Some(text) = reachable_servers(&system, &read("/run/systemd/resolve/resolv.conf")) {
        let path = folder.join("resolv.conf");
        std::fs::write(&path, text).map_err(|error| problem::file("write", &path, &error))?;
        replaced.push((PathBuf::from("/etc/resolv.conf"), path));
    }
    Ok(replaced)
}

/// The text of a resolv.conf without servers on loopback, where the system's has such: what systemd-resolved itself asks.
fn reachable_servers(system: &str, upstream: &str) -> Option<String> {
    let on_loopback = |line: &str| {
        line.strip_prefix("nameserver")
            .is_some_and(|server| server.trim().starts_with("127.") || server.trim() == "::1")
    };
    if !system.lines().any(on_loopback) {
        return None;
    }
    let others = |text: &str| {
        let kept: Vec<String> = text
            .lines()
            .filter(|line| !on_loopback(line))
            .map(|line| format!("{line}\n"))
            .collect();
        kept.concat()
    };
    let (own, above) = (others(system), others(upstream));
    Some(if above.contains("nameserver") {
        above
    } else {
        own
    })
}

#[cfg(test)]
mod tests;
