//! Builds: their states, progress, tests and logs.

use std::io::SeekFrom;
use std::path::Path;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use launchway_control::{builds, progress as watch};
use launchway_model::build::{Build, StageId, TestCase};
use launchway_model::{AppName, BuildId, Problem};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::Limit;
use crate::Web;
use crate::extract::{Param, Params, Query};
use crate::problem::ApiProblem;
use crate::stream;

pub(super) async fn list_all(
    State(web): State<Web>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Build>>, ApiProblem> {
    Ok(Json(builds::list(&web.control, None, limit.get()).await?))
}

pub(super) async fn list(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Build>>, ApiProblem> {
    Ok(Json(
        builds::list(&web.control, Some(&app), limit.get()).await?,
    ))
}

pub(super) async fn get(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<Build>, ApiProblem> {
    Ok(Json(builds::get(&web.control, id).await?))
}

pub(super) async fn cancel(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<StatusCode, ApiProblem> {
    builds::cancel(&web.control, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn progress(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let events = watch::of_build(&web.control, id).await?;
    Ok(stream::events(events, &headers, &web.cancel))
}

pub(super) async fn tests(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<Vec<TestCase>>, ApiProblem> {
    Ok(Json(builds::tests(&web.control, id).await?))
}

pub(super) async fn log(
    State(web): State<Web>,
    Params(id, stage): Params<BuildId, u32>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let path = builds::stage_log(&web.control, id, StageId(stage)).await?;
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    Ok(file(&path, range).await?)
}

/// A growing text file, whole or from one range of bytes. A file that does not exist yet is empty.
pub(crate) async fn file(path: &Path, range: Option<&str>) -> Result<Response, Problem> {
    let failed =
        |error: std::io::Error| Problem::internal("a log cannot be read").caused_by(&error);
    let mut opened = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(([(header::CONTENT_TYPE, TEXT)], "").into_response());
        }
        Err(error) => return Err(failed(error)),
    };
    let size = opened.metadata().await.map_err(failed)?.len();
    let mut response = match range.and_then(|range| parse_range(range, size)) {
        None => Body::from_stream(ReaderStream::new(opened.take(size))).into_response(),
        Some(Err(())) => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            response
        }
        Some(Ok((first, last))) => {
            opened.seek(SeekFrom::Start(first)).await.map_err(failed)?;
            let part = ReaderStream::new(opened.take(last + 1 - first));
            let mut response =
                (StatusCode::PARTIAL_CONTENT, Body::from_stream(part)).into_response();
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes {first}-{last}/{size}"),
            );
            response
        }
    };
    set(&mut response, header::CONTENT_TYPE, TEXT);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    Ok(response)
}

const TEXT: &str = "text/plain; charset=utf-8";

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH` (RFC 9110, 14.1.2): `None` for what is to be ignored
/// (another unit, several ranges), an error for what lies beyond the end.
pub(crate) fn parse_range(text: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let length: u64 = last.parse().ok()?;
        return Some(if length == 0 || size == 0 {
            Err(())
        } else {
            Ok((size.saturating_sub(length), size - 1))
        });
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    if last < first {
        return None;
    }
    Some(if first >= size {
        Err(())
    } else {
        Ok((first, last.min(size - 1)))
    })
}
