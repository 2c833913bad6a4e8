//! The answer to a push while it is written: lines for the pusher's terminal on one channel of the side-band, the report
//! on the other.

use std::time::Duration;

use axum::body::{Body, Bytes};
use tokio::sync::mpsc;

use super::packet;
use crate::stream::Received;

/// How long a pusher's terminal may take nothing before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pusher's terminal: what is shown there, and the report at the end.
pub(super) struct Terminal {
    /// Where the answer's parts go, until the pusher is gone.
    out: Option<mpsc::Sender<Bytes>>,
    side_band: bool,
}

/// A terminal and the answer's body that it writes to; without a side-band, a client takes the report alone.
pub(super) fn open(side_band: bool) -> (Terminal, Body) {
    let (sender, receiver) = mpsc::channel(64);
    let parts = futures_util::StreamExt::map(Received(receiver), Ok::<_, std::convert::Infallible>);
    let terminal = Terminal {
        out: Some(sender),
        side_band,
    };
    (terminal, Body::from_stream(parts))
}

impl Terminal {
    /// Shows lines, each of which git puts behind `remote: `.
    pub(super) async fn show(&mut self, lines: &[String]) {
        if !self.side_band || lines.is_empty() {
            return;
        }
        let mut out = Vec::new();
        for line in lines {
            packet::band(&mut out, packet::SHOWN, format!("{line}\n").as_bytes());
        }
        self.send(out).await;
    }

    pub(super) async fn stay_alive(&mut self) {
        if self.side_band {
            let empty = vec![b'0', b'0', b'0', b'5', packet::DATA];
            self.send(empty).await;
        }
    }

    /// Writes the report and ends the answer.
    pub(super) async fn end(mut self, report: Option<Vec<u8>>) {
        let mut out = Vec::new();
        match report {
            Some(report) if self.side_band => packet::band(&mut out, packet::DATA, &report),
            Some(report) => out = report,
            None => {}
        }
        if self.side_band {
            packet::flush(&mut out);
        }
        self.send(out).await;
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        if let Some(out) = &self.out {
            let sent = tokio::time::timeout(PATIENCE, out.send(Bytes::from(bytes))).await;
            if !matches!(sent, Ok(Ok(()))) {
                self.out = None;
            }
        }
    }
}
