//! The installation under load, and what is known of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Ran, Setup, SmallDisk, until};
use serde_json::Value;

use crate::app::{App, version_in};
use crate::clients::{self, Aim};
use crate::ledger::{Kind, Ledger};

/// Where Debian and its children keep the library that makes a clock jump.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The size of the installation's disk in MiB: room for a few dozen releases.
const DISK: u32 = 1024;

/// Everything that a run works with.
pub(crate) struct World {
    pub(crate) installation: Installation,
    pub(crate) disk: Option<SmallDisk>,
    /// The file that says by how much the platform's clock is off.
    pub(crate) clock: Option<tempfile::NamedTempFile>,
    pub(crate) ledger: Arc<Ledger>,
    /// The app under load.
    pub(crate) shop: App,
    /// The app that is asked only by the action that breaks it.
    pub(crate) fragile: App,
    /// A word in the command line of every app of this run.
    pub(crate) mark: String,
    /// Builds that were acknowledged.
    pub(crate) builds: Mutex<BTreeSet<u64>>,
    clients: Vec<JoinHandle<()>>,
}

impl World {
    /// Starts the installation, deploys both apps, starts the load. `say` is told what cannot be done here.
    pub(crate) fn start(say: &mut dyn FnMut(&str)) -> Self {
        let disk = SmallDisk::mount(DISK)
            .inspect_err(|why| say(&format!("no full disk in this run: {why}")))
            .ok();
        let clock = Path::new(FAKETIME).exists().then(|| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), "+0").unwrap();
            file
        });
        if clock.is_none() {
            say("no clock jumps in this run: libfaketime is not installed");
        }
        let mut setup = Setup {
            own_binary: true,
            within: disk.as_ref().map(|disk| disk.path().to_owned()),
            ..Setup::default()
        };
        if let Some(clock) = &clock {
            let file = clock.path().to_string_lossy().into_owned();
            setup.environment = [
                ("LD_PRELOAD", FAKETIME),
                ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
                ("FAKETIME_CACHE_DURATION", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("FAKETIME_DONT_RESET", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        }
        let installation = Installation::start_as(setup);
        let mark = format!("--chaos-{}", std::process::id());
        let shop = App::new("shop", &mark);
        let fragile = App::new("fragile", &mark);
        installation.deploy(&shop.repository);
        installation.deploy(&fragile.repository);
        let ledger = Arc::new(Ledger::new(1));
        let aim = Aim {
            proxy: installation.proxy(),
            host: host(shop.name),
        };
        let clients = clients::start(&ledger, &aim);
        let world = Self {
            installation,
            disk,
            clock,
            ledger,
            shop,
            fragile,
            mark,
            builds: Mutex::default(),
            clients,
        };
        world.await_load();
        world
    }

    /// Ends the load.
    pub(crate) fn end_load(&mut self) {
        self.ledger.end();
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
    }

    /// Waits until every kind of client was answered again.
    pub(crate) fn await_load(&self) {
        for kind in Kind::ALL {
            let before = self.ledger.answered(kind);
            until(&format!("{} is answered", kind.name()), || {
                self.ledger.answered(kind) > before
            });
        }
    }

    /// Runs a command in the repository of the app under load.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.installation
            .run_in(self.shop.repository.path(), arguments)
    }

    /// What a command prints as JSON; asked again while control cannot be reached.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut last = None;
        for _ in 0..60 {
            let ran = self.run(arguments);
            if ran.code == 0 {
                return ran.json();
            }
            last = Some(ran);
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        panic!(
            "launchway {} goes on failing: {last:?}",
            arguments.join(" ")
        )
    }

    /// The version of the release that is recorded as serving.
    pub(crate) fn serving(&self) -> u32 {
        let releases = self.json(&["releases", "--json"]);
        let serving = releases
            .as_array()
            .unwrap()
            .iter()
            .find(|release| release["state"]["state"] == "serving")
            .unwrap_or_else(|| panic!("nothing serves: {releases:#}"));
        version_in(serving["subject"].as_str().unwrap()).unwrap()
    }

    /// Notes all builds that control admits to.
    pub(crate) fn note_builds(&self) {
        let builds = self.json(&["builds", "--json"]);
        let mut known = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(
            builds
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|build| build["id"].as_u64()),
        );
    }
}
