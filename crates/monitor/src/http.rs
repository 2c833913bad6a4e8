//! A small HTTP client: what scraping, notices and remote storage need, over HTTP/1.1 with or without TLS.
//!
//! A [`Client`] keeps one connection to the server that it talked to last and reconnects by itself. There is no pool, no
//! HTTP/2, no proxy and no cookie. Time limits are the caller's: a future that is dropped ends its request.
//! **Invariant:** no more of a body is held than the caller allows, packed or unpacked.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::net::TcpStream;

mod tls;

/// Redirects that are followed before giving up.
const REDIRECTS: usize = 10;

/// A secret, given or in a file that is read each time, so that it can be changed without a restart.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text.
    Text(String),
    /// A file with the text; white space around it does not count.
    File(PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("<secret>"),
            Self::File(path) => write!(f, "<secret in {}>", path.display()),
        }
    }
}

impl Secret {
    /// The text.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn read(&self) -> Result<String, HttpError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => Err(HttpError::Setup(format!(
                    "unable to read {}: {error}",
                    path.display()
                ))),
            },
        }
    }
}

/// How a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Name and password.
    Basic {
        /// The name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// `Authorization: KIND CREDENTIALS`.
    Header {
        /// Usually `Bearer`.
        kind: String,
        /// The token.
        credentials: Secret,
    },
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSpec {
    /// The authorities that are trusted, PEM; the system's where absent.
    pub ca: Option<Secret>,
    /// Our own certificate, PEM.
    pub certificate: Option<Secret>,
    /// Its key, PEM.
    pub key: Option<Secret>,
    /// The name that the server's certificate must have, where it is not that of the address.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure: bool,
}

/// How servers are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    /// Who we are.
    pub auth: Option<Auth>,
    /// How TLS is spoken.
    pub tls: TlsSpec,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Headers added to every request.
    pub headers: Vec<(String, Secret)>,
}

impl Default for ClientSpec {
    fn default() -> Self {
        Self {
            auth: None,
            tls: TlsSpec::default(),
            follow_redirects: true,
            headers: Vec::new(),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address or the client's own settings are wrong.
    #[error("{0}")]
    Setup(String),
    /// No connection.
    #[error("cannot connect to {address}: {message}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's words.
        message: String,
    },
    /// The server does not speak HTTP, or went away.
    #[error("{0}")]
    Exchange(String),
    /// The body is longer than allowed.
    #[error("body size limit exceeded")]
    TooLarge,
    /// The redirects did not end.
    #[error("stopped after 10 redirects")]
    Redirects,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `GET`, `POST` and the like.
    pub method: http::Method,
    /// The whole address.
    pub url: &'a str,
    /// Headers, beside those of the client.
    pub headers: Vec<(http::HeaderName, String)>,
    /// The body.
    pub body: Bytes,
    /// The most of an answer's body that is taken, in bytes, unpacked.
    pub limit: u64,
}

impl<'a> Call<'a> {
    /// A GET with a limit of 256 MiB.
    #[must_use]
    pub fn get(url: &'a str) -> Self {
        Self {
            method: http::Method::GET,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            limit: 256 << 20,
        }
    }

    /// A POST of JSON whose answer is short.
    #[must_use]
    pub fn json(url: &'a str, body: impl Into<Bytes>) -> Self {
        Self {
            method: http::Method::POST,
            url,
            headers: vec![(http::header::CONTENT_TYPE, "application/json".to_owned())],
            body: body.into(),
            limit: 1 << 20,
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: http::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, unpacked.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, or the empty text.
    #[must_use]
    pub fn header(&self, name: &http::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }
}

/// The connection that is kept, and to whom.
type Kept = (String, SendRequest<Full<Bytes>>);

/// A client; see the module. One request at a time uses the kept connection, others open their own.
#[derive(Debug)]
pub struct Client {
    spec: ClientSpec,
    tls: Arc<OnceLock<Result<Arc<rustls::ClientConfig>, HttpError>>>,
    kept: Mutex<Option<Kept>>,
}

impl Client {
    /// A client; nothing is opened yet.
    #[must_use]
    pub fn new(spec: ClientSpec) -> Self {
        Self {
            spec,
            tls: Arc::default(),
            kept: Mutex::default(),
        }
    }

    /// Another client like this one, with a connection of its own; what TLS needs is shared.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            spec: self.spec.clone(),
            tls: self.tls.clone(),
            kept: Mutex::default(),
        }
    }

