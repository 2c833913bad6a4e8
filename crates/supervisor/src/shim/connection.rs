//! One client of the shim's socket: lines of JSON in, lines of JSON out. A client that does not read what it asked for, or
//! sends a line without end, is cut off; the app never notices.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use launchway_model::shim::{ShimReply, ShimRequest};

/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 4096;
/// The most that waits for a client that does not read, in bytes.
const MOST_WAITING: usize = 64 * 1024;

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    /// Whether it gets each change.
    pub(super) watches: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    open: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            watches: false,
            input: Vec::new(),
            output: Vec::new(),
            open: true,
        })
    }

    /// Whether it is still worth keeping.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether something waits to be sent.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Reads what waits and gives the requests in it; a line that is none is given as the reason.
    pub(super) fn requests(&mut self) -> Vec<Result<ShimRequest, String>> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.open = false;
                    break;
                }
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.open = false;
                    break;
                }
            }
            if self.input.len() > LONGEST_REQUEST {
                self.open = false;
                break;
            }
        }
        let mut requests = Vec::new();
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            requests.push(serde_json::from_slice(&line).map_err(|error| error.to_string()));
        }
        requests
    }

    /// Sends a reply, as much as the client takes now; the rest follows with [`Connection::flush`].
    pub(super) fn send(&mut self, reply: &ShimReply) {
        if serde_json::to_writer(&mut self.output, reply).is_err() {
            self.open = false;
            return;
        }
        self.output.push(b'\n');
        self.flush();
        if self.output.len() > MOST_WAITING {
            self.open = false;
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.open = false;
                    return;
                }
            }
        }
    }
}
