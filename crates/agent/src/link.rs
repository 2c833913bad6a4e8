//! The way to control: one HTTP/1.1 connection a lane, opened when it is needed, with TLS to the pinned certificate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use launchway_model::agent::{
    AGENT_PROTOCOL, BASE, HEARTBEAT_MS, LeaseId, Orders, Received, Report, SourceRequest,
    TOKEN_PREFIX,
};
use launchway_model::{Problem, ProblemKind};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pin;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take beyond what control holds it back.
const ANSWER: Duration = Duration::from_secs(20);
/// The largest answer that is read whole, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Where control is, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
    /// The certificate's SHA-256; none is plain HTTP.
    fingerprint: Option<[u8; 32]>,
}

/// Why control did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It cannot be reached now.
    #[error("{0}")]
    Unreachable(String),
    /// It is another server than the pinned one.
    #[error("{0}")]
    Stranger(String),
    /// It refused the request.
    #[error("{0}")]
    Refused(Problem),
}

impl Server {
    /// Reads an address. With `https` the certificate is the one of `fingerprint`, or else the one that the token names;
    /// `http` is for this machine alone, unless `insecure`.
    ///
    /// # Errors
    /// The address or the fingerprint cannot be read, or the server could not be known.
    pub fn new(
        address: &str,
        token: &str,
        fingerprint: Option<&str>,
        insecure: bool,
    ) -> Result<Self, Problem> {
        let wrong = || {
            Problem::invalid(format!("`{address}` is not the address of a server"))
                .hint("Write it like https://ci.example.org:7071.")
        };
        let (scheme, rest) = address.trim().split_once("://").ok_or_else(wrong)?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            return Err(wrong());
        }
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let (host, port) = split_port(authority).ok_or_else(wrong)?;
        let port = port.unwrap_or(if secure { 7071 } else { 80 });
        if !secure {
            let loopback = host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback());
            if !loopback && !insecure {
                return Err(Problem::invalid(format!(
                    "`{address}` would send the token and all secrets of builds in clear"
                ))
                .hint("Use the https address of the agents' listener, or say --insecure-http if the way is safe otherwise."));
            }
            return Ok(Self {
                host,
                port,
                fingerprint: None,
            });
        }
        let named = token
            .strip_prefix(TOKEN_PREFIX)
            .and_then(|rest| rest.split_once('.'))
            .map(|(_, fingerprint)| fingerprint);
        let Some(given) = fingerprint.or(named) else {
            return Err(Problem::invalid("the server's certificate is not known")
                .hint("Give its --fingerprint, which `launchway agents` prints on the server, or a token of `launchway agents create-token`, which holds it."));
        };
        let fingerprint = pin::parse(given).ok_or_else(|| {
            Problem::invalid(format!("`{given}` is not a fingerprint"))
                .hint("It is the certificate's SHA-256: 64 hexadecimal digits.")
        })?;
        Ok(Self {
            host,
            port,
            fingerprint: Some(fingerprint),
        })
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.fingerprint.is_some() {
            "https"
        } else {
            "http"
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Server {
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host.to_owned(), None)),
            rest => Some((host.to_owned(), Some(rest.strip_prefix(':')?.parse().ok()?))),
        };
    }
    match authority.split_once(':') {
        None => Some((authority.to_owned(), None)),
        Some((host, port)) => Some((host.to_owned(), Some(port.parse().ok()?))),
    }
}

