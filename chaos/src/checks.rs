//! What must be true after each action, and at the end.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use launchway_e2e::http;
use launchway_e2e::installation::host;
use launchway_e2e::{processes, until};

use crate::app::version_in;
use crate::world::World;

/// How much the resident memory of a process may grow over a run, beside a quarter of what it was.
const MEMORY: u64 = 24 << 20;
/// How many more files a process may have open than it had.
const FILES: usize = 24;

/// The sizes of control and proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    control: (u64, usize),
    proxy: (u64, usize),
}

impl Sizes {
    pub(crate) fn of(world: &World) -> Self {
        let of = |role| {
            launchway_e2e::until_some("a role's size", || {
                processes::size(world.installation.role(role))
            })
        };
        Self {
            control: of("control"),
            proxy: of("proxy"),
        }
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let one = |(bytes, files): (u64, usize)| {
            format!("{:.1} MiB, {files} files", bytes as f64 / 1_048_576.0)
        };
        format!("control {}; proxy {}", one(self.control), one(self.proxy))
    }

    fn assert_flat(&self, first: &Self) {
        for (role, first, last) in [
            ("control", first.control, self.control),
            ("proxy", first.proxy, self.proxy),
        ] {
            assert!(
                last.0 <= first.0 + first.0 / 4 + MEMORY,
                "{role}'s memory grew from {} to {} bytes",
                first.0,
                last.0
            );
            assert!(
                last.1 <= first.1 + FILES,
                "{role}'s open files grew from {} to {}",
                first.1,
                last.1
            );
        }
    }
}

/// After each action: the load goes on, and what is recorded as serving is what answers.
pub(crate) fn after_action(world: &World) {
    world.await_load();
    world.note_builds();
    let serving = world.serving();
    until("the recorded release answers", || {
        let answer = http::get(world.installation.proxy(), &host(world.shop.name), "/page");
        answer.is_ok_and(|answer| version_in(&answer.text()) == Some(serving))
    });
}

/// At the end, with the load ended but all up.
pub(crate) fn at_end(world: &World, first: &Sizes) -> Sizes {
    // A deploy's old instances may still be stopping.
    until("there is a shim for each instance and no other", || {
        let mut instances = 0;
        for app in [world.shop.name, world.fragile.name] {
            let listed = world.json(&["ps", "--app", app, "--json"]);
            instances += listed.as_array().unwrap().len();
        }
        processes::of_role("shim", &world.installation.home()).len() == instances
    });
    let known = world
        .builds
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    world.note_builds();
    let builds: BTreeSet<u64> = world
        .json(&["builds", "--limit", "1000", "--json"])
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|build| build["id"].as_u64())
        .collect();
    let lost: Vec<_> = known.difference(&builds).collect();
    assert!(lost.is_empty(), "builds {lost:?} are lost");
    let sizes = Sizes::of(world);
    sizes.assert_flat(first);
    sizes
}

/// After the installation was stopped.
pub(crate) fn after_stop(world: &World) {
    let home = world.installation.home().to_string_lossy().into_owned();
    let left = || -> Vec<processes::Process> {
        processes::all()
            .into_iter()
            .filter(|process| {
                process
                    .arguments
                    .iter()
                    .any(|word| *word == world.mark || word.starts_with(&home))
            })
            .collect()
    };
    until("no process is left over", || left().is_empty());
}
