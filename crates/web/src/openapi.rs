//! One list of the API's operations, from which both the router and the OpenAPI document are made.
//!
//! **Invariant:** a route below `/api/v1` exists only by a call of [`Endpoints`], which adds its operation to the
//! document in the same step, so that neither can have what the other lacks. Prometheus' API, which lies beside ours, is
//! described by Prometheus.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::routing;
use launchway_model::Problem;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    ArrayBuilder, Components, ObjectBuilder, Ref, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Content, Info, KnownFormat, OpenApi, Paths, RefOr, Required, ResponseBuilder, ResponsesBuilder,
};

use crate::Web;

/// Below what all paths of the API lie.
pub(crate) const BASE: &str = "/api/v1";

/// The list while it is made.
pub(crate) struct Endpoints {
    router: Router<Web>,
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        let mut endpoints = Self {
            router: Router::new(),
            paths: Paths::new(),
            schemas: BTreeMap::new(),
        };
        endpoints.know::<Problem>();
        endpoints
    }

    pub(crate) fn get<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, Web>,
        T: 'static,
    {
        self.add(HttpMethod::Get, path, routing::get(handler), about)
    }

    pub(crate) fn post<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, Web>,
        T: 'static,
    {
        self.add(HttpMethod::Post, path, routing::post(handler), about)
    }

    pub(crate) fn put<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, Web>,
        T: 'static,
    {
        self.add(HttpMethod::Put, path, routing::put(handler), about)
    }

    pub(crate) fn patch<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, Web>,
        T: 'static,
    {
        self.add(HttpMethod::Patch, path, routing::patch(handler), about)
    }

    pub(crate) fn delete<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, Web>,
        T: 'static,
    {
        self.add(HttpMethod::Delete, path, routing::delete(handler), about)
    }

    fn add(
        mut self,
        method: HttpMethod,
        path: &str,
        handler: routing::MethodRouter<Web>,
        about: About,
    ) -> Self {
        self.schemas.extend(about.schemas.clone());
        let operation = about.operation(&method, path);
        self.paths
            .add_path_operation(format!("{BASE}{path}"), vec![method], operation);
        self.router = self.router.route(path, handler);
        self
    }

    fn know<T: ToSchema>(&mut self) {
        self.schemas.extend(schemas_of::<T>());
    }

    /// The router of all operations, to be nested at [`BASE`], and the document.
    pub(crate) fn finish(self) -> (Router<Web>, OpenApi) {
        let mut info = Info::new("Launchway", env!("CARGO_PKG_VERSION"));
        info.description = Some(
            "From a git commit to a served application. Every error is a `Problem`; its `kind` decides the status."
                .to_owned(),
        );
        let mut components = Components::new();
        components.schemas = self.schemas;
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("A token of `launchway tokens create`."))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "launchway_session",
                "A browser's session; requests that change something must come from the same origin. The name ends \
                 with `_PORT` where the address has a port.",
            ))),
        );
        let mut document = OpenApi::new(info, self.paths);
        document.components = Some(components);
        document.security = Some(vec![
            SecurityRequirement::new("token", Vec::<String>::new()),
            SecurityRequirement::new("session", Vec::<String>::new()),
        ]);
        (self.router, document)
    }
}

/// What is said of one operation.
pub(crate) struct About {
    summary: &'static str,
    tag: &'static str,
    body: Option<Content>,
    queries: Vec<(&'static str, &'static str, Type)>,
    answer: (u16, &'static str, Vec<(&'static str, Content)>),
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// An operation by its tag and its summary; it answers 204 with no body unless more is said.
pub(crate) fn about(tag: &'static str, summary: &'static str) -> About {
    About {
        summary,
        tag,
        body: None,
        queries: Vec::new(),
        answer: (204, "Done.", Vec::new()),
        schemas: Vec::new(),
    }
}

