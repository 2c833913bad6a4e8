//! From what is wanted and what is ready to the routes.

use std::collections::{BTreeMap, BTreeSet};

use launchway_model::app::{RouteSpec, RouteTo, Www};
use launchway_model::instance::TargetAddress;
use launchway_model::route::{Backend, Canary, Route, Rules, Target};
use launchway_model::{AppName, InstanceId, ProcessType};

use super::{Observed, Role, Wanted};
use crate::wiring;

/// The share of each instance; room is left for smaller shares beside it.
const WEIGHT: u16 = 100;
/// Who may ask for a process by its inner address: this machine.
const INNER: [&str; 2] = ["127.0.0.0/8", "::1"];

/// The routes of all apps. It depends on nothing but what is given, so that the same state gives the same table.
///
/// A host leads to one app, since the proxy refuses a table in which it leads to two, and with it what every other app
/// waits for. An app's own `APP.localhost` comes first, then what was added with `domains add`, then what releases name;
/// among equals the first app by name.
pub(super) fn compile(wanted: &BTreeMap<AppName, Wanted>, observed: &Observed) -> Vec<Route> {
    let mut taken: BTreeSet<String> = wanted.keys().map(own_host).collect();
    let mut hosts: BTreeMap<&AppName, Hosts> = wanted
        .keys()
        .map(|app| {
            let own = Hosts {
                all: vec![own_host(app)],
                ..Hosts::default()
            };
            (app, own)
        })
        .collect();
    for (app, wanted) in wanted {
        claim(&mut taken, &wanted.routing.domains, |host| {
            hosts.entry(app).or_default().all.push(host);
        });
    }
    for (app, wanted) in wanted {
        claim(&mut taken, &wanted.release.spec.domains, |host| {
            hosts.entry(app).or_default().all.push(host);
        });
    }
    for (app, wanted) in wanted {
        for route in &wanted.release.spec.routes {
            claim(&mut taken, &route.hosts, |host| {
                hosts.entry(app).or_default().of_routes.insert(host);
            });
        }
        if wanted.release.spec.www.is_some() {
            let partners: Vec<String> = hosts
                .get(app)
                .into_iter()
                .flat_map(|hosts| &hosts.all)
                .filter_map(|host| partner(host))
                .collect();
            claim(&mut taken, &partners, |host| {
                hosts.entry(app).or_default().partners.push(host);
            });
        }
    }
    let mut routes = Vec::new();
    for (app, wanted) in wanted {
        let Some(hosts) = hosts.remove(app) else {
            continue;
        };
        of_app(app, wanted, &hosts, observed, &mut routes);
    }
    routes
}

/// The hosts of an app.
#[derive(Default)]
struct Hosts {
    /// Those of all its routes.
    all: Vec<String>,
    /// Those that single routes name.
    of_routes: BTreeSet<String>,
    /// `www.` and a host, or a host without it, which are not otherwise named.
    partners: Vec<String>,
}

/// Takes the hosts that nobody has yet.
fn claim(taken: &mut BTreeSet<String>, domains: &[String], mut take: impl FnMut(String)) {
    for domain in domains {
        let domain = domain.to_ascii_lowercase();
        if taken.insert(domain.clone()) {
            take(domain);
        }
    }
}

/// The host that every app has.
fn own_host(app: &AppName) -> String {
    format!("{app}.localhost")
}

/// `www.example.org` of `example.org` and the other way round; none for hosts for which that makes no sense.
fn partner(host: &str) -> Option<String> {
    if host.starts_with("*.") || host.ends_with(".localhost") || !host.contains('.') {
        return None;
    }
    Some(match host.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{host}"),
    })
}

