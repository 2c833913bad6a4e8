//! How apps are kept apart on this host: from each other's files, from Launchway's own, and from the machine.
//!
//! A build and every instance of its release see the tree at [`PLACE`], HOME, a `/tmp` of their own, and the system, which they can
//! only read. The rest of Launchway's home (the database, the key of the secrets, the client's token, other apps) and people's
//! home folders are hidden, but for the language tools that the operator's PATH names. Where Launchway is root, an app has
//! a user of its own. Its processes are one control group, where the host allows these. What is not allowed is left out:
//! `launchway doctor` says so.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use launchway_model::shim::{Sandbox, Seat};
use launchway_model::{AppName, BuildId, InstanceId, Problem};
use launchway_supervisor::ownership;
use launchway_supervisor::sandbox::{self, CgroupAbility, Namespaces};
use sha2::{Digest as _, Sha256};

use crate::settings::Settings;
use crate::{networks, problem, users};

/// The path at which builds and instances see their tree.
pub(crate) const PLACE: &str = "/app";

/// Folders of the operator's home in which language tools lie that a PATH leads to.
const TOOLS: [&str; 14] = [
    ".rustup",
    ".cargo/bin",
    ".pyenv",
    ".nvm",
    ".asdf",
    ".volta",
    ".bun",
    ".deno",
    ".sdkman",
    ".local/bin",
    ".local/share/uv/python",
    ".local/share/uv/tools",
    ".local/share/mise",
    ".local/share/pnpm",
];
/// Files of the operator's home that say where packages come from.
const REGISTRY_FILES: [&str; 3] = [".npmrc", ".config/pip/pip.conf", ".config/uv/uv.toml"];

/// What this host allows, found out once.
pub(crate) struct Confinement {
    mounts: bool,
    cgroup: bool,
    users: bool,
    /// The operator's home.
    operator: Option<PathBuf>,
    /// What no app sees.
    hide: Vec<PathBuf>,
    /// What apps see nevertheless, to read.
    readable: Vec<PathBuf>,
}

/// Of which app a sandbox is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) app: &'a AppName,
    /// The app's user and group.
    pub(crate) user: Option<(u32, u32)>,
}

