use launchway_model::route::{Rules, Target as Named};

use super::*;

fn route(name: &str, hosts: &[&str], prefix: &str) -> Route {
    Route {
        name: name.to_owned(),
        app: "shop".parse().unwrap(),
        release: launchway_model::ReleaseNumber(1),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        prefix: prefix.to_owned(),
        strip_prefix: false,
        backend: Backend::Stopped {
            reason: "test".to_owned(),
        },
        canary: None,
        rules: Rules::default(),
    }
}

fn table(routes: Vec<Route>) -> RouteTable {
    RouteTable { number: 1, routes }
}

fn found(table: &Table, host: &str, path: &str) -> String {
    match table.find(host, path) {
        Some(entry) => entry.meter.name().to_owned(),
        None => "-".to_owned(),
    }
}

#[test]
fn the_most_specific_host_then_the_longest_prefix_wins() {
    let source = table(vec![
        route("any", &["*"], "/"),
        route("wild", &["*.example.org"], "/"),
        route("deep", &["*.eu.example.org"], "/"),
        route("shop", &["shop.example.org", "shop.test"], "/"),
        route("api", &["shop.example.org"], "/api/"),
        route("v2", &["shop.example.org"], "/api/v2"),
        route("only", &["only.example.org"], "/only"),
    ]);
    assert_eq!(check(&source), Ok(()));
    let table = Registry::new(1).compile(source);
    for (host, path, name) in [
        ("shop.example.org", "/", "shop"),
        ("shop.test", "/api", "shop"),
        ("shop.example.org.", "/", "shop"),
        ("shop.example.org", "/api", "api"),
        ("shop.example.org", "/api/", "api"),
        ("shop.example.org", "/api/v2", "v2"),
        ("shop.example.org", "/api/v2/x", "v2"),
        ("shop.example.org", "/api/v22", "api"),
        ("shop.example.org", "/apis", "shop"),
        ("shop.example.org", "*", "shop"),
        ("a.example.org", "/", "wild"),
        ("a.b.example.org", "/", "wild"),
        ("a.eu.example.org", "/", "deep"),
        ("example.org", "/", "any"),
        ("only.example.org", "/only/x", "only"),
        ("only.example.org", "/", "wild"),
        ("127.0.0.1", "/", "any"),
        ("", "/", "any"),
    ] {
        assert_eq!(found(&table, host, path), name, "{host}{path}");
    }
}

#[test]
fn without_a_catch_all_an_unknown_host_has_no_route() {
    let table = Registry::new(1).compile(table(vec![route("shop", &["shop.test"], "/shop")]));
    assert_eq!(found(&table, "other.test", "/"), "-");
    assert_eq!(found(&table, "shop.test", "/"), "-");
    assert_eq!(found(&table, "shop.test", "/shop"), "shop");
}

#[test]
fn wrong_tables_are_refused_with_the_reason() {
    let cases = [
        (route("a", &[], "/"), "no host"),
        (route("", &["a.test"], "/"), "no name"),
        (route("a", &["A.test"], "/"), "lower case"),
        (route("a", &["a.test:80"], "/"), "host name"),
        (route("a", &["a..test"], "/"), "host name"),
        (route("a", &["a.*.test"], "/"), "host name"),
        (route("a", &[""], "/"), "host name"),
        (route("a", &["a.test"], "x"), "prefix"),
        (route("a", &["a.test"], ""), "prefix"),
        (route("a", &["a.test"], "/a//b"), "prefix"),
        (route("a", &["a.test"], "/a/../b"), "prefix"),
        (route("a", &["a.test"], "/a?b"), "prefix"),
    ];
    for (route, reason) in cases {
        let told = check(&table(vec![route])).unwrap_err();
        assert!(told.contains(reason), "{told}");
    }
    let twice = table(vec![
        route("a", &["a.test"], "/x"),
        route("b", &["b.test", "a.test"], "/x/"),
    ]);
    assert!(check(&twice).unwrap_err().contains("another route"));
}

#[test]
fn targets_must_look_like_something_to_connect_to() {
    let with = |address| {
        let mut route = route("a", &["a.test"], "/");
        route.backend = Backend::Instances {
            targets: vec![Named {
                instance: "shop.web.v1.1".parse().unwrap(),
                address,
                weight: 1,
            }],
        };
        check(&table(vec![route]))
    };
    assert!(with(TargetAddress::Tcp("127.0.0.1:80".parse().unwrap())).is_ok());
    assert!(with(TargetAddress::Unix("/run/a.sock".into())).is_ok());
    assert!(with(TargetAddress::Tcp("127.0.0.1:0".parse().unwrap())).is_err());
    assert!(with(TargetAddress::Tcp("0.0.0.0:80".parse().unwrap())).is_err());
    assert!(with(TargetAddress::Unix("a.sock".into())).is_err());
    assert!(with(TargetAddress::Unix(format!("/{}", "x".repeat(120)).into())).is_err());
}

#[test]
fn a_swap_keeps_the_state_of_what_stays_and_retires_what_goes() {
    let with = |number, serials: &[u64]| {
        let mut route = route("a", &["a.test"], "/");
        route.backend = Backend::Instances {
            targets: serials
                .iter()
                .map(|serial| Named {
                    instance: format!("shop.web.v1.{serial}").parse().unwrap(),
                    address: TargetAddress::Tcp(([127, 0, 0, 1], 1000 + *serial as u16).into()),
                    weight: 1,
                })
                .collect(),
        };
        RouteTable {
            number,
            routes: vec![route],
        }
    };
    let mut registry = Registry::new(1);
    let first = registry.compile(with(1, &[1, 2]));
    registry.settle(&first);
    let (one, two) = (
        Arc::clone(registry.target(&"shop.web.v1.1".parse().unwrap()).unwrap()),
        Arc::clone(registry.target(&"shop.web.v1.2".parse().unwrap()).unwrap()),
    );
    let held = one.begin().unwrap();
    let second = registry.compile(with(2, &[2, 3]));
    registry.settle(&second);
    assert!(one.begin().is_none());
    assert!(two.begin().is_some());
    let known: Vec<_> = registry
        .targets()
        .map(|target| target.instance().serial())
        .collect();
    assert!(known.contains(&1), "a request is in flight on it");
    drop(held);
    registry.settle(&second);
    assert!(registry.target(&"shop.web.v1.1".parse().unwrap()).is_none());
    assert!(Arc::ptr_eq(
        registry.target(&"shop.web.v1.2".parse().unwrap()).unwrap(),
        &two
    ));
}

#[test]
fn ten_thousand_routes_are_one_lookup() {
    let routes = (0..10_000)
        .map(|n| route(&format!("r{n}"), &[&format!("app{n}.test")], "/"))
        .collect();
    let source = table(routes);
    assert_eq!(check(&source), Ok(()));
    let table = Registry::new(1).compile(source);
    assert_eq!(found(&table, "app9999.test", "/x"), "r9999");
    assert_eq!(table.any.lengths.len(), 0);
}
