//! The access log: one line a request, JSON or the combined format.
//!
//! A worker appends its line to a buffer of its own in memory; one thread writes the buffers out ten times a second. So a slow
//! disk never holds a request up: when a buffer is full, lines are left out and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, SystemTime};

use crate::dispatch::Meta;
use crate::h1::push_decimal;
use crate::options::{AccessLog as Options, LogFormat};
use crate::table::Entry;
use crate::target::Target;

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// The most that a worker's buffer holds.
const BUFFER: usize = 4 << 20;

/// The access log of a proxy.
#[derive(Debug)]
pub(crate) struct AccessLog {
    options: Options,
    shards: Box<[Mutex<Shard>]>,
    writer: OnceLock<Thread>,
    stop: AtomicBool,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    lines: Vec<u8>,
    /// Answers below 400, for sampling.
    fine: u32,
}

/// What is known of an answer.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// 0 where none was begun.
    pub(crate) status: u16,
    /// Payload bytes.
    pub(crate) bytes: u64,
    pub(crate) instance: Option<Arc<Target>>,
    pub(crate) route: Option<Arc<Entry>>,
}

/// What of a request's head is logged. The texts are reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) protocol: &'static str,
    pub(crate) agent: String,
    pub(crate) referer: String,
}

impl Parts {
    pub(crate) fn clear(&mut self) {
        self.protocol = "-";
        for text in [
            &mut self.client,
            &mut self.method,
            &mut self.target,
            &mut self.agent,
            &mut self.referer,
        ] {
            text.clear();
        }
    }
}

impl AccessLog {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened or the thread cannot be started.
    pub(crate) fn start(
        options: Options,
        workers: usize,
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let file = Rotated::open(&options)?;
        let log = Arc::new(Self {
            options,
            shards: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            writer: OnceLock::new(),
            stop: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&log);
        let thread = thread::Builder::new()
            .name("proxy-log".to_owned())
            .spawn(move || of_thread.write_out(file))?;
        // Set once, here.
        let _ = log.writer.set(thread.thread().clone());
        Ok((log, thread))
    }

    /// Ends the thread once everything is written.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Lines left out because the disk was too slow.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Notes a request that has ended.
    pub(crate) fn note(&self, worker: usize, meta: &Meta, record: &Record) {
        let shard = &self.shards[worker % self.shards.len()];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if (100..400).contains(&record.status) {
            shard.fine = shard.fine.wrapping_add(1);
            if !shard.fine.is_multiple_of(self.options.sample.max(1)) {
                return;
            }
        }
        if shard.lines.len() >= BUFFER {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = shard.lines.is_empty();
        let took = meta.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let now = SystemTime::now();
        match self.options.format {
            LogFormat::Json => json(&mut shard.lines, now, took, meta, record),
            LogFormat::Combined => combined(&mut shard.lines, now, meta, record),
        }
        drop(shard);
        if was_empty && let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn write_out(&self, mut file: Rotated) {
        let mut lines = Vec::new();
        loop {
            let stop = self.stop.load(Ordering::SeqCst);
            for shard in &self.shards {
                lines.clear();
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut shard.lines, &mut lines);
                drop(shard);
                if !lines.is_empty()
                    && let Err(error) = file.write(&lines)
                {
                    tracing::warn!(%error, "the access log cannot be written");
                    let count = memchr::memchr_iter(b'\n', &lines).count() as u64;
                    self.lost.fetch_add(count, Ordering::Relaxed);
                }
                // A burst must not hold its memory for ever.
                if lines.capacity() > 1 << 20 {
                    lines = Vec::new();
                }
            }
            if stop {
                return;
            }
            thread::park();
            if !self.stop.load(Ordering::SeqCst) {
                thread::sleep(GATHER);
            }
        }
    }
}

/// A file that becomes `NAME.1`, that one `NAME.2`, when it is full.
struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
    keep: u32,
}

impl Rotated {
    fn open(options: &Options) -> io::Result<Self> {
        if let Some(folder) = options.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = append(&options.path)?;
        Ok(Self {
            size: file.metadata()?.len(),
            file,
            path: options.path.clone(),
            most: options.rotate_bytes.max(1),
            keep: options.keep,
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.most {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.size += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            if numbered(number).exists() {
                std::fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        match self.keep {
            0 => std::fs::remove_file(&self.path)?,
            _ => std::fs::rename(&self.path, numbered(1))?,
        }
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn json(out: &mut Vec<u8>, now: SystemTime, took: Duration, meta: &Meta, record: &Record) {
    let parts = &meta.parts;
    let time = Civil::of(now);
    // Writing into a Vec cannot fail, here and below.
    let _ = write!(
        out,
        "{{\"time\":\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z\"",
        time.year, time.month, time.day, time.hour, time.minute, time.second, time.millis
    );
    for (name, value) in [
        ("client", parts.client.as_str()),
        ("host", &meta.host),
        ("method", &parts.method),
        ("target", &parts.target),
        ("protocol", parts.protocol),
        ("agent", &parts.agent),
        ("referer", &parts.referer),
        ("request_id", &meta.request_id),
        (
            "route",
            record.route.as_ref().map_or("", |entry| entry.meter.name()),
        ),
    ] {
        if !value.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape(out, value, |out, byte| {
                let _ = write!(out, "\\u{byte:04x}");
            });
            out.push(b'"');
        }
    }
    if let Some(target) = &record.instance {
        let _ = write!(out, ",\"instance\":\"{}\"", target.instance());
    }
    out.extend_from_slice(b",\"status\":");
    push_decimal(out, u64::from(record.status));
    out.extend_from_slice(b",\"bytes\":");
    push_decimal(out, record.bytes);
    let _ = writeln!(
        out,
        ",\"seconds\":{}.{:06}}}",
        took.as_secs(),
        took.subsec_micros()
    );
}

fn combined(out: &mut Vec<u8>, now: SystemTime, meta: &Meta, record: &Record) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parts = &meta.parts;
    let time = Civil::of(now);
    let _ = write!(
        out,
        "{} - - [{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000] \"",
        parts.client,
        time.day,
        MONTHS[time.month as usize - 1],
        time.year,
        time.hour,
        time.minute,
        time.second
    );
    let hex = |out: &mut Vec<u8>, byte: u8| {
        let _ = write!(out, "\\x{byte:02x}");
    };
    let request = [parts.method.as_str(), &parts.target, parts.protocol];
    for (index, text) in request.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        escape(out, text, hex);
    }
    out.extend_from_slice(b"\" ");
    push_decimal(out, u64::from(record.status));
    out.push(b' ');
    push_decimal(out, record.bytes);
    for text in [&parts.referer, &parts.agent] {
        out.extend_from_slice(b" \"");
        match text.is_empty() {
            true => out.push(b'-'),
            false => escape(out, text, hex),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// Writes text between quotes: nothing that a client sent can end the field or the line.
fn escape(out: &mut Vec<u8>, text: &str, control: impl Fn(&mut Vec<u8>, u8)) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..b' ' | 0x7f => control(out, byte),
            _ => out.push(byte),
        }
    }
}

/// A moment in UTC.
#[derive(Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    millis: u32,
}

impl Civil {
    /// The proleptic Gregorian date by the day count from 0000-03-01, whose years end with the leap day.
    fn of(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let (days, of_day) = (seconds / 86_400 + 719_468, (seconds % 86_400) as u32);
        let (era, of_era) = (days / 146_097, days % 146_097);
        let of_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        } as u32;
        Self {
            year: of_years + era * 400 + i64::from(month <= 2),
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            millis: since.subsec_millis(),
        }
    }
}

#[cfg(test)]
mod tests;
