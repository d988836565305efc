//! Identifiers of a policy, their one lexical form, and the nearest name for a misspelt one.
//! Nothing here knows what an identifier refers to.

use std::fmt;

/// The longest identifier in bytes.
pub const IDENT_BYTES_MAX: usize = 63;

/// A name that a policy defines: `[a-z][a-z0-9-]{0,62}`. It is the identity used in audits and diffs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// The identifier with this text; `None` when the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        is_ident(text).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Ident {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Ident {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whether a text is an identifier.
pub fn is_ident(text: &str) -> bool {
    text.len() <= IDENT_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The candidate nearest to `wrong`, when it is at most a third of its characters away.
///
/// Of several equally near ones the first in their own order is taken, so that the answer is stable.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A very long name is no typing error, and the distance costs the product of both lengths.
    if wrong.len() > 2 * IDENT_BYTES_MAX {
        return None;
    }
    let limit = wrong.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wrong && candidate.len() <= 2 * IDENT_BYTES_MAX)
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, removals, replacements and swaps of neighbours between two texts.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut older: Vec<usize> = vec![0; width];
    let mut old: Vec<usize> = (0..width).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&old, j) + usize::from(ca != cb)).min(at(&old, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(at(&older, j - 1) + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut old, row);
    }
    old.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_one_form() {
        for good in ["a", "prod-logs", "k8s-prod"] {
            assert!(Ident::parse(good).is_some(), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(Ident::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_name_is_close_and_stable() {
        let names = ["grant", "group", "guard"];
        assert_eq!(nearest("gruop", names), Some("group"));
        assert_eq!(nearest("grnat", names), Some("grant"));
        assert_eq!(nearest("zebra", names), None);
        assert_eq!(nearest("prod-odrers", ["orders-db", "prod-orders"]), Some("prod-orders"));
        assert_eq!(nearest("a", ["b"]), None, "no letter in common");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
