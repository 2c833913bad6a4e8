//! Route swaps under load: not one request may fail.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use launchway_model::route::{ProxyReply, ProxyRequest};

use crate::harness::{App, Client, Proxy, Then, instance, respond};

const RUN: Duration = Duration::from_secs(10);

/// Instances come and go as in deploys: started, routed, drained, killed at once.
#[test]
fn swaps_under_load_fail_no_request() {
    let start = |serial: u64| {
        App::start(move |request, stream| {
            let body = match request.body.is_empty() {
                true => serial.to_string().into_bytes(),
                false => request.body.clone(),
            };
            respond(stream, "200 OK", &[], &body);
            Then::Keep
        })
    };
    let mut proxy = Proxy::start();
    let mut live: VecDeque<(u64, App)> = (1..=2).map(|serial| (serial, start(serial))).collect();
    let targets = |live: &VecDeque<(u64, App)>| {
        live.iter()
            .map(|(serial, app)| (*serial, app.address))
            .collect::<Vec<_>>()
    };
    proxy.route_to(&targets(&live));
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (stop, done, address) = (Arc::clone(&stop), Arc::clone(&done), proxy.address());
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut turn = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    turn += 1;
                    // Some connect anew for each request, some keep their connection, some send bodies of either framing.
                    if number % 3 == 0 {
                        client = Client::connect(address);
                    }
                    let answer = match (number + turn) % 4 {
                        0 => client.ask(
                            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nfour",
                        ),
                        1 => client.ask(
                            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
                        ),
                        _ => client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
                    };
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let (mut serial, mut swaps) = (2, 0);
    while begun.elapsed() < RUN && !clients.iter().any(std::thread::JoinHandle::is_finished) {
        serial += 1;
        live.push_back((serial, start(serial)));
        proxy.route_to(&targets(&live));
        let (old, app) = live.pop_front().unwrap();
        proxy.route_to(&targets(&live));
        let reply = proxy.ask(&ProxyRequest::Drain {
            instances: vec![instance(old)],
            deadline_ms: 60_000,
        });
        assert_eq!(reply, ProxyReply::Drained { cut: Vec::new() });
        app.kill();
        swaps += 2;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no request failed");
    }
    let done = done.load(Ordering::SeqCst);
    assert!(swaps >= 10 && done >= 100, "{swaps} swaps, {done} requests");
}

/// The table alone, as fast as control can send it.
#[test]
fn a_thousand_swaps_a_second_disturb_nobody() {
    let (one, two) = (App::named("one"), App::named("two"));
    let mut proxy = Proxy::start();
    let tables = [
        vec![(1, one.address), (2, two.address)],
        vec![(2, two.address)],
        vec![(1, one.address)],
    ];
    proxy.route_to(&tables[0]);
    let (stop, address) = (Arc::new(AtomicBool::new(false)), proxy.address());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut turns = 0;
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
                    assert_eq!(answer.status, 200);
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    for swap in 0..2000 {
        proxy.route_to(&tables[swap % tables.len()]);
    }
    stop.store(true, Ordering::SeqCst);
    let turns: u64 = clients
        .into_iter()
        .map(|client| client.join().expect("no request failed"))
        .sum();
    assert!(turns > 0);
}

/// A kept client sees nothing of a restart but a closed connection; a new one is served from the snapshot.
#[test]
fn idle_connections_cost_little_and_a_restart_needs_no_control() {
    let app = App::named("x");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut clients: Vec<_> = (0..300).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").status, 200);
    }
    let ProxyReply::Stats(stats) = proxy.ask(&ProxyRequest::Stats) else {
        panic!("no stats");
    };
    assert_eq!(stats.connections, 300);
    let (home, cut) = proxy.stop();
    assert_eq!(cut, 0);
    assert!(clients.iter_mut().all(Client::is_closed));
    let proxy = Proxy::at(home, |_| {});
    assert_eq!(proxy.get("/").text(), "x");
}

/// An upgrade: each successor takes the sockets of the proxy before it, under load.
#[test]
fn successors_take_over_without_a_failed_request() {
    let app = App::named("x");
    let mut proxy = Proxy::with(|options| options.admin = Some("127.0.0.1:0".parse().unwrap()));
    proxy.route_to(&[(1, app.address)]);
    let address = proxy.address();
    let admin = proxy.running.as_ref().unwrap().admin();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut done = 0_u64;
                while !stop.load(Ordering::SeqCst) {
                    // A proxy that stops says so and closes; the client then connects anew.
                    if number % 2 == 0 {
                        client = Client::connect(address);
                    }
                    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
                    let answer = client
                        .answer()
                        .expect("neither a new nor a kept connection is closed unanswered");
                    assert_eq!(answer.status, 200);
                    done += 1;
                    if answer.head.field("connection") == Some("close") {
                        client = Client::connect(address);
                    }
                    // A moment in which the connection is idle.
                    std::thread::sleep(Duration::from_millis(2));
                }
                done
            })
        })
        .collect();
    for _ in 0..5 {
        let home = proxy.home.path().to_owned();
        let mut options = crate::harness::options(&home);
        options.take_over = true;
        options.admin = admin;
        let successor = launchway_proxy::start(options).unwrap();
        assert_eq!(successor.http(), [address]);
        assert_eq!(successor.admin(), admin);
        // The old one stops by itself; this only waits for it.
        assert_eq!(proxy.running.replace(successor).unwrap().stop(), 0);
    }
    proxy.reconnect();
    let two = App::named("two");
    proxy.route_to(&[(2, two.address)]);
    assert_eq!(proxy.get("/").text(), "two");
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.join().expect("no request failed") > 0);
    }
}
