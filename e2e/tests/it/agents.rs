//! Agents: real processes behind a cable of their own, cut off, killed, revoked, deceived.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use launchway_e2e::machines::{self, Machine};
use launchway_e2e::{Installation, Repository, processes, until, until_some};
use serde_json::Value;
use tempfile::TempDir;

use crate::apps;

/// An installation that listens for agents, and one machine.
struct World {
    installation: Installation,
    machine: Machine,
    port: u16,
    /// What the builds of this test wait for, where everybody sees it.
    gates: TempDir,
}

impl World {
    fn start(deadline: u32, builds: u32) -> Self {
        let free = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (listen, deadline, builds) = (
            format!("0.0.0.0:{port}"),
            deadline.to_string(),
            builds.to_string(),
        );
        // Not below /tmp, of which a build has its own.
        let gates = tempfile::Builder::new()
            .prefix("launchway-gates-")
            .tempdir_in("/var/lib")
            .unwrap();
        std::os::unix::fs::chown(gates.path(), None, None).unwrap();
        std::fs::set_permissions(
            gates.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        Self {
            installation: Installation::start_with(&[
                "--agents",
                &listen,
                "--agent-deadline",
                &deadline,
                "--builds",
                &builds,
            ]),
            machine: Machine::new(),
            port,
            gates,
        }
    }

    fn server(&self, machine: &Machine) -> String {
        format!("https://{}:{}", machine.here(), self.port)
    }

    fn token(&self, name: &str) -> String {
        let made = self
            .installation
            .run(&["agents", "create-token", name])
            .ok("create-token");
        made.stdout.trim().to_owned()
    }

    fn agent(&self, name: &str, options: &[&str]) -> machines::Agent {
        self.agent_on(&self.machine, name, options)
    }

    fn agent_on(&self, machine: &Machine, name: &str, options: &[&str]) -> machines::Agent {
        let token = self.token(name);
        machine.agent(&self.server(machine), &token, options)
    }

    fn gate(&self, name: &str) -> PathBuf {
        self.gates.path().join(name)
    }

    /// Queues a build without waiting for it.
    fn queue(&self, repository: &Repository) -> u64 {
        let source = serde_json::json!({ "source": repository.path() });
        let url = format!("http://{}/api/v1/deploys", self.installation.api());
        let accepted = ureq::post(&url)
            .header(
                "authorization",
                format!("Bearer {}", self.installation.token()),
            )
            .header("content-type", "application/json")
            .send(source.to_string())
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        serde_json::from_str::<Value>(&accepted).unwrap()["build"]
            .as_u64()
            .unwrap()
    }

    fn get(&self, path: &str) -> Value {
        let url = format!("http://{}/api/v1{path}", self.installation.api());
        let answer = ureq::get(&url)
            .header(
                "authorization",
                format!("Bearer {}", self.installation.token()),
            )
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string());
        match answer {
            Ok(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            // Control may be on its way back.
            Err(_) => Value::Null,
        }
    }

    fn build(&self, id: u64) -> Value {
        self.get(&format!("/builds/{id}"))
    }

    fn reason(&self, id: u64) -> String {
        self.build(id)["state"]["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn ended(&self, id: u64) -> Value {
        until_some("the build ends", || {
            let build = self.build(id);
            (build["state"]["state"] == "finished").then_some(build)
        })
    }

    fn result(&self, id: u64) -> String {
        let build = self.ended(id);
        format!("{} {}", build["state"]["result"], build["state"]["problem"])
    }

    fn log(&self, id: u64) -> String {
        let log = self
            .installation
            .home()
            .join(format!("builds/{id}/log/0.log"));
        std::fs::read_to_string(log).unwrap_or_default()
    }

    fn says(&self, id: u64, line: &str) {
        until(&format!("the log says `{line}`"), || {
            self.log(id).contains(line)
        });
    }
}

/// The small app with a pipeline for a label, which writes steps before and after a gate.
fn repository(name: &str, label: &str, gate: &Path, more: &str) -> Repository {
    let stage = format!(
        "agent = '{label}'\n{}\n[[stage]]\nname = 'Build'\nrun = ['echo before; while [ ! -e {} ]; do sleep 0.05; done; for i in 1 2 3 4 5; do echo step $i; done']\n{more}\n",
        apps::DESCRIPTION,
        gate.display()
    );
    Repository::of_files(
        name,
        &[("app.py", apps::SERVER), ("launchway.toml", &stage)],
    )
}

fn open(gate: &Path) {
    std::fs::write(gate, "").unwrap();
}

#[test]
fn a_build_waits_for_its_label_runs_on_the_agent_and_its_release_serves_here() {
    if !machines::can_be_made() {
        return;
    }
    let world = World::start(60, 2);
    let gate = world.gate("go");
    let repository = repository(
        "shop",
        "docker && linux",
        &gate,
        "artifacts = ['app.py']\n[[stage]]\nname = 'Check'\nrun = ['test \"$(pwd)\" = /app', 'echo it is $TOPSECRET', 'ln -s app.py link']",
    );
    world
        .installation
        .run_in(repository.path(), &["apps", "create", "shop"])
        .ok("apps create");
    world
        .installation
        .run(&["config", "set", "--app", "shop", "TOPSECRET=sentinel-4711"])
        .ok("config set");
    let build = world.queue(&repository);
    until("it says what is missing", || {
        world.reason(build) == "no agent has label docker"
    });
    let agent = world.agent("one", &["--label", "docker", "--executors", "2"]);
    world.says(build, "before");
    let agents = world.get("/agents");
    assert_eq!(agents[0]["state"], "online", "{agents:#}");
    assert_eq!(agents[0]["builds"][0], build, "{agents:#}");
    assert_eq!(world.build(build)["agent"], "one");
    // No file of the agent holds what is secret.
    let found = std::process::Command::new("grep")
        .args(["-r", "-l", "sentinel-4711"])
        .arg(agent.folder())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    open(&gate);
    assert!(
        world.result(build).contains("success"),
        "{}",
        world.result(build)
    );
    until("the release serves", || {
        world.installation.get("shop", "/").text() == "version 1"
    });
    let home = world.installation.home();
    let link = home.join(format!("releases/shop/{build}/link"));
    assert_eq!(std::fs::read_link(link).unwrap(), Path::new("app.py"));
    assert!(
        home.join(format!("builds/{build}/artifacts/app.py"))
            .exists()
    );
    let log = std::fs::read_to_string(home.join(format!("builds/{build}/log/1.log"))).unwrap();
    assert!(!log.contains("sentinel-4711"), "{log}");
    until("the agent keeps nothing of it", || {
        std::fs::read_dir(agent.folder().join("leases"))
            .unwrap()
            .count()
            == 0
            && std::fs::read_dir(agent.folder().join("trees"))
                .unwrap()
                .count()
                == 0
    });
    // The second commit comes as what is new of it.
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("two");
    world.installation.deploy(&repository);
    assert_eq!(world.installation.get("shop", "/").text(), "version 2");
}

#[test]
fn an_agent_without_its_link_builds_on_and_delivers_and_so_does_one_that_was_killed() {
    if !machines::can_be_made() {
        return;
    }
    let world = World::start(90, 0);
    let mut agent = world.agent("one", &["--label", "docker"]);
    let gate = world.gate("go");
    let build = world.queue(&repository("shop", "docker", &gate, ""));
    world.says(build, "before");
    world.machine.cut();
    open(&gate);
    until("the runner ends without the link", || {
        agent.runners().is_empty()
    });
    assert_eq!(world.build(build)["state"]["state"], "running");
    world.machine.mend();
    assert!(
        world.result(build).contains("success"),
        "{}",
        world.result(build)
    );
    for step in 1..=5 {
        assert_eq!(
            world
                .log(build)
                .matches(&format!("o step {step}\n"))
                .count(),
            1
        );
    }
    // Killed, and started again.
    let gate = world.gate("again");
    let build = world.queue(&repository("cart", "docker", &gate, ""));
    world.says(build, "before");
    agent.kill();
    open(&gate);
    until("the runner ends without the agent", || {
        agent.runners().is_empty()
    });
    world.machine.again(
        &mut agent,
        &world.server(&world.machine),
        &["--label", "docker"],
    );
    assert!(
        world.result(build).contains("success"),
        "{}",
        world.result(build)
    );
    assert_eq!(world.log(build).matches("o step 5\n").count(), 1);
}

#[test]
fn control_is_killed_during_a_build_on_an_agent_and_a_cancel_reaches_the_whole_tree() {
    if !machines::can_be_made() {
        return;
    }
    let world = World::start(90, 0);
    let agent = world.agent("one", &["--label", "docker"]);
    let gate = world.gate("go");
    let build = world.queue(&repository("shop", "docker", &gate, ""));
    world.says(build, "before");
    let control = world.installation.role("control");
    processes::kill(control);
    open(&gate);
    until("another control runs", || {
        world.installation.role("control") != control
    });
    assert!(
        world.result(build).contains("success"),
        "{}",
        world.result(build)
    );
    assert_eq!(world.log(build).matches("o step 5\n").count(), 1);
    let gate = world.gate("never");
    let build = world.queue(&repository("cart", "docker", &gate, ""));
    world.says(build, "before");
    let runner = agent.runners()[0].pid;
    assert!(!processes::below(runner).is_empty());
    let all: Vec<i32> = processes::below(runner).iter().map(|one| one.pid).collect();
    world
        .installation
        .run(&["builds", "cancel", &build.to_string()])
        .ok("cancel");
    assert!(
        world.result(build).contains("aborted"),
        "{}",
        world.result(build)
    );
    until("nothing of it is left", || {
        !all.iter().any(|pid| processes::lives(*pid))
    });
}

#[test]
fn a_dead_agent_frees_its_lease_and_the_build_fails_or_is_tried_again_as_the_pipeline_says() {
    if !machines::can_be_made() {
        return;
    }
    let world = World::start(12, 0);
    let mut first = world.agent("first", &["--label", "docker", "--executors", "2"]);
    let gate = world.gate("go");
    let failing = world.queue(&repository("shop", "docker", &gate, ""));
    let jenkinsfile = format!(
        "pipeline {{\n  agent {{ label 'docker' }}\n  options {{ retry(2) }}\n  stages {{\n    stage('Build') {{\n      steps {{\n        sh 'echo before; while [ ! -e {} ]; do sleep 0.05; done; echo after'\n      }}\n    }}\n  }}\n}}\n",
        gate.display()
    );
    let again = Repository::of_files(
        "cart",
        &[
            ("app.py", apps::SERVER),
            ("launchway.toml", apps::DESCRIPTION),
            ("Jenkinsfile", &jenkinsfile),
        ],
    );
    let retried = world.queue(&again);
    world.says(failing, "before");
    world.says(retried, "before");
    let other = Machine::new();
    let second = world.agent_on(&other, "second", &["--label", "docker"]);
    first.kill();
    let result = world.result(failing);
    assert!(
        result.contains("agent first was not heard of for 12 s"),
        "{result}"
    );
    until("the other one takes it", || {
        world.build(retried)["agent"] == "second"
    });
    world.says(retried, "before");
    open(&gate);
    assert!(
        world.result(retried).contains("success"),
        "{}",
        world.result(retried)
    );
    drop(second);
}

#[test]
fn a_revoked_token_cuts_the_agent_off_at_once_and_other_tokens_and_servers_are_refused() {
    if !machines::can_be_made() {
        return;
    }
    let world = World::start(90, 0);
    let mut agent = world.agent("one", &["--label", "docker"]);
    let gate = world.gate("never");
    let build = world.queue(&repository("shop", "docker", &gate, ""));
    world.says(build, "before");
    let runner = agent.runners()[0].pid;
    world
        .installation
        .run(&["agents", "revoke", "one"])
        .ok("revoke");
    let result = world.result(build);
    assert!(result.contains("was revoked"), "{result}");
    let code = until_some("the agent ends", || agent.ended());
    assert_eq!(code, 5, "{}", agent.log());
    assert!(agent.log().contains("not valid"), "{}", agent.log());
    until("its build is gone", || !processes::lives(runner));
    // A server with another certificate is told nothing.
    let token = world.token("two");
    let server = world.server(&world.machine);
    let wrong = "ab".repeat(32);
    let mut deceived = world
        .machine
        .agent(&server, &token, &["--fingerprint", &wrong]);
    let code = until_some("it ends", || deceived.ended());
    assert_eq!(code, 5, "{}", deceived.log());
    assert!(
        deceived
            .log()
            .contains("is not the server that the token is for"),
        "{}",
        deceived.log()
    );
    assert_eq!(world.get("/agents")[0]["seen"], Value::Null);
    // In clear only to this machine itself.
    let clear = server.replace("https", "http");
    let mut loud = world.machine.agent(&clear, &token, &[]);
    assert_eq!(until_some("it ends", || loud.ended()), 2, "{}", loud.log());
    // Another version is refused by name, also on the way that agents of this machine may take.
    let report = serde_json::json!({
        "protocol": 99, "version": "9.9.9", "labels": [], "executors": 1, "host": "x", "arch": "x",
        "incarnation": 1, "holds": [], "leaving": false,
    });
    let url = format!("http://{}/agent/v1/sync", world.installation.api());
    let refused = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent()
        .post(&url)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .send(report.to_string())
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(
        refused.contains("this agent is Launchway 9.9.9"),
        "{refused}"
    );
    // An agent's token opens nothing else.
    let api = format!("http://{}/api/v1/apps", world.installation.api());
    let status = ureq::get(&api)
        .header("authorization", format!("Bearer {token}"))
        .call()
        .unwrap_err();
    assert!(matches!(status, ureq::Error::StatusCode(401)), "{status}");
}
