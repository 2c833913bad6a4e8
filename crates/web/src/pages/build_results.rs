//! What a build's page shows beside its stages: what it asks of a person, what it kept, what linters found; and the files
//! themselves. Reports are HTML that a build made: they are served in a sandbox, apart from our own origin's rights.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use launchway_control::{builds, results};
use launchway_model::build::Build;
use launchway_model::request::{Ask, InputAnswer};
use launchway_model::results::FailureKind;
use launchway_model::{BuildId, Problem};
use sha2::{Digest, Sha256};

use super::actions::Posted;
use super::pipeline::{Field, Fields, given};
use super::{PageProblem, see};
use crate::extract::{Param, Params};
use crate::html::{Html, Tone};
use crate::{Web, format, html};

/// A question that waits.
pub struct InputView {
    number: u32,
    message: String,
    ok: String,
    submitter: String,
    fields: Html,
}

/// A file that was kept.
pub struct ArtifactView {
    path: String,
    link: String,
    size: String,
    sha256: String,
}

/// What a tool found.
pub struct FindingsView {
    name: String,
    total: usize,
    new: usize,
    rows: Vec<(String, Html, String, String, bool)>,
}

/// The part of a build's page.
#[derive(Template, Default)]
#[template(path = "build_results.html")]
pub(super) struct BuildResults {
    build: u64,
    inputs: Vec<InputView>,
    artifacts: Vec<ArtifactView>,
    reports: Vec<(String, String)>,
    findings: Vec<FindingsView>,
    parameters: Vec<(String, String)>,
}

/// Findings that are listed, a tool.
const LISTED: usize = 100;

impl BuildResults {
    /// All that a build asks and kept.
    pub(super) async fn of(web: &Web, build: &Build) -> Result<Self, PageProblem> {
        let (control, id) = (&web.control, build.id);
        let mut view = Self {
            build: id.0,
            parameters: build.request.parameters.clone().into_iter().collect(),
            ..Self::default()
        };
        for request in builds::requests(control, id).await? {
            if let (false, None, Ask::Input(question)) =
                (request.settled, &request.answer, request.ask)
            {
                view.inputs.push(InputView {
                    number: request.number,
                    message: question.message,
                    ok: question.ok,
                    submitter: question.submitter.join(", "),
                    fields: super::part(&Fields {
                        fields: question.parameters.iter().map(Field::new).collect(),
                    }),
                });
            }
        }
        for artifact in results::artifacts(control, id).await? {
            view.artifacts.push(ArtifactView {
                link: format!("/builds/{}/artifacts/{}", id.0, encoded(&artifact.path)),
                path: artifact.path,
                size: format::bytes(artifact.size),
                sha256: artifact.sha256,
            });
        }
        for report in results::reports(control, id).await? {
            view.reports.push((
                report.title,
                format!("/builds/{}/reports/{}", id.0, report.key),
            ));
        }
        for tool in results::findings(control, id).await? {
            let tone = |severity: &str| match severity {
                "Error" | "High" => html::State::new(Tone::Bad, severity.to_lowercase()),
                "Normal" => html::State::new(Tone::Warn, "warning"),
                _ => html::State::new(Tone::Idle, "low"),
            };
            view.findings.push(FindingsView {
                name: tool.name,
                total: tool.issues.len(),
                new: tool.issues.iter().filter(|issue| issue.new).count(),
                rows: tool
                    .issues
                    .iter()
                    .take(LISTED)
                    .map(|issue| {
                        (
                            format!("{}:{}", issue.file, issue.line),
                            tone(&format!("{:?}", issue.severity)).mark(),
                            issue.rule.clone(),
                            issue.message.clone(),
                            issue.new,
                        )
                    })
                    .collect(),
            });
        }
        Ok(view)
    }
}

/// What the failures of a build are, by suite and name.
pub(super) async fn kinds(
    web: &Web,
    id: BuildId,
) -> Result<BTreeMap<(String, String), (FailureKind, u64)>, PageProblem> {
    let report = results::test_report(&web.control, id).await?;
    Ok(report
        .into_iter()
        .flat_map(|report| report.failed)
        .map(|test| ((test.suite, test.name), (test.kind, test.since.0)))
        .collect())
}

