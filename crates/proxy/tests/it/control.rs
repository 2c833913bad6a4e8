//! The control socket, the snapshot, the figures.

use launchway_model::PROTOCOL;
use launchway_model::home::Home;
use launchway_model::route::{Backend, ProxyReply, ProxyRequest, ProxyStats, RouteTable};

use crate::harness::{
    App, Client, Control, Proxy, instance, options, route, to_instances, wait_for,
};

#[test]
fn hello_tells_who_it_is() {
    let mut proxy = Proxy::start();
    let ProxyReply::Hello {
        protocol,
        pid,
        listen,
        table,
    } = proxy.ask(&ProxyRequest::Hello { protocol: PROTOCOL })
    else {
        panic!("no hello");
    };
    assert_eq!(protocol, PROTOCOL);
    assert_eq!(pid, std::process::id());
    assert_eq!(listen, [proxy.address()]);
    assert_eq!(table, 0);
    let reply = proxy.ask(&ProxyRequest::Hello { protocol: 99 });
    assert!(matches!(reply, ProxyReply::Refused { reason } if reason.contains("99")));
}

#[test]
fn a_table_must_be_newer_and_sound() {
    let app = App::named("one");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let table = |number, routes| ProxyRequest::Apply {
        table: RouteTable { number, routes },
    };
    // The same table again is as good as applied; another one under its number is not.
    let same = vec![to_instances("shop", &["*"], "/", &[(1, app.address)])];
    assert_eq!(
        proxy.ask(&table(1, same)),
        ProxyReply::Applied { number: 1 }
    );
    let reply = proxy.ask(&table(1, Vec::new()));
    assert!(matches!(reply, ProxyReply::Refused { reason } if reason.contains("not newer")));
    let reply = proxy.ask(&table(
        2,
        vec![to_instances("shop", &["Bad Host"], "/", &[])],
    ));
    assert!(matches!(reply, ProxyReply::Refused { reason } if reason.contains("Bad Host")));
    assert_eq!(proxy.get("/").text(), "one", "what was served goes on");
}

#[test]
fn a_line_that_is_not_understood_is_refused_and_the_next_is_answered() {
    let proxy = Proxy::start();
    let mut control = Control::connect(&Home::new(proxy.home.path()).proxy_socket());
    for line in ["nonsense", "{}", "{\"ask\":\"unknown\"}", ""] {
        let reply = control.ask_line(line);
        assert!(
            matches!(reply, ProxyReply::Refused { .. }),
            "{line}: {reply:?}"
        );
    }
    assert!(matches!(
        control.ask(&ProxyRequest::Stats),
        ProxyReply::Stats(_)
    ));
}

#[test]
fn a_second_proxy_of_the_same_home_or_port_is_refused() {
    let proxy = Proxy::start();
    let error = launchway_proxy::start(options(proxy.home.path())).unwrap_err();
    assert!(error.to_string().contains("another proxy"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut taken = options(elsewhere.path());
    taken.http = vec![proxy.address()];
    let error = launchway_proxy::start(taken).unwrap_err();
    assert!(error.to_string().contains("cannot listen"), "{error}");
}

#[test]
fn a_restarted_proxy_serves_from_its_snapshot() {
    let app = App::named("kept");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let (home, _) = proxy.stop();
    let mut proxy = Proxy::at(home, |_| {});
    assert_eq!(proxy.get("/").text(), "kept");
    let reply = proxy.ask(&ProxyRequest::Hello { protocol: PROTOCOL });
    assert!(matches!(reply, ProxyReply::Hello { table: 1, .. }));
}

#[test]
fn a_corrupt_snapshot_stops_nobody() {
    let home = tempfile::tempdir().unwrap();
    let path = Home::new(home.path()).proxy_snapshot();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "{\"protocol\":1,\"table\":{\"numb").unwrap();
    let mut proxy = Proxy::at(home, |_| {});
    assert_eq!(proxy.get("/").status, 404);
    assert!(!path.exists(), "it was moved aside");
    let app = App::named("new");
    proxy.route_to(&[(1, app.address)]);
    assert_eq!(proxy.get("/").text(), "new");
}

#[test]
fn a_drain_ends_with_the_last_request() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let slow = App::start(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        crate::harness::respond(stream, "200 OK", &[], b"late");
        crate::harness::Then::Keep
    });
    let fast = App::named("fast");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, slow.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    wait_for(|| slow.count() == 1);
    proxy.route_to(&[(2, fast.address)]);
    let drain = |deadline_ms| ProxyRequest::Drain {
        instances: vec![instance(1)],
        deadline_ms,
    };
    let reply = proxy.ask(&drain(50));
    assert_eq!(
        reply,
        ProxyReply::Drained {
            cut: vec![(instance(1), 1)]
        }
    );
    assert_eq!(proxy.get("/").text(), "fast");
    release.send(()).unwrap();
    let reply = proxy.ask(&drain(60_000));
    assert_eq!(reply, ProxyReply::Drained { cut: Vec::new() });
    assert_eq!(client.answer().unwrap().text(), "late");
    drop(release);
}

