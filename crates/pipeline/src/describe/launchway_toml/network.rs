//! `[network]`, and what a process type says of its own network.

use std::ops::Range;

use launchway_model::{AppName, ProcessType};

use super::super::draft::NetworkDraft;
use super::Table;
use crate::error::DescribeError;

/// The network of the whole app.
pub(super) fn of_app(table: &Table<'_>) -> Result<NetworkDraft, DescribeError> {
    let Some(inner) = table.table("network")? else {
        return Ok(NetworkDraft::default());
    };
    inner.only(&["mode", "allow", "host", "port"])?;
    let private = mode(&inner, "mode")?;
    Ok(NetworkDraft {
        // The section alone says that there is to be one.
        private: private.or(Some(true)),
        allow: allow(&inner)?,
        reaches_host: inner.flag("host")?,
        port: port(&inner)?,
    })
}

/// The network of a process type.
pub(super) fn of_process(table: &Table<'_>) -> Result<NetworkDraft, DescribeError> {
    Ok(NetworkDraft {
        private: mode(table, "network")?,
        allow: allow(table)?,
        reaches_host: None,
        port: port(table)?,
    })
}

fn mode(table: &Table<'_>, key: &str) -> Result<Option<bool>, DescribeError> {
    match table.word(key)? {
        None => Ok(None),
        Some((word, _)) if word == "private" => Ok(Some(true)),
        Some((word, _)) if word == "host" => Ok(Some(false)),
        Some((word, span)) => Err(table.error_hint(
            span,
            format!("`{word}` is no kind of network"),
            "\"private\" or \"host\"",
            "In a private network each instance may listen on any port; it needs a Launchway that runs as root.",
        )),
    }
}

fn port(table: &Table<'_>) -> Result<Option<u16>, DescribeError> {
    let port = table.count("port", 1..=u32::from(u16::MAX))?;
    Ok(port.and_then(|port| u16::try_from(port).ok()))
}

fn allow(table: &Table<'_>) -> Result<Option<Vec<String>>, DescribeError> {
    let Some(names) = table.texts("allow")? else {
        return Ok(None);
    };
    names
        .into_iter()
        .map(|(name, span)| {
            if is_party(&name) {
                Ok(name)
            } else {
                Err(wrong(table, &name, span))
            }
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

fn is_party(name: &str) -> bool {
    match name.split_once('/') {
        None => name.parse::<ProcessType>().is_ok(),
        Some((app, process)) => {
            app.parse::<AppName>().is_ok()
                && (process == "*" || process.parse::<ProcessType>().is_ok())
        }
    }
}

fn wrong(table: &Table<'_>, name: &str, span: Range<usize>) -> DescribeError {
    table.error_hint(
        span,
        format!("`{name}` names nobody who could be let in"),
        "a process type such as \"web\", or \"APP/PROCESS\", or \"APP/*\"",
        "Who is in the list may reach this process; the proxy always may.",
    )
}
