//! What a file's name tells about its kind and how long it may be kept.

use crate::compress;

/// The media type for a file's name (IANA's registry; text is UTF-8).
pub(super) fn kind(name: &str) -> &'static str {
    let extension = name
        .rsplit('/')
        .next()
        .and_then(|last| last.rsplit_once('.'));
    let Some((_, extension)) = extension else {
        return "application/octet-stream";
    };
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "application/xml",
        "rss" => "application/rss+xml",
        "atom" => "application/atom+xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// Whether files of this kind are worth compressing, so that a build may have made compressed neighbours.
pub(super) fn compresses(name: &str) -> bool {
    compress::is_text(kind(name).as_bytes())
}

/// How a cache may keep the file: for ever where the name carries a hash of the content, else only with a question each time.
pub(super) fn cache_rule(name: &str) -> &'static str {
    match has_hash(name) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    }
}

/// Whether a name is like `app.3f9a1c2b.js` or `app-3f9A1c2B.js`, as bundlers make them: eight or more characters of a hash
/// with both a digit and a letter before the extension.
fn has_hash(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let Some((stem, _)) = last.rsplit_once('.') else {
        return false;
    };
    let Some(part) = stem.rsplit(['.', '-']).next().filter(|part| *part != stem) else {
        return false;
    };
    part.len() >= 8
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && part.bytes().any(|byte| byte.is_ascii_digit())
        && part.bytes().any(|byte| byte.is_ascii_alphabetic())
        // A version or a date is no hash of the content.
        && !part.starts_with('v')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_extension() {
        assert_eq!(kind("a/INDEX.HTML"), "text/html; charset=utf-8");
        assert_eq!(kind("a.b/c"), "application/octet-stream");
        assert_eq!(kind("x.woff2"), "font/woff2");
    }

    #[test]
    fn text_compresses_and_pictures_do_not() {
        for name in [
            "a.html",
            "a.js",
            "a.json",
            "a.svg",
            "a.webmanifest",
            "a.wasm",
        ] {
            assert!(compresses(name), "{name}");
        }
        for name in ["a.png", "a.woff2", "a.mp4", "a"] {
            assert!(!compresses(name), "{name}");
        }
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        for name in ["assets/index-4f3c2b1a.js", "app.3f9a1c2b77.css"] {
            assert!(cache_rule(name).contains("immutable"), "{name}");
        }
        for name in [
            "index.html",
            "jquery-3.7.1.js",
            "report-20240101.pdf",
            "my-component.js",
        ] {
            assert_eq!(cache_rule(name), "no-cache", "{name}");
        }
    }
}
