//! File globs of `include`: `*` within a part of a path, `**` for any number of folders. Only downward.

/// Why a glob is refused.
pub fn problem(glob: &str) -> Option<&'static str> {
    if glob.is_empty() {
        Some("it is empty")
    } else if glob.contains("://") {
        Some("files come from the repository only, never from an address")
    } else if glob.starts_with('/') || glob.contains('\\') {
        Some("it is relative to policy.kdl, with `/` between folders")
    } else if glob.split('/').any(|part| part == "..") {
        Some("it leads out of the repository; includes go only downward")
    } else if glob.split('/').any(|part| part.is_empty() || part == ".") {
        Some("it has an empty part")
    } else if glob.split('/').filter(|part| *part == "**").count() > 2 {
        Some("it has more than two `**`")
    } else {
        None
    }
}

/// Whether a path matches.
pub fn matches(glob: &str, path: &str) -> bool {
    parts(&glob.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

fn parts(glob: &[&str], path: &[&str]) -> bool {
    match (glob.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            (0..=path.len()).any(|skip| path.get(skip..).is_some_and(|tail| !tail.is_empty() && parts(rest, tail)))
        }
        (Some((head, rest)), Some((part, tail))) => part_matches(head, part) && parts(rest, tail),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Greedy matching with one point of return: linear but for the product of both lengths.
fn part_matches(glob: &str, part: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(rest) = pieces.next().and_then(|first| part.strip_prefix(first)) else { return false };
    if !glob.contains('*') {
        return rest.is_empty();
    }
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for piece in middle {
        match rest.find(piece).and_then(|at| rest.get(at + piece.len()..)) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_parts_of_paths() {
        for (glob, yes, no) in [
            ("teams/*.kdl", "teams/a.kdl", "teams/a/b.kdl"),
            ("teams/*/*.kdl", "teams/a/b.kdl", "teams/a.kdl"),
            ("**/*.kdl", "a/b/c.kdl", "a/b/c.txt"),
            ("a*b*c", "aXbYc", "aXbY"),
            ("*.kdl", "x.kdl", "x.kdl.bak"),
        ] {
            assert!(matches(glob, yes), "{glob} {yes}");
            assert!(!matches(glob, no), "{glob} {no}");
        }
        assert!(matches("**/*.kdl", "c.kdl"));
    }

    #[test]
    fn globs_lead_only_downward() {
        for bad in ["", "/etc/x", "../x", "a/../b", "https://x/y", "a//b", "./a", "a\\b", "**/a/**/b/**"] {
            assert!(problem(bad).is_some(), "{bad}");
        }
        assert_eq!(problem("teams/*/*.kdl"), None);
    }
}
