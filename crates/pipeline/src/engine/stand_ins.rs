//! Stand-ins for commands of the server that a repository was written for.
//!
//! A Jenkinsfile of a hand-made server restarts its service itself and names its interpreter by a version. An app says which
//! unit names are its own (`units = ["gunicorn"]`) and what a missing command is called here (`aliases = { "python3.9" = "python3" }`).
//! Its builds then find a `systemctl`, `journalctl` and `sudo` of ours first on their PATH: for the app's own units a restart means
//! the deploy that follows a green build, since nothing that serves may change before it; everything else goes to the real command.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::search_path;

/// What the commands share: `$units` are the app's own, `$real` is the machine's command, where there is one.
const SYSTEMCTL: &str = r#"verb=; names=
for word in "$@"; do
  case $word in
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else names="$names ${word%.service}"; fi ;;
  esac
done
own=; other=
for name in $names; do
  case " $units " in *" $name "*) own="$own $name" ;; *) other="$other $name" ;; esac
done
if [ -z "$other" ] && { [ -n "$own" ] || [ "$verb" = daemon-reload ]; }; then
  case $verb in
    restart|start|reload|try-restart|reload-or-restart)
      echo "launchway:$own is this app: this build is deployed when it is green, without a pause" ;;
    is-active|is-enabled) for name in $own; do echo active; done ;;
    status) for name in $own; do echo "$name is this app, run by Launchway: see \`launchway ps\`"; done ;;
    stop|disable|kill)
      echo "launchway:$own goes on serving until the deploy switches" ;;
    *) echo "launchway: nothing to do for \`systemctl $verb$own\`" ;;
  esac
  exit 0
fi
if [ -n "$real" ]; then exec "$real" "$@"; fi
echo "systemctl: unit$other is not this app's: name it in \`units\` of launchway.toml if it is" >&2
exit 5
"#;

const JOURNALCTL: &str = r#"case "$*" in
  *-u*) echo "launchway: see \`launchway logs\`"; exit 0 ;;
esac
if [ -n "$real" ]; then exec "$real" "$@"; fi
echo "journalctl: not found" >&2
exit 127
"#;

const SUDO: &str = r#"while :; do
  case $1 in
    -n|-E|-H|-S|--) shift ;;
    *) break ;;
  esac
done
case $1 in
  systemctl|journalctl) exec "$@" ;;
  service) if [ $# -ge 3 ]; then exec systemctl "$3" "$2"; fi ;;
esac
if [ "$(id -u)" = 0 ]; then exec "$@"; fi
if [ -n "$real" ]; then exec "$real" -n "$@"; fi
echo "sudo: a build may not run \`$1\` as root" >&2
exit 1
"#;

/// Makes the stand-ins of an app in a folder and gives the folder, to come first on the PATH; `None` where there are none.
pub(crate) fn make(
    units: &[String],
    aliases: &BTreeMap<String, String>,
    folder: &Path,
    path: &OsStr,
) -> io::Result<Option<PathBuf>> {
    if units.is_empty() && aliases.is_empty() {
        return Ok(None);
    }
    fs::create_dir_all(folder)?;
    if !units.is_empty() {
        let units: Vec<&str> = units
            .iter()
            .map(|unit| unit.trim_end_matches(".service"))
            .collect();
        for (name, text) in [
            ("systemctl", SYSTEMCTL),
            ("journalctl", JOURNALCTL),
            ("sudo", SUDO),
        ] {
            let real = search_path::find(name, path)
                .map(|real| real.display().to_string())
                .unwrap_or_default();
            let script = format!(
                "#!/bin/sh\nunits={}\nreal={}\n{text}",
                quoted(&units.join(" ")),
                quoted(&real)
            );
            let file = folder.join(name);
            fs::write(&file, script)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
    }
    for (name, command) in aliases {
        let real = search_path::find(command, path).unwrap_or_else(|| PathBuf::from(command));
        let _ = fs::remove_file(folder.join(name));
        symlink(real, folder.join(name))?;
    }
    Ok(Some(folder.to_owned()))
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
