//! `launchway node-exporter`

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use launchway_monitor::collectors::{Host, HostOptions};
use launchway_monitor::exposition::{Format, protobuf};

/// The most bytes that a request's head may have.
const HEAD: u64 = 16 << 10;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serve the host's metrics as node_exporter does, for a Prometheus that is already there.
///
/// Names, labels, types and help are node_exporter's. Control observes the host by itself; this is for other servers.
/// After `--` node_exporter's own options are taken: `-- --no-collector.arp --collector.netdev.device-exclude=^veth`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeExporter {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9100", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Print the metrics once and end
    #[arg(long)]
    once: bool,
    /// node_exporter's own options
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: NodeExporter) -> anyhow::Result<ExitCode> {
    let host = Host::new(HostOptions::from_arguments(&args.options)?)?;
    if args.once {
        std::io::stdout().write_all(host.collect(Format::Text).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    crate::roles::log_to_stderr();
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(address = %listener.local_addr()?, "the host's metrics are at /metrics");
    let host = Arc::new(host);
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let host = host.clone();
        // A scrape comes every few seconds; a thread each keeps a slow client from the others.
        std::thread::spawn(move || {
            if let Err(error) = serve(&stream, &host) {
                tracing::debug!(%error, "a client went away");
            }
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(stream: &TcpStream, host: &Host) -> std::io::Result<()> {
    use std::io::Read as _;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(HEAD));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut accept = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" || line == "\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("accept")
        {
            value.trim().clone_into(&mut accept);
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or("");
    let (status, kind, body) = match path.split('?').next() {
        Some("/metrics") => {
            let format = Format::of_accept(&accept);
            let body = match format {
                Format::Protobuf => {
                    protobuf::from_text(&host.collect(Format::Text), false).unwrap_or_default()
                }
                format => host.collect(format).into_bytes(),
            };
            ("200 OK", format.content_type(), body)
        }
        Some("/") => (
            "200 OK",
            "text/html; charset=utf-8",
            b"<h1>Node Exporter</h1><p><a href=\"/metrics\">Metrics</a></p>".to_vec(),
        ),
        _ => (
            "404 Not Found",
            "text/plain; charset=utf-8",
            b"there is only /metrics\n".to_vec(),
        ),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
