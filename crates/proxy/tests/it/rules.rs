//! A route's rules, end to end.

use launchway_model::app::HeaderMatch;
use launchway_model::route::{
    Backend, Canary, FieldRule, Maintenance, ProxyReply, ProxyRequest, Rate, RouteTable, Rules,
    User,
};

use crate::harness::{App, Proxy, Then, respond, route, to_instances};

fn ruled(rules: Rules) -> (App, Proxy) {
    let app = App::start(|_, stream| {
        respond(
            stream,
            "200 OK",
            &[("server", "app/1.0"), ("x-keep", "yes")],
            b"inside",
        );
        Then::Keep
    });
    let mut proxy = Proxy::start();
    let mut route = to_instances("shop", &["*"], "/", &[(1, app.address)]);
    route.rules = rules;
    proxy.apply(vec![route]);
    (app, proxy)
}

#[test]
fn plain_http_is_redirected_and_certificates_can_be_fetched() {
    let (app, proxy) = ruled(Rules {
        https_only: true,
        hsts_seconds: Some(100),
        ..Rules::default()
    });
    let answer = proxy.get("/a?b=c");
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.head.field("location"),
        Some("https://shop.test/a?b=c")
    );
    assert_eq!(answer.head.field("strict-transport-security"), None);
    assert_eq!(app.count(), 0);
    assert_eq!(proxy.get("/.well-known/acme-challenge/x").status, 200);
}

#[test]
fn fields_are_set_and_taken_off_both_ways() {
    let rule = |name: &str, value: Option<&str>| FieldRule {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let (app, proxy) = ruled(Rules {
        request_fields: vec![rule("X-Tier", Some("gold")), rule("Cookie", None)],
        answer_fields: vec![rule("Server", None), rule("X-Frame-Options", Some("DENY"))],
        ..Rules::default()
    });
    let answer = proxy
        .client()
        .ask("GET / HTTP/1.1\r\nhost: a\r\nx-tier: iron\r\ncookie: a=b\r\n\r\n");
    assert_eq!(answer.head.field("server"), None);
    assert_eq!(answer.head.field("x-frame-options"), Some("DENY"));
    assert_eq!(answer.head.field("x-keep"), Some("yes"));
    let seen = app.last();
    assert_eq!(seen.field("cookie"), None);
    let tiers: Vec<_> = seen
        .fields
        .iter()
        .filter(|(name, _)| name == "x-tier")
        .collect();
    assert_eq!(tiers.len(), 1);
    assert_eq!(tiers[0].1, "gold");
}

#[test]
fn strangers_stay_outside() {
    let (app, proxy) = ruled(Rules {
        users: vec![User {
            name: "anna".to_owned(),
            // SHA-256 of `anna:secret`.
            sha256: "8f7fa0cafc81d43376104eaf79e53c80d0d1ffe16849d4ebfa33c3bf50a8d5b9".to_owned(),
        }],
        ..Rules::default()
    });
    let answer = proxy.get("/");
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .head
            .field("www-authenticate")
            .unwrap()
            .starts_with("Basic ")
    );
    assert_eq!(app.count(), 0);
    let answer = proxy
        .client()
        .ask("GET / HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uYTpzZWNyZXQ=\r\n\r\n");
    assert_eq!(answer.text(), "inside");
    let (other, denied) = ruled(Rules {
        deny: vec!["127.0.0.0/8".to_owned()],
        ..Rules::default()
    });
    assert_eq!(denied.get("/").status, 403);
    let (limited, rated) = ruled(Rules {
        rate: Some(Rate {
            per_second: 1,
            burst: 2,
        }),
        body_bytes: Some(10),
        ..Rules::default()
    });
    let mut client = rated.client();
    let answer = client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(answer.status, 200);
    let answer = rated
        .client()
        .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello world");
    assert_eq!(answer.status, 413);
    let statuses: Vec<u16> = (0..5).map(|_| rated.get("/").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(other.count(), 0);
    assert!(limited.count() <= 5);
}

#[test]
fn a_cookie_keeps_a_client_with_its_instance() {
    let (one, two) = (App::named("one"), App::named("two"));
    let mut proxy = Proxy::start();
    let mut sticky = to_instances("shop", &["*"], "/", &[(1, one.address), (2, two.address)]);
    sticky.rules.sticky_cookie = Some("lw".to_owned());
    proxy.apply(vec![sticky.clone()]);
    let first = proxy.get("/");
    let cookie = first.head.field("set-cookie").unwrap();
    assert!(
        cookie.starts_with("lw=") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap().to_owned();
    let again = |proxy: &Proxy| {
        proxy.client().ask(&format!(
            "GET / HTTP/1.1\r\nhost: a\r\ncookie: x=y; {pair}; z=1\r\n\r\n"
        ))
    };
    for _ in 0..20 {
        let answer = again(&proxy);
        assert_eq!(answer.text(), first.text());
        assert_eq!(answer.head.field("set-cookie"), None);
    }
    // When its instance is gone, the client gets another and its cookie.
    let left = match first.text().as_str() {
        "one" => (2, two.address),
        _ => (1, one.address),
    };
    let mut other = to_instances("shop", &["*"], "/", &[left]);
    other.rules = sticky.rules;
    proxy.apply(vec![other]);
    let answer = again(&proxy);
    assert_ne!(answer.text(), first.text());
    assert!(answer.head.field("set-cookie").is_some());
}

#[test]
fn a_table_with_wrong_rules_is_refused() {
    let mut proxy = Proxy::start();
    let mut wrong = route(
        "shop",
        &["*"],
        "/",
        Backend::Stopped {
            reason: "x".to_owned(),
        },
    );
    wrong.rules.allow = vec!["nowhere".to_owned()];
    let reply = proxy.ask(&ProxyRequest::Apply {
        table: RouteTable {
            number: 1,
            routes: vec![wrong],
        },
    });
    assert!(
        matches!(&reply, ProxyReply::Refused { reason } if reason.contains("nowhere")),
        "{reply:?}"
    );
}

#[test]
fn requests_are_logged() {
    let app = App::named("logged");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut proxy = Proxy::with(|options| {
        options.access_log = Some(launchway_proxy::options::AccessLog::new(path.clone()));
    });
    proxy.apply(vec![to_instances(
        "shop",
        &["shop.test"],
        "/",
        &[(1, app.address)],
    )]);
    let mut client = proxy.client();
    client.ask("GET /a?b HTTP/1.1\r\nhost: shop.test\r\nuser-agent: x\"y\r\n\r\n");
    client.ask("GET /c HTTP/1.1\r\nhost: other.test\r\n\r\n");
    client.ask("GET /d HTTP/1.1\r\nbroken\r\n\r\n");
    drop(client);
    proxy.stop();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["target"], "/a?b");
    assert_eq!(lines[0]["agent"], "x\"y");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["bytes"], 6);
    assert_eq!(lines[0]["route"], "shop");
    assert_eq!(lines[0]["instance"], "shop.web.v1.1");
    assert_eq!(lines[1]["status"], 404);
    assert_eq!(lines[1]["host"], "other.test");
    assert_eq!(lines[2]["status"], 400);
    assert_eq!(lines[2].get("target"), None, "nothing of the last request");
}

