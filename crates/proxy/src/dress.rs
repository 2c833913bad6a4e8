//! What becomes of an answer on its way out: what the route adds to and takes off its head, and the coding of its body.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use crate::compress::{self, AtWork, Coding, Compressor};
use crate::dispatch::Meta;
use crate::h1::response::ResponseHead;
use crate::h1::{Length, elements, named, push_field};
use crate::rules::Judge;
use crate::table::Entry;
use crate::target::Target;

/// The route's say in one answer's head.
#[derive(Debug, Default)]
pub(crate) struct Dress {
    entry: Option<Arc<Entry>>,
    secure: bool,
    mark: Option<u64>,
    cookie: Option<String>,
    /// The coding that the client takes, and who else is at it; none where the route wants none.
    coding: Option<(Coding, AtWork)>,
    varies: bool,
    compressor: Option<Compressor>,
    /// Whether the app may go on adding to the body for long, so that nothing may wait in the coding.
    streams: bool,
    tag: Option<String>,
}

impl Dress {
    /// For an answer of this route to a request.
    pub(crate) fn new(entry: Option<&Arc<Entry>>, meta: &Meta, at_work: &AtWork) -> Self {
        Self {
            entry: entry.filter(|entry| entry.judge.is_some()).map(Arc::clone),
            secure: meta.secure,
            mark: meta.mark,
            coding: meta.coding.map(|coding| (coding, at_work.clone())),
            ..Self::default()
        }
    }

    /// Decides by the answer's head whether its body is compressed; tells so.
    pub(crate) fn decide(&mut self, head: &ResponseHead<'_, '_>) -> bool {
        let Some((coding, at_work)) = &self.coding else {
            return false;
        };
        if !compress::is_compressible(head) {
            return false;
        }
        self.varies = !head.fields.iter().any(|field| {
            named(field, "vary")
                && elements(field.value)
                    .any(|element| element.eq_ignore_ascii_case(b"accept-encoding"))
        });
        self.compressor = Compressor::begin(*coding, at_work);
        self.streams = !matches!(head.body, Length::Fixed(_));
        if self.compressor.is_some() {
            let tag = head.fields.iter().find(|field| named(field, "etag"));
            self.tag = tag.and_then(|tag| String::from_utf8(compress::weakened(tag.value)).ok());
        }
        self.compressor.is_some()
    }

    /// What compresses the body, where anything does.
    pub(crate) fn compressor(&mut self) -> Option<&mut Compressor> {
        self.compressor.as_mut()
    }

    /// Has what the coding holds back come out, where more may be long in coming; whether anything may have.
    pub(crate) fn flush(&mut self) -> io::Result<Option<&mut Vec<u8>>> {
        match &mut self.compressor {
            Some(compressor) if self.streams => {
                compressor.flush()?;
                Ok(Some(compressor.output()))
            }
            _ => Ok(None),
        }
    }

    fn judge(&self) -> Option<&Judge> {
        self.entry.as_ref()?.judge.as_deref()
    }

    /// Prepares the cookie for the instance that was chosen, unless the client has it.
    pub(crate) fn chosen(&mut self, target: &Target) {
        let Some(name) = self
            .judge()
            .and_then(|judge| judge.sticky_cookie.as_deref())
        else {
            return;
        };
        self.cookie = (self.mark != Some(target.mark())).then(|| {
            let mut cookie = format!(
                "{name}={:016x}; Path=/; HttpOnly; SameSite=Lax",
                target.mark()
            );
            if self.secure {
                // Writing into a String cannot fail.
                let _ = write!(cookie, "; Secure");
            }
            cookie
        });
    }

    /// Whether a field of the answer stays.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        let is_recoded = self.compressor.is_some()
            && (name.eq_ignore_ascii_case("etag") || name.eq_ignore_ascii_case("accept-ranges"));
        !is_recoded
            && self
                .judge()
                .is_none_or(|judge| !judge.answer.take_off(name))
    }

    /// The fields to add.
    pub(crate) fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        let judge = self.judge();
        let hsts = judge
            .filter(|_| self.secure)
            .and_then(|judge| judge.hsts.as_deref());
        judge
            .into_iter()
            .flat_map(|judge| judge.answer.set())
            .chain(hsts.map(|value| ("strict-transport-security", value)))
            .chain(self.cookie.as_deref().map(|value| ("set-cookie", value)))
            .chain(self.varies.then_some(("vary", "accept-encoding")))
            .chain(self.tag.as_deref().map(|value| ("etag", value)))
            .chain(
                self.compressor
                    .as_ref()
                    .map(|compressor| ("content-encoding", compressor.coding())),
            )
    }

    /// Writes the fields to add.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.added() {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
    }
}
