//! Markup that is known to be safe, and the small pieces that every page is made of: state badges, icons, times.
//!
//! **Invariant:** an [`Html`] is only made from literals of this crate and from text that went through [`escape`];
//! templates print it as it is and escape everything else.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use crate::format;

/// Markup that may be printed into a page as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Html(String);

impl Html {
    /// Takes markup that the caller has escaped.
    pub(crate) fn trusted(markup: String) -> Self {
        Self(markup)
    }

    /// Escapes a text.
    pub fn text(text: &str) -> Self {
        let mut out = String::with_capacity(text.len() + 8);
        escape(text, &mut out);
        Self(out)
    }

    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Html {}

/// A message for people, in which what stands between backticks is shown as code.
pub fn prose(text: &str) -> Html {
    let mut out = String::with_capacity(text.len() + 16);
    let mut parts = text.split('`');
    if let Some(first) = parts.next() {
        escape(first, &mut out);
    }
    let rest: Vec<&str> = parts.collect();
    for (index, part) in rest.iter().enumerate() {
        let opens = index % 2 == 0;
        if opens && index + 1 < rest.len() {
            out.push_str("<code>");
            escape(part, &mut out);
            out.push_str("</code>");
        } else {
            // A backtick without its partner stays what it is.
            if opens {
                out.push('`');
            }
            escape(part, &mut out);
        }
    }
    Html(out)
}

/// Appends `text` with the five characters escaped that mean something in markup or in a quoted attribute.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// How a state is coloured; the icon and the word say the same without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something is under way.
    Busy,
    /// It works, but a person should look.
    Warn,
    /// It failed.
    Bad,
    /// Nothing happens, and that is right.
    Idle,
}

impl Tone {
    /// The CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }

    /// The icon, drawn in a box of 16 by 16.
    pub fn icon(self) -> Html {
        let path = match self {
            Self::Good => {
                r#"<circle cx="8" cy="8" r="6.25"/><path d="M5.2 8.3l2 2 3.7-4.2" class="mark"/>"#
            }
            Self::Busy => {
                r#"<circle cx="8" cy="8" r="6.25" class="faint"/><path d="M8 1.75a6.25 6.25 0 0 1 6.25 6.25" class="turn"/>"#
            }
            Self::Warn => {
                r#"<path d="M8 2.2 14.4 13.3H1.6z"/><path d="M8 6.4v3.2M8 11.5v.1" class="mark"/>"#
            }
            Self::Bad => {
                r#"<circle cx="8" cy="8" r="6.25"/><path d="M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4" class="mark"/>"#
            }
            Self::Idle => r#"<circle cx="8" cy="8" r="6.25"/><path d="M5.4 8h5.2" class="mark"/>"#,
        };
        Html(format!(
            r#"<svg class="icon {}" viewBox="0 0 16 16" aria-hidden="true">{path}</svg>"#,
            self.class()
        ))
    }
}

/// A state as people see it: a tone and a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its tone.
    pub tone: Tone,
    /// The word: "serving", "build failed".
    pub word: String,
}

impl State {
    /// A state of a tone and a word.
    pub fn new(tone: Tone, word: impl Into<String>) -> Self {
        Self {
            tone,
            word: word.into(),
        }
    }

    /// Icon and word in the tone's colour.
    pub fn badge(&self) -> Html {
        let mut out = format!(
            r#"<span class="state {}">{}<span>"#,
            self.tone.class(),
            self.tone.icon()
        );
        escape(&self.word, &mut out);
        out.push_str("</span></span>");
        Html(out)
    }

    /// The icon alone, with the word for screen readers and as a tooltip.
    pub fn mark(&self) -> Html {
        let mut word = String::new();
        escape(&self.word, &mut word);
        Html(format!(
            r#"<span class="state {}" title="{word}">{}<span class="sr">{word}</span></span>"#,
            self.tone.class(),
            self.tone.icon()
        ))
    }
}

/// A point in time as "3 min ago", with the exact time as a tooltip; the script keeps it up to date.
pub fn ago(at: &Timestamp, now: &Timestamp) -> Html {
    Html(format!(
        r#"<time datetime="{at:.0}" data-ago="{}" title="{}">{}</time>"#,
        at.as_millisecond(),
        at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        format::ago(*at, *now)
    ))
}

/// The time since a moment, ticking while the script runs.
pub fn elapsed(since: &Timestamp, now: &Timestamp) -> Html {
    Html(format!(
        r#"<span data-since="{}">{}</span>"#,
        since.as_millisecond(),
        format::between(*since, *now)
    ))
}

/// The first seven digits of a commit, with all of it as a tooltip.
pub fn commit(commit: &str) -> Html {
    let mut full = String::new();
    escape(commit, &mut full);
    let short: String = commit.chars().take(7).collect();
    let mut cut = String::new();
    escape(&short, &mut cut);
    Html(format!(
        r#"<code class="commit" title="{full}">{cut}</code>"#
    ))
}

/// A line of samples, oldest first, as a small graph from 0 to its highest value; empty for fewer than two samples.
pub fn sparkline(samples: &[f64], label: &str) -> Html {
    const WIDTH: f64 = 120.0;
    const HEIGHT: f64 = 28.0;
    let mut name = String::new();
    escape(label, &mut name);
    let mut out = format!(
        r#"<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{name}">"#
    );
    if samples.len() >= 2 {
        let top = samples.iter().copied().fold(0.0_f64, f64::max).max(1e-9);
        let step = WIDTH / (samples.len() - 1) as f64;
        let mut line = String::new();
        for (index, sample) in samples.iter().enumerate() {
            let x = step * index as f64;
            let y = HEIGHT - 2.0 - (sample.max(0.0) / top) * (HEIGHT - 4.0);
            let _ = write!(line, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
        }
        let _ = write!(
            out,
            r#"<path class="area" d="{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z"/><path class="line" d="{line}"/>"#
        );
    }
    out.push_str("</svg>");
    Html(out)
}

/// One bar of a timeline: where it begins and how long it is, both as shares of the whole from 0 to 1.
pub fn bar(begin: f64, length: f64, tone: Tone) -> Html {
    let begin = begin.clamp(0.0, 1.0);
    let width = length.clamp(0.004, (1.0 - begin).max(0.004));
    Html(format!(
        concat!(
            r#"<svg class="bar {}" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">"#,
            r#"<rect class="track" x="0" y="4.5" width="1000" height="1"/>"#,
            r#"<rect class="fill" x="{:.0}" y="1" width="{:.0}" height="8" rx="2"/></svg>"#
        ),
        tone.class(),
        begin * 1000.0,
        (width * 1000.0).max(4.0)
    ))
}

#[cfg(test)]
mod tests;
