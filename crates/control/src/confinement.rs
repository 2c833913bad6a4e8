//! How instances are kept apart on this host: from each other's files and from Launchway's own.
//!
//! An instance sees its tree where the build made it, its app's folder (HOME, temporary files, persistent paths), a `/tmp` of its own, and the system; the rest
//! of Launchway's home (the database, the key of the secrets, the client's token, other apps) is hidden from it, where the host allows mount
//! namespaces. Its processes are one control group, where the host allows these. What is not allowed is left out: `launchway
//! doctor` says so.

use launchway_model::shim::Sandbox;
use launchway_model::{AppName, InstanceId};
use launchway_supervisor::sandbox::{self, CgroupAbility};
use sha2::{Digest as _, Sha256};

use crate::settings::Settings;

/// What this host allows, found out once.
pub(crate) struct Confinement {
    mounts: bool,
    cgroup: bool,
    private_tmp: bool,
}

impl Confinement {
    /// Asks the host; takes some milliseconds.
    pub(crate) fn of_this_host(settings: &Settings) -> Self {
        let found = sandbox::abilities();
        let home = settings.home.root();
        Self {
            mounts: settings.isolate && found.can_mount(),
            cgroup: settings.isolate && !matches!(found.cgroup, CgroupAbility::None(_)),
            // A home below `/tmp` would be covered by the instance's own.
            private_tmp: !["/tmp", "/var/tmp"].iter().any(|tmp| home.starts_with(tmp)),
        }
    }

    /// The sandbox of an instance.
    pub(crate) fn sandbox(
        &self,
        settings: &Settings,
        app: &AppName,
        instance: &InstanceId,
    ) -> Sandbox {
        let cgroup = self.cgroup.then(|| group(settings, instance));
        if !self.mounts {
            return Sandbox {
                cgroup,
                ..Sandbox::default()
            };
        }
        Sandbox {
            hide: vec![settings.home.root().to_path_buf()],
            writable: vec![settings.home.app(app)],
            private_tmp: self.private_tmp,
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
