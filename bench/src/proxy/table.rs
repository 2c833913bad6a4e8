//! The table of ratios.

use std::fmt::Write as _;

use super::Cores;
use super::contender::Kind;
use super::load::{Measured, Work};
use crate::sample::Sample;

/// One contender at one work.
#[derive(Debug)]
pub(crate) struct Line {
    work: Work,
    cores: Cores,
    kind: Kind,
    per_cpu_second: Sample,
    /// To nginx, within each round.
    ratio: Sample,
    /// To nginx tuned for large bodies.
    tuned: Option<Sample>,
    p99_millis: Option<Sample>,
}

/// The lines of one work; the first contender is what the others are held against.
pub(crate) fn lines(
    work: Work,
    cores: Cores,
    kinds: &[Kind],
    measured: &[Vec<Measured>],
) -> Vec<Line> {
    let ratio_to = |other: &[Measured], own: &[Measured]| {
        Sample::from_values(
            own.iter()
                .zip(other)
                .map(|(own, other)| own.per_cpu_second / other.per_cpu_second),
        )
    };
    let tuned = kinds.iter().position(|kind| *kind == Kind::NginxTuned);
    kinds
        .iter()
        .zip(measured)
        .map(|(kind, own)| {
            let p99: Option<Vec<f64>> = own.iter().map(|run| run.p99_millis).collect();
            Line {
                work,
                cores,
                kind: *kind,
                per_cpu_second: Sample::from_values(own.iter().map(|run| run.per_cpu_second)),
                ratio: ratio_to(&measured[0], own),
                tuned: tuned.map(|tuned| ratio_to(&measured[tuned], own)),
                p99_millis: p99.map(Sample::from_values),
            }
        })
        .collect()
}

/// All lines as a table in Markdown, which reads well in a terminal, too.
pub(crate) fn text(lines: &[Line]) -> String {
    let mut rows = vec![
        [
            "work",
            "cores",
            "proxy",
            "requests per CPU-second",
            "to nginx (spread)",
            "wanted",
            "p99",
        ]
        .map(str::to_owned),
    ];
    for line in lines {
        let (low, high) = line.ratio.range();
        let mut ratio = format!("{:.2} ({low:.2} to {high:.2})", line.ratio.median());
        if let Some(tuned) = &line.tuned {
            let _ = write!(ratio, "; tuned {:.2}", tuned.median());
        }
        rows.push([
            line.work.name().to_owned(),
            match line.cores {
                Cores::Shared => "shared",
                Cores::Own => "own",
            }
            .to_owned(),
            line.kind.name().to_owned(),
            format!("{:.0}", line.per_cpu_second.median()),
            ratio,
            Line::wanted(line.work, line.kind, line.cores)
                .map_or_else(String::new, |wanted| format!("{wanted:.2}")),
            line.p99_millis
                .as_ref()
                .map_or_else(String::new, |p99| format!("{:.2} ms", p99.median())),
        ]);
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    text
}
