use super::*;

#[test]
fn a_subnet_that_a_route_leads_into_is_passed_over() {
    // The default route, 192.0.2.0/24, and 198.18.0.0/15 but for one block of ours.
    let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
        eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
        lwbrabc\t001012C6\t00000000\t0001\t0\t0\t0\t00F0FFFF\n";
    if cfg!(target_endian = "big") {
        return;
    }
    let found = routes(text, "lwbrabc");
    assert_eq!(found, [(0xC000_0200, 0xFFFF_FF00)]);
    assert!(overlaps(found[0], Ipv4Addr::new(192, 0, 0, 0)));
    assert!(!overlaps(found[0], Ipv4Addr::new(198, 18, 16, 0)));
    let other = routes(text, "lwbrxyz");
    assert!(
        other
            .iter()
            .any(|route| overlaps(*route, Ipv4Addr::new(198, 18, 16, 0)))
    );
}

#[test]
fn names_fit_and_differ_between_installations() {
    let one = Network::new("1a2b3c4d", None).unwrap();
    let two = Network::new("1a2b3c4e", None).unwrap();
    assert!(one.bridge().len() <= 15 && one.link(u64::MAX).len() <= 15);
    assert_ne!(one.bridge(), two.bridge());
    assert_ne!(one.file(1), two.file(1));
    assert_eq!(Network::new("1a2b3c4d", Some(one.subnet())).unwrap(), one);
    assert_eq!(one.addresses().count(), 4093);
    assert!(one.addresses().all(|address| address != one.gateway()));
}

#[test]
fn the_rules_read_as_meant() {
    let network = Network {
        key: "k".to_owned(),
        subnet: Ipv4Addr::new(198, 18, 16, 0),
    };
    let policy = Policy {
        pairs: vec![(network.address(2), network.address(3))],
        to_host: Vec::new(),
    };
    let rules = network.rules(&policy);
    assert!(
        rules.contains("elements = { 198.18.16.2 . 198.18.16.3 };"),
        "{rules}"
    );
    assert!(rules.starts_with("table ip launchway_k\ndelete table ip launchway_k\n"));
}
