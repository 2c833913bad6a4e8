//! Private networks, as instances meet them: with real namespaces, a real bridge and real rules.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use launchway_model::shim::Seat;
use launchway_supervisor::ShimLink;
use launchway_supervisor::network::{Network, Policy, ability};

use crate::support::{Installation, output, seen, until};

/// A network that goes with the test.
struct Own {
    network: Network,
    numbers: Vec<u64>,
}

impl Own {
    fn new(name: u8) -> Option<Self> {
        if let Err(why) = ability() {
            println!("skipped: {why}");
            return None;
        }
        let key = format!("{name:01x}{:07x}", std::process::id() & 0xfff_ffff);
        let network = Network::new(&key, None).unwrap();
        network.open().unwrap();
        network.enforce(&Policy::default()).unwrap();
        Some(Self {
            network,
            numbers: Vec::new(),
        })
    }

    fn join(&mut self) -> Seat {
        let number = self.numbers.len() as u64 + 1;
        let address = self.network.addresses().nth(self.numbers.len()).unwrap();
        let namespace = self.network.join(number, address).unwrap();
        self.numbers.push(number);
        Seat {
            number,
            namespace,
            address,
            allow: Vec::new(),
            reaches_host: false,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for number in self.network.members() {
            self.network.leave(number);
        }
        self.network.close();
    }
}

const SERVER: &str = r#"exec /usr/bin/python3 -c '
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"NAME")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 3000), H).serve_forever()'"#;

fn get(address: Ipv4Addr, port: u16) -> Option<String> {
    let address = SocketAddr::from((address, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.rsplit("\r\n\r\n").next()?.to_owned())
}

#[tokio::test]
async fn apps_with_one_hard_coded_port_run_side_by_side_and_reach_only_whom_they_may() {
    let Some(mut own) = Own::new(1) else { return };
    let site = Installation::new();
    let mut started = Vec::new();
    for name in ["one", "two"] {
        let seat = own.join();
        let address = seat.address;
        let mut spec = site.spec(&SERVER.replace("NAME", name));
        spec.sandbox.network = Some(seat);
        let handle = site.supervisor.start(spec).await.unwrap();
        until("it answers", || get(address, 3000)).await;
        started.push((address, handle));
    }
    let (one, two) = (started[0].0, started[1].0);
    assert_eq!(get(one, 3000).as_deref(), Some("one"));
    assert_eq!(get(two, 3000).as_deref(), Some("two"));

    // A third may reach the first alone, and not the host.
    let seat = own.join();
    let third = seat.address;
    let host = std::net::TcpListener::bind((own.network.gateway(), 0)).unwrap();
    let policy = Policy {
        pairs: vec![(third, one)],
        to_host: Vec::new(),
    };
    own.network.enforce(&policy).unwrap();
    let ask = |to: Ipv4Addr, port: u16| {
        format!(
            "if timeout 2 /bin/bash -c '</dev/tcp/{to}/{port}' 2>/dev/null; then echo yes; else echo no; fi; "
        )
    };
    let port = host.local_addr().unwrap().port();
    let script = ask(one, 3000) + &ask(two, 3000) + &ask(own.network.gateway(), port);
    let run = async |script: &str| {
        let mut spec = site.spec(script);
        spec.restart = false;
        spec.sandbox.network = Some(seat.clone());
        let handle = site.supervisor.start(spec).await.unwrap();
        seen(&handle, "its end", |view| view.link == ShimLink::Ended).await;
        output(handle.spec())
    };
    assert_eq!(run(&script).await, ["yes", "no", "no"]);
    // The rules change in one step, without what is allowed being interrupted.
    let policy = Policy {
        pairs: vec![(third, one), (third, two)],
        to_host: vec![third],
    };
    own.network.enforce(&policy).unwrap();
    assert_eq!(run(&script).await, ["yes", "yes", "yes"]);
    // Its own network is all that it sees.
    assert_eq!(
        run("ls /sys/class/net > /dev/null; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '").await,
        ["eth0 lo "]
    );

    for (_, handle) in &started {
        handle.stop(Some(Duration::from_secs(5))).await.unwrap();
    }
    for number in own.network.members() {
        own.network.leave(number);
    }
    assert_eq!(own.network.members(), [0_u64; 0]);
    own.network.close();
    assert!(
        !std::path::Path::new("/sys/class/net")
            .join(own.network.bridge())
            .exists()
    );
}
