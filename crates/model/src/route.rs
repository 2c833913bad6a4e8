//! The route table, and what control and the proxy say to each other.
//!
//! The proxy listens on a Unix socket; each line of JSON is one [`ProxyRequest`] or [`ProxyReply`], answered in order.
//! Control sends the whole numbered table each time: there is no partial change that could be lost or applied twice.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::HeaderMatch;
use crate::cidr::Cidr;
use crate::instance::TargetAddress;
use crate::names::{AppName, InstanceId, ReleaseNumber};

/// All routes at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with each table; the proxy refuses one that is not newer than its own.
    pub number: u64,
    /// The routes; the most specific host, then the longest prefix wins, whatever the order.
    pub routes: Vec<Route>,
}

/// Where requests of some hosts and paths go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Names the route in metrics and logs: the app's name, or `APP/PROCESS`.
    pub name: String,
    /// The app.
    pub app: AppName,
    /// The release that serves.
    pub release: ReleaseNumber,
    /// Host names in lower case, without a port: exact, `*.example.org`, or `*` for any.
    pub hosts: Vec<String>,
    /// The path prefix, by whole segments; `/` is every path.
    pub prefix: String,
    /// Whether the prefix is taken off before the request goes on.
    #[serde(default)]
    pub strip_prefix: bool,
    /// What answers.
    pub backend: Backend,
    /// Instances that take a part of the requests in place of the backend's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What is asked of its requests and done to its answers; nothing by default.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
}

/// Instances that take a part of a route's requests. While none of them is up, the backend's take all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The instances.
    pub targets: Vec<Target>,
    /// Their share of the requests in percent, up to 100.
    pub percent: u8,
    /// Requests with this header field go to them, whatever the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
}

/// What a route asks of its requests and does to its answers. Everything is off by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Requests over plain HTTP are sent to the same address over HTTPS (308).
    pub https_only: bool,
    /// The age, in seconds, of the `Strict-Transport-Security` field of answers over HTTPS.
    pub hsts_seconds: Option<u64>,
    /// Requests are sent to this host instead (308): `www.example.org` to `example.org`.
    pub redirect_host: Option<String>,
    /// Address ranges (`10.0.0.0/8`) that may ask; everybody where there is none.
    pub allow: Vec<String>,
    /// Address ranges that may not, though `allow` has them.
    pub deny: Vec<String>,
    /// Who may ask, by HTTP's basic authentication; everybody where there is none.
    pub users: Vec<User>,
    /// Header fields of requests to set, or to take off where there is no value.
    pub request_fields: Vec<FieldRule>,
    /// Header fields of answers to set, or to take off where there is no value.
    pub answer_fields: Vec<FieldRule>,
    /// The largest body of a request, in bytes, below the proxy's own limit.
    pub body_bytes: Option<u64>,
    /// The most requests that one client address may make.
    pub rate: Option<Rate>,
    /// The cookie that keeps a client with its instance, while that is up.
    pub sticky_cookie: Option<String>,
    /// The most requests that one client address may have in flight at once; tunnels count for as long as they last.
    pub in_flight: Option<u32>,
    /// How long an instance may take to begin its answer, in milliseconds; the proxy's own limit where absent.
    pub answer_timeout_ms: Option<u64>,
    /// Answers leave as the app made them: none is compressed on the way.
    pub uncompressed: bool,
    /// While the app is in maintenance: what is answered in its place.
    pub maintenance: Option<Maintenance>,
}

impl Rules {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the proxy can take these rules. One that it cannot take makes it refuse the table of all apps, so whoever
    /// reads rules asks first.
    ///
    /// # Errors
    /// What cannot be meant, in words.
    pub fn check(&self) -> Result<(), String> {
        let maintenance = self.maintenance.iter().flat_map(|page| &page.allow);
        for range in self.allow.iter().chain(&self.deny).chain(maintenance) {
            range.parse::<Cidr>().map_err(|error| error.to_string())?;
        }
        if let Some(host) = self.redirect_host.as_deref().filter(|host| !is_host(host)) {
            return Err(format!("`{host}` is no host to redirect to"));
        }
        if let Some(cookie) = self.sticky_cookie.as_deref().filter(|name| !is_token(name)) {
            return Err(format!("`{cookie}` is no name of a cookie"));
        }
        if self.rate.is_some_and(|rate| rate.per_second == 0) {
            return Err("a rate of 0 requests a second lets nobody in".to_owned());
        }
        if self.in_flight == Some(0) {
            return Err("0 requests at once let nobody in".to_owned());
        }
        for user in &self.users {
            if user.name.is_empty() || user.name.contains(':') {
                return Err(format!("`{}` is no name of a user", user.name));
            }
            if user.sha256.len() != 64 || !user.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                return Err(format!(
                    "user `{}` has no SHA-256 in hexadecimal",
                    user.name
                ));
            }
        }
        for rule in self.request_fields.iter().chain(&self.answer_fields) {
            let name = rule.name.to_ascii_lowercase();
            if !is_token(&name) || HOP_FIELDS.contains(&name.as_str()) {
                return Err(format!(
                    "the field `{}` cannot be set or taken off",
                    rule.name
                ));
            }
            let plain = |byte: u8| (b' '..0x7f).contains(&byte) || byte == b'\t';
            if !rule.value.iter().all(|value| value.bytes().all(plain)) {
                return Err(format!(
                    "the value for the field `{}` has forbidden characters",
                    rule.name
                ));
            }
        }
        Ok(())
    }
}

