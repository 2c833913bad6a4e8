//! What a route adds to and takes off the heads of its answers.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::h1::push_field;
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
}

impl Dress {
    /// For an answer of this route to a client that is or is not secure and whose cookie asks for an instance or none.
    pub(crate) fn new(entry: Option<&Arc<Entry>>, secure: bool, mark: Option<u64>) -> Self {
        Self {
            entry: entry.filter(|entry| entry.judge.is_some()).map(Arc::clone),
            secure,
            mark,
            cookie: None,
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
        self.judge()
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
    }

    /// Writes the fields to add.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.added() {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
    }
}
