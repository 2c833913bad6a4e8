use std::sync::Arc;

use jiff::Timestamp;
use launchway_model::app::{AppSpec, FilesSpec, ProcessSpec};
use launchway_model::deploy::{Release, ReleaseState};
use launchway_model::instance::InstanceState;
use launchway_model::{BuildId, InstanceId, ReleaseNumber};

use super::*;
use crate::reconcile::Seen;

fn wanted(app: &str, spec: AppSpec) -> (AppName, Wanted) {
    let name: AppName = app.parse().unwrap();
    let formation = spec
        .processes
        .iter()
        .map(|(process, spec)| (process.clone(), spec.instances))
        .collect();
    let release = Release {
        app: name.clone(),
        number: ReleaseNumber(1),
        build: BuildId(1),
        commit: String::new(),
        subject: String::new(),
        spec,
        config_version: 0,
        created: Timestamp::UNIX_EPOCH,
        cause: String::new(),
        state: ReleaseState::Serving,
    };
    let wanted = Wanted {
        release: Arc::new(release),
        tree: "/trees/1".into(),
        recipes: BTreeMap::new(),
        formation,
        stopped: false,
        routing: Default::default(),
        wired: BTreeSet::new(),
        canary: None,
    };
    (name, wanted)
}

fn web() -> AppSpec {
    AppSpec {
        processes: [(ProcessType::web(), ProcessSpec::new("serve"))].into(),
        ..AppSpec::default()
    }
}

fn seen(role: Role, ready: bool, was_ready: bool) -> Seen {
    Seen {
        role,
        status: InstanceState::Starting,
        restarts: 0,
        last_exit: None,
        shim: None,
        port: Some(20_000),
        seat: None,
        ready,
        was_ready,
        report: None,
        lost: None,
        since: tokio::time::Instant::now(),
    }
}

/// The serials of the instances that are routed.
fn routed(instances: Vec<(&str, Seen)>) -> Vec<u64> {
    let wanted = BTreeMap::from([wanted("shop", web())]);
    let instances = instances
        .into_iter()
        .map(|(id, seen)| (id.parse().unwrap(), seen))
        .collect();
    let observed = Observed { instances };
    let Backend::Instances { targets } = compile(&wanted, &observed).remove(0).backend else {
        panic!()
    };
    targets
        .iter()
        .map(|target| target.instance.serial())
        .collect()
}

#[test]
fn ready_instances_that_serve_are_routed_and_no_others() {
    assert_eq!(
        routed(vec![
            ("shop.web.v1.1", seen(Role::Serving, true, true)),
            ("shop.web.v1.2", seen(Role::Serving, false, true)),
            ("shop.web.v2.3", seen(Role::Candidate, true, true)),
            ("shop.web.v0.4", seen(Role::Retiring, true, true)),
            ("cart.web.v1.5", seen(Role::Serving, true, true)),
            ("shop.worker.v1.6", seen(Role::Serving, true, true)),
        ]),
        [1]
    );
}

#[test]
fn where_none_is_ready_those_that_were_stay_and_new_ones_wait() {
    let mut gone = seen(Role::Serving, false, true);
    gone.lost = Some(launchway_model::Problem::failed("died"));
    assert_eq!(
        routed(vec![
            ("shop.web.v1.1", seen(Role::Serving, false, true)),
            ("shop.web.v1.2", seen(Role::Serving, false, false)),
            ("shop.web.v1.3", gone),
        ]),
        [1]
    );
    assert!(routed(Vec::new()).is_empty());
}