    /// Asks and gives the whole answer, whatever its status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(&self, call: &Call<'_>) -> Result<Answer, HttpError> {
        let mut url: http::Uri = parse(call.url)?;
        let mut method = call.method.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.once(call, &method, &url).await?;
            let moved = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !moved
                || !self.spec.follow_redirects
                || !answer.headers.contains_key(http::header::LOCATION)
            {
                return Ok(answer);
            }
            let target = resolve(&url, answer.header(&http::header::LOCATION))?;
            // Credentials are for the server that they were given for.
            if target.authority() != url.authority() && self.spec.auth.is_some() {
                return Ok(answer);
            }
            if !matches!(answer.status.as_u16(), 307 | 308) && method != http::Method::GET {
                method = http::Method::GET;
            }
            url = target;
        }
        Err(HttpError::Redirects)
    }

    async fn once(
        &self,
        call: &Call<'_>,
        method: &http::Method,
        url: &http::Uri,
    ) -> Result<Answer, HttpError> {
        let address = address(url)?;
        let kept = self.take(&format!("{}{address}", url.scheme_str().unwrap_or("")));
        let request = self.request(call, method, url)?;
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender.send_request(request.clone()).await {
                Ok(response) => return self.read(call, url, sender, response).await,
                // The server may have closed the connection meanwhile; a new one will tell.
                Err(error)
                    if error.is_canceled()
                        || error.is_incomplete_message()
                        || error.is_closed() => {}
                Err(error) => return Err(exchange(&error)),
            }
        }
        let mut sender = self.connect(url, &address).await?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| exchange(&error))?;
        self.read(call, url, sender, response).await
    }

    fn take(&self, key: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|(known, _)| known == key)
            .map(|(_, sender)| sender)
    }

    fn request(
        &self,
        call: &Call<'_>,
        method: &http::Method,
        url: &http::Uri,
    ) -> Result<http::Request<Full<Bytes>>, HttpError> {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, host)
            .header(
                http::header::USER_AGENT,
                concat!("Launchway/", env!("CARGO_PKG_VERSION")),
            );
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.spec.headers {
            request = request.header(name, value.read()?);
        }
        match &self.spec.auth {
            Some(Auth::Basic { username, password }) => {
                use base64::Engine;
                let pair = format!("{}:{}", username.read()?, password.read()?);
                let coded = base64::engine::general_purpose::STANDARD.encode(pair);
                request = request.header(http::header::AUTHORIZATION, format!("Basic {coded}"));
            }
            Some(Auth::Header { kind, credentials }) => {
                request = request.header(
                    http::header::AUTHORIZATION,
                    format!("{kind} {}", credentials.read()?),
                );
            }
            None => {}
        }
        let body = if *method == http::Method::GET {
            Bytes::new()
        } else {
            call.body.clone()
        };
        request
            .body(Full::new(body))
            .map_err(|error| HttpError::Setup(error.to_string()))
    }

    async fn connect(
        &self,
        url: &http::Uri,
        address: &str,
    ) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let fail = |message: String| HttpError::Connect {
            address: address.to_owned(),
            message,
        };
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| fail(error.to_string()))?;
        // Small requests should not wait for a full packet; a system that refuses merely waits.
        let _ = stream.set_nodelay(true);
        if url.scheme_str() == Some("https") {
            let config = self
                .tls
                .get_or_init(|| tls::config(&self.spec.tls))
                .clone()?;
            let name = self
                .spec
                .tls
                .server_name
                .as_deref()
                .or(url.host())
                .unwrap_or("");
            let name =
                rustls::pki_types::ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                    .map_err(|error| {
                    HttpError::Setup(format!("{name:?} is no server's name: {error}"))
                })?;
            let stream = tokio_rustls::TlsConnector::from(config)
                .connect(name, stream)
                .await
                .map_err(|error| fail(format!("tls: {error}")))?;
            return start(stream).await;
        }
        start(stream).await
    }

    async fn read(
        &self,
        call: &Call<'_>,
        url: &http::Uri,
        sender: SendRequest<Full<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, HttpError> {
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| exchange(&error))?.into_data() {
                if (bytes.len() + data.len()) as u64 > call.limit {
                    return Err(HttpError::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
        let mut answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: bytes,
        };
        if answer
            .header(&http::header::CONTENT_ENCODING)
            .eq_ignore_ascii_case("gzip")
        {
            answer.body = unpack(&answer.body, call.limit)?;
        }
        let key = format!("{}{}", url.scheme_str().unwrap_or(""), address(url)?);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, sender));
        Ok(answer)
    }
}

async fn start<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .map_err(|error| exchange(&error))?;
    // It ends by itself when the sender is dropped or the server closes.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn exchange(error: &hyper::Error) -> HttpError {
    use std::error::Error;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    HttpError::Exchange(text)
}

fn parse(url: &str) -> Result<http::Uri, HttpError> {
    let uri: http::Uri = url
        .parse()
        .map_err(|error| HttpError::Setup(format!("{url:?} is no address: {error}")))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(uri),
        _ => Err(HttpError::Setup(format!(
            "{url:?} is no address: expected http:// or https://"
        ))),
    }
}

/// Host and port, the scheme's port where none is given.
fn address(url: &http::Uri) -> Result<String, HttpError> {
    let host = url
        .host()
        .ok_or_else(|| HttpError::Setup(format!("{url} names no host")))?;
    let port = url
        .port_u16()
        .unwrap_or(if url.scheme_str() == Some("https") {
            443
        } else {
            80
        });
    Ok(format!("{host}:{port}"))
}

fn resolve(base: &http::Uri, location: &str) -> Result<http::Uri, HttpError> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return parse(location);
    }
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    if let Some(rest) = location.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return parse(&format!("{scheme}://{authority}{location}"));
    }
    let folder = base
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    parse(&format!("{scheme}://{authority}{folder}/{location}"))
}

fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>, HttpError> {
    let mut out = Vec::with_capacity(packed.len().saturating_mul(4).min(limit as usize));
    flate2::read::MultiGzDecoder::new(packed)
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|error| HttpError::Exchange(format!("gzip: {error}")))?;
    if out.len() as u64 > limit {
        return Err(HttpError::TooLarge);
    }
    Ok(out)
}
