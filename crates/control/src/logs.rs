//! The logs of instances, merged by time.
//!
//! Each instance writes `logs/APP/INSTANCE.log`, rotated to `.1` and so on; the files outlive the instances. A reader
//! takes the last lines of all of them, sorts them by time, and then follows: it looks for added lines, for new
//! instances and for rotated files a few times a second, for as long as somebody reads.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use launchway_model::api::AppLogLine;
use launchway_model::runner::{LogLine, LogSource};
use launchway_model::{AppName, InstanceId, Problem, ProcessType};
use tokio::sync::mpsc;

use crate::{Control, problem};

/// How often a follower looks.
const LOOK: Duration = Duration::from_millis(100);
/// The most that is read of one file to find its last lines, in bytes.
const TAIL: u64 = 4 << 20;
/// The most lines that one query may ask for.
const MOST: usize = 100_000;

/// Which lines of an app's logs are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Of one process type alone.
    pub process: Option<ProcessType>,
    /// Of one instance alone.
    pub instance: Option<InstanceId>,
    /// How many of the last lines, over all instances together.
    pub lines: usize,
    /// Whether lines that are written from now on follow, until the receiver is dropped.
    pub follow: bool,
}

impl LogQuery {
    fn wants(&self, id: &InstanceId) -> bool {
        self.process
            .as_ref()
            .is_none_or(|process| process == id.process())
            && self.instance.as_ref().is_none_or(|instance| instance == id)
    }
}

/// Reads the last lines, oldest first, and follows where asked.
///
/// # Errors
/// The app does not exist, or its logs cannot be read.
pub async fn read(
    control: &Control,
    app: &AppName,
    query: LogQuery,
) -> Result<mpsc::Receiver<AppLogLine>, Problem> {
    control.app(app).await?;
    let folder = control.settings().home.app_logs(app);
    let (sender, receiver) = mpsc::channel(256);
    let cancel = control.cancel.clone();
    control.tasks.spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = feed(folder, query, sender) => {}
        }
    });
    Ok(receiver)
}

async fn feed(folder: PathBuf, query: LogQuery, sender: mpsc::Sender<AppLogLine>) {
    let mut follower = Follower {
        folder,
        query,
        files: BTreeMap::new(),
    };
    let first = tokio::task::spawn_blocking(move || {
        let lines = follower.last_lines();
        (follower, lines)
    });
    let Ok((mut follower, lines)) = first.await else {
        return;
    };
    for line in lines {
        if sender.send(line).await.is_err() {
            return;
        }
    }
    while follower.query.follow && !sender.is_closed() {
        let added = tokio::task::spawn_blocking(move || {
            let lines = follower.added();
            (follower, lines)
        });
        let Ok((back, lines)) = added.await else {
            return;
        };
        follower = back;
        if lines.is_empty() {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        for line in lines {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    }
}

/// The last lines that an instance or command itself wrote.
pub(crate) async fn last_words(log: &Path, lines: usize) -> Vec<String> {
    let log = log.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let text = File::open(&log)
            .and_then(|mut file| tail(&mut file))
            .map(|(text, _)| text)
            .unwrap_or_default();
        let mut last = VecDeque::new();
        for line in text.lines() {
            let line = LogLine::parse(line);
            if line.source != LogSource::Launchway {
                if last.len() == lines {
                    last.pop_front();
                }
                last.push_back(line.text.into_owned());
            }
        }
        last.into()
    });
    read.await.unwrap_or_default()
}

/// Reads the files of one app as they grow.
struct Follower {
    folder: PathBuf,
    query: LogQuery,
    files: BTreeMap<InstanceId, Followed>,
}

/// One instance's log, as far as it was read.
struct Followed {
    file: File,
    inode: u64,
    offset: u64,
}

