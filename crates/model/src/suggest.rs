//! The nearest known word to a mistyped one.

/// The word of `known` that a person most likely meant by `given`, or `None` where none is near.
///
/// "Near" is a Damerau-Levenshtein distance of at most a third of the word's length (at least one), so that `tiemout`
/// finds `timeout` but `x` does not find `env`.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = given.to_ascii_lowercase();
    known
        .into_iter()
        .map(|word| {
            (
                strsim::damerau_levenshtein(&lower, &word.to_ascii_lowercase()),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A hint for a person, where a nearest word is known: `Did you mean `timeout`?`.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|word| format!("Did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word() {
        let known = ["timeout", "run", "name", "env"];
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Name", known), Some("name"));
        assert_eq!(nearest("rn", known), Some("run"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("database", known), None);
    }
}
