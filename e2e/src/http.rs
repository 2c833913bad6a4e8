//! A small HTTP/1.1 client over one connection, which counts nothing as well that is not: no retries, no redirects.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest that one read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the connection takes another request.
    pub keep_alive: bool,
}

impl Answer {
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The connection is refused or times out.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its answer to the end.
    ///
    /// # Errors
    /// The connection breaks, or the answer is not HTTP/1.1.
    pub fn send(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        self.answer(method)
    }

    fn answer(&mut self, method: &str) -> Result<Answer> {
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| broken(&format!("`{line}` is no status line")))?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| broken(&format!("`{line}` is no field")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            fields,
            body: Vec::new(),
            keep_alive: true,
        };
        answer.keep_alive = !answer
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let empty = method == "HEAD" || matches!(status, 204 | 304);
        if empty {
            return Ok(answer);
        }
        if answer
            .field("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            answer.body = self.chunks()?;
        } else if let Some(length) = answer.field("content-length") {
            let length = length
                .parse()
                .map_err(|_| broken("content-length is no number"))?;
            answer.body = vec![0; length];
            self.stream.read_exact(&mut answer.body)?;
        } else {
            self.stream.read_to_end(&mut answer.body)?;
            answer.keep_alive = false;
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| broken(&format!("`{line}` is no chunk size")))?;
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..])?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(broken("a chunk is longer than its size"));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "the connection ended within an answer's head",
            ));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| broken("the head is not text"))
    }
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// One `GET` over a connection of its own.
///
/// # Errors
/// As [`Connection::open`] and [`Connection::send`].
pub fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    Connection::open(address)?.send("GET", host, path, &[("connection", "close")], b"")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(text.as_bytes());
        });
        address
    }

    #[test]
    fn chunks_are_put_together() {
        let address = answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        );
        let answer = get(address, "a", "/").expect("an answer");
        assert_eq!(answer.text(), "abcde");
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        assert!(
            get(
                answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"),
                "a",
                "/"
            )
            .is_err()
        );
        assert!(get(answering("HTTP/1.1 200 OK\r\ncontent"), "a", "/").is_err());
        assert!(get(answering(""), "a", "/").is_err());
    }
}