/// Fields that no rule may touch: framing and the connection are the proxy's own business.
pub const HOP_FIELDS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a text is a token as RFC 9110 has it: the name of a field or cookie.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a text is a host name of labels, with or without a port.
fn is_host(text: &str) -> bool {
    let host = match text.split_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => host,
        Some(_) => return false,
        None => text,
    };
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// What is answered while an app is in maintenance: status 503 with a page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Maintenance {
    /// What the page says.
    pub message: String,
    /// Address ranges whose requests go on to the app all the same.
    pub allow: Vec<String>,
}

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, without a colon.
    pub name: String,
    /// SHA-256 of `NAME:PASSWORD`, in hexadecimal.
    pub sha256: String,
}

/// A header field to set or to take off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRule {
    /// The field's name.
    pub name: String,
    /// Its value; absent, the field is taken off.
    #[serde(default)]
    pub value: Option<String>,
}

/// A rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many a second, over time; at least 1.
    pub per_second: u32,
    /// How many at once beyond that.
    #[serde(default)]
    pub burst: u32,
}

/// What answers the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "snake_case")]
pub enum Backend {
    /// Instances of a web process.
    Instances {
        /// The instances; may be empty for a moment, then requests wait briefly for one.
        targets: Vec<Target>,
    },
    /// Files, served by the proxy itself.
    Files {
        /// The folder.
        root: PathBuf,
        /// The file below it to answer with where none matches.
        #[serde(default)]
        fallback: Option<String>,
    },
    /// Nothing: the app is stopped. Answered with 503 and this reason.
    Stopped {
        /// Why, for the page that people see.
        reason: String,
    },
}

/// One instance in a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The instance.
    pub instance: InstanceId,
    /// Where it takes requests.
    pub address: TargetAddress,
    /// Its share among the targets; 0 takes no new requests.
    pub weight: u16,
}

/// The file in which the proxy keeps its last applied table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The table.
    pub table: RouteTable,
}

/// What control asks of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum ProxyRequest {
    /// Who are you? Answered with [`ProxyReply::Hello`].
    Hello {
        /// [`crate::PROTOCOL`].
        protocol: u32,
    },
    /// Check and take this table, save it, answer with [`ProxyReply::Applied`] or [`ProxyReply::Refused`].
    Apply {
        /// The table.
        table: RouteTable,
    },
    /// Answer with [`ProxyReply::Drained`] when no request is in flight on these instances (which the table no longer
    /// names), or at the deadline.
    Drain {
        /// The instances.
        instances: Vec<InstanceId>,
        /// How long to wait, in milliseconds.
        deadline_ms: u64,
    },
    /// Answer with [`ProxyReply::Stats`].
    Stats,
}

/// What the proxy answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum ProxyReply {
    /// The proxy.
    Hello {
        /// [`crate::PROTOCOL`].
        protocol: u32,
        /// Its process id.
        pid: u32,
        /// Where it takes HTTP.
        listen: Vec<SocketAddr>,
        /// The number of the table that it serves; 0 for none.
        table: u64,
    },
    /// The table is served and saved.
    Applied {
        /// Its number.
        number: u64,
    },
    /// The request was refused; what was served before goes on.
    Refused {
        /// Why.
        reason: String,
    },
    /// The instances are drained, or the deadline passed.
    Drained {
        /// Requests still in flight, per instance that had any.
        cut: Vec<(InstanceId, u64)>,
    },
    /// Counters since the proxy's start.
    Stats(ProxyStats),
}

/// Counters since the proxy's start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProxyStats {
    /// Client connections open now.
    pub connections: u64,
    /// Per route.
    pub routes: Vec<RouteStats>,
    /// Per instance that is routed or still has requests in flight.
    pub targets: Vec<TargetStats>,
}

/// Counters of a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouteStats {
    /// The route's name.
    pub route: String,
    /// Requests answered, by class of status: 1xx to 5xx.
    pub by_class: [u64; 5],
    /// Requests in flight.
    pub in_flight: u64,
    /// Sum of the answered requests' durations, in seconds.
    pub seconds: f64,
    /// Cumulative counts of answered requests at most as long as each of [`DURATION_BUCKETS`].
    pub buckets: Vec<u64>,
}

/// Counters of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStats {
    /// The instance.
    pub instance: InstanceId,
    /// Requests answered.
    pub requests: u64,
    /// Of these, answered with 5xx by the instance.
    pub server_errors: u64,
    /// Requests that the instance did not answer: refused, reset, timed out.
    pub failures: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Cumulative counts of the answered requests whose answer's head came within each of [`DURATION_BUCKETS`]; empty
    /// from a proxy that does not count them.
    #[serde(default)]
    pub buckets: Vec<u64>,
}

/// Upper bounds of the request-duration histogram, in seconds; the last bucket, +Inf, is not listed.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
