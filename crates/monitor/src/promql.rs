//! PromQL: parses with `promql-parser`, evaluates with an engine of our own over [`crate::storage`].
//!
//! Every node is evaluated for all steps at once; what streams (selectors, range functions, sums over them) goes series
//! by series and never holds the samples of more than one. [`Dialect`] chooses between Prometheus 3 (the default) and
//! 2.42, which differ in the borders of ranges.
//! **Invariant:** no query takes more points than [`Limits::max_points`] or more time than [`Limits::timeout`], and every
//! loop over series looks at the cancellation.
//! Native histograms do not exist in the store, so functions on them answer as Prometheus does for floats: nothing.

use crate::labels::Labels;
use crate::storage::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod aggregate;
mod binary;
mod budget;
mod calls;
mod check;
mod dates;
mod eval;
mod histogram;
mod info;
mod label_calls;
mod matching;
mod over_time;
mod range_calls;
mod selector;
mod series;
mod sum;

#[cfg(test)]
mod tests;

pub(crate) use check::with_room;
pub use check::{ParseError, parse, parse_selector, selector_matchers};
pub(crate) use dates::rfc3339;

/// Whose rules a query follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 3: ranges and look-back are left-open.
    #[default]
    Prometheus3,
    /// Prometheus 2.42: both are closed, `holt_winters` exists, `atan2` keeps the metric's name.
    Prometheus2,
}

/// What a query may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Points that the results of all nodes may have together (8 bytes each), plus the samples of one series.
    pub max_points: u64,
    /// Wall-clock time.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_points: 50_000_000,
            timeout: Duration::from_secs(120),
        }
    }
}

/// How queries are evaluated.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Whose rules are followed.
    pub dialect: Dialect,
    /// How far an instant selector looks back, unless the series was marked stale.
    pub lookback: Duration,
    /// The step of a subquery that names none.
    pub subquery_step: Duration,
    /// What one query may take.
    pub limits: Limits,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            lookback: Duration::from_secs(300),
            subquery_step: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// Stops a running query from another thread.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks the query to stop; it fails with [`QueryError::Canceled`] soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The expression cannot be read, or makes no sense.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The expression cannot be evaluated on this data.
    #[error("{0}")]
    Execution(String),
    /// [`Limits::max_points`].
    #[error(
        "query processing would load too many samples into memory in query execution: more than {limit}"
    )]
    TooManyPoints {
        /// The limit that was passed.
        limit: u64,
    },
    /// [`Limits::timeout`].
    #[error("query timed out in expression evaluation after {after:?}")]
    Timeout {
        /// The limit that was passed.
        after: Duration,
    },
    /// [`Cancellation::cancel`].
    #[error("query was canceled in expression evaluation")]
    Canceled,
}

/// A series of an answer: its labels and its points in order of time (ms).
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The labels; the metric's name is among them where it was kept.
    pub labels: Labels,
    /// Time in ms and value.
    pub points: Vec<(i64, f64)>,
}

/// What a query evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number (instant queries only).
    Scalar(i64, f64),
    /// A text (instant queries only).
    Text(i64, String),
    /// One point a series (instant queries only).
    Vector(Vec<Series>),
    /// Several points a series: of range queries, and of instant queries for a range.
    Matrix(Vec<Series>),
}

impl Value {
    /// The type's name in the HTTP API.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(..) => "scalar",
            Self::Text(..) => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What makes the result doubtful.
    pub warnings: Vec<String>,
    /// What may be a mistake in the query.
    pub infos: Vec<String>,
    /// Samples read from the store.
    pub samples: u64,
}

impl Engine {
    /// Evaluates an expression at one time (ms).
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant(&self, store: &Store, query: &str, time: i64) -> Result<Answer, QueryError> {
        self.instant_with(store, query, time, &Cancellation::default())
    }

    /// Like [`instant`](Self::instant), stoppable.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant_with(
        &self,
        store: &Store,
        query: &str,
        time: i64,
        cancellation: &Cancellation,
    ) -> Result<Answer, QueryError> {
        with_room(query, || {
            let expression = check::parse_for(query, self.dialect)?;
            eval::instant(self, store, &expression, time, cancellation)
        })?
    }

    /// Evaluates an expression at `start`, `start + step`, … up to `end` (ms). The answer is a matrix.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn range(
        &self,
        store: &Store,
        query: &str,
        start: i64,
        end: i64,
        step: i64,
    ) -> Result<Answer, QueryError> {
        self.range_with(store, query, (start, end, step), &Cancellation::default())
    }

    /// Like [`range`](Self::range), stoppable; the times are start, end and step.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn range_with(
        &self,
        store: &Store,
        query: &str,
        times: (i64, i64, i64),
        cancellation: &Cancellation,
    ) -> Result<Answer, QueryError> {
        with_room(query, || {
            let expression = check::parse_for(query, self.dialect)?;
            eval::range(self, store, &expression, times, cancellation)
        })?
    }
}

/// A value as Prometheus writes it: shortest digits that read back the same, no exponent, `+Inf`, `-Inf`, `NaN`.
#[must_use]
pub fn format_value(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    } else {
        value.to_string()
    }
}
