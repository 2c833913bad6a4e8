//! A matrix: one stage for every combination of its axes' values.

use std::collections::BTreeMap;

use super::{Stage, Variable};

/// Axes and the cells to leave out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    /// Each axis: its variable and its values, in order.
    pub axes: Vec<(String, Vec<String>)>,
    /// Cells to leave out: those for which every named axis has one of the values.
    pub excludes: Vec<BTreeMap<String, Vec<String>>>,
}

impl Matrix {
    /// The most cells that a matrix may have; beyond it a typing error is likelier than a wish.
    pub const MAX_CELLS: usize = 256;

    /// The number of cells before any is left out.
    pub fn cells(&self) -> usize {
        self.axes.iter().fold(1_usize, |cells, (_, values)| {
            cells.saturating_mul(values.len())
        })
    }

    /// One copy of a stage for every cell, named `NAME (a, b)`, with the axes' values in its environment. Empty where
    /// there are more than [`Self::MAX_CELLS`]; the caller refuses that with its place.
    pub fn expand(&self, template: &Stage) -> Vec<Stage> {
        if self.axes.is_empty() || self.cells() > Self::MAX_CELLS {
            return Vec::new();
        }
        let mut cells: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
        for (axis, values) in &self.axes {
            cells = cells
                .iter()
                .flat_map(|cell| {
                    values.iter().map(move |value| {
                        let mut cell = cell.clone();
                        cell.push((axis.as_str(), value.as_str()));
                        cell
                    })
                })
                .collect();
        }
        cells
            .into_iter()
            .filter(|cell| !self.excludes.iter().any(|exclude| excluded(exclude, cell)))
            .map(|cell| {
                let mut stage = template.clone();
                let values: Vec<&str> = cell.iter().map(|(_, value)| *value).collect();
                stage.name = format!("{} ({})", template.name, values.join(", "));
                let axes = cell
                    .iter()
                    .map(|(axis, value)| Variable::plain(*axis, *value));
                stage.env = axes.chain(template.env.iter().cloned()).collect();
                stage
            })
            .collect()
    }
}

fn excluded(exclude: &BTreeMap<String, Vec<String>>, cell: &[(&str, &str)]) -> bool {
    !exclude.is_empty()
        && exclude.iter().all(|(axis, values)| {
            cell.iter()
                .any(|(name, value)| name == axis && values.iter().any(|v| v == value))
        })
}
