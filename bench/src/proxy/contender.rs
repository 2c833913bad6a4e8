//! The proxies that are measured, and the app behind them: started, pinned, asked for their CPU time, ended.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use launchway_e2e::{processes, until};
use tempfile::TempDir;

use super::{Cores, certificate, free_address};

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    /// nginx with buffers for large bodies and no temporary files.
    NginxTuned,
    Haproxy,
    Caddy,
    /// Launchway by io_uring.
    Ring,
    /// Launchway by readiness.
    Readiness,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxTuned => "nginx, tuned",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Ring => "Launchway, io_uring",
            Self::Readiness => "Launchway, tokio",
        }
    }
}

/// What is served: files and certificates.
#[derive(Debug)]
pub(crate) struct Site {
    folder: PathBuf,
}

impl Site {
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        certificate(folder)?;
        let files = folder.join("files");
        fs::create_dir(&files)?;
        // Nothing that a compressing proxy would shrink.
        let bytes = |size: usize| {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            (0..size)
                .map(|_| {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect::<Vec<u8>>()
        };
        fs::write(files.join("10k.bin"), bytes(10 * 1024))?;
        fs::write(files.join("1m.bin"), bytes(1024 * 1024))?;
        // Servers drop their privileges before they open these.
        open_to_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What runs where.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Kind,
    cores: Cores,
    http: SocketAddr,
    https: SocketAddr,
    folder: TempDir,
}

impl Place {
    pub(crate) fn new(kind: Kind, cores: Cores) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        open_to_all(folder.path())?;
        Ok(Self {
            kind,
            cores,
            http: free_address()?,
            https: free_address()?,
            folder,
        })
    }

    fn workers(&self) -> usize {
        match self.cores {
            Cores::Own => 1,
            Cores::Shared => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// A command on the cores that the proxy may use.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.cores {
            Cores::Shared => Command::new(program),
            Cores::Own => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(program);
                command
            }
        }
    }
}

/// A proxy at work; ends when dropped.
#[derive(Debug)]
pub(crate) struct Contender<'p> {
    kind: Kind,
    http: SocketAddr,
    https: SocketAddr,
    child: Child,
    _place: Option<&'p Place>,
}

impl<'p> Contender<'p> {
    pub(crate) fn start(place: &'p Place, site: &Site, app: SocketAddr) -> anyhow::Result<Self> {
        let child = match place.kind {
            Kind::Nginx | Kind::NginxTuned => nginx(place, site, app)?,
            Kind::Haproxy => haproxy(place, site, app)?,
            Kind::Caddy => caddy(place, site, app)?,
            Kind::Ring | Kind::Readiness => launchway(place, site, app)?,
        };
        let started = Self {
            kind: place.kind,
            http: place.http,
            https: place.https,
            child,
            _place: Some(place),
        };
        until("the proxy takes connections", || {
            std::net::TcpStream::connect(started.http).is_ok()
                && std::net::TcpStream::connect(started.https).is_ok()
        });
        Ok(started)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.https
    }

    /// CPU time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut nanos = 0_u64;
        for process in family(self.child.id())? {
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                let spent = text.split(' ').next().unwrap_or_default();
                nanos += spent.trim().parse::<u64>().unwrap_or(0);
            }
        }
        Ok(nanos as f64 / 1e9)
    }

    /// Resident memory of all its processes, in KiB.
    pub(crate) fn resident_kib(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for process in family(self.child.id())? {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next());
            sum += kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }
}

impl Drop for Contender<'_> {
    fn drop(&mut self) {
        processes::terminate(self.child.id().cast_signed());
        let _ = self.child.wait();
    }
}

/// A process and its children.
fn family(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut all = vec![process];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
            .with_context(|| format!("process {parent} has gone"))?;
        all.extend(
            children
                .split_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
    }
    Ok(all)
}

