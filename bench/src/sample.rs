//! Samples of one quantity: median, spread, and the table.

use std::fmt::Write as _;
use std::time::Duration;

/// Several measurements of one quantity, in one unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Measures `times` times.
    pub(crate) fn of(
        times: usize,
        mut measure: impl FnMut() -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        (0..times)
            .map(|_| measure())
            .collect::<anyhow::Result<Vec<f64>>>()
            .map(Self)
    }

    /// Values that were measured elsewhere.
    pub(crate) fn from_values(values: impl IntoIterator<Item = f64>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The middle value, which a single disturbed measurement does not move.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[length / 2],
            length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
        }
    }

    /// The smallest and the largest.
    pub(crate) fn range(&self) -> (f64, f64) {
        self.0
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(*value), high.max(*value))
            })
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// In which unit.
    pub(crate) unit: &'static str,
    /// Launchway's values.
    pub(crate) ours: Sample,
    /// What it is held against: the design's budget or a peer's median, with its name.
    pub(crate) against: Option<(String, f64)>,
}

/// The table: median, spread, and the ratio to what each is held against.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![["", "median", "spread", "against", "ratio"].map(str::to_owned)];
    for row in rows {
        let (low, high) = row.ours.range();
        let median = row.ours.median();
        let (against, ratio) = match &row.against {
            Some((name, value)) => {
                let ratio = if *value == 0.0 {
                    "-".to_owned()
                } else {
                    format!("{:.2}", median / value)
                };
                (format!("{name} {value:.1} {}", row.unit), ratio)
            }
            None => (String::new(), String::new()),
        };
        lines.push([
            row.what.clone(),
            format!("{median:.1} {}", row.unit),
            format!("{low:.1} to {high:.1}"),
            against,
            ratio,
        ]);
    }
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        if number == 0 {
            let _ = writeln!(text, "{}", "-".repeat(widths.iter().sum::<usize>() + 8));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((Sample::from_values([9.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!((Sample::from_values([1.0, 2.0, 3.0, 90.0]).median() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_ours_over_theirs() {
        let rows = [Row {
            what: "start".to_owned(),
            unit: "ms",
            ours: Sample::from_values([5.0]),
            against: Some(("at most".to_owned(), 10.0)),
        }];
        let text = table(&rows);
        assert!(
            text.contains("5.0 ms") && text.contains("at most 10.0 ms") && text.contains("0.50"),
            "{text}"
        );
    }
}
