//! How the processes of an app find each other, and how well-known servers find their port.
//!
//! `${process.backend.url}` in a variable is the address of the process type `backend`: a path of the proxy that only
//! this machine may ask, so that whoever calls it is balanced over the instances that are up, and never notices a deploy.
//! The address depends on where the proxy listens, so it is put in when an instance is started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use launchway_model::app::references;
use launchway_model::{AppName, ProcessType};

use crate::Control;

/// A variable that only processes with a port from us have.
pub(crate) const PORT_MARK: &str = "LAUNCHWAY_PORT";

/// The host name of the addresses by which processes reach each other.
pub(crate) const HOST: &str = "127.0.0.1";

/// The path of the proxy that leads to a process type.
pub(crate) fn path(app: &AppName, process: &ProcessType) -> String {
    format!("/~{app}/{process}")
}

/// The process types whose address these texts ask for.
pub(crate) fn asked_for<'a>(texts: impl Iterator<Item = &'a String>) -> BTreeSet<ProcessType> {
    texts
        .flat_map(|text| references(text))
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// Puts addresses in the place of `${process.NAME.url}`.
pub(crate) fn expand(control: &Control, app: &AppName, env: &mut BTreeMap<String, String>) {
    let listen = control.proxy.state().listen.first().copied();
    for value in env.values_mut() {
        for name in references(value) {
            let Ok(process) = name.parse() else { continue };
            let url = url(listen, app, &process);
            *value = value.replace(&format!("${{process.{name}.url}}"), &url);
        }
    }
}

fn url(listen: Option<SocketAddr>, app: &AppName, process: &ProcessType) -> String {
    let path = path(app, process);
    let port = listen.map_or(80, |address| address.port());
    let host = match listen.map(|address| address.ip()) {
        // One who listens on a single address that is not loopback is found only there.
        Some(IpAddr::V4(address)) if !address.is_unspecified() && !address.is_loopback() => address,
        _ => Ipv4Addr::LOCALHOST,
    };
    match port {
        80 => format!("http://{host}{path}"),
        port => format!("http://{host}:{port}{path}"),
    }
}

/// Variables by which a server that does not read `PORT` learns its port, where the command is one that we know and says
/// nothing itself.
pub(crate) fn own_port_variables(
    command: &str,
    (host, port): (&str, u16),
    env: &mut BTreeMap<String, String>,
) {
    env.insert(PORT_MARK.to_owned(), port.to_string());
    let words: Vec<&str> = command.split_whitespace().collect();
    let runs = |name: &str| {
        words
            .iter()
            .any(|word| word.rsplit('/').next() == Some(name))
    };
    let mut set = |name: &str, value: String| {
        env.entry(name.to_owned()).or_insert(value);
    };
    if runs("flask") {
        set("FLASK_RUN_PORT", port.to_string());
        set("FLASK_RUN_HOST", host.to_owned());
    }
    if runs("uvicorn") {
        set("UVICORN_PORT", port.to_string());
        set("UVICORN_HOST", host.to_owned());
    }
    if runs("gunicorn") && !says_where(&words) {
        set("GUNICORN_CMD_ARGS", format!("--bind={host}:{port}"));
    }
    if runs("hypercorn") || runs("daphne") {
        set("HYPERCORN_BIND", format!("{host}:{port}"));
    }
    if runs("streamlit") {
        set("STREAMLIT_SERVER_PORT", port.to_string());
        set("STREAMLIT_SERVER_ADDRESS", host.to_owned());
        set("STREAMLIT_SERVER_HEADLESS", "true".to_owned());
    }
    if runs("dotnet") {
        set("ASPNETCORE_URLS", format!("http://{host}:{port}"));
    }
    if runs("java") {
        set("SERVER_PORT", port.to_string());
    }
    if runs("next") || runs("nuxt") {
        set("HOSTNAME", host.to_owned());
        set("NUXT_PORT", port.to_string());
    }
}

/// Whether a gunicorn command says itself where to listen.
fn says_where(words: &[&str]) -> bool {
    words.iter().any(|word| {
        matches!(*word, "-b" | "--bind" | "-c" | "--config")
            || word.starts_with("--bind=")
            || word.starts_with("--config=")
            || (word.starts_with("-b") && word.len() > 2)
    })
}

#[cfg(test)]
mod tests;
