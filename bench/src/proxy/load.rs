//! The works that the proxies are given, by wrk and h2load.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Cores;
use super::contender::{Contender, Kind};

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    KeepAlive64,
    KeepAlive8,
    BrowserHeads,
    Tls,
    Handshakes,
    LargeBodies,
    Http2,
    StaticFile,
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Requests for each second of CPU time that the proxy spent.
    pub(crate) per_cpu_second: f64,
    /// The latency that 99 of 100 requests stay below, in milliseconds; for HTTP/2 there is none.
    pub(crate) p99_millis: Option<f64>,
}

/// What a browser sends beside what is needed.
const BROWSER: [&str; 9] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Accept-Encoding: identity",
    "Referer: https://www.example.org/articles/2026/a-rather-long-title-of-an-article?utm_source=newsletter",
    "Cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark; consent=necessary%2Cstatistics; _ga=GA1.2.1234567890.1234567890",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Upgrade-Insecure-Requests: 1",
];

impl Work {
    pub(crate) const ALL: &'static [Self] = &[
        Self::KeepAlive64,
        Self::KeepAlive8,
        Self::BrowserHeads,
        Self::Tls,
        Self::Handshakes,
        Self::LargeBodies,
        Self::Http2,
        Self::StaticFile,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive64 => "1 KB, keep-alive, 64 connections",
            Self::KeepAlive8 => "the same, 8 connections",
            Self::BrowserHeads => "the same, browser-sized heads",
            Self::Tls => "the same over TLS 1.3",
            Self::Handshakes => "new TLS handshakes",
            Self::LargeBodies => "1 MiB bodies",
            Self::Http2 => "HTTP/2, 64 streams",
            Self::StaticFile => "static file, 10 KB",
        }
    }

    /// The ratios that the design asks for: io_uring on shared cores and on its own, readiness likewise.
    pub(crate) fn wanted(self) -> (f64, Option<f64>, f64, Option<f64>) {
        match self {
            Self::KeepAlive64 => (1.7, Some(1.25), 0.95, Some(1.05)),
            Self::KeepAlive8 => (1.05, None, 1.05, None),
            Self::BrowserHeads => (1.5, Some(1.2), 1.0, Some(1.05)),
            Self::Tls => (1.5, None, 1.3, None),
            Self::Handshakes => (1.5, None, 1.5, None),
            Self::LargeBodies => (5.0, None, 3.0, None),
            Self::Http2 => (1.0, None, 0.95, None),
            Self::StaticFile => (1.2, None, 0.9, None),
        }
    }

    pub(crate) fn has_own_core(self) -> bool {
        self.wanted().1.is_some()
    }

    /// nginx first: it is what the others are held against.
    pub(crate) fn contenders(self) -> &'static [Kind] {
        match self {
            Self::LargeBodies => &[
                Kind::Nginx,
                Kind::NginxTuned,
                Kind::Haproxy,
                Kind::Caddy,
                Kind::Ring,
                Kind::Readiness,
            ],
            // HAProxy serves no files.
            Self::StaticFile => &[Kind::Nginx, Kind::Caddy, Kind::Ring, Kind::Readiness],
            _ => &[
                Kind::Nginx,
                Kind::Haproxy,
                Kind::Caddy,
                Kind::Ring,
                Kind::Readiness,
            ],
        }
    }
}

/// Runs one work against one proxy.
pub(crate) fn run(
    work: Work,
    contender: &Contender<'_>,
    cores: Cores,
    seconds: u32,
) -> anyhow::Result<Measured> {
    // Connections to the app, caches and the like are made before it counts.
    once(work, contender, cores, 1)?;
    let before = contender.cpu_seconds()?;
    let (requests, p99_millis) = once(work, contender, cores, seconds)?;
    let spent = contender.cpu_seconds()? - before;
    ensure!(requests > 0, "{} answered nothing", contender.kind().name());
    Ok(Measured {
        per_cpu_second: requests as f64 / spent,
        p99_millis,
    })
}

