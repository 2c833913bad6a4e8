//! Reports in the formats that people and machines read.
//!
//! Every format is written from the one [`Report`]; none knows more than another, and none runs code in a reader:
//! everything that came from a lock file or an advisory is escaped.

mod cyclonedx;
mod dependency_check;
mod html;
mod json;
mod junit;
mod sarif;
mod table;
mod xml;

use std::fmt;
use std::str::FromStr;

use crate::report::Report;

/// A format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// For people, in a terminal.
    Table,
    /// The report itself.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// A CycloneDX 1.6 bill of materials with vulnerabilities, in JSON.
    CycloneDx,
    /// JUnit XML: a test case per package.
    Junit,
    /// A page.
    Html,
    /// OWASP Dependency-Check's XML report, version 4.0.
    DependencyCheck,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 7] = [
        Self::Table,
        Self::Json,
        Self::Sarif,
        Self::CycloneDx,
        Self::Junit,
        Self::Html,
        Self::DependencyCheck,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Sarif => "sarif",
            Self::CycloneDx => "cyclonedx",
            Self::Junit => "junit",
            Self::Html => "html",
            Self::DependencyCheck => "dependency-check",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == lower)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
                format!(
                    "`{text}` is no format; expected one of {}",
                    names.join(", ")
                )
            })
    }
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With colours.
    pub color: bool,
    /// The width of the terminal in columns.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            color: false,
            width: 100,
        }
    }
}

/// Writes a report in a format. The text ends with a line end.
pub fn render(report: &Report, format: Format, style: &Style) -> String {
    let mut text = match format {
        Format::Table => table::render(report, style),
        Format::Json => json::render(report),
        Format::Sarif => sarif::render(report),
        Format::CycloneDx => cyclonedx::render(report),
        Format::Junit => junit::render(report),
        Format::Html => html::render(report),
        Format::DependencyCheck => dependency_check::render(report),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
