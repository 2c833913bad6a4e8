//! Secrets that nobody stored, known by how they begin.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::HIDDEN;

/// A kind of secret that is known by how it begins: its beginning, its form from there on, its name.
pub(super) struct Lookalike {
    pub(super) prefix: &'static str,
    pub(super) form: Regex,
    pub(super) name: &'static str,
}

pub(super) static LOOKALIKES: LazyLock<Vec<Lookalike>> = LazyLock::new(|| {
    let known = [
        ("AKIA", r"^AKIA[0-9A-Z]{16}\b", "an AWS access key"),
        ("ASIA", r"^ASIA[0-9A-Z]{16}\b", "an AWS access key"),
        ("AIza", r"^AIza[0-9A-Za-z_\-]{35}", "a Google API key"),
        (
            "GOCSPX-",
            r"^GOCSPX-[0-9A-Za-z_\-]{28}",
            "a Google client secret",
        ),
        ("ghp_", r"^ghp_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("gho_", r"^gho_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("ghu_", r"^ghu_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("ghs_", r"^ghs_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("ghr_", r"^ghr_[A-Za-z0-9]{36,}", "a GitHub token"),
        (
            "github_pat_",
            r"^github_pat_[A-Za-z0-9_]{22,}",
            "a GitHub token",
        ),
        ("glpat-", r"^glpat-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("glptt-", r"^glptt-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("gldt-", r"^gldt-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("glrt-", r"^glrt-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("glcbt-", r"^glcbt-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("xoxb-", r"^xoxb-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("xoxp-", r"^xoxp-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("xoxa-", r"^xoxa-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("xoxs-", r"^xoxs-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("xapp-", r"^xapp-[A-Za-z0-9-]{20,}", "a Slack token"),
        (
            "https://hooks.slack.com/services/",
            r"^https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
            "a Slack webhook",
        ),
        ("sk_live_", r"^sk_live_[A-Za-z0-9]{16,}", "a Stripe key"),
        ("rk_live_", r"^rk_live_[A-Za-z0-9]{16,}", "a Stripe key"),
        (
            "whsec_",
            r"^whsec_[A-Za-z0-9]{24,}",
            "a Stripe webhook secret",
        ),
        ("npm_", r"^npm_[A-Za-z0-9]{36}\b", "an npm token"),
        ("pypi-AgE", r"^pypi-AgE[A-Za-z0-9_\-]{50,}", "a PyPI token"),
        (
            "dckr_pat_",
            r"^dckr_pat_[A-Za-z0-9_\-]{20,}",
            "a Docker token",
        ),
        (
            "SG.",
            r"^SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}",
            "a SendGrid key",
        ),
        ("hvs.", r"^hvs\.[A-Za-z0-9_\-]{24,}", "a Vault token"),
        ("dop_v1_", r"^dop_v1_[a-f0-9]{64}", "a DigitalOcean token"),
        ("shpat_", r"^shpat_[a-fA-F0-9]{32}", "a Shopify token"),
        (
            "AGE-SECRET-KEY-1",
            r"^AGE-SECRET-KEY-1[0-9A-Z]{58}",
            "an age key",
        ),
    ];
    known
        .into_iter()
        .map(|(prefix, form, name)| Lookalike {
            prefix,
            form: Regex::new(form).expect("the pattern is a constant that the tests compile"),
            name,
        })
        .collect()
});

/// How a private key begins and ends; what is between, over lines, is hidden by [`KeyBlock`].
const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_END: &[u8] = b"-----END ";
const KEY_WORDS: &[u8] = b"PRIVATE KEY";

/// Hides private keys that are printed over several lines.
#[derive(Debug, Default)]
pub(crate) struct KeyBlock {
    inside: bool,
}

impl KeyBlock {
    /// Whole lines with the lines of private keys replaced.
    pub(crate) fn lines<'a>(
        &mut self,
        bytes: &'a [u8],
        told: &mut Option<&'static str>,
    ) -> Cow<'a, [u8]> {
        if !self.inside && memchr::memmem::find(bytes, KEY_BEGIN).is_none() {
            return Cow::Borrowed(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let begins = memchr::memmem::find(line, KEY_BEGIN)
                .filter(|at| memchr::memmem::find(&line[*at..], KEY_WORDS).is_some());
            if !self.inside && begins.is_none() {
                shown.extend_from_slice(line);
                continue;
            }
            if let Some(at) = begins {
                *told = Some("a private key");
                shown.extend_from_slice(&line[..at]);
            }
            shown.extend_from_slice(HIDDEN);
            shown.push(b'\n');
            let from = begins.unwrap_or(0);
            self.inside = memchr::memmem::find(&line[from..], KEY_END).is_none();
        }
        Cow::Owned(shown)
    }
}
