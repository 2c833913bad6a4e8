//! The two listening sockets: those asked for, else those of the last start, else the usual ones, else free ones.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_model::home::Home;
use serde::{Deserialize, Serialize};

use super::{Options, port_owner};
use crate::output::Output;

/// The usual port of the apps.
pub(crate) const APPS_PORT: u16 = 8080;
/// The usual port of the pages and the API.
pub(crate) const API_PORT: u16 = 7070;

/// The open sockets.
#[derive(Debug)]
pub(super) struct Listeners {
    /// The apps'.
    pub(super) apps: TcpListener,
    /// The pages' and the API's.
    pub(super) api: TcpListener,
}

/// The ports of the last start, `up.json` in the home: addresses that people keep in their bookmarks stay good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    apps: Option<u16>,
    api: Option<u16>,
}

/// Opens both sockets and remembers their ports.
///
/// # Errors
/// A port that was asked for is in use, or the address is not this machine's.
pub(super) fn open(output: Output, options: &Options) -> anyhow::Result<Listeners> {
    let path = remembered_path(&options.home);
    let remembered: Remembered = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let apps = one(
        output,
        options.bind,
        "--port",
        options.port,
        remembered.apps,
        APPS_PORT,
    )?;
    let api = one(
        output,
        options.bind,
        "--api-port",
        options.api_port,
        remembered.api,
        API_PORT,
    )?;
    let now = Remembered {
        apps: Some(apps.local_addr()?.port()),
        api: Some(api.local_addr()?.port()),
    };
    if now != remembered {
        remember(&path, now).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Listeners { apps, api })
}

fn remembered_path(home: &Home) -> std::path::PathBuf {
    home.root().join("up.json")
}

fn remember(path: &std::path::Path, ports: Remembered) -> anyhow::Result<()> {
    let draft = path.with_extension("json.draft");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(serde_json::to_string(&ports)?.as_bytes())?;
    file.sync_all()?;
    Ok(std::fs::rename(&draft, path)?)
}

fn one(
    output: Output,
    bind: IpAddr,
    option: &str,
    wanted: Option<u16>,
    remembered: Option<u16>,
    usual: u16,
) -> anyhow::Result<TcpListener> {
    if let Some(port) = wanted {
        return TcpListener::bind((bind, port))
            .map_err(|error| refused(SocketAddr::new(bind, port), option, &error).into());
    }
    let mut candidates: Vec<u16> = remembered.into_iter().collect();
    candidates.extend([usual, 0]);
    let mut last = None;
    for port in candidates {
        match TcpListener::bind((bind, port)) {
            Ok(listener) => {
                let port = listener.local_addr().map_or(port, |address| address.port());
                if let Some(before) = remembered.filter(|before| *before != port) {
                    let owner = port_owner::find(before)
                        .map(|owner| format!(" by {owner}"))
                        .unwrap_or_default();
                    output.note(format!(
                        "port {before} of the last start is in use{owner}; this start has {port}"
                    ));
                }
                return Ok(listener);
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AddrInUse | ErrorKind::PermissionDenied
                ) =>
            {
                last = Some((port, error));
            }
            Err(error) => return Err(refused(SocketAddr::new(bind, port), option, &error).into()),
        }
    }
    let (port, error) = last.context("no port was tried")?;
    Err(refused(SocketAddr::new(bind, port), option, &error).into())
}

/// Why a socket cannot be opened, with who has the port where that can be seen.
fn refused(address: SocketAddr, option: &str, error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::AddrInUse => {
            let mut problem = Problem::conflict(format!("port {} is in use", address.port()));
            if let Some(owner) = port_owner::find(address.port()) {
                problem = problem.cause(format!("{owner} listens on it"));
            }
            problem.hint(format!("Stop what uses it, choose another with `{option} PORT`, or leave `{option}` out for a free one."))
        }
        ErrorKind::AddrNotAvailable => Problem::invalid(format!(
            "{} is not an address of this machine",
            address.ip()
        ))
        .hint("`--bind 127.0.0.1` is this machine alone, `--bind 0.0.0.0` is all its addresses."),
        ErrorKind::PermissionDenied => Problem::invalid(format!(
            "this user may not listen on port {}",
            address.port()
        ))
        .cause(error)
        .hint(format!("Choose one from 1024 on with `{option} PORT`.")),
        _ => Problem::invalid(format!("cannot listen on {address}")).cause(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_that_was_asked_for_and_is_in_use_names_its_holder() {
        let held = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = one(Output::new(false), LOOPBACK, "--port", Some(port), None, 0).unwrap_err();
        let problem = error.downcast_ref::<Problem>().unwrap();
        assert_eq!(problem.message, format!("port {port} is in use"));
        assert!(
            problem.causes[0].contains(&format!("process {}", std::process::id())),
            "{problem:?}"
        );
        assert!(problem.hint.as_deref().unwrap().contains("--port"));
    }

    #[test]
    fn the_port_of_the_last_start_comes_first_and_a_taken_one_is_replaced() {
        let free = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let again = one(Output::new(false), LOOPBACK, "--port", None, Some(port), 0).unwrap();
        assert_eq!(again.local_addr().unwrap().port(), port);
        let other = one(
            Output::new(false),
            LOOPBACK,
            "--port",
            None,
            Some(port),
            port,
        )
        .unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
    }
}
