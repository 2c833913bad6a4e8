//! The route table as the workers read it: checked, indexed, immutable.
//!
//! A lookup costs the same however many routes there are: one hash of the host, and one for each length of prefix that the
//! host has. Targets and meters outlive tables (see [`Registry`]), so that a swap forgets no load, health or count.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use launchway_model::InstanceId;
use launchway_model::instance::TargetAddress;
use launchway_model::route::{Backend, Canary, Route, RouteTable};

use crate::balance::{Balanced, Chance, RetryBudget};
use crate::h1::named;
use crate::h1::request::RequestHead;
use crate::meter::RouteMeter;
use crate::rules::Judge;
use crate::target::Target;

/// All routes at one moment, ready for lookups.
#[derive(Debug, Default)]
pub(crate) struct Table {
    exact: HashMap<Box<str>, Prefixes>,
    /// By the part behind `*.`.
    wildcard: HashMap<Box<str>, Prefixes>,
    any: Prefixes,
    source: RouteTable,
}

/// A route, ready to serve.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) meter: Arc<RouteMeter>,
    pub(crate) backend: Ready,
    pub(crate) canary: Option<Share>,
    /// The prefix without its last slash.
    pub(crate) prefix: String,
    pub(crate) strip_prefix: bool,
    pub(crate) judge: Option<Box<Judge>>,
    pub(crate) retries: RetryBudget,
}

/// A backend, ready to serve.
#[derive(Debug)]
pub(crate) enum Ready {
    Instances(Balanced),
    Files {
        root: PathBuf,
        fallback: Option<String>,
    },
    Stopped {
        reason: String,
    },
}

/// Instances that take a part of a route's requests.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) instances: Balanced,
    percent: u8,
    /// A field's name in lower case, and its value where that matters.
    header: Option<(String, Option<String>)>,
}

impl Share {
    /// Whether a request goes to them: by its header, else by chance.
    pub(crate) fn takes(&self, head: &RequestHead<'_, '_>, chance: &Chance) -> bool {
        if let Some((name, value)) = &self.header
            && head.fields.iter().any(|field| {
                named(field, name)
                    && value
                        .as_ref()
                        .is_none_or(|value| value.as_bytes() == field.value.trim_ascii())
            })
        {
            return true;
        }
        chance.next() % 100 < u64::from(self.percent)
    }
}

/// The routes of one host by prefix.
#[derive(Debug, Default)]
struct Prefixes {
    /// The lengths that occur, longest first.
    lengths: Vec<usize>,
    entries: HashMap<Box<str>, Arc<Entry>>,
}

impl Prefixes {
    fn insert(&mut self, prefix: &str, entry: &Arc<Entry>) {
        if let Err(at) = self
            .lengths
            .binary_search_by(|length| prefix.len().cmp(length))
        {
            self.lengths.insert(at, prefix.len());
        }
        self.entries.insert(prefix.into(), Arc::clone(entry));
    }

    fn find(&self, path: &str) -> Option<&Arc<Entry>> {
        self.lengths.iter().find_map(|length| {
            let whole_segments = match path.as_bytes().get(*length) {
                Some(next) => *next == b'/',
                None => *length == path.len(),
            };
            // `*`, the target of OPTIONS for the whole server, belongs to the route of every path.
            match whole_segments || *length == 0 {
                true => self.entries.get(path.get(..*length)?),
                false => None,
            }
        })
    }
}

impl Table {
    pub(crate) fn number(&self) -> u64 {
        self.source.number
    }

    pub(crate) fn source(&self) -> &RouteTable {
        &self.source
    }

    /// The route of a request. `host` is in lower case without a port; `path` is without a query.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<Entry>> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if let Some(entry) = self.exact.get(host).and_then(|of| of.find(path)) {
            return Some(entry);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(entry) = self.wildcard.get(parent).and_then(|of| of.find(path)) {
                    return Some(entry);
                }
                rest = parent;
            }
        }
        self.any.find(path)
    }
}

/// What tables share and what survives them.
#[derive(Debug)]
pub(crate) struct Registry {
    workers: usize,
    targets: HashMap<InstanceId, Arc<Target>>,
    meters: HashMap<String, Arc<RouteMeter>>,
}

