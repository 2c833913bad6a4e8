//! The pages' own files, inside the binary, each at an address that holds the hash of its content.
//!
//! A browser may keep such a file for ever, since a changed file has another address.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    address: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    [
        (
            "launchway.css",
            "text/css; charset=utf-8",
            include_str!("../assets/launchway.css"),
        ),
        (
            "launchway.js",
            "text/javascript; charset=utf-8",
            include_str!("../assets/launchway.js"),
        ),
        (
            "mark.svg",
            "image/svg+xml",
            include_str!("../assets/mark.svg"),
        ),
    ]
    .into_iter()
    .map(|(name, kind, content)| {
        let digest = Sha256::digest(content.as_bytes());
        let hash: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
        Asset {
            name,
            kind,
            content,
            address: format!("/assets/{hash}-{name}"),
        }
    })
    .collect()
});

/// The address of a file; an unknown one is a mistake of a template, which a test of all pages finds.
pub(crate) fn address(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or("/assets/missing", |asset| &asset.address)
}

/// Answers with a file.
pub(crate) async fn serve(Path(file): Path<String>) -> Response {
    let wanted = ASSETS
        .iter()
        .find(|asset| asset.address.strip_prefix("/assets/") == Some(&file));
    match wanted {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.content,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