#[test]
fn a_host_belongs_to_one_app() {
    let mut spec = web();
    spec.domains = vec![
        "Shared.org".to_owned(),
        "own.org".to_owned(),
        "first.org".to_owned(),
    ];
    let (a, mut first) = wanted("a", spec.clone());
    first.routing.domains = vec!["a.org".to_owned()];
    let (b, mut second) = wanted("b", spec);
    // Who names another app's own host does not get it, and harms nobody.
    second.routing.domains = vec!["a.localhost".to_owned(), "own.org".to_owned()];
    let routes = compile(
        &BTreeMap::from([(a, first), (b, second)]),
        &Observed::default(),
    );
    assert_eq!(
        routes[0].hosts,
        ["a.localhost", "a.org", "shared.org", "first.org"]
    );
    assert_eq!(routes[1].hosts, ["b.localhost", "own.org"]);
}

#[test]
fn what_is_stopped_scaled_to_none_static_or_a_worker() {
    let backend = |change: &dyn Fn(&mut Wanted), spec: AppSpec| {
        let (name, mut wanted) = wanted("shop", spec);
        change(&mut wanted);
        compile(&BTreeMap::from([(name, wanted)]), &Observed::default())
            .into_iter()
            .next()
            .map(|route| route.backend)
    };
    let stopped = |reason: &str| {
        Some(Backend::Stopped {
            reason: reason.to_owned(),
        })
    };
    assert_eq!(
        backend(&|wanted| wanted.stopped = true, web()),
        stopped("shop is stopped")
    );
    let none = |wanted: &mut Wanted| {
        wanted.formation.insert(ProcessType::web(), 0);
    };
    assert_eq!(
        backend(&none, web()),
        stopped("shop is scaled to no web instances")
    );
    let files = AppSpec {
        files: Some(FilesSpec {
            folder: "dist".to_owned(),
            fallback: None,
        }),
        ..AppSpec::default()
    };
    let root = Some(Backend::Files {
        root: "/trees/1/dist".into(),
        fallback: None,
    });
    assert_eq!(backend(&|_| {}, files.clone()), root);
    assert_eq!(
        backend(&|wanted| wanted.stopped = true, files),
        stopped("shop is stopped")
    );
    let worker = AppSpec {
        processes: [("worker".parse().unwrap(), ProcessSpec::new("work"))].into(),
        ..AppSpec::default()
    };
    assert_eq!(backend(&|_| {}, worker), None);
}

#[test]
fn the_id_of_a_target_leads_to_its_port() {
    let wanted = BTreeMap::from([wanted("shop", web())]);
    let id: InstanceId = "shop.web.v1.1".parse().unwrap();
    let observed = Observed {
        instances: [(id.clone(), seen(Role::Serving, true, true))].into(),
    };
    let Backend::Instances { targets } = compile(&wanted, &observed).remove(0).backend else {
        panic!()
    };
    assert_eq!(
        targets,
        [Target {
            instance: id,
            address: TargetAddress::Tcp("127.0.0.1:20000".parse().unwrap()),
            weight: WEIGHT
        }]
    );
}

/// Each route as "NAME HOSTS PREFIX -> what answers".
fn shown(routes: &[Route]) -> Vec<String> {
    routes
        .iter()
        .map(|route| {
            let to = match &route.backend {
                Backend::Instances { targets } => {
                    let ids: Vec<String> = targets
                        .iter()
                        .map(|target| target.instance.to_string())
                        .collect();
                    ids.join(" ")
                }
                Backend::Files { root, .. } => root.display().to_string(),
                Backend::Stopped { reason } => reason.clone(),
            };
            format!(
                "{} {} {} -> {to}",
                route.name,
                route.hosts.join(","),
                route.prefix
            )
        })
        .collect()
}

fn route(path: &str, process: &str) -> RouteSpec {
    RouteSpec {
        hosts: Vec::new(),
        path: path.to_owned(),
        strip_prefix: false,
        to: RouteTo::Process {
            process: process.parse().unwrap(),
        },
        rules: None,
    }
}

