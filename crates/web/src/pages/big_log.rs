//! A stage's log, however long: a window of lines with their colours, and a search through the whole file.
//!
//! The file is read on a thread of its own from its beginning to the window: a million lines are 60 MB, which memchr walks in
//! some hundredths of a second, so there is no index to keep.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use launchway_control::builds;
use launchway_model::build::{StageId, StageState};
use launchway_model::runner::LogLine;
use launchway_model::{BuildId, Problem};

use super::log::LogView;
use super::{Frame, PageProblem};
use crate::extract::Params;
use crate::html::Html;
use crate::{Web, ansi};

/// How many lines a page holds.
const WINDOW: u64 = 1_000;
/// How many finds are listed.
const FINDS: usize = 200;

/// What is looked at.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub(super) struct Look {
    /// The first line, from 1; the last window where absent.
    line: Option<u64>,
    /// What to search for.
    find: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    /// The window's text.
    text: String,
    /// The number of its first line.
    first: u64,
    /// How many lines there are.
    lines: u64,
    /// Lines that hold what is searched for: number and text.
    finds: Vec<(u64, String)>,
    /// How many there are.
    found: u64,
}

/// The page.
#[derive(Template)]
#[template(path = "big_log.html")]
struct BigLogPage {
    frame: Frame,
    build: u64,
    stage: u32,
    name: String,
    log: Html,
    first: u64,
    last: u64,
    lines: u64,
    before: u64,
    after: Option<u64>,
    end: u64,
    find: String,
    finds: Vec<(u64, u64, String)>,
    found: u64,
}

fn read(path: &Path, look: &Look) -> io::Result<Read> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::default()),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let wanted = look.line.map(|line| line.max(1));
    let find = look
        .find
        .as_deref()
        .filter(|find| !find.is_empty())
        .map(str::to_lowercase);
    let mut done = Read {
        first: wanted.unwrap_or(1),
        ..Read::default()
    };
    // Without a wanted line the newest lines are kept as they come.
    let mut tail: std::collections::VecDeque<Vec<u8>> = std::collections::VecDeque::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        done.lines += 1;
        let number = done.lines;
        match wanted {
            Some(first) if number >= first && number < first + WINDOW => {
                done.text.push_str(&String::from_utf8_lossy(&line));
            }
            Some(_) => {}
            None => {
                if tail.len() as u64 == WINDOW {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
            }
        }
        if let Some(find) = &find {
            let text = String::from_utf8_lossy(&line);
            let shown = LogLine::parse(text.trim_end());
            if shown.text.to_lowercase().contains(find.as_str()) {
                done.found += 1;
                if done.finds.len() < FINDS {
                    done.finds
                        .push((number, ansi::strip(&shown.text).chars().take(300).collect()));
                }
            }
        }
    }
    if wanted.is_none() {
        done.first = done.lines.saturating_sub(tail.len() as u64) + 1;
        for line in tail {
            done.text.push_str(&String::from_utf8_lossy(&line));
        }
    }
    Ok(done)
}

pub(super) async fn show(
    State(web): State<Web>,
    Params(id, stage): Params<BuildId, u32>,
    Query(look): Query<Look>,
) -> Result<Response, PageProblem> {
    let build = builds::get(&web.control, id).await?;
    let path: PathBuf = builds::stage_log(&web.control, id, StageId(stage)).await?;
    let found = build
        .stages
        .iter()
        .find(|known| known.info.id == StageId(stage));
    let name = found
        .map(|stage| stage.info.name.clone())
        .unwrap_or_default();
    let begin = found.and_then(|stage| match &stage.status {
        StageState::Waiting => None,
        StageState::Running { since } | StageState::Finished { since, .. } => {
            Some(since.as_millisecond())
        }
    });
    let asked = look.clone();
    let done = tokio::task::spawn_blocking(move || read(&path, &asked))
        .await
        .map_err(|error| Problem::internal("reading a log broke").cause(error))?
        .map_err(|error| Problem::internal("a log cannot be read").caused_by(&error))?;
    let shown = done.text.lines().count() as u64;
    let last = (done.first + shown).saturating_sub(1);
    let page = BigLogPage {
        frame: Frame::new(format!("{name}: log of build #{}", id.0), "builds"),
        build: id.0,
        stage,
        name,
        log: LogView::since(begin).render(&done.text),
        first: done.first,
        last,
        lines: done.lines,
        before: done.first.saturating_sub(WINDOW).max(1),
        after: (last < done.lines).then_some(last + 1),
        end: done.lines.saturating_sub(WINDOW - 1).max(1),
        find: look.find.unwrap_or_default(),
        finds: done
            .finds
            .into_iter()
            .map(|(line, text)| (line, line.saturating_sub(20).max(1), text))
            .collect(),
        found: done.found,
    };
    Ok(super::show(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (1..=lines)
            .map(|line| format!("{line} o line {line} Ä\n"))
            .collect();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_window_anywhere() {
        let file = log(5_000);
        let middle = read(
            file.path(),
            &Look {
                line: Some(2_001),
                find: None,
            },
        )
        .unwrap();
        assert_eq!((middle.first, middle.lines), (2_001, 5_000));
        assert!(middle.text.starts_with("2001 o line 2001"));
        assert_eq!(middle.text.lines().count(), 1_000);
        let end = read(file.path(), &Look::default()).unwrap();
        assert_eq!(end.first, 4_001);
        assert!(end.text.ends_with("line 5000 Ä\n"));
        let beyond = read(
            file.path(),
            &Look {
                line: Some(9_999),
                find: None,
            },
        )
        .unwrap();
        assert!(beyond.text.is_empty());
    }

    #[test]
    fn a_search_through_all() {
        let file = log(5_000);
        let look = Look {
            line: Some(1),
            find: Some("LINE 499".into()),
        };
        let done = read(file.path(), &look).unwrap();
        assert_eq!(done.found, 11);
        assert_eq!(done.finds[0], (499, "line 499 Ä".to_owned()));
        assert!(
            read(Path::new("/nowhere/at/all"), &look)
                .unwrap()
                .finds
                .is_empty()
        );
    }
}
