//! Disks: `diskstats`, `mdadm`, `nvme`.

use super::{Collected, Host, Out, entries, passes, read_text};
use crate::storage::MetricKind::{self, Counter, Gauge};
use std::collections::HashMap;

/// Bytes of the kernel's sector, whatever the disk's own is.
const SECTOR: f64 = 512.0;

/// The numbers of a line of `/proc/diskstats` behind the name: metric, type, help, factor.
const STATISTICS: [(&str, MetricKind, &str, f64); 17] = [
    (
        "node_disk_reads_completed_total",
        Counter,
        "The total number of reads completed successfully.",
        1.0,
    ),
    (
        "node_disk_reads_merged_total",
        Counter,
        "The total number of reads merged.",
        1.0,
    ),
    (
        "node_disk_read_bytes_total",
        Counter,
        "The total number of bytes read successfully.",
        SECTOR,
    ),
    (
        "node_disk_read_time_seconds_total",
        Counter,
        "The total number of seconds spent by all reads.",
        0.001,
    ),
    (
        "node_disk_writes_completed_total",
        Counter,
        "The total number of writes completed successfully.",
        1.0,
    ),
    (
        "node_disk_writes_merged_total",
        Counter,
        "The number of writes merged.",
        1.0,
    ),
    (
        "node_disk_written_bytes_total",
        Counter,
        "The total number of bytes written successfully.",
        SECTOR,
    ),
    (
        "node_disk_write_time_seconds_total",
        Counter,
        "This is the total number of seconds spent by all writes.",
        0.001,
    ),
    (
        "node_disk_io_now",
        Gauge,
        "The number of I/Os currently in progress.",
        1.0,
    ),
    (
        "node_disk_io_time_seconds_total",
        Counter,
        "Total seconds spent doing I/Os.",
        0.001,
    ),
    (
        "node_disk_io_time_weighted_seconds_total",
        Counter,
        "The weighted # of seconds spent doing I/Os.",
        0.001,
    ),
    (
        "node_disk_discards_completed_total",
        Counter,
        "The total number of discards completed successfully.",
        1.0,
    ),
    (
        "node_disk_discards_merged_total",
        Counter,
        "The total number of discards merged.",
        1.0,
    ),
    (
        "node_disk_discarded_sectors_total",
        Counter,
        "The total number of sectors discarded successfully.",
        1.0,
    ),
    (
        "node_disk_discard_time_seconds_total",
        Counter,
        "This is the total number of seconds spent by all discards.",
        0.001,
    ),
    (
        "node_disk_flush_requests_total",
        Counter,
        "The total number of flush requests completed successfully",
        1.0,
    ),
    (
        "node_disk_flush_requests_time_seconds_total",
        Counter,
        "This is the total number of seconds spent by all flush requests.",
        0.001,
    ),
];

pub(super) fn diskstats(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("diskstats")?;
    let (include, exclude) = (
        host.filters.get("diskstats.device-include"),
        host.filters.get("diskstats.device-exclude"),
    );
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(device)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if !passes(device, include, exclude) {
            continue;
        }
        about(host, out, device, major, minor);
        for ((name, kind, help, factor), field) in STATISTICS.into_iter().zip(fields) {
            if let Ok(value) = field.parse::<f64>() {
                out.add(kind, name, help, &[("device", device)], value * factor);
            }
        }
    }
    Ok(())
}

/// What udev knows of a disk.
fn about(host: &Host, out: &mut Out, device: &str, major: &str, minor: &str) {
    let text = std::fs::read_to_string(host.options.udev.join(format!("b{major}:{minor}")))
        .unwrap_or_default();
    let known: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .collect();
    let of = |name: &str| known.get(name).copied().unwrap_or("");
    let serial = if of("SCSI_IDENT_SERIAL").is_empty() {
        of("ID_SERIAL_SHORT")
    } else {
        of("SCSI_IDENT_SERIAL")
    };
    let labels = [
        ("device", device),
        ("major", major),
        ("minor", minor),
        ("path", of("ID_PATH")),
        ("wwn", of("ID_WWN")),
        ("model", of("ID_MODEL")),
        ("serial", serial),
        ("revision", of("ID_REVISION")),
    ];
    out.gauge(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        &labels,
        1.0,
    );
    if !of("ID_FS_TYPE").is_empty() {
        let labels = [
            ("device", device),
            ("type", of("ID_FS_TYPE")),
            ("usage", of("ID_FS_USAGE")),
            ("uuid", of("ID_FS_UUID")),
            ("version", of("ID_FS_VERSION")),
        ];
        out.gauge(
            "node_disk_filesystem_info",
            "Info about disk filesystem.",
            &labels,
            1.0,
        );
    }
    if !of("DM_NAME").is_empty() {
        let labels = [
            ("device", device),
            ("name", of("DM_NAME")),
            ("uuid", of("DM_UUID")),
            ("vg_name", of("DM_VG_NAME")),
            ("lv_name", of("DM_LV_NAME")),
            ("lv_layer", of("DM_LV_LAYER")),
        ];
        out.gauge(
            "node_disk_device_mapper_info",
            "Info about disk device mapper.",
            &labels,
            1.0,
        );
    }
}

