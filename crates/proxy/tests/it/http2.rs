//! HTTP/2 from clients: with prior knowledge, and over TLS.

use std::io::Write;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use launchway_proxy::options::{Certificate, Https};
use tokio::net::TcpStream;

use crate::harness::{App, PATIENCE, Proxy, Then, respond};

fn block_on<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE, run).await.expect("in time") })
}

async fn connect(proxy: &Proxy) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    send
}

fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://shop.test{path}"))
        .body(Full::new(body.into()))
        .unwrap()
}

#[test]
fn many_streams_of_one_connection() {
    let app = App::start(|request, stream| {
        assert_eq!(request.head.field("host"), Some("shop.test"));
        assert_eq!(request.head.field("x-forwarded-proto"), Some("http"));
        respond(
            stream,
            "200 OK",
            &[("connection", "keep-alive")],
            &request.body,
        );
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    block_on(async {
        let send = connect(&proxy).await;
        let mut asked = tokio::task::JoinSet::new();
        for turn in 0..100_usize {
            let mut send = send.clone();
            asked.spawn(async move {
                let body = vec![turn as u8; turn * 2000];
                send.ready().await.unwrap();
                let answer = send
                    .send_request(request("POST", "/x", body.clone()))
                    .await
                    .unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                assert_eq!(answer.headers().get("connection"), None);
                let got = answer.into_body().collect().await.unwrap().to_bytes();
                assert!(got == body, "{turn}");
            });
        }
        while let Some(ended) = asked.join_next().await {
            ended.unwrap();
        }
    });
    assert_eq!(app.count(), 100);
}

#[test]
fn heads_and_trailers_translate() {
    let app = App::start(|request, stream| {
        assert_eq!(request.head.first, "GET /a?b HTTP/1.1");
        assert_eq!(request.head.field("cookie"), Some("a=1; b=2"));
        assert_eq!(request.head.field("te"), None);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nkeep-alive: x\r\n\r\n2\r\nok\r\n0\r\nx-end: 7\r\n\r\n",
            )
            .unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    block_on(async {
        let mut send = connect(&proxy).await;
        let mut asked = request("GET", "/a?b", "");
        for cookie in ["a=1", "b=2"] {
            asked
                .headers_mut()
                .append("cookie", cookie.parse().unwrap());
        }
        asked
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
        let answer = send.send_request(asked).await.unwrap();
        assert_eq!(answer.headers().get("transfer-encoding"), None);
        assert_eq!(answer.headers().get("keep-alive"), None);
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-end"], "7");
        assert_eq!(body.to_bytes(), "ok");
    });
}

#[test]
fn pages_and_heads_without_content() {
    let app = App::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            .unwrap();
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.apply(vec![crate::harness::to_instances(
        "shop",
        &["shop.test"],
        "/",
        &[(1, app.address)],
    )]);
    block_on(async {
        let mut send = connect(&proxy).await;
        let answer = send.send_request(request("HEAD", "/", "")).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "1000");
        assert!(
            answer
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
        let unknown = Request::builder()
            .uri("http://other.test/")
            .body(Full::new(Bytes::new()))
            .unwrap();
        let answer = send.send_request(unknown).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        // An answer that breaks off resets its stream, with or without its head, and leaves the connection.
        if let Ok(answer) = send.send_request(request("GET", "/", "")).await {
            assert!(answer.into_body().collect().await.is_err());
        }
        let answer = send.send_request(request("HEAD", "/", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    });
}

#[test]
fn a_reset_stream_frees_the_instance() {
    let app = App::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        while stream.write_all(b"3\r\nabc\r\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    block_on(async {
        let mut send = connect(&proxy).await;
        let answer = send.send_request(request("GET", "/", "")).await.unwrap();
        drop(answer);
        while app.open() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
}

/// A certificate and key made by the system's openssl; `None` where that is missing.
fn certificate(folder: &std::path::Path, name: &str) -> Option<Certificate> {
    let (chain, key) = (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    );
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=test", "-addext"])
        .arg(format!("subjectAltName=DNS:{name}"))
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output();
    match made {
        Ok(made) if made.status.success() => Some(Certificate { chain, key }),
        _ => {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: there is no openssl to make a certificate with"
            );
            None
        }
    }
}

#[test]
fn tls_chooses_the_certificate_by_name_and_the_protocol_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(one), Some(two)) = (
        certificate(folder.path(), "one.test"),
        certificate(folder.path(), "two.test"),
    ) else {
        return;
    };
    let app = App::start(|request, stream| {
        assert_eq!(request.head.field("x-forwarded-proto"), Some("https"));
        respond(stream, "200 OK", &[], &request.body);
        Then::Keep
    });
    let mut proxy = Proxy::with(|options| {
        options.https = Some(Https {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            certificates: vec![one.clone(), two.clone()],
        });
    });
    proxy.route_to(&[(1, app.address)]);
    let address = proxy.running.as_ref().unwrap().https()[0];
    for (name, certificate, alpn) in [
        ("one.test", &one, "h2"),
        ("two.test", &two, "h2"),
        ("one.test", &one, "http/1.1"),
        ("two.test", &two, "http/1.1"),
    ] {
        use rustls::pki_types::pem::PemObject;
        // Trusting the one certificate alone shows that it is the one which was sent.
        let mut roots = rustls::RootCertStore::empty();
        let trusted = rustls::pki_types::CertificateDer::from_pem_file(&certificate.chain).unwrap();
        roots.add(trusted).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let stream = connector
                .connect(name.try_into().unwrap(), stream)
                .await
                .unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
            let body = Bytes::from(vec![5; 300_000]);
            if alpn == "h2" {
                let (mut send, connection) = hyper::client::conn::http2::handshake(
                    TokioExecutor::new(),
                    TokioIo::new(stream),
                )
                .await
                .unwrap();
                tokio::spawn(connection);
                let asked = Request::post(format!("https://{name}/"))
                    .body(Full::new(body.clone()))
                    .unwrap();
                let answer = send.send_request(asked).await.unwrap();
                assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
            } else {
                let (mut send, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .unwrap();
                tokio::spawn(connection);
                for _ in 0..3 {
                    let asked = Request::post("/")
                        .header("host", name)
                        .body(Full::new(body.clone()))
                        .unwrap();
                    let answer = send.send_request(asked).await.unwrap();
                    assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
                    send.ready().await.unwrap();
                }
            }
        });
    }
    // Plain HTTP on the port for TLS ends quickly and harms nobody.
    let mut stray = crate::harness::Client::connect(address);
    stray.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let _ = stray.answer();
    assert!(stray.is_closed());
}

#[test]
fn texts_are_compressed_on_streams_too() {
    let text = "a line that says little\n".repeat(2000);
    let app = {
        let text = text.clone();
        App::start(move |_, stream| {
            let fields = [("content-type", "text/html")];
            respond(stream, "200 OK", &fields, text.as_bytes());
            Then::Keep
        })
    };
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    block_on(async {
        let mut send = connect(&proxy).await;
        let mut asked = request("GET", "/", Bytes::new());
        asked
            .headers_mut()
            .insert("accept-encoding", "zstd".parse().unwrap());
        let answer = send.send_request(asked).await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "zstd");
        assert!(!answer.headers().contains_key("content-length"));
        let coded = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(coded.len() < text.len() / 10);
        assert!(zstd::stream::decode_all(&coded[..]).unwrap() == text.as_bytes());
    });
}
