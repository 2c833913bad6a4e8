//! A proxy in this process, apps that do what a test tells them, and clients that see bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use launchway_model::home::Home;
use launchway_model::instance::TargetAddress;
use launchway_model::route::{Backend, ProxyReply, ProxyRequest, Route, RouteTable, Target};
use launchway_model::{InstanceId, ReleaseNumber};
use launchway_proxy::options::{Driver, Limits};
use launchway_proxy::{Options, Running};

/// How long anything may take on a loaded machine before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy with a home of its own.
pub struct Proxy {
    pub running: Option<Running>,
    pub home: tempfile::TempDir,
    control: Option<Control>,
    number: u64,
}

impl Proxy {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::at(home, change)
    }

    pub fn at(home: tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = options(home.path());
        change(&mut options);
        let running = launchway_proxy::start(options).unwrap();
        let control = Control::connect(&Home::new(home.path()).proxy_socket());
        Self {
            running: Some(running),
            home,
            control: Some(control),
            number: 0,
        }
    }

    /// Speaks to the proxy that listens at its home now.
    pub fn reconnect(&mut self) {
        self.control = Some(Control::connect(
            &Home::new(self.home.path()).proxy_socket(),
        ));
    }

    pub fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|options| change(&mut options.limits))
    }

    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().http()[0]
    }

    pub fn ask(&mut self, request: &ProxyRequest) -> ProxyReply {
        self.control.as_mut().unwrap().ask(request)
    }

    /// Applies these routes under the next number.
    pub fn apply(&mut self, routes: Vec<Route>) {
        self.number += 1;
        let number = self.number;
        let table = RouteTable { number, routes };
        let reply = self.ask(&ProxyRequest::Apply { table });
        assert_eq!(reply, ProxyReply::Applied { number });
    }

    /// One route for every host to these instances.
    pub fn route_to(&mut self, targets: &[(u64, SocketAddr)]) {
        self.apply(vec![to_instances("shop", &["*"], "/", targets)]);
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends a request of a connection of its own and reads the answer to its end.
    pub fn get(&self, path: &str) -> Answer {
        self.client()
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n"))
    }

    /// Stops gracefully; returns its home and the connections that were cut.
    pub fn stop(mut self) -> (tempfile::TempDir, u64) {
        let cut = self.running.take().unwrap().stop();
        (self.home, cut)
    }
}

pub fn options(home: &Path) -> Options {
    let mut options = Options::new(&Home::new(home), vec!["127.0.0.1:0".parse().unwrap()]);
    options.workers = 2;
    options.driver = match std::env::var(DRIVER).as_deref() {
        Ok("readiness") => Driver::Readiness,
        _ => Driver::Auto,
    };
    options
}

/// The environment variable that has the proxies of this suite run without io_uring.
pub const DRIVER: &str = "LAUNCHWAY_TEST_PROXY_DRIVER";

pub fn instance(serial: u64) -> InstanceId {
    format!("shop.web.v1.{serial}").parse().unwrap()
}

pub fn route(name: &str, hosts: &[&str], prefix: &str, backend: Backend) -> Route {
    Route {
        backend,
        ..to_instances(name, hosts, prefix, &[])
    }
}

pub fn to_instances(
    name: &str,
    hosts: &[&str],
    prefix: &str,
    targets: &[(u64, SocketAddr)],
) -> Route {
    let json = serde_json::json!({
        "name": name,
        "app": "shop",
        "release": ReleaseNumber(1),
        "hosts": hosts,
        "prefix": prefix,
        "backend": { "backend": "instances", "targets": [] },
    });
    // From JSON, so that fields which the model gains have their defaults.
    let mut route: Route = serde_json::from_value(json).unwrap();
    route.backend = Backend::Instances {
        targets: targets
            .iter()
            .map(|(serial, address)| Target {
                instance: instance(*serial),
                address: TargetAddress::Tcp(*address),
                weight: 1,
            })
            .collect(),
    };
    route
}

/// Control's end of the socket.
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn ask(&mut self, request: &ProxyRequest) -> ProxyReply {
        self.ask_line(&serde_json::to_string(request).unwrap())
    }

    pub fn ask_line(&mut self, line: &str) -> ProxyReply {
        let mut line = line.to_owned();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        let mut reply = String::new();
        self.stream.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap()
    }
}

/// A request as an app or a client saw its head.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub first: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Reads a head; `None` at the end of the stream.
    pub fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut head = Self::default();
        loop {
            let mut line = Vec::new();
            if from.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.is_empty() {
                return Some(head);
            }
            if head.first.is_empty() {
                head.first = line;
            } else {
                let (name, value) = line.split_once(':').unwrap();
                head.fields
                    .push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }
}

/// Reads chunks to the last one; returns the payload and the trailer lines.
pub fn read_chunked(from: &mut impl BufRead) -> Option<(Vec<u8>, Vec<String>)> {
    let mut payload = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap(), 16).ok()?;
        if size == 0 {
            break;
        }
        let start = payload.len();
        payload.resize(start + size + 2, 0);
        from.read_exact(&mut payload[start..]).ok()?;
        assert_eq!(payload.split_off(start + size), b"\r\n");
    }
    let mut trailers = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return Some((payload, trailers)),
            line => trailers.push(line.to_owned()),
        }
    }
}

