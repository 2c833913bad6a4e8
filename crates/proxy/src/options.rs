//! What a proxy is started with.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use launchway_model::home::Home;

use launchway_model::cidr::Cidr;

/// What a proxy is started with.
#[derive(Debug)]
pub struct Options {
    /// Where it takes HTTP; port 0 takes a free one (see `Running::http`).
    pub http: Vec<SocketAddr>,
    /// Where and how it takes HTTPS.
    pub https: Option<Https>,
    /// Where it answers `GET /metrics` and `GET /healthz`.
    pub admin: Option<SocketAddr>,
    /// The file of the last applied route table.
    pub snapshot: PathBuf,
    /// The Unix socket for control.
    pub control_socket: PathBuf,
    /// Threads that serve; 0 for one a core.
    pub workers: usize,
    /// How bytes are moved.
    pub driver: Driver,
    /// Sockets that already listen (from a predecessor or a service manager). One whose address is among [`Https::listen`]
    /// takes HTTPS, every other one HTTP; an address of `http` that one of them has is not bound again.
    pub inherited: Vec<TcpListener>,
    /// Whether to take the sockets over from a proxy that runs on the same control socket, which then stops; without one the
    /// addresses are bound as usual.
    pub take_over: bool,
    /// Bounds on what clients and apps may do.
    pub limits: Limits,
    /// Where and how requests are logged; not at all without it.
    pub access_log: Option<AccessLog>,
    /// Peers whose `X-Forwarded-*` and `X-Request-Id` are believed and passed on.
    pub trusted: Vec<Cidr>,
}

impl Options {
    /// The layout of `home`, HTTP on these addresses, everything else by default.
    pub fn new(home: &Home, http: Vec<SocketAddr>) -> Self {
        Self {
            http,
            https: None,
            admin: None,
            snapshot: home.proxy_snapshot(),
            control_socket: home.proxy_socket(),
            workers: 0,
            driver: Driver::Auto,
            inherited: Vec::new(),
            take_over: false,
            limits: Limits::default(),
            access_log: None,
            trusted: Vec::new(),
        }
    }
}

/// How the workers move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// io_uring where this machine allows it, readiness otherwise.
    #[default]
    Auto,
    /// io_uring (Linux 6.1 or later); starting fails where it is forbidden or missing.
    IoUring,
    /// Readiness by epoll, one system call for each read and write.
    Readiness,
}

/// HTTPS by certificates of the operator's own.
#[derive(Debug, Clone)]
pub struct Https {
    /// Where.
    pub listen: Vec<SocketAddr>,
    /// The certificates, chosen by the name that a client asks for; the first serves a name that none has.
    pub certificates: Vec<Certificate>,
}

/// One certificate chain and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where and how requests are logged.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// The file; its folder is made where it is missing.
    pub path: PathBuf,
    /// How a line looks.
    pub format: LogFormat,
    /// Of the answers below 400, one in this many is logged; 1 logs all. Others are logged always.
    pub sample: u32,
    /// The size at which the file is renamed to `NAME.1`.
    pub rotate_bytes: u64,
    /// How many renamed files are kept.
    pub keep: u32,
}

impl AccessLog {
    /// All requests as JSON, at most five files of 32 MiB.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            format: LogFormat::Json,
            sample: 1,
            rotate_bytes: 32 << 20,
            keep: 4,
        }
    }
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

/// Bounds on what clients and apps may do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A request's or an answer's head, in bytes.
    pub head_bytes: usize,
    /// A request's body, in bytes.
    pub body_bytes: u64,
    /// Open client connections.
    pub connections: u64,
    /// From a request's first byte (or a new connection) to the end of its head.
    pub head_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_gap: Duration,
    /// A client that sends its body slower than this many bytes a second, after [`Limits::body_gap`], is cut off.
    pub body_rate: u64,
    /// Without progress while an answer is written to a client.
    pub write_timeout: Duration,
    /// Connecting to an app.
    pub connect_timeout: Duration,
    /// From the request's end to the head of the app's answer.
    pub answer_timeout: Duration,
    /// Between two pieces of an answer's body.
    pub answer_gap: Duration,
    /// How long a request waits while no instance can be reached.
    pub wait_for_target: Duration,
    /// How long an instance that refused a connection is passed over; doubles up to eight times this.
    pub down_for: Duration,
    /// Idle connections kept per instance and worker.
    pub pool_size: usize,
    /// How long an idle connection to an app is kept.
    pub pool_idle: Duration,
    /// Silence after which an upgraded connection is closed.
    pub tunnel_idle: Duration,
    /// How long requests in flight may take when the proxy stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            body_bytes: 1 << 30,
            connections: 50_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_gap: Duration::from_secs(30),
            body_rate: 240,
            write_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            answer_gap: Duration::from_secs(300),
            wait_for_target: Duration::from_secs(5),
            down_for: Duration::from_millis(500),
            pool_size: 128,
            pool_idle: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(3600),
            stop_timeout: Duration::from_secs(30),
        }
    }
}
