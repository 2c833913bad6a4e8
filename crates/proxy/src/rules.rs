//! What a route asks of its requests before an instance sees them, and what it does to fields on the way.
//!
//! Rules are checked when a table comes, so that judging a request cannot fail. A route without rules has none of this in its way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use launchway_model::route::{FieldRule, Rate, Rules, User};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::h1::request::RequestHead;
use crate::h1::{elements, named, push_field};
use crate::page::Page;
use launchway_model::cidr::Cidr;

/// Where a certificate authority looks over plain HTTP, whatever `https_only` says (RFC 8555, section 8.3).
const ACME: &str = "/.well-known/acme-challenge/";

/// The rules of a route, ready to judge.
#[derive(Debug)]
pub(crate) struct Judge {
    https_only: bool,
    redirect_host: Option<String>,
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    users: Vec<(String, [u8; 32])>,
    rate: Option<Limiter>,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) request: Edits,
    pub(crate) answer: Edits,
    pub(crate) hsts: Option<String>,
    pub(crate) sticky_cookie: Option<String>,
    pub(crate) answer_timeout: Option<Duration>,
    /// Whether its answers may be compressed.
    pub(crate) compress: bool,
    crowd: Option<Arc<Crowd>>,
    /// What is said, and whose requests go on all the same.
    maintenance: Option<(String, Vec<Cidr>)>,
}

/// A request as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    /// The client's address, behind trusted proxies.
    pub(crate) client: IpAddr,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub(crate) secure: bool,
    /// The host in lower case, without a port.
    pub(crate) host: &'r str,
    /// The path without a query.
    pub(crate) path: &'r str,
    /// The port of HTTPS, where it is not 443.
    pub(crate) https_port: Option<u16>,
}

impl Judge {
    /// Reads rules; `None` where there are none.
    ///
    /// # Errors
    /// What cannot be meant, in words.
    pub(crate) fn new(rules: &Rules) -> Result<Option<Box<Self>>, String> {
        if rules.is_empty() {
            return Ok(None);
        }
        let ranges = |texts: &[String]| {
            let ranges = texts.iter().map(|text| text.parse::<Cidr>());
            ranges
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())
        };
        rules.check()?;
        Ok(Some(Box::new(Self {
            https_only: rules.https_only,
            redirect_host: rules.redirect_host.clone(),
            allow: ranges(&rules.allow)?,
            deny: ranges(&rules.deny)?,
            users: rules.users.iter().map(user).collect::<Result<_, _>>()?,
            rate: rules.rate.map(Limiter::new),
            body_bytes: rules.body_bytes,
            request: Edits::new(&rules.request_fields),
            answer: Edits::new(&rules.answer_fields),
            hsts: rules.hsts_seconds.map(|age| format!("max-age={age}")),
            sticky_cookie: rules.sticky_cookie.clone(),
            crowd: rules.in_flight.map(Crowd::new),
            answer_timeout: rules.answer_timeout_ms.map(Duration::from_millis),
            compress: !rules.uncompressed,
            maintenance: rules
                .maintenance
                .as_ref()
                .map(|page| Ok::<_, String>((page.message.clone(), ranges(&page.allow)?)))
                .transpose()?,
        })))
    }

    /// The page for a request that goes no further.
    pub(crate) fn refuse(&self, asked: Asked<'_>, head: &RequestHead<'_, '_>) -> Option<Page> {
        let within = |ranges: &[Cidr]| ranges.iter().any(|range| range.contains(asked.client));
        if within(&self.deny) || (!self.allow.is_empty() && !within(&self.allow)) {
            return Some(Page::trouble(403, "your address may not ask here"));
        }
        if let Some(page) = self.redirect(asked, head) {
            return Some(page);
        }
        if let Some((message, allowed)) = &self.maintenance
            && !within(allowed)
        {
            return Some(Page::maintenance(message));
        }
        if let Some(rate) = &self.rate
            && let Err(wait) = rate.take(asked.client, Instant::now())
        {
            let seconds = wait.as_secs() + 1;
            return Some(
                Page::trouble(429, "there are too many requests from your address")
                    .with_field("retry-after", seconds.to_string()),
            );
        }
        if !self.users.is_empty() && !self.is_user(head) {
            return Some(
                Page::trouble(401, "a name and a password are needed here").with_field(
                    "www-authenticate",
                    "Basic realm=\"restricted\", charset=\"UTF-8\"".to_owned(),
                ),
            );
        }
        None
    }

    /// A place for a request among those that its client has in flight; none where there is no limit.
    ///
    /// # Errors
    /// The page for a client that has too many.
    pub(crate) fn admit(&self, client: IpAddr) -> Result<Option<Admitted>, Page> {
        let Some(crowd) = &self.crowd else {
            return Ok(None);
        };
        crowd.admit(client).map(Some).ok_or_else(|| {
            Page::trouble(429, "there are too many requests at once from your address")
                .with_field("retry-after", "1".to_owned())
        })
    }

    fn redirect(&self, asked: Asked<'_>, head: &RequestHead<'_, '_>) -> Option<Page> {
        let to_https = self.https_only && !asked.secure && !asked.path.starts_with(ACME);
        let other = self
            .redirect_host
            .as_deref()
            .filter(|host| *host != asked.host);
        if (!to_https && other.is_none()) || asked.host.is_empty() || head.target == "*" {
            return None;
        }
        let secure = asked.secure || to_https;
        let scheme = if secure { "https" } else { "http" };
        let authority = match (other, to_https, asked.https_port) {
            (Some(host), ..) => host.to_owned(),
            (None, true, Some(port)) => format!("{}:{port}", asked.host),
            (None, true, None) => asked.host.to_owned(),
            (None, false, _) => head.authority.to_owned(),
        };
        Some(Page::redirect(
            308,
            format!("{scheme}://{authority}{}", head.target),
        ))
    }

    fn is_user(&self, head: &RequestHead<'_, '_>) -> bool {
        let mut given = head
            .fields
            .iter()
            .filter(|field| named(field, "authorization"));
        let (Some(field), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, coded)) = field.value.split_at_checked(6) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return false;
        }
        let Ok(pair) = STANDARD.decode(coded.trim_ascii()) else {
            return false;
        };
        let hash: [u8; 32] = Sha256::digest(&pair).into();
        let name = pair.split(|byte| *byte == b':').next().unwrap_or(&pair);
        // Every user is compared, so that the time tells nothing.
        let mut found = subtle::Choice::from(0);
        for (known, wanted) in &self.users {
            found |= known.as_bytes().ct_eq(name) & wanted.ct_eq(&hash);
        }
        found.into()
    }
}

