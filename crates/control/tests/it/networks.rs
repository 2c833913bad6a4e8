//! Instances in private networks: deployed, reached by the proxy, kept over control's end, closed to each other.

use launchway_control::{formation, oneoff};
use launchway_model::api::{RunOutput, RunRequest, ScaleRequest};
use launchway_model::app::{AppSpec, NetworkSpec, ProcessSpec};
use launchway_model::instance::TargetAddress;
use launchway_supervisor::network;

use crate::world::{PATIENCE, World, command, name, process, until};

/// An app that listens on port 3000 of loopback whatever it is told, as many do.
const HARD_CODED: &str = r#"exec /usr/bin/python3 -c '
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = open("version", "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Handler).serve_forever()'"#;

/// Removes what a test's instances leave, however it ends.
struct Sweep(String);

impl Drop for Sweep {
    fn drop(&mut self) {
        if let Ok(network) = network::Network::new(&self.0, None) {
            for number in network.members() {
                network.leave(number);
            }
            network.close();
        }
    }
}

fn can_network() -> bool {
    match network::ability() {
        Ok(()) => true,
        Err(why) => {
            println!("skipped: {why}");
            false
        }
    }
}

fn private(allow: &[&str]) -> NetworkSpec {
    NetworkSpec {
        private: true,
        allow: allow.iter().map(|party| (*party).to_owned()).collect(),
        ..NetworkSpec::default()
    }
}

fn with_network(mut spec: AppSpec, network: NetworkSpec) -> AppSpec {
    // A network costs some processes more, on a machine that may be busy.
    spec.health.start_ms = 60_000;
    for process in spec.processes.values_mut() {
        process.network = network.clone();
    }
    spec
}

/// The addresses of an app's instances of a process type.
async fn addresses(world: &World, app: &str, kind: &str) -> Vec<String> {
    let instances = world.instances(app).await;
    instances
        .into_iter()
        .filter(|instance| *instance.id.process() == process(kind))
        .filter_map(|instance| match instance.address? {
            TargetAddress::Tcp(address) => Some(address.to_string()),
            TargetAddress::Unix(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_with_one_hard_coded_port_run_side_by_side() {
    if !can_network() {
        return;
    }
    let mut world = World::new().await;
    let _sweep = Sweep(key(&world));
    let repository = world.repository("shop");
    let spec = with_network(command(HARD_CODED), private(&[]));
    repository.version("one", &spec);
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "one");
    repository.version("two", &spec);
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    let request = ScaleRequest {
        formation: [(process("web"), 2)].into(),
    };
    let scaled = formation::scale(&world.control, &name("shop"), request).await;
    assert_eq!(world.changed(scaled).await.problem, None);
    let both = addresses(&world, "shop", "web").await;
    assert_eq!(both.len(), 2);
    assert_ne!(both[0], both[1]);
    assert!(
        both.iter().all(|address| address.ends_with(":3000")),
        "{both:?}"
    );

    // A control that comes back finds them where they are.
    world.restart_control().await;
    until("both are ready", async || {
        (addresses(&world, "shop", "web").await == both
            && world
                .instances("shop")
                .await
                .iter()
                .all(|seen| seen.healthy == Some(true)))
        .then_some(())
    })
    .await;
    assert_eq!(world.get("shop", "/").await.unwrap(), "two");
    // An app is deleted with its networks; the last one takes the bridge along.
    launchway_control::apps::delete(&world.control, &name("shop"))
        .await
        .unwrap();
    let bridge = format!("/sys/class/net/lwbr{}", key(&world));
    until("the bridge is gone", async || {
        (!std::path::Path::new(&bridge).exists()).then_some(())
    })
    .await;
}

/// The key in the names of what an installation makes, as its bridge shows it.
fn key(world: &World) -> String {
    use sha2::{Digest as _, Sha256};
    let home = world.settings.home.root();
    let hash = Sha256::digest(home.as_os_str().as_encoded_bytes());
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_let_in_reaches_a_process_by_its_name_and_nobody_else_does() {
    if !can_network() {
        return;
    }
    let world = World::new().await;
    let _sweep = Sweep(key(&world));
    let mut spec = with_network(command(HARD_CODED), private(&[]));
    for (kind, allow) in [("open", &["web"][..]), ("closed", &[])] {
        let mut backend = ProcessSpec::new(HARD_CODED);
        backend.network = private(allow);
        spec.processes.insert(process(kind), backend);
    }
    let repository = world.repository("shop");
    repository.version("1", &spec);
    world.deploy(&repository).await.succeeded();
    // A one-off command sits in a network of its own, as a process type that nobody names.
    let ask = async |kind: &str| {
        let line = format!("timeout 2 /bin/bash -c '</dev/tcp/{kind}/3000'");
        let request = RunRequest {
            command: vec![line],
            detach: false,
            terminal: None,
        };
        let mut output = oneoff::run(&world.control, &name("shop"), request)
            .await
            .unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, output.recv())
                .await
                .unwrap()
                .unwrap()
            {
                RunOutput::Line { .. } => {}
                RunOutput::Detached { .. } => unreachable!("it is not detached"),
                RunOutput::Exited { code } => return code == 0,
            }
        }
    };
    assert!(!ask("open").await && !ask("closed").await);
    // What the web process itself reaches, seen from its namespace.
    let web = world.instances("shop").await;
    let web = web.iter().find(|seen| seen.id.process().is_web()).unwrap();
    let reaches = |kind: &str| {
        let folder = world.settings.home.app(&name("shop"));
        let hosts = std::fs::read_to_string(folder.join("hosts")).unwrap();
        let address = hosts
            .lines()
            .find(|line| line.ends_with(&format!("{kind}.shop.internal {kind}")))
            .and_then(|line| line.split(' ').next())
            .unwrap()
            .to_owned();
        let namespace = format!("lw-{}-{}", key(&world), web.id.serial());
        std::process::Command::new("ip")
            .args([
                "netns",
                "exec",
                &namespace,
                "timeout",
                "2",
                "/bin/bash",
                "-c",
            ])
            .arg(format!("</dev/tcp/{address}/3000"))
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    until("web reaches whom it may", async || {
        reaches("open").then_some(())
    })
    .await;
    assert!(!reaches("closed"));
}
