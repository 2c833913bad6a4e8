//! `GET` over kept HTTP/1.1 connections.

use std::time::Duration;

use launchway_e2e::http::Connection;

use super::{Aim, Fault, check, note};
use crate::ledger::{Kind, Ledger};

const PAUSE: Duration = Duration::from_millis(15);

pub(super) fn ask(ledger: &Ledger, aim: &Aim) {
    let mut kept: Option<Connection> = None;
    let mut alive = ledger.now();
    while !ledger.has_ended() {
        if kept.is_none() {
            alive = ledger.now();
        }
        let result = once(ledger, aim, &mut kept);
        note(ledger, Kind::Http1, alive, result, || {
            once(ledger, aim, &mut None)
        });
        alive = ledger.now();
        std::thread::sleep(PAUSE);
    }
}

fn once(ledger: &Ledger, aim: &Aim, kept: &mut Option<Connection>) -> Result<(), Fault> {
    let before = ledger.allowed();
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(aim.proxy)?,
    };
    let answer = connection.send("GET", &aim.host, "/page", &[], b"")?;
    if answer.keep_alive {
        *kept = Some(connection);
    }
    check(ledger, &before, answer.status, &answer.text(), "")
}
