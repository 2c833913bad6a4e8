//! The network: `arp`, `bonding`, `conntrack`, `netdev`, `netstat`, `sockstat`, `udp_queues`.

use super::{Collected, Failure, Host, Out, passes, read_number, read_text};
use std::collections::BTreeMap;

pub(super) fn arp(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("net/arp")?;
    let (include, exclude) = (
        host.filters.get("arp.device-include"),
        host.filters.get("arp.device-exclude"),
    );
    let mut entries: BTreeMap<&str, f64> = BTreeMap::new();
    for device in text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(5))
    {
        *entries.entry(device).or_default() += 1.0;
    }
    for (device, count) in entries
        .into_iter()
        .filter(|(device, _)| passes(device, include, exclude))
    {
        out.gauge(
            "node_arp_entries",
            "ARP entries by device",
            &[("device", device)],
            count,
        );
    }
    Ok(())
}

pub(super) fn bonding(host: &Host, out: &mut Out) -> Collected {
    let masters = read_text(&host.sys("class/net/bonding_masters")).ok_or(Failure::NoData)?;
    for master in masters.split_ascii_whitespace() {
        let folder = host.sys("class/net").join(master);
        let slaves = read_text(&folder.join("bonding/slaves")).unwrap_or_default();
        let (mut all, mut active) = (0.0, 0.0);
        for slave in slaves.split_ascii_whitespace() {
            let status = ["lower_", "slave_"].iter().find_map(|prefix| {
                read_text(&folder.join(format!("{prefix}{slave}/bonding_slave/mii_status")))
            });
            all += 1.0;
            active += f64::from(u8::from(status.as_deref() == Some("up")));
        }
        let labels = [("master", master)];
        out.gauge(
            "node_bonding_slaves",
            "Number of configured slaves per bonding interface.",
            &labels,
            all,
        );
        out.gauge(
            "node_bonding_active",
            "Number of active slaves per bonding interface.",
            &labels,
            active,
        );
    }
    Ok(())
}