/// A path for an address, its slashes kept.
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub(super) async fn answer(
    State(web): State<Web>,
    Params(id, number): Params<BuildId, u32>,
    Posted(fields): Posted<BTreeMap<String, String>>,
) -> Result<Response, PageProblem> {
    let given = InputAnswer {
        approve: fields.get("answer").is_some_and(|word| word == "yes"),
        parameters: given(&fields),
    };
    builds::answer(
        &web.control,
        id,
        Some(number),
        given,
        "a person at the page",
    )
    .await?;
    Ok(see(&format!("/builds/{}", id.0)))
}

/// A file that a build kept, to be downloaded: never shown as a page of ours.
pub(super) async fn artifact(
    State(web): State<Web>,
    UrlPath((id, path)): UrlPath<(u64, String)>,
) -> Result<Response, PageProblem> {
    let file = results::artifact_file(&web.control, BuildId(id), &path).await?;
    let name = path
        .rsplit('/')
        .next()
        .unwrap_or("file")
        .replace(['"', '\\'], "_");
    let mut response = send(&file).await?;
    let disposition = format!("attachment; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

/// To the report's first file, at an address that needs no session: a sandboxed page sends no cookies for its own files.
pub(super) async fn open_report(
    State(web): State<Web>,
    Params(id, key): Params<BuildId, String>,
) -> Result<Response, PageProblem> {
    let reports = results::reports(&web.control, id).await?;
    let Some(report) = reports.into_iter().find(|report| report.key == key) else {
        return Err(Problem::not_found(format!("build {id} kept no report `{key}`")).into());
    };
    let seal = seal(&web, id, &key);
    Ok(Redirect::to(&format!(
        "/reports/{}/{key}/{seal}/{}",
        id.0,
        encoded(&report.index)
    ))
    .into_response())
}

/// A file of a report, for whoever has its address.
pub(super) async fn report(
    State(web): State<Web>,
    UrlPath((id, key, given, path)): UrlPath<(u64, String, String, String)>,
) -> Result<Response, PageProblem> {
    let id = BuildId(id);
    let right = seal(&web, id, &key);
    // Both are hashes of one length; the comparison takes the same time wherever they differ.
    let differs = right
        .bytes()
        .zip(given.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    if differs != 0 || right.len() != given.len() {
        return Err(
            Problem::not_found("this address of a report is not valid any more")
                .hint("Open the report from its build's page.")
                .into(),
        );
    }
    let file = results::report_file(&web.control, id, &key, &path)?;
    let mut response = send(&file).await?;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(kind_of(&path)),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "sandbox allow-scripts allow-popups; default-src 'self' data: 'unsafe-inline'; connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    // The sandbox has an origin of its own, for which these files are foreign.
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(response)
}

/// What makes a report's address hard to guess: a keyed hash, hashed twice so that it cannot be lengthened.
fn seal(web: &Web, id: BuildId, key: &str) -> String {
    let once = |data: &[u8]| {
        let mut hash = Sha256::new();
        hash.update(*web.seal);
        hash.update(data);
        hash.finalize()
    };
    let inner = once(format!("report {} {key}", id.0).as_bytes());
    format!("{:x}", once(&inner))
}

async fn send(file: &std::path::Path) -> Result<Response, PageProblem> {
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| Problem::not_found("the file is gone").cause(error))?;
    let size = opened.metadata().await.map(|data| data.len()).unwrap_or(0);
    let stream = tokio_util::io::ReaderStream::new(opened);
    Ok((
        StatusCode::OK,
        [(header::CONTENT_LENGTH, size.to_string())],
        axum::body::Body::from_stream(stream),
    )
        .into_response())
}

fn kind_of(path: &str) -> &'static str {
    match path
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" | "log" | "xml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// All parts of one build's page that come from elsewhere than its record.
pub(super) async fn panel(web: &Web, build: &Build) -> Result<Html, PageProblem> {
    Ok(super::part(&BuildResults::of(web, build).await?))
}

pub(super) async fn live_panel(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Response, PageProblem> {
    let build = builds::get(&web.control, id).await?;
    Ok(panel(&web, &build).await?.to_string().into_response())
}
