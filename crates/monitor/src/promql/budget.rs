//! What a running query has taken, and what there is to say about its answer.

use super::{Cancellation, Limits, QueryError};
use std::cell::{Cell, RefCell};
use std::time::Instant;

/// The account of one query.
pub(super) struct Budget<'a> {
    limits: &'a Limits,
    cancellation: &'a Cancellation,
    started: Instant,
    points: Cell<u64>,
    samples: Cell<u64>,
    warnings: RefCell<Vec<String>>,
    infos: RefCell<Vec<String>>,
}

/// Remarks of one kind on one answer.
const MAX_REMARKS: usize = 100;

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a Limits, cancellation: &'a Cancellation) -> Self {
        Self {
            limits,
            cancellation,
            started: Instant::now(),
            points: Cell::new(0),
            samples: Cell::new(0),
            warnings: RefCell::default(),
            infos: RefCell::default(),
        }
    }

    /// Called for every series and now and then in long loops.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        if self.cancellation.is_canceled() {
            return Err(QueryError::Canceled);
        }
        if self.started.elapsed() > self.limits.timeout {
            return Err(QueryError::Timeout {
                after: self.limits.timeout,
            });
        }
        Ok(())
    }

    /// Takes room for points before it is allocated.
    pub(super) fn take(&self, points: usize) -> Result<(), QueryError> {
        let total = self.points.get().saturating_add(points as u64);
        self.points.set(total);
        if total > self.limits.max_points {
            Err(self.too_many())
        } else {
            self.check()
        }
    }

    /// Gives back what a short-lived result took.
    pub(super) fn give_back(&self, points: usize) {
        self.points
            .set(self.points.get().saturating_sub(points as u64));
    }

    /// Notes the samples of one series, which are in memory at once.
    pub(super) fn read(&self, samples: usize) -> Result<(), QueryError> {
        self.samples.set(self.samples.get() + samples as u64);
        if self.points.get() + samples as u64 > self.limits.max_points {
            Err(self.too_many())
        } else {
            self.check()
        }
    }

    fn too_many(&self) -> QueryError {
        QueryError::TooManyPoints {
            limit: self.limits.max_points,
        }
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples.get()
    }

    pub(super) fn warn(&self, text: String) {
        remark(&self.warnings, format!("PromQL warning: {text}"));
    }

    pub(super) fn inform(&self, text: String) {
        remark(&self.infos, format!("PromQL info: {text}"));
    }

    pub(super) fn remarks(self) -> (Vec<String>, Vec<String>) {
        (self.warnings.into_inner(), self.infos.into_inner())
    }
}

fn remark(list: &RefCell<Vec<String>>, text: String) {
    let mut list = list.borrow_mut();
    if list.len() < MAX_REMARKS && !list.contains(&text) {
        list.push(text);
    }
}
