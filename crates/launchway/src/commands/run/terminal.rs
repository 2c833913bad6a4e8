//! `launchway run` on a terminal: the window's bytes to the command and back, over an upgraded connection to the API.
//!
//! The window is put into raw mode, so that every key, Ctrl-C too, goes to the command; whatever happens, it is put back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use launchway_model::api::{ClientFile, RunRequest, TerminalSize};
use launchway_model::{AppName, Problem};
use launchway_supervisor::terminal::{
    DATA, EXIT, SIZE, read_frame, size as size_frame, write_frame,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::client::segment;

/// How often the window's size is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The window's size, and what it is.
pub(super) fn size() -> TerminalSize {
    let size = tcgetwinsize(io::stdout()).ok();
    TerminalSize {
        columns: size.map_or(80, |size| size.ws_col),
        rows: size.map_or(24, |size| size.ws_row),
        term: std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".to_owned()),
    }
}

/// Runs a command on the window.
pub(super) fn run(
    server: &ClientFile,
    app: &AppName,
    request: &RunRequest,
) -> anyhow::Result<ExitCode> {
    let (mut incoming, outgoing) = connect(server, app, request)?;
    let raw = Raw::begin()?;
    let outgoing = Arc::new(Mutex::new(outgoing));
    let keys = Arc::clone(&outgoing);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut stdin = io::stdin().lock();
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            let mut out = keys.lock().unwrap_or_else(PoisonError::into_inner);
            if write_frame(&mut *out, DATA, &buffer[..read]).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut last = size();
        loop {
            std::thread::sleep(LOOK);
            let now = size();
            if now != last {
                let mut out = outgoing.lock().unwrap_or_else(PoisonError::into_inner);
                if write_frame(&mut *out, SIZE, &size_frame(now.columns, now.rows)).is_err() {
                    return;
                }
                last = now;
            }
        }
    });
    let mut stdout = io::stdout().lock();
    while let Some((kind, payload)) = read_frame(&mut incoming)? {
        match (kind, payload.as_slice()) {
            (DATA, bytes) => {
                stdout.write_all(bytes)?;
                stdout.flush()?;
            }
            (EXIT, &[a, b, c, d]) => {
                drop(raw);
                let code = i32::from_be_bytes([a, b, c, d]);
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            _ => {}
        }
    }
    drop(raw);
    Err(Problem::unavailable("the connection ended before the command did").into())
}

/// Opens the connection and upgrades it.
fn connect(
    server: &ClientFile,
    app: &AppName,
    request: &RunRequest,
) -> anyhow::Result<(BufReader<TcpStream>, TcpStream)> {
    let address = server.url.strip_prefix("http://").ok_or_else(|| {
        Problem::invalid("a terminal needs a connection without TLS of its own")
            .hint("Ask on the machine itself or through `ssh -L`, or run it with `--no-terminal`.")
    })?;
    let address = address.trim_end_matches('/');
    let with_port = if address.contains(':') {
        address.to_owned()
    } else {
        format!("{address}:80")
    };
    let mut stream = TcpStream::connect(&with_port).map_err(|error| {
        Problem::unavailable(format!("Launchway cannot be reached at {}", server.url)).cause(error)
    })?;
    stream.set_nodelay(true)?;
    let text = serde_json::to_string(request)?;
    write!(
        stream,
        "GET /api/v1/apps/{}/terminal?request={} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         connection: upgrade\r\nupgrade: launchway-terminal\r\n\r\n",
        segment(app.as_str()),
        segment(&text),
        server.token,
    )?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    if status.starts_with("HTTP/1.1 101") {
        return Ok((reader, stream));
    }
    let mut body = vec![0; std::cmp::min(length, 1 << 20)];
    reader.read_exact(&mut body)?;
    Err(serde_json::from_slice::<Problem>(&body)
        .unwrap_or_else(|_| {
            Problem::unavailable(format!("the server answered {}", status.trim()))
                .hint("Is it of another version? `launchway status` tells.")
        })
        .into())
}

/// The window in raw mode, until this goes.
struct Raw(Termios);

impl Raw {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A window that is gone needs no mode.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
