//! Terminal output as markup: colours and weights become classes, every other control sequence is dropped.
//!
//! Sequences are those of ECMA-48 (SGR) with the 256-colour and 24-bit forms that terminals share, which are mapped to
//! the nearest of the sixteen named colours, so that a page's style sheet decides how they look in light and in dark.
//!
//! **Invariant:** whatever bytes a build writes, the result holds no markup but `<span class="…">` of known classes.

use crate::html;

/// The style that is in force; it carries over from one line to the next, as on a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ansi {
    bold: bool,
    faint: bool,
    italic: bool,
    underline: bool,
    inverse: bool,
    foreground: Option<u8>,
    background: Option<u8>,
}

impl Ansi {
    /// Renders one line. A carriage return within it starts the line anew, as progress bars mean it.
    pub fn line(&mut self, text: &str) -> String {
        let text = text.trim_end_matches('\r');
        let mut out = String::with_capacity(text.len() + 16);
        let mut plain = String::new();
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\u{1b}' => {
                    let before = self.clone();
                    match characters.next() {
                        Some('[') => {
                            let mut parameters = String::new();
                            let mut end = None;
                            for c in characters.by_ref() {
                                if ('\u{40}'..='\u{7e}').contains(&c) {
                                    end = Some(c);
                                    break;
                                }
                                parameters.push(c);
                            }
                            if end == Some('m') {
                                self.select(&parameters);
                            }
                        }
                        // An operating-system command, such as a link or a title, lasts to BEL or ESC \.
                        Some(']' | 'P' | '_' | '^' | 'X') => {
                            while let Some(c) = characters.next() {
                                if c == '\u{7}' {
                                    break;
                                }
                                if c == '\u{1b}' {
                                    characters.next_if_eq(&'\\');
                                    break;
                                }
                            }
                        }
                        // A choice of character set takes one more character.
                        Some('(' | ')' | '*' | '+' | '#') => {
                            characters.next();
                        }
                        _ => {}
                    }
                    if *self != before {
                        before.write(&mut plain, &mut out);
                    }
                }
                '\r' => {
                    plain.clear();
                    out.clear();
                }
                '\t' => plain.push('\t'),
                c if c.is_control() => {}
                // Marks that reorder text could make a log show what it does not say.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
                c => plain.push(c),
            }
        }
        let style = self.clone();
        style.write(&mut plain, &mut out);
        out
    }

    /// Moves the text written so far into `out`, in this style.
    fn write(&self, plain: &mut String, out: &mut String) {
        if plain.is_empty() {
            return;
        }
        let classes = self.classes();
        if classes.is_empty() {
            html::escape(plain, out);
        } else {
            out.push_str("<span class=\"");
            out.push_str(&classes);
            out.push_str("\">");
            html::escape(plain, out);
            out.push_str("</span>");
        }
        plain.clear();
    }

    fn classes(&self) -> String {
        let mut classes: Vec<String> = Vec::new();
        for (set, class) in [
            (self.bold, "ab"),
            (self.faint, "af"),
            (self.italic, "ai"),
            (self.underline, "au"),
        ] {
            if set {
                classes.push(class.to_owned());
            }
        }
        let (foreground, background) = if self.inverse {
            (
                Some(self.background.map_or("r".to_owned(), |c| c.to_string())),
                Some(self.foreground.map_or("r".to_owned(), |c| c.to_string())),
            )
        } else {
            (
                self.foreground.map(|c| c.to_string()),
                self.background.map(|c| c.to_string()),
            )
        };
        classes.extend(foreground.map(|c| format!("fg{c}")));
        classes.extend(background.map(|c| format!("bg{c}")));
        classes.join(" ")
    }

    /// Applies the parameters of one `SGR` sequence.
    fn select(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|number| {
            if number.is_empty() {
                0
            } else {
                number.parse().unwrap_or(u16::MAX)
            }
        });
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                3 => self.italic = true,
                4 => self.underline = true,
                7 => self.inverse = true,
                22 => (self.bold, self.faint) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.inverse = false,
                30..=37 => self.foreground = Some((number - 30) as u8),
                38 => self.foreground = extended(&mut numbers),
                39 => self.foreground = None,
                40..=47 => self.background = Some((number - 40) as u8),
                48 => self.background = extended(&mut numbers),
                49 => self.background = None,
                90..=97 => self.foreground = Some((number - 90) as u8 + 8),
                100..=107 => self.background = Some((number - 100) as u8 + 8),
                _ => {}
            }
        }
    }
}

/// The rest of a `38;5;N` or `38;2;R;G;B`, as the nearest named colour.
fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<u8> {
    let byte = |number: u16| u8::try_from(number).ok();
    match numbers.next()? {
        5 => {
            let index = byte(numbers.next()?)?;
            Some(match index {
                0..=15 => index,
                16..=231 => {
                    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
                    let cube = index - 16;
                    nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
                }
                232.. => {
                    let grey = 8 + 10 * (index - 232);
                    nearest(grey, grey, grey)
                }
            })
        }
        2 => {
            let (red, green, blue) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some(nearest(byte(red)?, byte(green)?, byte(blue)?))
        }
        _ => None,
    }
}

/// The named colour (0 to 15, as xterm has them) that lies nearest to a colour.
fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    const NAMED: [[i32; 3]; 16] = [
        [0, 0, 0],
        [205, 0, 0],
        [0, 205, 0],
        [205, 205, 0],
        [0, 0, 238],
        [205, 0, 205],
        [0, 205, 205],
        [229, 229, 229],
        [127, 127, 127],
        [255, 0, 0],
        [0, 255, 0],
        [255, 255, 0],
        [92, 92, 255],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
    ];
    let given = [i32::from(red), i32::from(green), i32::from(blue)];
    let distance = |named: &[i32; 3]| -> i32 {
        named
            .iter()
            .zip(given)
            .map(|(a, b)| (a - b) * (a - b))
            .sum()
    };
    (0..16_u8)
        .min_by_key(|index| distance(&NAMED[usize::from(*index)]))
        .unwrap_or(7)
}

/// The text without its control sequences, for places that show no colour.
pub fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.trim_end_matches('\r').chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => match characters.next() {
                Some('[') => {
                    for c in characters.by_ref() {
                        if ('\u{40}'..='\u{7e}').contains(&c) {
                            break;
                        }
                    }
                }
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            characters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                Some('(' | ')' | '*' | '+' | '#') => {
                    characters.next();
                }
                _ => {}
            },
            '\r' => out.clear(),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