#[test]
fn a_swap_closes_idle_connections_to_what_is_gone() {
    let (one, two) = (App::named("one"), App::named("two"));
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, one.address)]);
    assert_eq!(proxy.get("/").text(), "one");
    proxy.route_to(&[(2, two.address)]);
    // The app's thread sees the end of the only connection that it had.
    wait_for(|| one.open() == 0);
    assert_eq!(proxy.get("/").text(), "two");
    // A request is counted when its last byte has left, which is a moment after the client has it.
    let mut stats = ProxyStats::default();
    wait_for(|| {
        let ProxyReply::Stats(now) = proxy.ask(&ProxyRequest::Stats) else {
            panic!("no stats");
        };
        stats = now;
        stats.routes[0].by_class == [0, 2, 0, 0, 0]
    });
    let known: Vec<_> = stats
        .targets
        .iter()
        .map(|target| &target.instance)
        .collect();
    assert_eq!(known, [&instance(2)]);
    assert_eq!(stats.routes[0].buckets.len(), 14);
    assert_eq!(stats.targets[0].requests, 1);
}

#[test]
fn metrics_are_prometheus_text() {
    let app = App::named("one");
    let mut proxy = Proxy::with(|options| options.admin = Some("127.0.0.1:0".parse().unwrap()));
    proxy.apply(vec![
        to_instances("shop", &["shop.test"], "/", &[(1, app.address)]),
        route(
            "old",
            &["old.test"],
            "/",
            Backend::Stopped {
                reason: "asleep".to_owned(),
            },
        ),
    ]);
    assert_eq!(proxy.get("/").status, 200);
    let stopped = proxy
        .client()
        .ask("GET / HTTP/1.1\r\nhost: old.test\r\n\r\n");
    assert_eq!(stopped.status, 503);
    assert!(stopped.text().contains("asleep"));
    let admin = proxy.running.as_ref().unwrap().admin().unwrap();
    let mut text = String::new();
    wait_for(|| {
        let answer = Client::connect(admin).ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(answer.status, 200);
        text = answer.text();
        text.contains("launchway_proxy_requests_total{route=\"shop\",status=\"2xx\"} 1")
            && text.contains("launchway_proxy_requests_total{route=\"old\",status=\"5xx\"} 1")
    });
    for line in [
        "launchway_proxy_requests_total{route=\"old\",status=\"5xx\"} 1",
        "launchway_proxy_request_duration_seconds_bucket{le=\"+Inf\",route=\"shop\"} 1",
        "launchway_proxy_request_duration_seconds_count{route=\"shop\"} 1",
        "launchway_proxy_target_requests_total{app=\"shop\",instance=\"shop.web.v1.1\"} 1",
        "launchway_proxy_target_up{app=\"shop\",instance=\"shop.web.v1.1\"} 1",
        "launchway_proxy_route_table 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let healthy = Client::connect(admin).ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(healthy.text(), "ok\n");
}

#[test]
fn unknown_hosts_get_a_page_that_names_them() {
    let mut proxy = Proxy::start();
    proxy.apply(vec![to_instances("shop", &["secret.test"], "/", &[])]);
    let answer = proxy
        .client()
        .ask("GET /x HTTP/1.1\r\nHost: Other.test:8080\r\nAccept: text/html\r\n\r\n");
    assert_eq!(answer.status, 404);
    let text = answer.text();
    assert!(text.contains("other.test"), "{text}");
    assert!(text.contains("launchway domains add APP other.test"));
    assert!(!text.contains("secret"), "no app is given away");
    assert!(text.contains("prefers-color-scheme"));
}

#[test]
fn a_home_with_a_long_path_has_a_control_socket_too() {
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("x".repeat(120));
    std::fs::create_dir(&home).unwrap();
    let running = launchway_proxy::start(options(&home)).unwrap();
    let socket = Home::new(&home).proxy_socket();
    assert!(socket.exists());
    let error = launchway_proxy::start(options(&home)).unwrap_err();
    assert!(error.to_string().contains("another proxy"), "{error}");
    assert_eq!(running.stop(), 0);
}