#[test]
fn an_app_in_maintenance_answers_nobody_but_who_may() {
    let page = |allow: &[&str]| Rules {
        maintenance: Some(Maintenance {
            message: "The shelves are being moved.".to_owned(),
            allow: allow.iter().map(|range| (*range).to_owned()).collect(),
        }),
        ..Rules::default()
    };
    let (app, proxy) = ruled(page(&["10.0.0.0/8"]));
    let answer = proxy.get("/");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.head.field("retry-after"), Some("60"));
    assert!(answer.text().contains("The shelves are being moved."));
    assert_eq!(app.count(), 0);
    let (_app, proxy) = ruled(page(&["127.0.0.0/8"]));
    assert_eq!(proxy.get("/").text(), "inside");
}

#[test]
fn a_client_has_only_so_many_requests_in_flight() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let app = App::start(move |request, stream| {
        if request.head.first.contains(" /slow ") {
            let _ = held.lock().unwrap().recv();
        }
        respond(stream, "200 OK", &[], b"inside");
        Then::Keep
    });
    let mut proxy = Proxy::start();
    let mut limited = to_instances("shop", &["*"], "/", &[(1, app.address)]);
    limited.rules.in_flight = Some(1);
    proxy.apply(vec![limited]);
    let mut idle = proxy.client();
    let free = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(
        idle.ask(free).status,
        200,
        "an idle connection takes no place"
    );
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| proxy.get("/slow").status);
        while app.count() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(proxy.get("/").status, 429);
        hold.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), 200);
    });
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_route_has_its_own_patience() {
    let app = App::start(|_, _| {
        std::thread::park_timeout(std::time::Duration::from_secs(20));
        Then::Close
    });
    let mut proxy = Proxy::start();
    let mut hurried = to_instances("shop", &["*"], "/", &[(1, app.address)]);
    hurried.rules.answer_timeout_ms = Some(100);
    proxy.apply(vec![hurried]);
    assert_eq!(proxy.get("/").status, 504);
}

#[test]
fn a_canary_takes_its_share_and_those_who_ask_for_it() {
    let (old, new) = (App::named("old"), App::named("new"));
    let mut proxy = Proxy::start();
    let mut route = to_instances("shop", &["*"], "/", &[(1, old.address)]);
    let Backend::Instances { targets } =
        to_instances("shop", &["*"], "/", &[(2, new.address)]).backend
    else {
        panic!()
    };
    let canary = |percent, header: Option<&str>| Canary {
        targets: targets.clone(),
        percent,
        header: header.map(|name| HeaderMatch {
            name: name.to_owned(),
            value: Some("yes".to_owned()),
        }),
    };
    route.canary = Some(canary(20, Some("X-Canary")));
    proxy.apply(vec![route.clone()]);
    let asked = "GET / HTTP/1.1\r\nhost: a\r\nx-canary: yes\r\n\r\n";
    assert_eq!(proxy.client().ask(asked).text(), "new");
    let mut client = proxy.client();
    let plain = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let share = (0..1000)
        .filter(|_| client.ask(plain).text() == "new")
        .count();
    assert!((140..=260).contains(&share), "{share} of 1000");
    let ProxyReply::Stats(stats) = proxy.ask(&ProxyRequest::Stats) else {
        panic!()
    };
    let of_new = stats
        .targets
        .iter()
        .find(|target| target.instance == targets[0].instance)
        .unwrap();
    assert_eq!(of_new.buckets.last(), Some(&of_new.requests));

    // The share alone, and none at all while the canary cannot be reached.
    route.canary = Some(canary(100, None));
    proxy.apply(vec![route.clone()]);
    assert_eq!(proxy.get("/").text(), "new");
    new.kill();
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "old");
    }
    route.canary = Some(canary(101, None));
    let table = RouteTable {
        number: 1000,
        routes: vec![route],
    };
    let ProxyReply::Refused { reason } = proxy.ask(&ProxyRequest::Apply { table }) else {
        panic!()
    };
    assert!(reason.contains("101 percent"), "{reason}");
}
