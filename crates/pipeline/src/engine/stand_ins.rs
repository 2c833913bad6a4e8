//! Stand-ins for commands of the server that a repository was written for.
//!
//! A Jenkinsfile of a hand-made server restarts its service itself and names its interpreter by a version. An app says which
//! unit names are its own (`units = ["gunicorn"]`) and what a missing command is called here (`aliases = { "python3.9" = "python3" }`).
//! Its builds then find a `systemctl`, `journalctl` and `sudo` of ours first on their PATH: for the app's own units a restart is a
//! deploy of this build, as its tree stands, and ends as the deploy ends; everything else goes to the real command.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::search_path;

/// What the commands share: `$units` are the app's own, `$real` is the machine's command, where there is one, and `$asks` is the
/// folder with the pipes to the runner (see `units`).
const ASK: &str = r#"ask() {
  reply=$(mktemp -u "$asks/reply.XXXXXXXXXX") && mkfifo -m 600 "$reply" || return 1
  printf '%s %s\n' "${reply##*/}" "$*" > "$asks/ask"
  {
    read -r code
    cat
  } < "$reply"
  rm -f "$reply"
  return "${code:-1}"
}
"#;

const SYSTEMCTL: &str = r#"verb=; names=; quiet=
for word in "$@"; do
  case $word in
    -q|--quiet) quiet=1 ;;
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
    restart|start|reload|try-restart|reload-or-restart|force-reload)
      echo "launchway:$own is this app: this build is deployed now"
      ask deploy; exit ;;
    is-active)
      said=$(ask status); code=$?
      for name in $own; do
        if [ -z "$quiet" ]; then if [ $code = 0 ]; then echo active; else echo inactive; fi; fi
      done
      exit $code ;;
    is-enabled) for name in $own; do echo enabled; done ;;
    status)
      echo "launchway:$own is this app, run by Launchway"
      ask status; exit ;;
    stop|disable|kill)
      echo "launchway:$own goes on serving until a deploy switches" ;;
    *) echo "launchway: nothing to do for \`systemctl $verb$own\`" ;;
  esac
  exit 0
fi
if [ -n "$real" ]; then exec "$real" "$@"; fi
echo "systemctl: unit$other is not this app's: name it in \`units\` of launchway.toml if it is" >&2
exit 5
"#;

const JOURNALCTL: &str = r#"unit=; lines=20; next=
for word in "$@"; do
  case $next in
    unit) unit=${word%.service}; next=; continue ;;
    lines) lines=$word; next=; continue ;;
  esac
  case $word in
    -u|--unit) next=unit ;;
    -n|--lines) next=lines ;;
    --unit=*) word=${word#--unit=}; unit=${word%.service} ;;
    --lines=*) lines=${word#--lines=} ;;
    -u*) word=${word#-u}; unit=${word%.service} ;;
    -n*) lines=${word#-n} ;;
    -f|--follow) echo "launchway: a build cannot follow a log: its last lines are shown" >&2 ;;
  esac
done
case " $units " in
  *" $unit "*) [ -n "$unit" ] && { ask log "$lines"; exit; } ;;
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
    asks: &Path,
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
                "#!/bin/sh\nunits={}\nreal={}\nasks={}\n{ASK}{text}",
                quoted(&units.join(" ")),
                quoted(&real),
                quoted(&asks.display().to_string())
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
