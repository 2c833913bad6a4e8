//! Static files as browsers ask for them.

use launchway_model::route::Backend;

use crate::harness::{Proxy, route};

fn site() -> (tempfile::TempDir, Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("docs")).unwrap();
    std::fs::create_dir_all(root.join(".git")).unwrap();
    for (name, content) in [
        ("public/index.html", "<h1>home</h1>"),
        ("public/docs/index.html", "docs"),
        ("public/app.js", "plain script"),
        ("public/app.js.gz", "gzipped"),
        ("public/app.js.br", "brotli"),
        ("public/a b.txt", "0123456789"),
        ("public/.env", "SECRET"),
        ("public/.git/config", "SECRET"),
        ("secret.txt", "SECRET"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("../secret.txt", root.join("out.txt")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("etc.txt")).unwrap();
    std::os::unix::fs::symlink("app.js", root.join("in.js")).unwrap();
    let mut proxy = Proxy::start();
    proxy.apply(vec![
        route(
            "site",
            &["*"],
            "/",
            Backend::Files {
                root: root.clone(),
                fallback: None,
            },
        ),
        route(
            "spa",
            &["spa.test"],
            "/",
            Backend::Files {
                root,
                fallback: Some("index.html".to_owned()),
            },
        ),
    ]);
    (folder, proxy)
}

fn asked(proxy: &Proxy, path: &str, fields: &str) -> crate::harness::Answer {
    proxy
        .client()
        .ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
}

#[test]
fn files_indexes_and_the_fallback() {
    let (_folder, proxy) = site();
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "<h1>home</h1>")
    );
    assert_eq!(
        answer.head.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(proxy.get("/docs/").text(), "docs");
    let answer = proxy.get("/docs?x=1");
    assert_eq!(answer.status, 308);
    assert_eq!(answer.head.field("location"), Some("/docs/?x=1"));
    assert_eq!(proxy.get("/a%20b.txt").text(), "0123456789");
    assert_eq!(proxy.get("/in.js").text(), "plain script");
    assert_eq!(proxy.get("/none").status, 404);
    let answer = proxy
        .client()
        .ask("GET /any/page HTTP/1.1\r\nhost: spa.test\r\n\r\n");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "<h1>home</h1>")
    );
    let mut client = proxy.client();
    let answer = client.ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.head.field("content-length"), Some("13"));
    // A wrong length would break the connection for the next request.
    let answer = client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.head.field("allow"), Some("GET, HEAD"));
}

#[test]
fn nothing_outside_or_hidden_is_served() {
    let (_folder, proxy) = site();
    for path in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs/..%5c..%5csecret.txt",
        "/out.txt",
        "/etc.txt",
        "/.env",
        "/.git/config",
        "/%2egit/config",
        "//etc/passwd",
        "/etc.txt/",
        "/docs/index.html/",
        "/index.html%00.txt",
    ] {
        let answer = asked(&proxy, path, "");
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("SECRET"), "{path}");
    }
}

#[test]
fn conditions_spare_the_content() {
    let (_folder, proxy) = site();
    let first = proxy.get("/a%20b.txt");
    let tag = first.head.field("etag").unwrap().to_owned();
    let modified = first.head.field("last-modified").unwrap().to_owned();
    for fields in [
        format!("if-none-match: {tag}\r\n"),
        format!("if-none-match: \"x\", W/{tag}\r\n"),
        "if-none-match: *\r\n".to_owned(),
        format!("if-modified-since: {modified}\r\n"),
    ] {
        let answer = asked(&proxy, "/a%20b.txt", &fields);
        assert_eq!(answer.status, 304, "{fields}");
        assert_eq!(answer.head.field("etag"), Some(tag.as_str()));
    }
    for fields in [
        "if-none-match: \"x\"\r\n".to_owned(),
        format!("if-none-match: \"x\"\r\nif-modified-since: {modified}\r\n"),
        "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
        format!("if-match: {tag}\r\n"),
    ] {
        assert_eq!(asked(&proxy, "/a%20b.txt", &fields).status, 200, "{fields}");
    }
    for fields in [
        "if-match: \"x\"\r\n",
        "if-unmodified-since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    ] {
        assert_eq!(asked(&proxy, "/a%20b.txt", fields).status, 412, "{fields}");
    }
}

#[test]
fn ranges() {
    let (_folder, proxy) = site();
    let answer = asked(&proxy, "/a%20b.txt", "range: bytes=2-4\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (206, "234"));
    assert_eq!(answer.head.field("content-range"), Some("bytes 2-4/10"));
    let answer = asked(&proxy, "/a%20b.txt", "range: bytes=-3\r\n");
    assert_eq!(answer.text(), "789");
    let answer = asked(&proxy, "/a%20b.txt", "range: bytes=10-\r\n");
    assert_eq!(answer.status, 416);
    assert_eq!(answer.head.field("content-range"), Some("bytes */10"));
    let answer = asked(
        &proxy,
        "/a%20b.txt",
        "range: bytes=0-1\r\nif-range: \"old\"\r\n",
    );
    assert_eq!((answer.status, answer.body.len()), (200, 10));
}

#[test]
fn precompressed_neighbours_are_negotiated() {
    let (_folder, proxy) = site();
    for (accept, coding, content) in [
        ("gzip, deflate, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0, gzip;q=0.5", Some("gzip"), "gzipped"),
        ("*", Some("br"), "brotli"),
        ("identity", None, "plain script"),
        ("gzip;q=0.0", None, "plain script"),
    ] {
        let answer = asked(&proxy, "/app.js", &format!("accept-encoding: {accept}\r\n"));
        assert_eq!(answer.text(), content, "{accept}");
        assert_eq!(answer.head.field("content-encoding"), coding);
        assert_eq!(answer.head.field("vary"), Some("accept-encoding"));
        assert_eq!(
            answer.head.field("content-type"),
            Some("text/javascript; charset=utf-8")
        );
    }
}
