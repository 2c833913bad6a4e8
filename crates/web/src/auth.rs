//! Who sent a request: a client with a token, or a browser with a session.
//!
//! Tokens come as `Authorization: Bearer` or, for git, as the password of `Basic`. A session comes as a cookie, which a
//! browser sends on its own, so a request that changes something by it must prove that it was made by our own pages:
//! by `Sec-Fetch-Site`, or by an `Origin` that is our own. Secrets are compared in `control::auth`, in constant time.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use launchway_control::auth;
use launchway_model::{Problem, ProblemKind};

use crate::Web;
use crate::problem::{ApiProblem, unauthenticated};

/// How a request was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// By a token, which no browser sends on its own.
    Token,
    /// By a session's cookie.
    Session,
}

/// Who sent a request, if anyone known did.
pub(crate) async fn identify(web: &Web, headers: &HeaderMap) -> Result<Option<Access>, Problem> {
    if let Some(token) = token(headers) {
        return Ok(auth::verify_token(&web.control, &token)
            .await?
            .map(|_| Access::Token));
    }
    if let Some(secret) = session(headers)
        && auth::verify_session(&web.control, &secret).await?
    {
        return Ok(Some(Access::Session));
    }
    Ok(None)
}

/// Lets requests of the API pass that carry a token or a session.
pub(crate) async fn for_clients(
    State(web): State<Web>,
    request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    match identify(&web, request.headers()).await? {
        None => Err(unauthenticated().into()),
        Some(Access::Session) if !same_origin(&request) => Err(foreign().into()),
        Some(_) => Ok(next.run(request).await),
    }
}

/// Lets requests of git pass; git asks its user for a password when it is told to.
pub(crate) async fn for_git(State(web): State<Web>, request: Request, next: Next) -> Response {
    let known = match token(request.headers()) {
        Some(token) => auth::verify_token(&web.control, &token).await,
        None => Ok(None),
    };
    match known {
        Ok(Some(_)) => next.run(request).await,
        Ok(None) => {
            let words = if token(request.headers()).is_some() {
                "this token is not valid\n"
            } else {
                "a token is needed as the password; any user name will do\n"
            };
            (
                StatusCode::UNAUTHORIZED,
                [
                    (header::WWW_AUTHENTICATE, "Basic realm=\"Launchway\""),
                    (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                ],
                words,
            )
                .into_response()
        }
        Err(problem) => (
            crate::problem::status(problem.kind),
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("{problem}\n"),
        )
            .into_response(),
    }
}

/// Lets requests of pages pass; a person without a session is sent to the login page and comes back afterwards.
pub(crate) async fn for_people(State(web): State<Web>, request: Request, next: Next) -> Response {
    match identify(&web, request.headers()).await {
        Err(problem) => crate::pages::error(&problem),
        Ok(None) => {
            let reading = matches!(*request.method(), Method::GET | Method::HEAD);
            let events = request
                .headers()
                .get(header::ACCEPT)
                .is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
            if events {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let path = request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str());
            let target = if reading && path != "/" {
                format!("/login?next={}", percent_encode(path))
            } else {
                "/login".to_owned()
            };
            Redirect::to(&target).into_response()
        }
        Ok(Some(Access::Session)) if !same_origin(&request) => crate::pages::error(&foreign()),
        Ok(Some(_)) => next.run(request).await,
    }
}

fn foreign() -> Problem {
    Problem::new(
        ProblemKind::Unauthenticated,
        "this request did not come from one of our own pages",
    )
    .hint("Open the page anew and repeat what you did there; a client sends a token instead of a cookie.")
}

/// The token that came with a request.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (_, password) = pair.split_once(':')?;
        return Some(password.to_owned());
    }
    None
}

/// The session that came with a request.
pub(crate) fn session(headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(headers);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// The cookie's name. Browsers share cookies between the ports of a host, so the port is part of it: two
/// installations on one machine would log each other out otherwise.
fn cookie_name(headers: &HeaderMap) -> String {
    let port = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.rsplit_once(':'))
        .map(|(_, port)| port)
        .filter(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    match port {
        Some(port) => format!("launchway_session_{port}"),
        None => "launchway_session".to_owned(),
    }
}

/// The cookie that keeps a session.
pub(crate) fn set_cookie(headers: &HeaderMap, session: &auth::Session) -> HeaderValue {
    cookie(headers, &session.secret, session.max_age)
}

/// The cookie that takes it away.
pub(crate) fn clear_cookie(headers: &HeaderMap) -> HeaderValue {
    cookie(headers, "", 0)
}

fn cookie(headers: &HeaderMap, value: &str, max_age: u64) -> HeaderValue {
    let https = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
    let text = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{}",
        cookie_name(headers),
        if https { "; Secure" } else { "" }
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a request only reads, or comes from one of our own pages.
pub(crate) fn same_origin(request: &Request) -> bool {
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        return true;
    }
    from_own_page(request.headers())
}

/// Whether a browser says that a page of ours made the request. A request that says nothing is not trusted.
pub(crate) fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let (Some(origin), Some(host)) = (text("origin"), text("host")) else {
        return false;
    };
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Where to go after a login: a path of ours, never another site.
pub(crate) fn own_path(next: Option<&str>) -> &str {
    match next {
        Some(path)
            if path.starts_with('/')
                && !path.starts_with("//")
                && !path.contains(['\\', '\r', '\n', '\t'])
                && !path.starts_with("/login") =>
        {
            path
        }
        _ => "/",
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