#[test]
fn paths_and_hosts_lead_to_processes_and_folders() {
    let mut spec = web();
    for name in ["backend", "admin"] {
        spec.processes
            .insert(name.parse().unwrap(), ProcessSpec::new("serve"));
    }
    spec.processes.remove(&ProcessType::web());
    spec.files = Some(FilesSpec {
        folder: "dist".to_owned(),
        fallback: None,
    });
    spec.domains = vec!["shop.org".to_owned()];
    spec.routes = vec![
        route("/api", "backend"),
        RouteSpec {
            hosts: vec!["admin.shop.org".to_owned()],
            ..route("/", "admin")
        },
    ];
    let (app, mut wanted) = wanted("shop", spec);
    wanted.wired = ["backend".parse().unwrap()].into();
    let observed = Observed {
        instances: [
            ("shop.backend.v1.1", seen(Role::Serving, true, true)),
            ("shop.admin.v1.2", seen(Role::Serving, true, true)),
        ]
        .map(|(id, seen)| (id.parse().unwrap(), seen))
        .into(),
    };
    let routes = compile(&BTreeMap::from([(app, wanted)]), &observed);
    assert_eq!(
        shown(&routes),
        [
            "shop/admin admin.shop.org / -> shop.admin.v1.2",
            "shop/backend shop.localhost,shop.org /api -> shop.backend.v1.1",
            "shop shop.localhost,shop.org / -> /trees/1/dist",
            "shop/backend:inner 127.0.0.1 /~shop/backend -> shop.backend.v1.1",
        ]
    );
    let inner = routes.last().unwrap();
    assert!(inner.strip_prefix && inner.rules.allow == ["127.0.0.0/8", "::1"]);
    for route in &routes {
        route.rules.check().unwrap();
    }
}

#[test]
fn www_is_sent_to_the_bare_name_and_local_addresses_stay_on_http() {
    let mut spec = web();
    spec.domains = vec!["shop.org".to_owned()];
    spec.www = Some(Www::Remove);
    spec.rules.https_only = true;
    let (app, wanted) = wanted("shop", spec);
    let routes = compile(&BTreeMap::from([(app, wanted)]), &Observed::default());
    assert_eq!(
        shown(&routes),
        [
            "shop shop.org / -> ",
            "shop shop.localhost / -> ",
            "shop www.shop.org / -> this is shop.org",
        ]
    );
    assert!(routes[0].rules.https_only && !routes[1].rules.https_only);
    assert_eq!(routes[2].rules.redirect_host.as_deref(), Some("shop.org"));
}

#[test]
fn maintenance_holds_for_all_routes_and_keeps_their_rules() {
    let mut spec = web();
    spec.rules.sticky_cookie = Some("s".to_owned());
    let (app, mut wanted) = wanted("shop", spec);
    wanted.routing.maintenance = Some(launchway_model::route::Maintenance::default());
    let route = compile(&BTreeMap::from([(app, wanted)]), &Observed::default()).remove(0);
    assert!(route.rules.maintenance.is_some() && route.rules.sticky_cookie.is_some());
}

#[test]
fn a_canary_takes_its_share_of_the_routes_of_its_process() {
    let (app, mut wanted) = wanted("shop", web());
    wanted.canary = Some(super::super::wanted::CanaryWanted {
        instances: vec![
            "shop.web.v2.3".parse().unwrap(),
            "shop.web.v2.4".parse().unwrap(),
        ],
        percent: 10,
        header: None,
    });
    let observed = Observed {
        instances: [
            ("shop.web.v1.1", seen(Role::Serving, true, true)),
            ("shop.web.v2.3", seen(Role::Candidate, true, true)),
            ("shop.web.v2.4", seen(Role::Candidate, false, false)),
        ]
        .map(|(id, seen)| (id.parse().unwrap(), seen))
        .into(),
    };
    let route = compile(&BTreeMap::from([(app, wanted)]), &observed).remove(0);
    let canary = route.canary.unwrap();
    assert_eq!(canary.percent, 10);
    assert_eq!(canary.targets.len(), 1, "only what is ready");
    assert_eq!(canary.targets[0].instance.serial(), 3);
}
