//! From what is wanted and what is ready to the routes.

use std::collections::{BTreeMap, BTreeSet};

use launchway_model::route::{Backend, Route, Rules, Target};
use launchway_model::{AppName, ProcessType};

use super::{Observed, Role, Wanted};
use crate::routes::loopback;

/// The share of each instance; room is left for smaller shares beside it.
const WEIGHT: u16 = 100;

/// The routes of all apps. It depends on nothing but what is given, so that the same state gives the same table.
///
/// A host leads to one app, since the proxy refuses a table in which it leads to two, and with it what every other app
/// waits for. An app's own `APP.localhost` comes first, then what was added with `domains add`, then what releases name;
/// among equals the first app by name.
pub(super) fn compile(wanted: &BTreeMap<AppName, Wanted>, observed: &Observed) -> Vec<Route> {
    let mut taken: BTreeSet<String> = wanted.keys().map(own_host).collect();
    let mut hosts: BTreeMap<&AppName, Vec<String>> = wanted
        .keys()
        .map(|app| (app, vec![own_host(app)]))
        .collect();
    let added = wanted.iter().map(|(app, wanted)| (app, &wanted.domains));
    let named = wanted
        .iter()
        .map(|(app, wanted)| (app, &wanted.release.spec.domains));
    for (app, domains) in added.chain(named) {
        for domain in domains {
            let domain = domain.to_ascii_lowercase();
            if taken.insert(domain.clone()) {
                hosts.entry(app).or_default().push(domain);
            }
        }
    }
    wanted
        .iter()
        .filter_map(|(app, wanted)| {
            Some(Route {
                name: app.to_string(),
                app: app.clone(),
                release: wanted.release.number,
                hosts: hosts.remove(app)?,
                prefix: "/".to_owned(),
                strip_prefix: false,
                backend: backend(app, wanted, observed)?,
                canary: None,
                rules: Rules::default(),
            })
        })
        .collect()
}

/// The host that every app has.
fn own_host(app: &AppName) -> String {
    format!("{app}.localhost")
}

/// What answers an app's requests; none for an app of workers alone.
fn backend(app: &AppName, wanted: &Wanted, observed: &Observed) -> Option<Backend> {
    let spec = &wanted.release.spec;
    let web = spec.processes.contains_key(&ProcessType::web());
    if !web && spec.files.is_none() {
        return None;
    }
    if wanted.stopped {
        return Some(Backend::Stopped {
            reason: format!("{app} is stopped"),
        });
    }
    if let Some(files) = spec.files.as_ref().filter(|_| !web) {
        let root = if files.folder == "." {
            wanted.tree.clone()
        } else {
            wanted.tree.join(&files.folder)
        };
        return Some(Backend::Files {
            root,
            fallback: files.fallback.clone(),
        });
    }
    if wanted.formation.get(&ProcessType::web()) == Some(&0) {
        return Some(Backend::Stopped {
            reason: format!("{app} is scaled to no web instances"),
        });
    }
    Some(Backend::Instances {
        targets: targets(app, observed),
    })
}

/// The ready instances; where none is, those that were ready and are down, since they are back soonest.
fn targets(app: &AppName, observed: &Observed) -> Vec<Target> {
    let serving = observed.instances.iter().filter(|(id, seen)| {
        id.app() == app
            && id.process().is_web()
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
        .filter_map(|(id, seen)| {
            let address = loopback(seen.port?);
            Some(Target {
                instance: id.clone(),
                address,
                weight: WEIGHT,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
