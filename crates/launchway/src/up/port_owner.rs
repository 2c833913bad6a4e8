//! Which process listens on a port, read from `/proc`.

use std::fmt;
use std::path::Path;

/// A process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// The process that listens on a TCP port of this machine; `None` where there is none, or where it belongs to another
/// user, whose open files cannot be seen.
pub(crate) fn find(port: u16) -> Option<Owner> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let has = std::fs::read_dir(entry.path().join("fd"))
                .ok()?
                .flatten()
                .any(|file| {
                    std::fs::read_link(file.path())
                        .is_ok_and(|link| sockets.iter().any(|socket| Path::new(socket) == link))
                });
            has.then(|| Owner {
                pid,
                name: std::fs::read_to_string(entry.path().join("comm"))
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            })
        })
}

/// The inodes of the listening sockets on a port, from the text of `/proc/net/tcp` (proc_pid_net(5)).
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = fields.nth(1)?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?;
            let (_, hex) = local.rsplit_once(':')?;
            (state == LISTEN && u16::from_str_radix(hex, 16).ok()? == port)
                .then(|| inode.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0\n   1: 0100007F:1F90 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0\n";
        assert_eq!(listening(table, 8080), ["4711"]);
        assert!(listening(table, 8081).is_empty());
    }

    #[test]
    fn a_socket_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(find(port).unwrap().pid, std::process::id());
        drop(listener);
        assert_eq!(find(port), None);
    }
}
