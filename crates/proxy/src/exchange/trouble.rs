//! What goes wrong in an exchange, and what the client is told of it.

use super::{ClientGone, Failed, SourceError};

/// What went wrong between the proxy and one instance, or the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection broke before it took a byte.
    NothingSent,
    /// The connection broke before a byte of the answer came.
    NoAnswer,
    /// The answer broke off or cannot be understood.
    BadAnswer(&'static str),
    /// The instance took too long.
    TimedOut,
    /// The client's body is at fault.
    Source(SourceError),
    /// The client has gone.
    ClientGone,
}

impl Trouble {
    pub(super) fn is_the_targets(self) -> bool {
        !matches!(self, Self::Source(_) | Self::ClientGone | Self::NothingSent)
    }

    pub(super) fn failed(self) -> Failed {
        match self {
            Self::NothingSent | Self::NoAnswer => {
                Failed::Answerable(502, "the app closed the connection without an answer")
            }
            Self::BadAnswer(_) => Failed::Answerable(502, "the app's answer is not valid"),
            Self::TimedOut => Failed::Answerable(504, "the app took too long to answer"),
            Self::Source(SourceError::Bad(reason)) => Failed::Answerable(400, reason),
            Self::Source(SourceError::TooLarge) => {
                Failed::Answerable(413, "the request's body is too large")
            }
            Self::Source(SourceError::TimedOut) => {
                Failed::Answerable(408, "the request's body came too slowly")
            }
            Self::Source(SourceError::Gone) | Self::ClientGone => Failed::Cut,
        }
    }
}

impl From<ClientGone> for Trouble {
    fn from(_: ClientGone) -> Self {
        Self::ClientGone
    }
}
