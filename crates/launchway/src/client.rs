//! The HTTP client of control's API: synchronous, so that a command needs no runtime.
//!
//! Bodies are the types of `model::api`. An answer that is no success carries a [`Problem`] as JSON, which becomes the
//! command's error as it is.

mod stream;

use std::time::Duration;

use launchway_model::api::{ClientFile, Config, ConfigChange};
use launchway_model::{DeployId, Problem, ProblemKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

pub(crate) use stream::Stream;

/// The largest file that is fetched, in bytes.
const LARGEST_FILE: u64 = 4 << 30;
/// The largest answer that is read whole, in bytes.
const LARGEST_ANSWER: u64 = 256 << 20;

/// A connection to one server.
pub(crate) struct Client {
    agent: Agent,
    server: ClientFile,
}

impl Client {
    /// Nothing is sent yet.
    pub(crate) fn new(server: ClientFile) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .user_agent(concat!("launchway/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, server }
    }

    /// The server and the token that opens it.
    pub(crate) fn server(&self) -> &ClientFile {
        &self.server
    }

    /// `GET`, with a JSON answer.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.json(Method::GET, path, Vec::new())
    }

    /// `POST` of a JSON body, with a JSON answer.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.json(Method::POST, path, serde_json::to_vec(body)?)
    }

    /// `PUT` of a JSON body, with a JSON answer.
    pub(crate) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.json(Method::PUT, path, serde_json::to_vec(body)?)
    }

    /// `PATCH` of a configuration: the whole configuration, and the deploy that takes it into service, which stands in
    /// a header.
    pub(crate) fn change_config(
        &self,
        path: &str,
        change: &ConfigChange,
    ) -> anyhow::Result<(Config, Option<DeployId>)> {
        let mut answer = self.call(Method::PATCH, path, serde_json::to_vec(change)?)?;
        let deploy = answer
            .headers()
            .get("launchway-deploy")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        Ok((read_json(&mut answer, &Method::PATCH, path)?, deploy))
    }

    /// A request whose success needs no answer.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<()> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()?
            .unwrap_or_default();
        self.call(method, path, body)?;
        Ok(())
    }

    /// `DELETE` without an answer.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, path, None::<&()>)
    }

    /// `GET` of plain text.
    pub(crate) fn text(&self, path: &str) -> anyhow::Result<String> {
        let mut answer = self.call(Method::GET, path, Vec::new())?;
        Ok(answer
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .lossy_utf8(true)
            .read_to_string()?)
    }

    /// `GET` of a file.
    pub(crate) fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut answer = self.call(Method::GET, path, Vec::new())?;
        Ok(answer
            .body_mut()
            .with_config()
            .limit(LARGEST_FILE)
            .read_to_vec()?)
    }

    /// `GET` of an endless answer: server-sent events or one JSON document a line.
    pub(crate) fn stream(&self, path: &str) -> anyhow::Result<Stream> {
        Ok(Stream::new(self.call(Method::GET, path, Vec::new())?))
    }

    /// `POST` with such an answer.
    pub(crate) fn post_stream(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Stream> {
        Ok(Stream::new(self.call(
            Method::POST,
            path,
            serde_json::to_vec(body)?,
        )?))
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let mut answer = self.call(method.clone(), path, body)?;
        read_json(&mut answer, &method, path)
    }

    /// Sends a request; an answer that is no success becomes its problem.
    fn call(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Response<Body>> {
        let has_body = !body.is_empty();
        let url = format!("{}/api/v1{path}", self.server.url);
        let mut request = Request::builder()
            .method(&method)
            .uri(&url)
            .header("authorization", format!("Bearer {}", self.server.token))
            .header(
                "accept",
                "application/json, text/event-stream, application/x-ndjson, text/plain",
            );
        if has_body {
            request = request.header("content-type", "application/json");
        }
        let answer = if has_body {
            self.agent.run(request.body(body)?)
        } else if method == Method::GET || method == Method::DELETE {
            self.agent.run(request.body(())?)
        } else {
            self.agent.run(request.body(Vec::new())?)
        };
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(1 << 20)
            .lossy_utf8(true)
            .read_to_string()
            .unwrap_or_default();
        Err(self.refused(status, &text, path).into())
    }

    fn unreachable(&self, error: &ureq::Error) -> Problem {
        Problem::new(ProblemKind::Unavailable, format!("Launchway cannot be reached at {}", self.server.url))
            .cause(error)
            .hint("Is it running? `launchway up` starts it on this machine; LAUNCHWAY_URL or `launchway login URL` names another.")
    }

    fn refused(&self, status: u16, text: &str, path: &str) -> Problem {
        // The problem may come bare or in a field `problem`.
        let parsed = serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .and_then(|value| {
                let inner = value.get("problem").cloned().unwrap_or(value);
                serde_json::from_value::<Problem>(inner).ok()
            });
        let mut problem = parsed.unwrap_or_else(|| {
            let kind = match status {
                401 | 403 => ProblemKind::Unauthenticated,
                404 => ProblemKind::NotFound,
                409 => ProblemKind::Conflict,
                400..=499 => ProblemKind::Invalid,
                502..=504 => ProblemKind::Unavailable,
                _ => ProblemKind::Internal,
            };
            let problem =
                Problem::new(kind, format!("{}{path} answered {status}", self.server.url));
            match text.trim() {
                "" => problem,
                text => problem.cause(text.chars().take(500).collect::<String>()),
            }
        });
        if problem.kind == ProblemKind::Unauthenticated && problem.hint.is_none() {
            problem =
                problem.hint("Set LAUNCHWAY_TOKEN or run `launchway login URL --token TOKEN`.");
        }
        problem
    }
}

/// An answer's body as what it should be.
fn read_json<T: DeserializeOwned>(
    answer: &mut Response<Body>,
    method: &Method,
    path: &str,
) -> anyhow::Result<T> {
    let text = answer
        .body_mut()
        .with_config()
        .limit(LARGEST_ANSWER)
        .read_to_vec()?;
    serde_json::from_slice(&text).map_err(|error| {
        Problem::internal(format!("the answer to {method} {path} cannot be read"))
            .cause(error)
            .hint("Is the server of another version? `launchway status` and `launchway --version` tell.")
            .into()
    })
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