fn of_app(
    app: &AppName,
    wanted: &Wanted,
    hosts: &Hosts,
    observed: &Observed,
    routes: &mut Vec<Route>,
) {
    let spec = &wanted.release.spec;
    let mut all = hosts.all.clone();
    all.extend(hosts.partners.iter().cloned());
    let mut redirected: Vec<(String, String)> = Vec::new();
    if let Some(www) = spec.www {
        for host in &all {
            let Some(other) = partner(host).filter(|other| all.contains(other)) else {
                continue;
            };
            if host.starts_with("www.") == (www == Www::Remove) {
                redirected.push((host.clone(), other));
            }
        }
        all.retain(|host| !redirected.iter().any(|(from, _)| from == host));
    }
    let mut places: BTreeSet<(String, String)> = BTreeSet::new();
    let mut specs = spec.all_routes();
    // What names its hosts is more special than what is for all.
    specs.sort_by_key(|route| route.hosts.is_empty());
    for route in &specs {
        let Some(backend) = backend(app, wanted, route, observed) else {
            continue;
        };
        let of_route: Vec<&String> = if route.hosts.is_empty() {
            all.iter().collect()
        } else {
            let named = route.hosts.iter();
            named
                .filter(|host| all.contains(host) || hosts.of_routes.contains(*host))
                .collect()
        };
        let free: Vec<String> = of_route
            .into_iter()
            .filter(|host| places.insert(((*host).clone(), route.path.clone())))
            .cloned()
            .collect();
        let rules = rules(wanted, route.rules.as_ref().unwrap_or(&spec.rules));
        // There is no certificate for `APP.localhost`, so it is never sent to HTTPS.
        let (local, public): (Vec<String>, Vec<String>) = free
            .into_iter()
            .partition(|host| rules.https_only && host.ends_with(".localhost"));
        let here = Rules {
            https_only: false,
            hsts_seconds: None,
            ..rules.clone()
        };
        for (hosts, rules) in [(public, rules), (local, here)] {
            if hosts.is_empty() {
                continue;
            }
            routes.push(Route {
                name: name(app, route),
                app: app.clone(),
                release: wanted.release.number,
                hosts,
                prefix: route.path.clone(),
                strip_prefix: route.strip_prefix,
                canary: canary(wanted, route, observed),
                backend: backend.clone(),
                rules,
            });
        }
    }
    for (from, to) in redirected {
        routes.push(Route {
            name: app.to_string(),
            app: app.clone(),
            release: wanted.release.number,
            hosts: vec![from],
            prefix: "/".to_owned(),
            strip_prefix: false,
            canary: None,
            backend: Backend::Stopped {
                reason: format!("this is {to}"),
            },
            rules: Rules {
                https_only: spec.rules.https_only,
                redirect_host: Some(to),
                ..Rules::default()
            },
        });
    }
    for process in wanted
        .wired
        .iter()
        .filter(|process| spec.processes.contains_key(process))
    {
        let inner = RouteSpec {
            hosts: Vec::new(),
            path: wiring::path(app, process),
            strip_prefix: true,
            to: RouteTo::Process {
                process: process.clone(),
            },
            rules: None,
        };
        let Some(backend) = backend(app, wanted, &inner, observed) else {
            continue;
        };
        routes.push(Route {
            name: format!("{app}/{process}:inner"),
            app: app.clone(),
            release: wanted.release.number,
            hosts: vec![wiring::HOST.to_owned()],
            prefix: inner.path.clone(),
            strip_prefix: true,
            canary: canary(wanted, &inner, observed),
            backend,
            rules: Rules {
                allow: INNER.map(str::to_owned).to_vec(),
                ..Rules::default()
            },
        });
    }
}

/// The app's name for what every path of all hosts leads to, else with what answers behind it.
fn name(app: &AppName, route: &RouteSpec) -> String {
    match &route.to {
        _ if route.path == "/" && route.hosts.is_empty() => app.to_string(),
        RouteTo::Process { process } => format!("{app}/{process}"),
        RouteTo::Files(_) => format!("{app}/files"),
    }
}

fn rules(wanted: &Wanted, rules: &Rules) -> Rules {
    Rules {
        maintenance: wanted.routing.maintenance.clone(),
        ..rules.clone()
    }
}

/// What answers a route's requests; none for a process type that the release does not have.
fn backend(
    app: &AppName,
    wanted: &Wanted,
    route: &RouteSpec,
    observed: &Observed,
) -> Option<Backend> {
    let spec = &wanted.release.spec;
    if let RouteTo::Process { process } = &route.to
        && !spec.processes.contains_key(process)
    {
        return None;
    }
    if wanted.stopped {
        return Some(Backend::Stopped {
            reason: format!("{app} is stopped"),
        });
    }
    match &route.to {
        RouteTo::Files(files) => Some(Backend::Files {
            root: if files.folder == "." {
                wanted.tree.clone()
            } else {
                wanted.tree.join(&files.folder)
            },
            fallback: files.fallback.clone(),
        }),
        RouteTo::Process { process } if wanted.formation.get(process) == Some(&0) => {
            Some(Backend::Stopped {
                reason: format!("{app} is scaled to no {process} instances"),
            })
        }
        RouteTo::Process { process } => Some(Backend::Instances {
            targets: targets(app, process, observed),
        }),
    }
}

/// The instances that take a part of a route's requests.
fn canary(wanted: &Wanted, route: &RouteSpec, observed: &Observed) -> Option<Canary> {
    let (canary, RouteTo::Process { process }) = (wanted.canary.as_ref()?, &route.to) else {
        return None;
    };
    if wanted.stopped || wanted.formation.get(process) == Some(&0) {
        return None;
    }
    let ready = canary.instances.iter().filter(|id| {
        let seen = observed.instances.get(id);
        id.process() == process && seen.is_some_and(|seen| seen.ready)
    });
    Some(Canary {
        targets: ready.filter_map(|id| target(id, observed)).collect(),
        percent: canary.percent,
        header: canary.header.clone(),
    })
}

/// The ready instances; where none is, those that were ready and are down, since they are back soonest.
fn targets(app: &AppName, process: &ProcessType, observed: &Observed) -> Vec<Target> {
    let serving = observed.instances.iter().filter(|(id, seen)| {
        id.app() == app
            && id.process() == process
            && seen.role == Role::Serving
            && seen.port.is_some()
    });
    let (ready, down): (Vec<_>, Vec<_>) = serving.partition(|(_, seen)| seen.ready);
    let down = down
        .into_iter()
        .filter(|(_, seen)| seen.was_ready && !seen.is_gone());
    let chosen: Vec<_> = if ready.is_empty() {
        down.collect()
    } else {
        ready
    };
    chosen
        .into_iter()
        .filter_map(|(id, _)| target(id, observed))
        .collect()
}

fn target(id: &InstanceId, observed: &Observed) -> Option<Target> {
    let address = observed.instances.get(id)?.address()?;
    Some(Target {
        instance: id.clone(),
        address: TargetAddress::Tcp(address),
        weight: WEIGHT,
    })
}

#[cfg(test)]
mod tests;