impl Registry {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            targets: HashMap::new(),
            meters: HashMap::new(),
        }
    }

    /// Builds the table; the source must have passed [`check`].
    pub(crate) fn compile(&mut self, source: RouteTable) -> Table {
        let mut table = Table::default();
        for route in &source.routes {
            let prefix = trimmed(&route.prefix);
            let entry = Arc::new(Entry {
                meter: self.meter(&route.name),
                backend: self.backend(&route.backend),
                canary: route.canary.as_ref().map(|canary| self.share(canary)),
                prefix: prefix.to_owned(),
                strip_prefix: route.strip_prefix,
                retries: RetryBudget::new(),
                judge: Judge::new(&route.rules).expect("`check` has passed the rules"),
            });
            for host in &route.hosts {
                let prefixes = if host == "*" {
                    &mut table.any
                } else if let Some(parent) = host.strip_prefix("*.") {
                    table.wildcard.entry(parent.into()).or_default()
                } else {
                    table.exact.entry(host.as_str().into()).or_default()
                };
                prefixes.insert(prefix, &entry);
            }
        }
        table.source = source;
        table
    }

    /// After a table took effect: retires the targets that it does not name, and forgets those that have nothing in flight.
    pub(crate) fn settle(&mut self, table: &Table) {
        let mut named = HashSet::new();
        let mut routes = HashSet::new();
        for route in &table.source.routes {
            routes.insert(route.name.as_str());
            let canary = route.canary.iter().flat_map(|canary| &canary.targets);
            named.extend(canary.map(|target| &target.instance));
            if let Backend::Instances { targets } = &route.backend {
                named.extend(targets.iter().map(|target| &target.instance));
            }
        }
        self.targets.retain(|instance, target| {
            if named.contains(instance) {
                return true;
            }
            target.retire();
            target.in_flight() > 0
        });
        self.meters
            .retain(|name, meter| routes.contains(name.as_str()) || meter.in_flight() > 0);
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.values()
    }

    pub(crate) fn target(&self, instance: &InstanceId) -> Option<&Arc<Target>> {
        self.targets.get(instance)
    }

    pub(crate) fn meters(&self) -> impl Iterator<Item = &Arc<RouteMeter>> {
        self.meters.values()
    }

    fn meter(&mut self, name: &str) -> Arc<RouteMeter> {
        if let Some(meter) = self.meters.get(name) {
            return Arc::clone(meter);
        }
        let meter = Arc::new(RouteMeter::new(name, self.workers));
        self.meters.insert(name.to_owned(), Arc::clone(&meter));
        meter
    }

    fn backend(&mut self, backend: &Backend) -> Ready {
        match backend {
            Backend::Instances { targets } => Ready::Instances(self.balanced(targets)),
            Backend::Files { root, fallback } => Ready::Files {
                root: root.clone(),
                fallback: fallback.clone(),
            },
            Backend::Stopped { reason } => Ready::Stopped {
                reason: reason.clone(),
            },
        }
    }

    fn share(&mut self, canary: &Canary) -> Share {
        Share {
            instances: self.balanced(&canary.targets),
            percent: canary.percent,
            header: canary
                .header
                .as_ref()
                .map(|header| (header.name.to_ascii_lowercase(), header.value.clone())),
        }
    }

    fn balanced(&mut self, targets: &[launchway_model::route::Target]) -> Balanced {
        Balanced::new(
            targets
                .iter()
                .map(|target| (self.ready_target(target), target.weight)),
        )
    }

    fn ready_target(&mut self, target: &launchway_model::route::Target) -> Arc<Target> {
        if let Some(known) = self.targets.get(&target.instance) {
            if known.address() == &target.address {
                known.revive();
                return Arc::clone(known);
            }
            known.retire();
        }
        let fresh = Arc::new(Target::new(
            target.instance.clone(),
            target.address.clone(),
            self.workers,
        ));
        self.targets
            .insert(target.instance.clone(), Arc::clone(&fresh));
        fresh
    }
}

