//! How instances are kept apart on this host: from each other's files and from Launchway's own.
//!
//! An instance sees its tree where the build made it, its app's folder (HOME, temporary files, persistent paths), and the system; the rest
//! of Launchway's home (the database, the key of the secrets, the client's token, other apps) is hidden from it, where the host allows mount
//! namespaces. Its processes are one control group, where the host allows these. What is not allowed is left out: `launchway
//! doctor` says so.

use launchway_model::shim::Sandbox;
use launchway_model::{AppName, InstanceId};
use launchway_supervisor::sandbox::{self, Abilities, CgroupAbility};
use sha2::{Digest as _, Sha256};

use crate::settings::Settings;

/// What this host allows, found out once.
pub(crate) struct Confinement {
    abilities: Abilities,
}

impl Confinement {
    /// Asks the host; takes some milliseconds.
    pub(crate) fn of_this_host() -> Self {
        Self {
            abilities: sandbox::abilities(),
        }
    }

    /// The sandbox of an instance.
    pub(crate) fn sandbox(
        &self,
        settings: &Settings,
        app: &AppName,
        instance: &InstanceId,
    ) -> Sandbox {
        let cgroup = match self.abilities.cgroup {
            CgroupAbility::None(_) => None,
            CgroupAbility::V1(_) | CgroupAbility::V2(_) => Some(group(settings, instance)),
        };
        if !self.abilities.can_mount() {
            return Sandbox {
                cgroup,
                ..Sandbox::default()
            };
        }
        Sandbox {
            hide: vec![settings.home.root().to_path_buf()],
            writable: vec![settings.home.app(app)],
            cgroup,
            ..Sandbox::default()
        }
    }
}

/// The control group's name. A machine can hold several installations, whose instances have the same names.
fn group(settings: &Settings, instance: &InstanceId) -> String {
    let hash = Sha256::digest(settings.home.root().as_os_str().as_encoded_bytes());
    format!(
        "{:02x}{:02x}{:02x}{:02x}-{instance}",
        hash[0], hash[1], hash[2], hash[3]
    )
}
