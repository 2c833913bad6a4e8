//! An answer that goes on: server-sent events, or one JSON document a line.
//!
//! Both are read the same way, since a document never holds a line break: the `data:` of an event and a bare line are
//! the document; comments, event names and empty lines are passed over.

use std::io::{BufRead, BufReader, Read};

use launchway_model::{Problem, ProblemKind};
use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::Response;

/// The documents of one answer, in order.
pub(crate) struct Stream {
    lines: BufReader<Box<dyn Read + Send>>,
}

impl Stream {
    /// Reads the body of an answer.
    pub(super) fn new(answer: Response<Body>) -> Self {
        Self::of(
            answer
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader(),
        )
    }

    fn of(reader: impl Read + Send + 'static) -> Self {
        Self {
            lines: BufReader::new(Box::new(reader)),
        }
    }

    /// The next document; `None` when the answer ended.
    ///
    /// # Errors
    /// The connection broke, or a document is not what it should be.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.lines.read_until(b'\n', &mut line).map_err(|error| {
                Problem::new(
                    ProblemKind::Unavailable,
                    "the connection to Launchway broke",
                )
                .cause(error)
            })?;
            if read == 0 {
                return Ok(None);
            }
            if let Some(document) = document(&line) {
                let value = serde_json::from_slice(document).map_err(|error| {
                    Problem::internal("an event of Launchway cannot be read")
                        .cause(error)
                        .cause(String::from_utf8_lossy(document))
                })?;
                return Ok(Some(value));
            }
        }
    }
}

/// The JSON in a line, where there is some.
fn document(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    if let Some(data) = line.strip_prefix(b"data:") {
        return Some(data.trim_ascii_start()).filter(|data| !data.is_empty());
    }
    match line.first() {
        Some(b'{' | b'[') => Some(line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use launchway_model::api::RunOutput;

    use super::*;

    #[test]
    fn events_and_bare_lines_read_alike() {
        let text = concat!(
            ": keep-alive\n\n",
            "event: progress\nid: 3\ndata: {\"run\":\"exited\",\"code\":3}\r\n\r\n",
            "{\"run\":\"exited\",\"code\":4}\n",
        );
        let mut stream = Stream::of(text.as_bytes());
        assert_eq!(stream.next().unwrap(), Some(RunOutput::Exited { code: 3 }));
        assert_eq!(stream.next().unwrap(), Some(RunOutput::Exited { code: 4 }));
        assert_eq!(stream.next::<RunOutput>().unwrap(), None);
    }

    #[test]
    fn a_damaged_event_is_shown() {
        let mut stream = Stream::of(&b"data: {oops\n"[..]);
        let error = stream.next::<RunOutput>().unwrap_err().to_string();
        assert!(error.contains("{oops"), "{error}");
    }
}