fn once(
    work: Work,
    contender: &Contender<'_>,
    cores: Cores,
    seconds: u32,
) -> anyhow::Result<(u64, Option<f64>)> {
    let plain = format!("http://{}/", contender.http());
    let secure = format!("https://localhost:{}/", contender.https().port());
    let connections = |count: u32| format!("-c{count}");
    let command = |program: &str| match cores {
        Cores::Shared => Command::new(program),
        Cores::Own => {
            let mut command = Command::new("taskset");
            command.args(["-c", "1"]).arg(program);
            command
        }
    };
    if work == Work::Http2 {
        let mut h2load = command("h2load");
        h2load.args(["-c4", "-m16", "-t2", &format!("-D{seconds}"), &secure]);
        return h2load_run(&mut h2load);
    }
    let mut wrk = command("wrk");
    wrk.args(["-t2", "--latency", &format!("-d{seconds}s")]);
    match work {
        Work::KeepAlive64 => wrk.args([&connections(64), &plain]),
        Work::KeepAlive8 => wrk.args([&connections(8), &plain]),
        Work::BrowserHeads => {
            wrk.arg(connections(64));
            for field in BROWSER {
                wrk.args(["-H", field]);
            }
            wrk.arg(&plain)
        }
        Work::Tls => wrk.args([&connections(64), &secure]),
        Work::Handshakes => wrk.args([&connections(64), "-H", "Connection: close", &secure]),
        Work::LargeBodies => wrk.args([&connections(16), &format!("{plain}1m.bin")]),
        Work::StaticFile => wrk.args([&connections(64), &format!("{plain}files/10k.bin")]),
        Work::Http2 => unreachable!("measured by h2load"),
    };
    wrk_run(&mut wrk)
}

fn wrk_run(command: &mut Command) -> anyhow::Result<(u64, Option<f64>)> {
    let text = output(command)?;
    ensure!(
        !text.contains("Non-2xx") && !text.contains("Socket errors: connect"),
        "the load failed: {text}"
    );
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .with_context(|| format!("wrk said nothing of requests: {text}"))?;
    let p99 = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("99%"))
        .and_then(|text| millis(text.trim()));
    Ok((requests, p99))
}

/// `1.23ms`, `890.00us`, `1.02s`.
fn millis(text: &str) -> Option<f64> {
    let (number, scale) = if let Some(number) = text.strip_suffix("us") {
        (number, 1e-3)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.strip_suffix('s')?, 1e3)
    };
    Some(number.parse::<f64>().ok()? * scale)
}

fn h2load_run(command: &mut Command) -> anyhow::Result<(u64, Option<f64>)> {
    let text = output(command)?;
    // `requests: 1 total, 1 started, 1 done, 1 succeeded, 0 failed, 0 errored, 0 timeout`
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))
        .with_context(|| format!("h2load said nothing of requests: {text}"))?;
    let count = |name: &str| -> Option<u64> {
        line.split(", ")
            .find_map(|part| part.strip_suffix(name))
            .and_then(|count| count.trim().parse().ok())
    };
    ensure!(count("failed") == Some(0), "the load failed: {text}");
    Ok((
        count("succeeded").with_context(|| format!("h2load: {line}"))?,
        None,
    ))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A connection that has had one answer and is kept.
pub(crate) fn keep_one(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut seen = 0;
    let mut piece = [0; 4096];
    // The body alone is 1 KiB, and the answer comes whole before the next is asked for.
    while seen < 1024 {
        let size = stream.read(&mut piece)?;
        ensure!(size > 0, "the proxy closed a connection");
        seen += size;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_wrk_are_read() {
        assert_eq!(millis("1.50ms"), Some(1.5));
        assert_eq!(millis("500.00us"), Some(0.5));
        assert_eq!(millis("2.00s"), Some(2000.0));
        assert_eq!(millis("soon"), None);
    }
}