impl Confinement {
    /// Asks the host; takes some milliseconds.
    pub(crate) fn of_this_host(settings: &Settings) -> Self {
        let found = sandbox::abilities();
        let mounts = settings.isolate && found.can_mount();
        let operator = std::env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute() && home.components().count() > 1);
        let mut this = Self {
            mounts,
            cgroup: settings.isolate && !matches!(found.cgroup, CgroupAbility::None(_)),
            // Only in a namespace of its own can another user be led past folders that are closed to it.
            users: settings.isolate && found.users && found.mounts == Namespaces::Root,
            operator,
            hide: Vec::new(),
            readable: Vec::new(),
        };
        let covered = this.covered(settings);
        this.readable = this.tools(settings, &covered);
        this.hide = covered;
        if this.users {
            let needed: Vec<PathBuf> = this
                .readable
                .iter()
                .cloned()
                .chain([settings.home.root().to_owned()])
                .collect();
            for path in needed {
                this.hide.extend(closed_above(&path));
            }
        }
        this.hide.sort();
        this.hide.dedup();
        this
    }

    /// Whether each app has a user of its own.
    pub(crate) fn users(&self) -> bool {
        self.users
    }

    /// The path at which a build of today sees its tree; none where it works in the tree's own folder.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        self.mounts.then(|| PathBuf::from(PLACE))
    }

    /// The folders that are covered for an app.
    fn covered(&self, settings: &Settings) -> Vec<PathBuf> {
        let mut covered = vec![settings.home.root().to_path_buf()];
        covered.extend(self.operator.clone());
        covered.extend(["/root", "/home"].map(PathBuf::from));
        covered
    }

    /// Where tools lie that would be covered.
    fn tools(&self, settings: &Settings, covered: &[PathBuf]) -> Vec<PathBuf> {
        let home = settings.home.root();
        let hidden = |path: &Path| {
            let tmp = ["/tmp", "/var/tmp"].iter().any(|tmp| path.starts_with(tmp));
            (tmp || covered.iter().any(|folder| path.starts_with(folder)))
                && !path.starts_with(home)
                && !home.starts_with(path)
        };
        let search = std::env::var_os("PATH").unwrap_or_default();
        let mut found: Vec<PathBuf> = std::env::split_paths(&search)
            .filter(|path| path.is_absolute())
            .chain(settings.visible.iter().cloned())
            .chain([settings.binary.clone()])
            .collect();
        if let Some(operator) = &self.operator {
            found.extend(TOOLS.iter().map(|folder| operator.join(folder)));
        }
        found.retain(|path| hidden(path) && path.exists());
        found.sort();
        found.dedup();
        found
    }

    /// What the sandboxes of builds and instances share.
    fn base(&self, settings: &Settings, whose: Whose<'_>) -> Result<Sandbox, Problem> {
        let home = &settings.home;
        let replaced = match whose.user {
            Some(user) => users::account_files(
                &home.app(whose.app),
                whose.app,
                &home.app_home(whose.app),
                user,
            )?,
            None => Vec::new(),
        };
        Ok(Sandbox {
            read_only: true,
            tree_writable: true,
            private_tmp: true,
            hide: self.hide.clone(),
            readable: self.readable.clone(),
            replaced,
            ..Sandbox::default()
        })
    }

    /// The sandbox of an instance, whose build saw the tree at `seen_at`.
    pub(crate) fn of_instance(
        &self,
        settings: &Settings,
        whose: Whose<'_>,
        instance: &InstanceId,
        seen_at: Option<&Path>,
        seat: Option<Seat>,
    ) -> Result<Sandbox, Problem> {
        let cgroup = self.cgroup.then(|| group(settings, instance));
        if !self.mounts {
            return Ok(Sandbox {
                cgroup,
                ..Sandbox::default()
            });
        }
        let home = &settings.home;
        let mut base = self.base(settings, whose)?;
        if seat.is_some() {
            base.replaced.extend(networks::files(&home.app(whose.app))?);
        }
        Ok(Sandbox {
            network: seat,
            mount_at: seen_at.map(Path::to_path_buf),
            writable: vec![home.app_home(whose.app), home.app_persist(whose.app)],
            user: whose.user,
            cgroup,
            ..base
        })
    }

    /// The sandbox of a build's runner: as an instance's, with the build's own folder and the cache, and without the app's
    /// live persistent files. None where the host allows none.
    pub(crate) fn of_build(
        &self,
        settings: &Settings,
        whose: Whose<'_>,
        build: BuildId,
    ) -> Result<Option<Sandbox>, Problem> {
        if !self.mounts {
            return Ok(None);
        }
        let home = &settings.home;
        let mut sandbox = self.base(settings, whose)?;
        sandbox.mount_at = self.place();
        sandbox.writable = vec![
            home.build(build),
            home.app_home(whose.app),
            home.app_cache(whose.app),
        ];
        // There the runner sets the build's memory limit.
        let groups = Path::new("/sys/fs/cgroup");
        if groups.is_dir() {
            sandbox.writable.push(groups.to_owned());
        }
        sandbox.readable.push(home.repository(whose.app));
        // What a build's own scan checks its dependencies against; without it that scan fails.
        sandbox
            .readable
            .extend(Some(home.advisories()).filter(|folder| folder.exists()));
        self.lend_registry_files(&home.build(build), whose.user, &mut sandbox)?;
        Ok(Some(sandbox))
    }

    /// Lets a build read what says where packages come from. Such a file may be its owner's alone, so that an app's user gets
    /// a copy in its place.
    fn lend_registry_files(
        &self,
        folder: &Path,
        user: Option<(u32, u32)>,
        sandbox: &mut Sandbox,
    ) -> Result<(), Problem> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        for (number, name) in REGISTRY_FILES.iter().enumerate() {
            let path = operator.join(name);
            if !path.is_file() {
                continue;
            }
            let Some(user) = user else {
                sandbox.readable.push(path);
                continue;
            };
            let copy = folder.join(format!("registry-{number}"));
            std::fs::read(&path)
                .and_then(|text| crate::secrets::write_private(&copy, &text))
                .and_then(|()| ownership::hand_over(&copy, user))
                .map_err(|error| problem::file("copy", &path, &error))?;
            sandbox.replaced.push((path, copy));
        }
        Ok(())
    }
}

/// The highest folder on the way to a path that other users may not pass through.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .find(|folder| {
            folder
                .metadata()
                .is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
        })
        .map(Path::to_path_buf)
}

/// The control group's name.
fn group(settings: &Settings, instance: &InstanceId) -> String {
    format!("{}-{instance}", key(settings.home.root()))
}

/// What tells one installation's groups, bridges and rules from another's on the same machine, whose instances have the same
/// names: eight hexadecimal digits.
pub(crate) fn key(home: &Path) -> String {
    let hash = Sha256::digest(home.as_os_str().as_encoded_bytes());
    format!(
        "{:02x}{:02x}{:02x}{:02x}",
        hash[0], hash[1], hash[2], hash[3]
    )
}
