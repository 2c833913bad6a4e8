//! Listening TCP sockets, from `/proc/PID/net/tcp`, `tcp6` and the descriptors of a process.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a listening socket in these files.
const LISTENING: &str = "0A";

/// The inodes of the sockets that a process holds.
pub(super) fn held_by(pid: u32) -> HashSet<u64> {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return HashSet::new();
    };
    folder
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

/// The listening sockets of a process's network namespace, by inode.
pub(super) fn listening_as_seen_by(pid: u32) -> HashMap<u64, SocketAddr> {
    let mut found = HashMap::new();
    for name in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(listening));
    }
    found
}

/// Reads one line, where it is of a listening socket: `SLOT LOCAL REMOTE STATE … INODE …`.
pub(super) fn listening(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.get(3) != Some(&LISTENING) {
        return None;
    }
    Some((fields.get(9)?.parse().ok()?, address(fields.get(1)?)?))
}

/// Reads `ADDRESS:PORT` in hex. The address is written as the machine's own 32-bit numbers, the port as people read it.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let hex = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(hex, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