pub(super) fn mdadm(host: &Host, out: &mut Out) -> Collected {
    let text = host.read_proc("mdstat")?;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((device, rest)) = line
            .split_once(" : ")
            .filter(|(name, _)| name.starts_with("md"))
        else {
            continue;
        };
        let mut active = !rest.starts_with("inactive");
        let (mut blocks, mut required, mut up) = (0.0, 0.0, 0.0);
        let mut more = Vec::new();
        while let Some(next) = lines.next_if(|next| next.starts_with(' ')) {
            more.push(next.trim());
        }
        let members: Vec<&str> = rest
            .split_ascii_whitespace()
            .filter(|word| word.contains('['))
            .collect();
        let failed = members.iter().filter(|word| word.contains("(F)")).count() as f64;
        let spare = members.iter().filter(|word| word.contains("(S)")).count() as f64;
        if let Some(first) = more.first() {
            blocks = first
                .split_ascii_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0.0);
            let counts = first
                .split_ascii_whitespace()
                .find_map(|word| word.strip_prefix('[')?.strip_suffix(']')?.split_once('/'));
            match counts {
                Some((wanted, working)) => {
                    required = wanted.parse().unwrap_or(0.0);
                    up = working.parse().unwrap_or(0.0);
                }
                // Linear and striped arrays have no count: all members are needed.
                None => {
                    required = members.len() as f64 - spare;
                    up = required - failed;
                }
            }
        }
        let mut state = if active { "active" } else { "inactive" };
        let mut synced = blocks;
        for line in &more[1.min(more.len())..] {
            for (word, name) in [
                ("recovery", "recovering"),
                ("resync", "resync"),
                ("check", "check"),
                ("reshape", "recovering"),
            ] {
                if line.contains(word) {
                    state = name;
                    active = true;
                    let done = line
                        .split_once('(')
                        .and_then(|(_, rest)| rest.split_once('/')?.0.parse::<f64>().ok());
                    // A sync that is delayed or pending has not begun.
                    synced = done.unwrap_or(0.0);
                }
            }
        }
        if !active {
            synced = 0.0;
        }
        for name in ["active", "inactive", "recovering", "resync", "check"] {
            let labels = [("device", device), ("state", name)];
            out.gauge(
                "node_md_state",
                "Indicates the state of md-device.",
                &labels,
                f64::from(u8::from(name == state)),
            );
        }
        for (name, count) in [("active", up), ("failed", failed), ("spare", spare)] {
            let labels = [("device", device), ("state", name)];
            out.gauge(
                "node_md_disks",
                "Number of active/failed/spare disks of device.",
                &labels,
                count,
            );
        }
        let labels = [("device", device)];
        out.gauge(
            "node_md_disks_required",
            "Total number of disks of device.",
            &labels,
            required,
        );
        out.gauge(
            "node_md_blocks",
            "Total number of blocks on device.",
            &labels,
            blocks,
        );
        out.gauge(
            "node_md_blocks_synced",
            "Number of blocks synced on device.",
            &labels,
            synced,
        );
    }
    Ok(())
}

pub(super) fn nvme(host: &Host, out: &mut Out) -> Collected {
    let all = entries(&host.sys("class/nvme"), "nvme");
    if all.is_empty() {
        return Err(super::Failure::NoData);
    }
    for (device, path) in all {
        let of = |name: &str| read_text(&path.join(name)).unwrap_or_default();
        let (firmware, model, serial, state) =
            (of("firmware_rev"), of("model"), of("serial"), of("state"));
        let labels = [
            ("device", device.as_str()),
            ("firmware_revision", &firmware),
            ("model", &model),
            ("serial", &serial),
            ("state", &state),
        ];
        out.gauge(
            "node_nvme_info",
            "Non-numeric data from /sys/class/nvme/<device>, value is always 1.",
            &labels,
            1.0,
        );
    }
    Ok(())
}
