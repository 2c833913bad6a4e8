use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

#[test]
fn a_name_may_look_like_fields() {
    let stat = "12 (a) R 99 (b) S 7 12 12 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 3 0 55 1000 250 18";
    let entry = Entry::parse(stat).unwrap();
    assert_eq!(entry.parent, 7);
    assert!(!entry.dead);
    assert_eq!(entry.cpu_ticks, 100);
    assert_eq!(entry.threads, 3);
    assert_eq!(entry.resident_pages, 250);
}

#[test]
fn the_usage_of_a_tree_is_that_of_all_descendants() {
    let mut shell = Command::new("sh")
        .args(["-c", "sleep 60 & echo ready; wait"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    shell
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();

    let processes = Processes::read();
    let below_us = processes.below(std::process::id());
    assert!(below_us.pids.contains(&shell.id()));
    let below_shell = processes.below(shell.id());
    assert_eq!(below_shell.pids.len(), 1);
    assert_eq!(below_shell.threads, 1);
    assert!(below_shell.open_files >= 3);
    assert!(below_us.memory_bytes >= below_shell.memory_bytes);
    assert!(below_us.threads > below_shell.threads);

    for pid in below_shell.pids {
        crate::shim::tree::send(pid, rustix::process::Signal::KILL);
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
    assert_eq!(tree(shell.id()), TreeUsage::default());
}

#[test]
fn listening_sockets_are_found_by_process() {
    let four = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut expected = vec![four.local_addr().unwrap()];
    let six = TcpListener::bind("[::1]:0").ok();
    expected.extend(six.as_ref().map(|six| six.local_addr().unwrap()));
    let own = std::process::id();
    let found = listening_ports(&[own]);
    for address in expected {
        assert!(
            found.contains(&(own, address)),
            "{address} not in {found:?}"
        );
    }
    assert_eq!(
        listening_ports(&[1])
            .iter()
            .filter(|(pid, _)| *pid != 1)
            .count(),
        0
    );
    drop((four, six));
}

#[test]
fn only_listening_lines_count() {
    let line = |state: &str| {
        format!(
            "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 4321 1"
        )
    };
    if cfg!(target_endian = "little") {
        let address = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(sockets::listening(&line("0A")), Some((4321, address)));
    }
    assert_eq!(sockets::listening(&line("01")), None);
    assert_eq!(sockets::listening(""), None);
}

proptest! {
    #[test]
    fn no_line_makes_the_readers_fail(line in "\\PC{0,200}") {
        let _ = Entry::parse(&line);
        let _ = sockets::listening(&line);
    }
}
