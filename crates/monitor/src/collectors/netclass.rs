//! What the kernel says of network devices: `netclass`.

use super::{Collected, Host, Out, entries, read_text};

/// The file, the metric's name, whether it only grows, the factor.
const FILES: [(&str, &str, bool, f64); 18] = [
    ("addr_assign_type", "address_assign_type", false, 1.0),
    ("carrier", "carrier", false, 1.0),
    ("carrier_changes", "carrier_changes_total", true, 1.0),
    ("carrier_up_count", "carrier_up_changes_total", true, 1.0),
    (
        "carrier_down_count",
        "carrier_down_changes_total",
        true,
        1.0,
    ),
    ("dev_id", "device_id", false, 1.0),
    ("dormant", "dormant", false, 1.0),
    ("flags", "flags", false, 1.0),
    ("ifindex", "iface_id", false, 1.0),
    ("iflink", "iface_link", false, 1.0),
    ("link_mode", "iface_link_mode", false, 1.0),
    ("mtu", "mtu_bytes", false, 1.0),
    ("name_assign_type", "name_assign_type", false, 1.0),
    ("netdev_group", "net_dev_group", false, 1.0),
    ("type", "protocol_type", false, 1.0),
    // Megabits a second.
    ("speed", "speed_bytes", false, 125_000.0),
    ("tx_queue_len", "transmit_queue_length", false, 1.0),
    ("operstate", "up", false, 1.0),
];

pub(super) fn netclass(host: &Host, out: &mut Out) -> Collected {
    let ignored = host.filters.get("netclass.ignored-devices");
    for (device, path) in entries(&host.sys("class/net"), "") {
        if ignored.is_some_and(|ignored| ignored.is_match(&device))
            || !path.join("ifindex").exists()
        {
            continue;
        }
        let labels = [("device", device.as_str())];
        let mut state = String::new();
        for (file, name, counter, factor) in FILES {
            // A device that is down refuses some of these.
            let Some(text) = read_text(&path.join(file)) else {
                continue;
            };
            if file == "operstate" {
                let help = "Value is 1 if operstate is 'up', 0 otherwise.";
                out.gauge(
                    "node_network_up",
                    help,
                    &labels,
                    f64::from(u8::from(text == "up")),
                );
                state = text;
                continue;
            }
            let number = match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            };
            let Some(number) = number else {
                continue;
            };
            let (metric, help) = (
                format!("node_network_{name}"),
                format!("Network device property: {name}"),
            );
            let value = number as f64 * factor;
            if counter {
                out.counter(metric, help, &labels, value);
            } else {
                out.gauge(metric, help, &labels, value);
            }
        }
        let of = |name: &str| read_text(&path.join(name)).unwrap_or_default();
        let (address, broadcast, duplex, alias) =
            (of("address"), of("broadcast"), of("duplex"), of("ifalias"));
        let labels = [
            ("device", device.as_str()),
            ("address", &address),
            ("broadcast", &broadcast),
            ("duplex", &duplex),
            ("operstate", &state),
            ("ifalias", &alias),
        ];
        let help = "Non-numeric data from /sys/class/net/<iface>, value is always 1.";
        out.gauge("node_network_info", help, &labels, 1.0);
    }
    Ok(())
}
