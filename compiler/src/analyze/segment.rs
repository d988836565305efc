//! Classes of texts that a set of literals and `prefix*` patterns cannot tell apart. The patterns are laminar, so
//! there is one class for each literal, one for each prefix, and one for everything else.

use lang::program::segment_matches;
use std::collections::{BTreeMap, BTreeSet};

/// One text of each class: the literals, and the shortest fresh text for every prefix and for the rest.
pub(super) fn examples<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Vec<String> {
    let patterns: BTreeSet<&str> = patterns.into_iter().collect();
    let literals: BTreeSet<&str> = patterns.iter().copied().filter(|pattern| !pattern.ends_with('*')).collect();
    let mut prefixes: BTreeSet<&str> = patterns.iter().filter_map(|pattern| pattern.strip_suffix('*')).collect();
    // Everything that no pattern names; with the pattern `*` it is the class of that pattern.
    prefixes.insert("");
    let mut found: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let signature = |text: &str| -> Vec<&str> {
        patterns.iter().copied().filter(|pattern| segment_matches(pattern, text)).collect()
    };
    for literal in &literals {
        found.insert(signature(literal), (*literal).to_owned());
    }
    for prefix in &prefixes {
        let inner: Vec<&str> =
            prefixes.iter().copied().filter(|other| *other != *prefix && other.starts_with(prefix)).collect();
        let text = fresh(prefix, |text| {
            !text.is_empty() && !literals.contains(text) && !inner.iter().any(|inner| text.starts_with(inner))
        });
        found.entry(signature(&text)).or_insert(text);
    }
    let mut texts: Vec<String> = found.into_values().collect();
    // Names that a policy mentions come first: they make the better witness.
    texts.sort_by_key(|text| (!literals.contains(text.as_str()), text.len(), text.clone()));
    texts
}

/// The shortest text with a prefix that is good; one always is, because only finitely many are bad.
fn fresh(prefix: &str, good: impl Fn(&str) -> bool) -> String {
    let mut number = 0_usize;
    loop {
        let text = format!("{prefix}{}", letters(number));
        if good(&text) {
            return text;
        }
        number += 1;
    }
}

/// The empty text, `x`, `y`, `z`, `a`, …, `xx`, `xy`, …: every text over the alphabet, shortest first.
fn letters(mut number: usize) -> String {
    const ALPHABET: &[u8] = b"xyzabcdefghijklmnopqrstuvw";
    let mut text = Vec::new();
    while number > 0 {
        number -= 1;
        text.extend(ALPHABET.get(number % ALPHABET.len()).map(|letter| char::from(*letter)));
        number /= ALPHABET.len();
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_example() {
        assert_eq!(examples([]), ["x"]);
        assert_eq!(examples(["*"]), ["x"]);
        assert_eq!(examples(["x", "a*", "a", "ab*"]), ["a", "x", "y", "ab", "ax"]);
        assert_eq!(examples(["", "v*"]), ["", "v", "x"]);
    }
}
