use launchway_model::ReleaseNumber;

use super::*;

fn seat(app: &str, process: &str, number: u64, allow: &[&str]) -> (InstanceId, Seat) {
    let id = InstanceId::new(
        app.parse().unwrap(),
        process.parse().unwrap(),
        ReleaseNumber(1),
        number,
    );
    let seat = Seat {
        number,
        namespace: PathBuf::new(),
        address: Ipv4Addr::new(198, 18, 0, u8::try_from(number).unwrap()),
        allow: allow.iter().map(|party| (*party).to_owned()).collect(),
        reaches_host: process == "worker",
    };
    (id, seat)
}

#[test]
fn an_instance_is_reached_by_those_that_it_lets_in_and_by_nobody_else() {
    let seats = [
        seat("shop", "web", 2, &[]),
        seat("shop", "web", 3, &[]),
        seat("shop", "db", 4, &["web", "blog/*"]),
        seat("shop", "worker", 5, &["blog/web"]),
        seat("blog", "web", 6, &[]),
        seat("blog", "cron", 7, &[]),
    ];
    let at = |number| Ipv4Addr::new(198, 18, 0, number);
    let policy = policy(&seats);
    let expected = [(2, 4), (3, 4), (6, 4), (6, 5), (7, 4)];
    assert_eq!(policy.pairs, expected.map(|(from, to)| (at(from), at(to))));
    assert_eq!(policy.to_host, [at(5)]);
    let names = names(&seats);
    let blog = &names[&"blog".parse().unwrap()];
    assert!(blog.contains("198.18.0.4 db.shop.internal\n"), "{blog}");
    assert!(
        blog.contains("198.18.0.6 web.blog.internal web\n"),
        "{blog}"
    );
    assert!(!blog.contains("198.18.0.2"), "{blog}");
}

#[test]
fn servers_on_the_hosts_loopback_are_left_out() {
    assert_eq!(reachable_servers("nameserver 10.0.0.1\n", ""), None);
    let stub = "nameserver 127.0.0.53\noptions edns0\n";
    let real = "nameserver 10.0.0.1\nsearch example.org\n";
    assert_eq!(reachable_servers(stub, real).as_deref(), Some(real));
    assert_eq!(
        reachable_servers(stub, "").as_deref(),
        Some("options edns0\n")
    );
}
