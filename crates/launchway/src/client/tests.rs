//! What the client makes of a server's answers, against a real socket.

use std::io::{Read, Write};
use std::net::TcpListener;

use launchway_model::api::Status;

use super::*;

/// A server that answers one request with fixed text; gives its address and what was asked.
fn answering(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
            let read = connection.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request ended early");
            asked.extend_from_slice(&buffer[..read]);
        }
        connection.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, asked)
}

fn client(url: String) -> Client {
    Client::new(ClientFile {
        url,
        token: "t0k".to_owned(),
    })
}

fn problem(error: &anyhow::Error) -> &Problem {
    error.downcast_ref::<Problem>().unwrap()
}

#[test]
fn a_problem_in_an_answer_becomes_the_error() {
    let (url, asked) = answering(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
         {\"kind\":\"not_found\",\"message\":\"there is no app `shpo`\",\"hint\":\"Did you mean `shop`?\"}",
    );
    let error = client(url).get::<Status>("/apps/shpo").unwrap_err();
    assert_eq!(problem(&error).kind, ProblemKind::NotFound);
    assert_eq!(
        problem(&error).hint.as_deref(),
        Some("Did you mean `shop`?")
    );
    let asked = asked.join().unwrap();
    assert!(
        asked.starts_with("GET /api/v1/apps/shpo HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked
            .to_ascii_lowercase()
            .contains("authorization: bearer t0k"),
        "{asked}"
    );
}

#[test]
fn an_answer_that_is_no_problem_still_says_what_came() {
    let (url, _asked) =
        answering("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<h1>no upstream</h1>");
    let error = client(url).get::<Status>("/status").unwrap_err();
    assert_eq!(problem(&error).kind, ProblemKind::Unavailable);
    assert_eq!(problem(&error).causes, ["<h1>no upstream</h1>"]);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(url.clone()).get::<Status>("/status").unwrap_err();
    assert_eq!(problem(&error).kind, ProblemKind::Unavailable);
    assert!(problem(&error).message.contains(&url), "{error}");
    assert!(
        problem(&error)
            .hint
            .as_deref()
            .unwrap()
            .contains("launchway up")
    );
}

#[test]
fn a_segment_keeps_a_path_in_one_piece() {
    assert_eq!(segment("a/b c*"), "a%2Fb%20c%2A");
    assert_eq!(segment("shop.example.org"), "shop.example.org");
}
