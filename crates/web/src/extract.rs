//! What comes with a request, parsed strictly: bodies, path parameters, queries.
//!
//! A field that nobody knows is refused with its place and the nearest known one, since a typo that is dropped in
//! silence (`"formaton"`) would look like success.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use launchway_model::problem::Place;
use launchway_model::{Problem, suggest};
use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::problem::ApiProblem;

/// The largest body that the API takes, in bytes; git's own requests have no limit.
const BODY_LIMIT: usize = 4 << 20;

/// A request's JSON body. An empty body counts as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + ToSchema,
    S: Send + Sync,
{
    type Rejection = ApiProblem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiProblem> {
        let bytes = axum::body::to_bytes(request.into_body(), BODY_LIMIT)
            .await
            .map_err(|error| {
                Problem::invalid("the request's body cannot be read")
                    .caused_by(&error)
                    .hint(format!("A body may have {} MiB at most.", BODY_LIMIT >> 20))
            })?;
        parse_json(&bytes).map(Self).map_err(ApiProblem)
    }
}

/// Reads a JSON object of a known type, refusing fields that the type does not have.
pub(crate) fn parse_json<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::invalid("the request's body is not UTF-8").caused_by(&error))?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let known = field_names::<T>();
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut unknown = None;
    let keys = Fields {
        known: &known,
        unknown: &mut unknown,
    };
    if let Err(error) = keys.deserialize(&mut reader).and_then(|()| reader.end()) {
        return Err(match unknown {
            Some(field) => {
                let problem =
                    Problem::invalid(format!("unknown field `{field}`")).at(place(text, &error));
                match suggest::did_you_mean(&field, known.iter().map(String::as_str)) {
                    Some(hint) => problem.hint(hint),
                    None if known.is_empty() => problem.hint("No fields are known here."),
                    None => problem.hint(format!("Known fields: {}.", known.join(", "))),
                }
            }
            None => Problem::invalid("the request's body is not a JSON object")
                .cause(&error)
                .at(place(text, &error)),
        });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let problem = if path == "." {
            Problem::invalid(without_place(&error))
        } else {
            Problem::invalid(format!("`{path}`: {}", without_place(&error)))
        };
        problem.at(place(text, &error))
    })?;
    Ok(value)
}

/// serde_json's message without its own words on the place, which [`Place`] holds.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

fn place(text: &str, error: &serde_json::Error) -> Place {
    let line = error.line().max(1);
    Place {
        file: "request body".to_owned(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(error.column().max(1)).unwrap_or(u32::MAX),
        text: text
            .lines()
            .nth(line - 1)
            .map(|line| line.chars().take(200).collect()),
    }
}

/// The names of a body's fields, as the OpenAPI document has them.
fn field_names<T: ToSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Reads an object for its keys alone.
struct Fields<'a> {
    known: &'a [String],
    unknown: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.known.contains(&key) {
                let error = serde::de::Error::custom("unknown field");
                *self.unknown = Some(key);
                return Err(error);
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The one parameter of a path such as `/apps/{app}`, parsed.
pub(crate) struct Param<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Param<T>
where
    T: FromStr,
    T::Err: fmt::Display,
    S: Send + Sync,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        Ok(Self(parameter(&parameters(parts, state).await?, 0)?))
    }
}

/// Both parameters of a path such as `/apps/{app}/domains/{domain}`, parsed.
pub(crate) struct Params<T, U>(pub(crate) T, pub(crate) U);

impl<T, U, S> FromRequestParts<S> for Params<T, U>
where
    T: FromStr,
    T::Err: fmt::Display,
    U: FromStr,
    U::Err: fmt::Display,
    S: Send + Sync,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let all = parameters(parts, state).await?;
        Ok(Self(parameter(&all, 0)?, parameter(&all, 1)?))
    }
}

async fn parameters<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|error| Problem::invalid("the address cannot be read").cause(error))
}

fn parameter<T>(all: &RawPathParams, index: usize) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let (name, text) = all
        .iter()
        .nth(index)
        .ok_or_else(|| Problem::internal("a route lacks a parameter of its handler"))?;
    text.parse().map_err(|error: T::Err| {
        Problem::invalid(format!("`{text}` in the address is not a {name}")).cause(error)
    })
}

/// A request's query, refusing parameters that nobody knows.
pub(crate) struct Query<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + for<'a> Deserialize<'a>,
    S: Send + Sync,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| {
                ApiProblem(
                    Problem::invalid("the address's query is not understood")
                        .cause(error.body_text()),
                )
            })
    }
}

#[cfg(test)]
mod tests;
