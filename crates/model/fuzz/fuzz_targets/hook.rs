//! Webhooks' payloads: whatever comes is refused, or names branches that git could have.
#![no_main]

use launchway_model::hook::{self, Hook, HookEvent, Proof};
use launchway_model::trigger::Forge;
use libfuzzer_sys::fuzz_target;

const EVENTS: [(Forge, &str); 8] = [
    (Forge::Github, "push"),
    (Forge::Github, "pull_request"),
    (Forge::Github, "create"),
    (Forge::Github, "delete"),
    (Forge::Gitea, "push"),
    (Forge::Gitlab, "Push Hook"),
    (Forge::Gitlab, "Tag Push Hook"),
    (Forge::Gitlab, "Merge Request Hook"),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (which, body) = input;
    let (forge, event) = EVENTS[usize::from(which) % EVENTS.len()];
    let hook = Hook {
        forge,
        event: event.to_owned(),
        delivery: None,
        proof: Proof::Missing,
    };
    match hook::read(&hook, body) {
        Ok(Some(HookEvent::Refs { name, .. })) => {
            let plain = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
            assert!(plain.is_some_and(hook::is_name));
        }
        Ok(Some(HookEvent::Change { change, .. })) => {
            assert!(hook::is_name(&change.branch) && hook::is_name(&change.target));
            assert!(change.title.len() <= 1200 && !change.title.contains('\n'));
        }
        Ok(Some(HookEvent::Ping) | None) | Err(_) => {}
    }
});