/// The app: nginx that answers from memory and keeps connections.
pub(crate) fn app(site: &Site) -> anyhow::Result<AppServer> {
    let folder = TempDir::new()?;
    let address = free_address()?;
    let one_k = "x".repeat(1024);
    let text = format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log /dev/null;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600; sendfile on;\n\
         client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
         open_file_cache max=16; types {{ }} default_type application/octet-stream;\n\
         server {{ listen {address} backlog=4096;\n\
         location = / {{ return 200 \"{one_k}\"; }}\n\
         location / {{ root {files}; }} }} }}\n",
        folder = folder.path().display(),
        files = site.files().display(),
    );
    let config = folder.path().join("app.conf");
    fs::write(&config, text)?;
    let child = quiet(Command::new("nginx").arg("-c").arg(&config)).spawn()?;
    until("the app answers", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    Ok(AppServer {
        address,
        child,
        _folder: folder,
    })
}

/// The app behind the proxies; ends when dropped.
#[derive(Debug)]
pub(crate) struct AppServer {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl AppServer {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AppServer {
    fn drop(&mut self) {
        processes::terminate(self.child.id().cast_signed());
        let _ = self.child.wait();
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

fn nginx(place: &Place, site: &Site, app: SocketAddr) -> anyhow::Result<Child> {
    let folder = place.folder.path().display();
    let buffers = match place.kind {
        Kind::NginxTuned => {
            "proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;"
        }
        _ => "",
    };
    let text = format!(
        "daemon off; worker_processes {workers}; pid {folder}/pid; error_log /dev/null;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600; sendfile on; tcp_nodelay on;\n\
         client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
         types {{ }} default_type application/octet-stream;\n\
         upstream app {{ server {app}; keepalive 128; keepalive_requests 1000000000; }}\n\
         server {{ listen {http} reuseport backlog=4096; listen {https} ssl http2 reuseport backlog=4096; http2_max_requests 1000000000;\n\
         ssl_certificate {site}/cert.pem; ssl_certificate_key {site}/key.pem; ssl_protocols TLSv1.3;\n\
         location /files/ {{ root {site}; }}\n\
         location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; {buffers} }} }} }}\n",
        workers = place.workers(),
        http = place.http,
        https = place.https,
        site = site.folder.display(),
    );
    let config = place.folder.path().join("nginx.conf");
    // Deprecated in later releases, where connections need no such bound.
    fs::write(
        &config,
        text.replace("http2_max_requests 1000000000;\n", "\n"),
    )?;
    Ok(quiet(place.command("nginx").arg("-c").arg(&config)).spawn()?)
}

fn haproxy(place: &Place, site: &Site, app: SocketAddr) -> anyhow::Result<Child> {
    let text = format!(
        "global\n  nbthread {workers}\n  maxconn 20000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  \
         option forwardfor\n  http-reuse always\n\
         frontend web\n  bind {http}\n  bind {https} ssl crt {site}/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.3\n  default_backend app\n\
         backend app\n  server one {app}\n",
        workers = place.workers(),
        http = place.http,
        https = place.https,
        site = site.folder.display(),
    );
    let config = place.folder.path().join("haproxy.cfg");
    fs::write(&config, text)?;
    Ok(quiet(place.command("haproxy").arg("-db").arg("-f").arg(&config)).spawn()?)
}

fn caddy(place: &Place, site: &Site, app: SocketAddr) -> anyhow::Result<Child> {
    let mut text =
        String::from("{\n  admin off\n  auto_https off\n  log {\n    output discard\n  }\n}\n");
    let tls = format!(
        "  tls {site}/cert.pem {site}/key.pem\n",
        site = site.folder.display()
    );
    for (address, tls) in [
        (format!("http://:{}", place.http.port()), ""),
        (format!("https://:{}", place.https.port()), tls.as_str()),
    ] {
        let _ = write!(
            text,
            "{address} {{\n  bind 127.0.0.1\n{tls}  handle_path /files/* {{\n    root * {files}\n    file_server\n  }}\n  handle {{\n    reverse_proxy {app}\n  }}\n}}\n",
            files = site.files().display(),
        );
    }
    let config = place.folder.path().join("Caddyfile");
    fs::write(&config, text)?;
    let mut command = place.command("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&config)
        .env("GOMAXPROCS", place.workers().to_string())
        .env("HOME", place.folder.path());
    Ok(quiet(&mut command).spawn()?)
}

fn launchway(place: &Place, site: &Site, app: SocketAddr) -> anyhow::Result<Child> {
    let home = place.folder.path();
    fs::create_dir_all(home.join("proxy"))?;
    let route = |name: &str, prefix: &str, strip: bool, backend: serde_json::Value| {
        serde_json::json!({
            "name": name, "app": "bench", "release": 1, "hosts": ["*"], "prefix": prefix, "strip_prefix": strip, "backend": backend,
        })
    };
    let table = serde_json::json!({
        "number": 1,
        "routes": [
            route("bench", "/", false, serde_json::json!({
                "backend": "instances",
                "targets": [{"instance": "bench.web.v1.1", "address": {"tcp": app.to_string()}, "weight": 1}],
            })),
            route("bench/files", "/files", true, serde_json::json!({
                "backend": "files", "root": site.files(),
            })),
        ],
    });
    let snapshot = serde_json::json!({"protocol": 1, "table": table});
    fs::write(home.join("proxy/snapshot.json"), snapshot.to_string())?;
    let driver = match place.kind {
        Kind::Ring => "io_uring",
        Kind::Readiness => "readiness",
        other => bail!("{} is not Launchway", other.name()),
    };
    let mut command = place.command(launchway_e2e::launchway());
    command
        .arg("proxy")
        .args(["--listen", &place.http.to_string()])
        .args(["--https", &place.https.to_string()])
        .arg("--certificate")
        .arg(site.folder.join("cert.pem"))
        .arg("--key")
        .arg(site.folder.join("key.pem"))
        .arg("--access-log")
        .arg(home.join("access.log"))
        .args(["--admin", "127.0.0.1:0", "--driver", driver])
        .env("LAUNCHWAY_HOME", home);
    Ok(quiet(&mut command).spawn()?)
}