/// One request as an app gets it.
pub struct AppRequest {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
}

/// What an app does with a connection after a request.
pub enum Then {
    Keep,
    Close,
}

/// A server on loopback that hands whole requests to a function.
pub struct App {
    pub address: SocketAddr,
    pub requests: Arc<AtomicU64>,
    pub connections: Arc<AtomicU64>,
    pub seen: Arc<Mutex<Vec<Head>>>,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    serving: Arc<AtomicU64>,
}

impl App {
    /// Answers each request with what the function makes of it.
    pub fn start(
        answer: impl Fn(&AppRequest, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::raw(move |mut stream, counts| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(head) = Head::read(&mut reader) {
                counts.seen.lock().unwrap().push(head.clone());
                if head.field("expect").is_some() {
                    stream
                        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                        .unwrap_or(());
                }
                let (mut body, mut trailers) = (Vec::new(), Vec::new());
                if head.field("transfer-encoding").is_some() {
                    match read_chunked(&mut reader) {
                        Some(read) => (body, trailers) = read,
                        None => return,
                    }
                } else if let Some(length) = head.field("content-length") {
                    body.resize(length.parse().unwrap(), 0);
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                }
                counts.requests.fetch_add(1, Ordering::SeqCst);
                let request = AppRequest {
                    head,
                    body,
                    trailers,
                };
                if matches!(answer(&request, &mut stream), Then::Close) {
                    break;
                }
            }
        })
    }

    /// Hands each connection to the function.
    pub fn raw(serve: impl Fn(TcpStream, &App) + Send + Sync + 'static) -> Self {
        Self::raw_on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    pub fn raw_on(
        listener: TcpListener,
        serve: impl Fn(TcpStream, &App) + Send + Sync + 'static,
    ) -> Self {
        let app = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            seen: Arc::default(),
            stop: Arc::default(),
            open: Arc::default(),
            serving: Arc::default(),
        };
        let of_thread = app.share();
        std::thread::spawn(move || {
            let serve = Arc::new(serve);
            for stream in listener.incoming() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                of_thread.serving.fetch_add(1, Ordering::SeqCst);
                of_thread
                    .open
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                let (serve, app) = (Arc::clone(&serve), of_thread.share());
                std::thread::spawn(move || {
                    let closing = stream.try_clone();
                    serve(stream, &app);
                    app.serving.fetch_sub(1, Ordering::SeqCst);
                    // The list of open connections holds a duplicate, which would keep this one open.
                    if let Ok(closing) = closing {
                        let _ = closing.shutdown(std::net::Shutdown::Both);
                    }
                });
            }
        });
        app
    }

    /// Says its name to everybody.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |_, stream| {
            respond(stream, "200 OK", &[], name.as_bytes());
            Then::Keep
        })
    }

    pub fn count(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.serving.load(Ordering::SeqCst)
    }

    pub fn last(&self) -> Head {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn share(&self) -> Self {
        Self {
            address: self.address,
            requests: Arc::clone(&self.requests),
            connections: Arc::clone(&self.connections),
            seen: Arc::clone(&self.seen),
            stop: Arc::clone(&self.stop),
            open: Arc::clone(&self.open),
            serving: Arc::clone(&self.serving),
        }
    }

    /// Dies as a killed process does: the port refuses, connections break.
    pub fn kill(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which ends and closes the port.
        let _ = TcpStream::connect(self.address);
        wait_for(|| TcpStream::connect(self.address).is_err());
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Writes a whole answer.
pub fn respond(stream: &mut TcpStream, status: &str, fields: &[(&str, &str)], body: &[u8]) {
    let mut answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in fields {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    // The peer may have gone; the test sees that on its own side.
    let _ = stream.write_all(&answer);
}

/// A client that writes bytes and reads answers.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

/// An answer as the client saw it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn ask(&mut self, request: &str) -> Answer {
        self.send(request);
        let to_head = request.starts_with("HEAD ");
        self.answer_to(to_head).expect("an answer")
    }

    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to(false)
    }

    /// Reads a whole answer; `None` where the connection ended before its end.
    pub fn answer_to(&mut self, to_head: bool) -> Option<Answer> {
        let head = Head::read(&mut self.stream)?;
        let status: u16 = head.first.split(' ').nth(1)?.parse().ok()?;
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if to_head || status < 200 || matches!(status, 204 | 304) {
        } else if head.field("transfer-encoding").is_some() {
            (body, trailers) = read_chunked(&mut self.stream)?;
        } else if let Some(length) = head.field("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut body).ok()?;
        } else {
            self.stream.read_to_end(&mut body).ok()?;
        }
        Some(Answer {
            status,
            head,
            body,
            trailers,
        })
    }

    /// Whether the other side has closed, once everything it sent was read.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.stream.read(&mut byte), Ok(0))
            || self
                .stream
                .get_ref()
                .take_error()
                .is_ok_and(|error| error.is_some())
    }
}

/// Waits until something is so.
pub fn wait_for(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it never came about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