impl About {
    /// It takes a JSON body.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.schemas.extend(schemas_of::<T>());
        self.body = Some(Content::new(Some(reference::<T>())));
        self
    }

    /// It takes a parameter in the query, which is always optional.
    pub(crate) fn query(
        mut self,
        name: &'static str,
        description: &'static str,
        kind: Type,
    ) -> Self {
        self.queries.push((name, description, kind));
        self
    }

    /// It takes `?limit=N`.
    pub(crate) fn limited(self) -> Self {
        self.query("limit", "How many at most; 50 where absent.", Type::Integer)
    }

    /// It answers 200 with a JSON value.
    pub(crate) fn answers<T: ToSchema>(self) -> Self {
        self.status_with::<T>(200, "The answer.")
    }

    /// It answers 201 with what was made.
    pub(crate) fn creates<T: ToSchema>(self) -> Self {
        self.status_with::<T>(201, "It was made.")
    }

    /// It answers 202 with what was begun.
    pub(crate) fn begins<T: ToSchema>(self) -> Self {
        self.status_with::<T>(202, "It was begun; its progress tells the rest.")
    }

    fn status_with<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        self.schemas.extend(schemas_of::<T>());
        let content = Content::new(Some(reference::<T>()));
        self.answer = (status, description, vec![("application/json", content)]);
        self
    }

    /// It answers 200 with a JSON array.
    pub(crate) fn lists<T: ToSchema>(mut self) -> Self {
        self.schemas.extend(schemas_of::<T>());
        let array = ArrayBuilder::new().items(reference::<T>()).build();
        let content = Content::new(Some(Schema::Array(array)));
        self.answer = (200, "The list.", vec![("application/json", content)]);
        self
    }

    /// It answers 200 with a stream of JSON values.
    pub(crate) fn streams<T: ToSchema>(mut self, media: &[&'static str]) -> Self {
        self.schemas.extend(schemas_of::<T>());
        let contents = media
            .iter()
            .map(|media| {
                let mut content = Content::default();
                content.item_schema = Some(reference::<T>());
                (*media, content)
            })
            .collect();
        self.answer = (200, "A stream, until it ends.", contents);
        self
    }

    /// It answers 200 with plain text.
    pub(crate) fn text(mut self) -> Self {
        let content = Content::new(Some(text()));
        self.answer = (200, "The text.", vec![("text/plain", content)]);
        self
    }

    fn operation(self, method: &HttpMethod, path: &str) -> utoipa::openapi::path::Operation {
        let verb = match method {
            HttpMethod::Post => "post",
            HttpMethod::Put => "put",
            HttpMethod::Patch => "patch",
            HttpMethod::Delete => "delete",
            _ => "get",
        };
        let words = path
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        let id = std::iter::once(verb).chain(words).collect::<Vec<_>>();
        let mut operation = OperationBuilder::new()
            .operation_id(Some(id.join("_")))
            .tag(self.tag)
            .summary(Some(self.summary));
        for name in path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(match name {
                        "app" | "domain" => text(),
                        _ => number(),
                    })),
            );
        }
        for (name, description, kind) in self.queries {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .description(Some(description))
                    .schema(Some(ObjectBuilder::new().schema_type(kind).build())),
            );
        }
        if let Some(content) = self.body {
            operation = operation.request_body(Some(
                RequestBodyBuilder::new()
                    .content("application/json", content)
                    .required(Some(Required::True))
                    .build(),
            ));
        }
        let (status, description, contents) = self.answer;
        let mut answer = ResponseBuilder::new().description(description);
        for (media, content) in contents {
            answer = answer.content(media, content);
        }
        let refusal = ResponseBuilder::new()
            .description("What went wrong.")
            .content(
                "application/json",
                Content::new(Some(reference::<Problem>())),
            );
        operation
            .responses(
                ResponsesBuilder::new()
                    .response(status.to_string(), answer.build())
                    .response("default", refusal.build())
                    .build(),
            )
            .build()
    }
}

/// A type's schema and those that it refers to, by name.
fn schemas_of<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    schemas
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(T::name()))
}

fn number() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .build()
        .into()
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .build()
        .into()
}