/// What all lanes share.
#[derive(Clone)]
pub struct Link {
    server: Server,
    token: Arc<str>,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(server: Server, token: &str) -> Result<Self, Problem> {
        let tls = server
            .fingerprint
            .map(pin::config)
            .transpose()
            .map_err(|error| Problem::internal("TLS cannot be set up").caused_by(&error))?
            .map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self {
            server,
            token: token.into(),
            tls,
        })
    }

    /// A connection of its own, opened with its first request.
    pub fn lane(&self) -> Lane {
        Lane {
            link: self.clone(),
            sender: None,
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LinkError> {
        let unreachable =
            |error: std::io::Error| LinkError::Unreachable(format!("{}: {error}", self.server));
        let address = (self.server.host.as_str(), self.server.port);
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some(tls) = &self.tls else {
            return self.speak(stream).await;
        };
        let name = ServerName::try_from(self.server.host.clone())
            .map_err(|error| LinkError::Stranger(format!("{}: {error}", self.server)))?;
        match tls.connect(name, stream).await {
            Ok(stream) => self.speak(stream).await,
            Err(error) if error.to_string().contains(pin::OTHER_CERTIFICATE) => {
                let words = error.to_string();
                let at = words.find(pin::OTHER_CERTIFICATE).unwrap_or(0);
                let found: String = words[at..].chars().take(120).collect();
                Err(LinkError::Stranger(format!(
                    "{} is not the server that the token is for: {found}",
                    self.server
                )))
            }
            Err(error) => Err(unreachable(error)),
        }
    }

    async fn speak<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| self.broken(&error))?;
        // It ends when the sender is dropped or the other side closes; its error reaches the sender's request, too.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the server ended");
            }
        });
        Ok(sender)
    }

    fn broken(&self, error: &dyn std::error::Error) -> LinkError {
        LinkError::Unreachable(format!("{}: {error}", self.server))
    }
}

/// One connection, for one request at a time.
#[derive(Debug)]
pub struct Lane {
    link: Link,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Lane {
    /// Says what the agent holds, and waits for orders.
    ///
    /// # Errors
    /// As [`LinkError`].
    pub async fn sync(&mut self, report: &Report) -> Result<Orders, LinkError> {
        debug_assert_eq!(report.protocol, AGENT_PROTOCOL);
        let limit = Duration::from_millis(HEARTBEAT_MS) + ANSWER;
        let body = self.encode(report)?;
        self.answer("/sync", body, limit).await
    }

    /// Appends to a file that grows; gives how much of it control has.
    ///
    /// # Errors
    /// As [`LinkError`].
    pub async fn grow(
        &mut self,
        lease: LeaseId,
        path: &str,
        offset: u64,
        bytes: Bytes,
    ) -> Result<u64, LinkError> {
        let path = format!(
            "/leases/{lease}/grow?path={}&offset={offset}",
            segment(path)
        );
        let received: Received = self.answer(&path, bytes, ANSWER).await?;
        Ok(received.length)
    }

    /// Sends a piece of a file that appears whole; gives how much of it control has.
    ///
    /// # Errors
    /// As [`LinkError`].
    pub async fn whole(
        &mut self,
        lease: LeaseId,
        path: &str,
        offset: u64,
        of: (u64, &str),
        bytes: Bytes,
    ) -> Result<u64, LinkError> {
        let (size, sha256) = of;
        let path = format!(
            "/leases/{lease}/whole?path={}&offset={offset}&size={size}&sha256={sha256}",
            segment(path)
        );
        // The last piece of a tree is answered once the tree is unpacked.
        let received: Received = self.answer(&path, bytes, ANSWER * 15).await?;
        Ok(received.length)
    }

    /// Asks for a commit; the answer is read as it comes.
    ///
    /// # Errors
    /// As [`LinkError`].
    pub async fn source(
        &mut self,
        lease: LeaseId,
        request: &SourceRequest,
    ) -> Result<Incoming, LinkError> {
        let body = self.encode(request)?;
        let path = format!("/leases/{lease}/source");
        // The connection is read to its end or given up: it does not serve another request meanwhile.
        let mut lane = self.link.lane();
        let sent = tokio::time::timeout(ANSWER * 3, lane.send(&path, body)).await;
        let (status, body) = sent.map_err(|_| self.late())??;
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(status, &collect(&self.link, body).await?))
    }

