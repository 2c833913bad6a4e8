//! The system user of each app, where Launchway is root.
//!
//! The numbers are our own: nothing is written to `/etc/passwd`, so that nothing is left there when an app is deleted, two
//! control processes never edit one file, and a machine whose users come from elsewhere (LDAP) is as good. Programs that
//! look their user up find it all the same, for each app sees a `passwd` and a `group` file with its own user added.
//! They lie below 60000, where neither people (from 1000 up) nor a distribution's services (below 1000, from 60000 up) are
//! given numbers, and inside the 65536 that a container usually has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use launchway_model::runner::BuildUser;
use launchway_model::{AppName, Problem};
use launchway_supervisor::ownership;
use sha2::{Digest as _, Sha256};

use crate::{Control, problem};

/// The group of runners, in which no app's process ever is.
const RECORD_GROUP: u32 = 51_999;
/// The first number of an app's user.
const FIRST: u32 = 52_000;
/// How many numbers there are.
const NUMBERS: u32 = 7_000;

/// The user and group of an app: one number for both. None where apps run as the user who runs Launchway.
pub(crate) async fn of_app(
    control: &Control,
    app: &AppName,
) -> Result<Option<(u32, u32)>, Problem> {
    if !control.confinement.users() {
        return Ok(None);
    }
    let home = control.settings().home.root().to_owned();
    let uid = control
        .store
        .app_user(app, |taken| {
            let files = ["/etc/passwd", "/etc/group"]
                .map(|path| std::fs::read_to_string(path).unwrap_or_default());
            free(&home, taken, &files)
        })
        .await
        .map_err(problem::store)?;
    match uid {
        Some(uid) => Ok(Some((uid, uid))),
        None => Err(Problem::new(
            launchway_model::ProblemKind::Exhausted,
            format!("no user number from {FIRST} on is free for {app}"),
        )),
    }
}

/// As whom an app's builds run.
pub(crate) fn of_build((user, group): (u32, u32)) -> BuildUser {
    BuildUser {
        user,
        group,
        record_group: RECORD_GROUP,
    }
}

/// A number that no app has and no account. Installations begin at different places, so that two on one machine do not share.
fn free(home: &Path, taken: &[u32], accounts: &[String; 2]) -> Option<u32> {
    let hash = Sha256::digest(home.as_os_str().as_encoded_bytes());
    let start = u32::from(hash[0]) % 14 * (NUMBERS / 14);
    // In both files the number is the third field.
    let known: Vec<u32> = accounts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    (0..NUMBERS)
        .map(|step| FIRST + (start + step) % NUMBERS)
        .find(|number| !taken.contains(number) && !known.contains(number))
}

/// Makes folders of an app and gives them to its user.
pub(crate) fn give(folders: &[&PathBuf], user: Option<(u32, u32)>) -> Result<(), Problem> {
    for folder in folders {
        std::fs::create_dir_all(folder).map_err(|error| problem::file("make", folder, &error))?;
        if let Some(user) = user {
            ownership::hand_over(folder, user)
                .map_err(|error| problem::file("hand over", folder, &error))?;
        }
    }
    Ok(())
}

/// Hands over what was made for an app's persistent paths: the links in the tree, the live files, and the folders above both.
pub(crate) fn give_persistent(
    tree: &Path,
    live: &Path,
    paths: &[String],
    user: (u32, u32),
) -> std::io::Result<()> {
    for root in [tree, live] {
        for path in paths {
            let whole = root.join(path.trim_end_matches('/'));
            let above = whole.ancestors().take_while(|above| *above != root);
            for path in above.collect::<Vec<_>>() {
                match ownership::hand_over(path, user) {
                    // A file that the app is to make.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    given => given?,
                }
            }
        }
    }
    Ok(())
}

/// Writes the files that an app sees as `/etc/passwd` and `/etc/group`: the machine's, with the app's user. Gives them as
/// a sandbox takes them.
pub(crate) fn account_files(
    folder: &Path,
    app: &AppName,
    home: &Path,
    (user, group): (u32, u32),
) -> Result<Vec<(PathBuf, PathBuf)>, Problem> {
    let mut replaced = Vec::new();
    let lines = [
        (
            "passwd",
            format!(
                "{app}:x:{user}:{group}:Launchway app:{}:/bin/sh",
                home.display()
            ),
        ),
        ("group", format!("{app}:x:{group}:")),
    ];
    for (name, own) in lines {
        let system = Path::new("/etc").join(name);
        let Ok(mut text) = std::fs::read_to_string(&system) else {
            continue;
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        // An account of the same name stays what it is to those who look it up by name.
        let _ = writeln!(text, "{own}");
        let path = folder.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            replaced.push((system, path));
            continue;
        }
        let draft = folder.join(format!("{name}.new"));
        std::fs::write(&draft, &text)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| problem::file("write", &path, &error))?;
        replaced.push((system, path));
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests;