/// Checks a table before it may take effect.
///
/// # Errors
/// What is wrong, in words that name the route.
pub(crate) fn check(table: &RouteTable) -> Result<(), String> {
    let mut places = HashSet::new();
    let mut addresses: HashMap<&InstanceId, &TargetAddress> = HashMap::new();
    for route in &table.routes {
        let name = &route.name;
        if name.is_empty() {
            return Err("a route has no name".to_owned());
        }
        if route.hosts.is_empty() {
            return Err(format!("route `{name}` has no host"));
        }
        check_prefix(&route.prefix).map_err(|why| format!("route `{name}`: {why}"))?;
        for host in &route.hosts {
            check_host(host).map_err(|why| format!("route `{name}`: {why}"))?;
            if !places.insert((host.as_str(), trimmed(&route.prefix))) {
                return Err(format!(
                    "route `{name}`: another route has host `{host}` and prefix `{}` already",
                    route.prefix
                ));
            }
        }
        check_backend(route, &mut addresses).map_err(|why| format!("route `{name}`: {why}"))?;
        Judge::new(&route.rules).map_err(|why| format!("route `{name}`: {why}"))?;
    }
    Ok(())
}

fn check_backend<'t>(
    route: &'t Route,
    addresses: &mut HashMap<&'t InstanceId, &'t TargetAddress>,
) -> Result<(), String> {
    let canary = route.canary.as_ref();
    match &route.backend {
        Backend::Instances { targets } => {
            if let Some(percent) = canary.map(|canary| canary.percent)
                && percent > 100
            {
                return Err(format!("a share of {percent} percent"));
            }
            let mut seen = HashSet::new();
            for target in targets
                .iter()
                .chain(canary.iter().flat_map(|canary| &canary.targets))
            {
                let instance = &target.instance;
                check_address(&target.address)
                    .map_err(|why| format!("instance {instance}: {why}"))?;
                if !seen.insert(instance) {
                    return Err(format!("instance {instance} is named twice"));
                }
                match addresses.insert(instance, &target.address) {
                    Some(other) if other != &target.address => {
                        return Err(format!("instance {instance} has two addresses"));
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        Backend::Files { .. } | Backend::Stopped { .. } if canary.is_some() => {
            Err("a canary stands beside instances only".to_owned())
        }
        Backend::Files { root, .. } if !root.is_absolute() => Err(format!(
            "the folder `{}` is not an absolute path",
            root.display()
        )),
        Backend::Files {
            fallback: Some(fallback),
            ..
        } if fallback.split('/').any(|part| part.starts_with('.')) => Err(format!(
            "the fallback `{fallback}` leaves the folder or is hidden"
        )),
        Backend::Files { .. } | Backend::Stopped { .. } => Ok(()),
    }
}

fn check_address(address: &TargetAddress) -> Result<(), String> {
    match address {
        TargetAddress::Tcp(address) if address.port() == 0 => Err(format!("{address} has no port")),
        TargetAddress::Tcp(address)
            if address.ip().is_unspecified() || address.ip().is_multicast() =>
        {
            Err(format!("{address} is no address to connect to"))
        }
        TargetAddress::Tcp(_) => Ok(()),
        // `sockaddr_un` has room for 108 bytes, the last of which is 0.
        TargetAddress::Unix(path) if !path.is_absolute() || path.as_os_str().len() > 107 => Err(
            format!("{address} is no absolute path of at most 107 bytes"),
        ),
        TargetAddress::Unix(_) => Ok(()),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host == "*" {
        return Ok(());
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| matches!(inner.parse(), Ok(IpAddr::V6(_))));
    let labels = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        });
    match literal || labels {
        true => Ok(()),
        false => Err(format!(
            "`{host}` is not a host name in lower case, `*.NAME` or `*`"
        )),
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    let fine = prefix.starts_with('/')
        && prefix
            .bytes()
            .all(|byte| (0x21..0x7f).contains(&byte) && !matches!(byte, b'?' | b'#'))
        && (prefix == "/"
            || trimmed(prefix)[1..]
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | "..")));
    match fine {
        true => Ok(()),
        false => Err(format!(
            "`{prefix}` is not a path prefix of whole segments that begins with a slash"
        )),
    }
}

fn trimmed(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

#[cfg(test)]
mod tests;