fn user(user: &User) -> Result<(String, [u8; 32]), String> {
    let wrong = || format!("user `{}` has no SHA-256 in hexadecimal", user.name);
    if user.name.is_empty() || user.name.contains(':') {
        return Err(format!("`{}` is no name of a user", user.name));
    }
    let digits = user.sha256.as_bytes();
    if digits.len() != 64 {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(wrong);
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        *byte = u8::try_from(value).map_err(|_| wrong())?;
    }
    Ok((user.name.clone(), hash))
}

/// Fields to set and to take off.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    set: Vec<(String, String)>,
    off: Vec<String>,
}

impl Edits {
    /// Reads rules that were checked.
    fn new(rules: &[FieldRule]) -> Self {
        let mut edits = Self::default();
        for rule in rules {
            let name = rule.name.to_ascii_lowercase();
            match &rule.value {
                None => edits.off.push(name),
                Some(value) => edits.set.push((name, value.trim().to_owned())),
            }
        }
        edits
    }

    /// Whether a field that came is to go.
    pub(crate) fn take_off(&self, name: &str) -> bool {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        self.off.iter().any(|off| is(off)) || self.set.iter().any(|(set, _)| is(set))
    }

    /// The fields to set.
    pub(crate) fn set(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Writes the fields to set.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.set() {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
    }
}

/// The value of a cookie in a request.
pub(crate) fn cookie<'h>(head: &'h RequestHead<'_, '_>, name: &str) -> Option<&'h [u8]> {
    head.fields
        .iter()
        .filter(|field| named(field, "cookie"))
        .flat_map(|field| field.value.split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The client's address: the nearest in `X-Forwarded-For` that is no trusted proxy, where the peer is one.
pub(crate) fn client_address(peer: IpAddr, trusted: &[Cidr], head: &RequestHead<'_, '_>) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !trusts(peer) {
        return peer;
    }
    let mut chain: Vec<&[u8]> = Vec::new();
    for field in head.fields {
        if named(field, "x-forwarded-for") {
            chain.extend(elements(field.value));
        }
    }
    let mut client = peer;
    for element in chain.into_iter().rev() {
        let Some(address) = std::str::from_utf8(element)
            .ok()
            .and_then(|text| text.parse().ok())
        else {
            return client;
        };
        client = address;
        if !trusts(client) {
            break;
        }
    }
    client
}

/// Requests per client address: the generic cell rate algorithm, one moment of memory per address.
#[derive(Debug)]
struct Limiter {
    every: Duration,
    tolerance: Duration,
    /// When the allowance of an address is full again.
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

/// Addresses remembered before those with a full allowance are swept out.
const REMEMBERED: usize = 10_000;

impl Limiter {
    fn new(rate: Rate) -> Self {
        let every = Duration::from_secs(1) / rate.per_second.max(1);
        Self {
            every,
            tolerance: every * rate.burst,
            full_at: Mutex::default(),
        }
    }

    /// Takes one request, or tells how long to wait.
    fn take(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = household(client);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= REMEMBERED {
            full_at.retain(|_, full| *full > now);
        }
        let full = full_at.get(&key).copied().unwrap_or(now).max(now);
        if let Some(wait) = full.checked_duration_since(now + self.tolerance)
            && !wait.is_zero()
        {
            return Err(wait);
        }
        full_at.insert(key, full + self.every);
        Ok(())
    }
}

/// Whoever has one address of IPv6 has the whole /64.
fn household(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)))
        }
        v4 => v4,
    }
}

/// Requests in flight per client address.
#[derive(Debug)]
struct Crowd {
    most: u32,
    present: Mutex<HashMap<IpAddr, u32>>,
}

impl Crowd {
    fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            present: Mutex::default(),
        })
    }

    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let client = household(client);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(client).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Admitted {
            crowd: Arc::clone(self),
            client,
        })
    }
}

/// A request's place among those that its client has in flight; given back with this.
#[derive(Debug)]
pub(crate) struct Admitted {
    crowd: Arc<Crowd>,
    client: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut present = self
            .crowd
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests;
