//! Lock files to packages to advisories to reports.