impl Follower {
    /// The last lines of all files together, by time; what follows starts after them.
    fn last_lines(&mut self) -> Vec<AppLogLine> {
        let wanted = self.query.lines.min(MOST);
        let mut lines = Vec::new();
        for (id, path) in self.logs() {
            let Ok(mut file) = File::open(&path) else {
                continue;
            };
            let Ok((mut text, end)) = tail(&mut file) else {
                continue;
            };
            if text.lines().count() < wanted
                && let Ok((older, _)) =
                    File::open(rotated(&path)).and_then(|mut file| tail(&mut file))
            {
                text = older + &text;
            }
            let parsed: Vec<&str> = text.lines().collect();
            let skip = parsed.len().saturating_sub(wanted);
            lines.extend(parsed[skip..].iter().map(|line| app_line(&id, line)));
            if let Ok(data) = file.metadata() {
                self.files.insert(
                    id,
                    Followed {
                        file,
                        inode: data.ino(),
                        offset: end,
                    },
                );
            }
        }
        // Stable: lines of one instance with the same time stay in their order.
        lines.sort_by_key(|line| line.millis);
        let skip = lines.len().saturating_sub(wanted);
        lines.split_off(skip)
    }

    /// The lines that were added since the last look.
    fn added(&mut self) -> Vec<AppLogLine> {
        let mut lines = Vec::new();
        let logs = self.logs();
        self.files
            .retain(|id, _| logs.iter().any(|(known, _)| known == id));
        for (id, path) in logs {
            let inode = std::fs::metadata(&path).map(|data| data.ino()).ok();
            let Some(followed) = self.files.get_mut(&id) else {
                if let (Ok(file), Some(inode)) = (File::open(&path), inode) {
                    let mut followed = Followed {
                        file,
                        inode,
                        offset: 0,
                    };
                    lines.extend(followed.read().lines().map(|line| app_line(&id, line)));
                    self.files.insert(id, followed);
                }
                continue;
            };
            // The rest of a rotated file is read before its successor.
            lines.extend(followed.read().lines().map(|line| app_line(&id, line)));
            if inode.is_some_and(|inode| inode != followed.inode) {
                self.files.remove(&id);
            }
        }
        lines.sort_by_key(|line| line.millis);
        lines
    }

    /// The instances' logs that are asked for.
    fn logs(&self) -> Vec<(InstanceId, PathBuf)> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let id: InstanceId = name.to_str()?.strip_suffix(".log")?.parse().ok()?;
                self.query.wants(&id).then(|| (id, entry.path()))
            })
            .collect()
    }
}

impl Followed {
    /// Whole lines that were added.
    fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(self.offset))
            .and_then(|_| (&mut self.file).take(TAIL).read_to_end(&mut bytes));
        if read.is_err() {
            return String::new();
        }
        let end = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        bytes.truncate(end);
        self.offset += end as u64;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The last part of a file in whole lines, and the offset of its end.
fn tail(file: &mut File) -> std::io::Result<(String, u64)> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    bytes.truncate(end);
    let first = match start {
        0 => 0,
        // The first line is cut.
        _ => bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1),
    };
    Ok((
        String::from_utf8_lossy(&bytes[first..]).into_owned(),
        start + end as u64,
    ))
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn app_line(id: &InstanceId, line: &str) -> AppLogLine {
    let line = LogLine::parse(line);
    AppLogLine {
        instance: id.clone(),
        millis: line.millis,
        source: line.source,
        text: line.text.into_owned(),
    }
}

/// Removes logs of an app's ended instances beyond the newest `keep` or beyond `bytes` in all, for the disk's sake.
pub(crate) fn sweep(
    folder: &Path,
    keep: usize,
    bytes: u64,
    is_alive: impl Fn(&InstanceId) -> bool,
) -> Result<(), Problem> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    let mut ended: BTreeMap<u64, Vec<(PathBuf, u64)>> = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((id, _)) = name.to_str().and_then(|name| name.split_once(".log")) else {
            continue;
        };
        let Ok(id) = id.parse::<InstanceId>() else {
            continue;
        };
        if !is_alive(&id) {
            let size = entry.metadata().map_or(0, |data| data.len());
            ended
                .entry(id.serial())
                .or_default()
                .push((entry.path(), size));
        }
    }
    let mut kept = 0;
    for (newer, files) in ended.into_values().rev().enumerate() {
        kept += files.iter().map(|(_, size)| size).sum::<u64>();
        if newer < keep && kept <= bytes {
            continue;
        }
        for (path, _) in files {
            std::fs::remove_file(&path).map_err(|error| problem::file("remove", &path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