/// The column, its help.
const CONNTRACK: [(&str, &str); 8] = [
    ("found", "Number of searched entries which were successful."),
    (
        "invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        "ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    ("insert", "Number of entries inserted into the list."),
    (
        "insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        "drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

pub(super) fn conntrack(host: &Host, out: &mut Out) -> Collected {
    let of = |name: &str| {
        read_number(&host.proc(&format!("sys/net/netfilter/{name}"))).ok_or(Failure::NoData)
    };
    let (entries, limit) = (of("nf_conntrack_count")?, of("nf_conntrack_max")?);
    let help = "Number of currently allocated flow entries for connection tracking.";
    out.gauge("node_nf_conntrack_entries", help, &[], entries);
    out.gauge(
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        &[],
        limit,
    );
    let text = host.read_proc("net/stat/nf_conntrack")?;
    let mut lines = text.lines();
    let columns: Vec<&str> = lines
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    let mut sums = [0u64; CONNTRACK.len()];
    for line in lines {
        for (column, field) in columns.iter().zip(line.split_ascii_whitespace()) {
            if let Some(at) = CONNTRACK.iter().position(|(name, _)| name == column) {
                sums[at] += u64::from_str_radix(field, 16).unwrap_or(0);
            }
        }
    }
    for ((name, help), sum) in CONNTRACK.into_iter().zip(sums) {
        out.gauge(
            format!("node_nf_conntrack_stat_{name}"),
            help,
            &[],
            sum as f64,
        );
    }
    Ok(())
}

const RECEIVED: [&str; 8] = [
    "bytes",
    "packets",
    "errs",
    "drop",
    "fifo",
    "frame",
    "compressed",
    "multicast",
];
const TRANSMITTED: [&str; 8] = [
    "bytes",
    "packets",
    "errs",
    "drop",
    "fifo",
    "colls",
    "carrier",
    "compressed",
];

pub(super) fn netdev(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("net/dev")?;
    let (include, exclude) = (
        host.filters.get("netdev.device-include"),
        host.filters.get("netdev.device-exclude"),
    );
    for line in text.lines().skip(2) {
        let Some((device, rest)) = line.split_once(':') else {
            continue;
        };
        let device = device.trim();
        if !passes(device, include, exclude) {
            continue;
        }
        let mut statistic = |name: &str, value: f64| {
            let metric = format!("node_network_{name}_total");
            out.counter(
                metric,
                format!("Network device statistic {name}."),
                &[("device", device)],
                value,
            );
        };
        let mut fields = rest
            .split_ascii_whitespace()
            .map(|field| field.parse().unwrap_or(0.0));
        for (direction, names) in [("receive", RECEIVED), ("transmit", TRANSMITTED)] {
            for name in names {
                statistic(&format!("{direction}_{name}"), fields.next().unwrap_or(0.0));
            }
        }
        let path = host
            .sys("class/net")
            .join(device)
            .join("statistics/rx_nohandler");
        if let Some(value) = read_number(&path) {
            statistic("receive_nohandler", value);
        }
    }
    Ok(())
}

pub(super) fn netstat(host: &Host, out: &mut Out) -> Collected {
    let fields = host.filters.get("netstat.fields");
    let mut add = |protocol: &str, name: &str, value: &str| {
        let key = format!("{protocol}_{name}");
        if fields.is_none_or(|fields| fields.is_match(&key))
            && let Ok(value) = value.parse()
        {
            out.untyped(
                format!("node_netstat_{key}"),
                format!("Statistic {protocol}{name}."),
                &[],
                value,
            );
        }
    };
    for file in ["net/netstat", "net/snmp"] {
        let text = host.read_proc(file)?;
        let mut lines = text.lines();
        // Names and values take turns, each line after its protocol.
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let (Some((protocol, names)), Some((_, values))) =
                (names.split_once(':'), values.split_once(':'))
            else {
                return Err(Failure::Broken(format!("{file}: {names}")));
            };
            for (name, value) in names
                .split_ascii_whitespace()
                .zip(values.split_ascii_whitespace())
            {
                add(protocol, name, value);
            }
        }
    }
    // A host without IPv6 has no such file.
    if let Ok(text) = host.read_proc("net/snmp6") {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(value)) = (words.next(), words.next()) else {
                continue;
            };
            if let Some(six) = name.find('6') {
                add(&name[..=six], &name[six + 1..], value);
            }
        }
    }
    Ok(())
}

pub(super) fn sockstat(host: &Host, out: &mut Out) -> Collected {
    let page = rustix::param::page_size() as f64;
    let four = host.read_proc("net/sockstat");
    let six = host.read_proc("net/sockstat6");
    for text in [four, six].into_iter().flatten() {
        for line in text.lines() {
            let Some((protocol, rest)) = line.split_once(':') else {
                continue;
            };
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            for pair in words.chunks_exact(2) {
                let (state, value) = (pair[0], pair[1].parse().unwrap_or(0.0));
                if protocol == "sockets" {
                    out.gauge(
                        "node_sockstat_sockets_used",
                        "Number of IPv4 sockets in use.",
                        &[],
                        value,
                    );
                    continue;
                }
                let mut add = |state: &str, value: f64| {
                    let help = format!("Number of {protocol} sockets in state {state}.");
                    out.gauge(
                        format!("node_sockstat_{protocol}_{state}"),
                        help,
                        &[],
                        value,
                    );
                };
                add(state, value);
                if state == "mem" {
                    add("mem_bytes", value * page);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn udp_queues(host: &Host, out: &mut Out) -> Collected {
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let Ok(text) = host.read_proc(file) else {
            continue;
        };
        let (mut sent, mut received) = (0, 0);
        for queues in text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_ascii_whitespace().nth(4))
        {
            let (tx, rx) = queues.split_once(':').unwrap_or(("", ""));
            sent += u64::from_str_radix(tx, 16).unwrap_or(0);
            received += u64::from_str_radix(rx, 16).unwrap_or(0);
        }
        for (queue, bytes) in [("tx", sent), ("rx", received)] {
            let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
            out.gauge(
                "node_udp_queues",
                help,
                &[("queue", queue), ("ip", ip)],
                bytes as f64,
            );
        }
    }
    Ok(())
}
