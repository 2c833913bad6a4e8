//! What is seen of an app from outside.

use std::net::SocketAddr;

use launchway_supervisor::observe::{Processes, listening_ports};

use crate::support::{Host, Installation, line, running};

#[tokio::test]
async fn the_port_of_an_app_is_found() {
    for host in Host::all() {
        let site = Installation::on(host);
        let server = "import socket,time,os; s=socket.create_server((\"127.0.0.1\",0)); \
                      print(\"port\", s.getsockname()[1], flush=True); os.fork(); time.sleep(1000)";
        let handle = site.start(&format!("/usr/bin/python3 -c '{server}'")).await;
        let port: u16 = line(handle.spec(), "port ").await.parse().unwrap();
        let main = running(&handle).await;
        let usage = Processes::read().below(handle.status().shim_pid);
        assert!(usage.pids.contains(&main), "{host:?}");
        assert!(usage.memory_bytes > 1 << 20);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let found = listening_ports(&usage.pids);
        assert!(found.contains(&(main, address)), "{host:?}: {found:?}");
        // Another process's socket is not the app's.
        assert!(
            listening_ports(&[std::process::id()])
                .iter()
                .all(|(_, found)| *found != address)
        );
        handle.stop(None).await.unwrap();
    }
}