    async fn answer<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<T, LinkError> {
        let exchange = async {
            let (status, body) = self.send(path, body).await?;
            let body = collect(&self.link, body).await?;
            Ok((status, body))
        };
        let exchanged = tokio::time::timeout(limit, exchange).await;
        let (status, body) = match exchanged {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.sender = None;
                return Err(error);
            }
            Err(_) => {
                // Half an exchange is of no use to the next.
                self.sender = None;
                return Err(self.late());
            }
        };
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            LinkError::Unreachable(format!(
                "{} gave an unreadable answer: {error}",
                self.link.server
            ))
        })
    }

    async fn send(&mut self, path: &str, body: Bytes) -> Result<(StatusCode, Incoming), LinkError> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let connected = tokio::time::timeout(CONNECT, self.link.connect()).await;
            self.sender = Some(connected.map_err(|_| self.late())??);
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{BASE}{path}"))
            .header(header::HOST, self.link.server.authority())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.link.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.link.broken(&error))?;
        let Some(sender) = &mut self.sender else {
            return Err(self.late());
        };
        match sender.send_request(request).await {
            Ok(response) => Ok((response.status(), response.into_body())),
            Err(error) => {
                self.sender = None;
                Err(self.link.broken(&error))
            }
        }
    }

    fn encode(&self, body: &impl Serialize) -> Result<Bytes, LinkError> {
        serde_json::to_vec(body)
            .map(Bytes::from)
            .map_err(|error| self.link.broken(&error))
    }

    fn late(&self) -> LinkError {
        LinkError::Unreachable(format!("{} does not answer", self.link.server))
    }
}

async fn collect(link: &Link, body: Incoming) -> Result<Bytes, LinkError> {
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(LinkError::Unreachable(format!("{}: {error}", link.server))),
    }
}

fn refused(status: StatusCode, body: &[u8]) -> LinkError {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| {
        let kind = match status.as_u16() {
            401 | 403 => ProblemKind::Unauthenticated,
            404 => ProblemKind::NotFound,
            400..=499 => ProblemKind::Invalid,
            _ => ProblemKind::Unavailable,
        };
        let words: String = String::from_utf8_lossy(body).chars().take(300).collect();
        Problem::new(kind, format!("the server answered {status}")).cause(words)
    });
    LinkError::Refused(problem)
}

/// A text as a value in a query.
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str, fingerprint: Option<&str>, insecure: bool) -> Result<String, String> {
        let token = format!("lwa_secret.{}", "ab".repeat(32));
        Server::new(address, &token, fingerprint, insecure)
            .map(|server| server.to_string())
            .map_err(|problem| problem.message)
    }

    #[test]
    fn an_address_is_https_or_this_machine_unless_said_otherwise() {
        assert_eq!(server("https://ci:9", None, false).unwrap(), "https://ci:9");
        assert_eq!(
            server("https://ci/", None, false).unwrap(),
            "https://ci:7071"
        );
        assert_eq!(
            server("https://[::1]:5", None, false).unwrap(),
            "https://[::1]:5"
        );
        assert_eq!(
            server("http://127.0.0.1:7", None, false).unwrap(),
            "http://127.0.0.1:7"
        );
        assert!(
            server("http://ci:7", None, false)
                .unwrap_err()
                .contains("in clear")
        );
        assert!(server("http://ci:7", None, true).is_ok());
        for bad in [
            "ci:7",
            "ftp://ci",
            "https://",
            "https://a b",
            "https://x/y",
            "https://u@h",
        ] {
            assert!(server(bad, None, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fingerprint_comes_with_the_token_or_by_hand_and_is_needed() {
        assert!(Server::new("https://ci", "lwa_secret", None, false).is_err());
        assert!(server("https://ci", Some("123"), false).is_err());
        let other = "cd".repeat(32);
        let known = Server::new("https://ci", "lwa_s.00", Some(&other), false).unwrap();
        assert_eq!(known.fingerprint, Some([0xcd; 32]));
    }
}
