//! Patterns that every text matches.

/// How deep groups of a regular expression are followed.
const GROUPS_MAX: usize = 16;

/// The most memory that one regular expression may take.
const REGEX_BYTES_MAX: usize = 64 << 10;

/// Longer regular expressions are not tried.
const REGEX_TEXT_BYTES_MAX: usize = 256;

/// Whether a pattern matches every text.
pub(super) fn matches_everything(operator: &str, pattern: &str) -> bool {
    match operator {
        "^@" => pattern.is_empty(),
        "~~" | "~~*" => !pattern.is_empty() && pattern.chars().all(|c| c == '%'),
        "~" | "~*" => is_open(pattern, 0) || finds_everywhere(pattern),
        _ => false,
    }
}

/// Whether a pattern of SIMILAR TO, which is for the whole text, matches every one.
pub(super) fn similar_to_everything(pattern: &str) -> bool {
    let plain = !pattern.contains(['(', '[', '\\']);
    plain && pattern.split('|').any(|arm| matches!(arm, "_*" | "%*" | "%+") || matches_everything("~~", arm))
}

/// Whether a range, or one of several, holds every value.
pub(super) fn is_range_of_everything(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(&text);
    matches!(text, "(,)" | "[,]" | "[,)" | "(,]")
}

/// Whether a regular expression finds something in each of a few texts that hold nearly everything: none, long ones, all of
/// ASCII. What only the server's own language knows is not tried.
fn finds_everywhere(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix("***:").unwrap_or(pattern).replace("\\Z", "\\z");
    let built = regex::RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).build();
    let ascii: String = ('\u{1}'..='\u{7f}').collect();
    let texts = ["", "a", "\n", "\u{e9}\u{df}\u{6f22}\u{1f600}", &ascii, &ascii.repeat(40)];
    pattern.len() <= REGEX_TEXT_BYTES_MAX && built.is_ok_and(|regex| texts.into_iter().all(|text| regex.is_match(text)))
}

/// Whether some alternative of a regular expression can match nothing, and so does somewhere in every text.
fn is_open(pattern: &str, depth: usize) -> bool {
    depth < GROUPS_MAX && alternatives(pattern).is_some_and(|arms| arms.into_iter().any(|arm| arm_is_open(arm, depth)))
}

/// The alternatives of the outermost level. `None`: escapes or brackets, which are not followed.
fn alternatives(pattern: &str) -> Option<Vec<&str>> {
    let (mut arms, mut open, mut rest) = (Vec::new(), 0_usize, 0_usize);
    for (at, c) in pattern.char_indices() {
        match c {
            '\\' | '[' => return None,
            '(' => open += 1,
            ')' => open = open.checked_sub(1)?,
            '|' if open == 0 => {
                arms.push(pattern.get(rest..at)?);
                rest = at + 1;
            }
            _ => {}
        }
    }
    arms.push(pattern.get(rest..)?);
    Some(arms)
}

/// One alternative: every part may be absent, and it does not hold both ends of the text with less than `.*` between.
fn arm_is_open(arm: &str, depth: usize) -> bool {
    if matches!(arm, "^.*$" | "^(.*)$") {
        return true;
    }
    let held = (arm.starts_with('^'), arm.ends_with('$'));
    let mut rest = arm.trim_start_matches('^').trim_end_matches('$');
    if held == (true, true) || rest.contains(['^', '$']) {
        return false;
    }
    while !rest.is_empty() {
        let (part_is_open, after) = if let Some(inner) = rest.strip_prefix('(') {
            let Some(end) = closing(inner) else { return false };
            let (inside, after) = (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default());
            let inside = inside.strip_prefix("?:").unwrap_or(inside);
            (!inside.starts_with('?') && is_open(inside, depth + 1), after)
        } else {
            (false, rest.char_indices().nth(1).and_then(|(at, _)| rest.get(at..)).unwrap_or_default())
        };
        let optional = after.starts_with(['*', '?']) || after.starts_with("{0,");
        if !part_is_open && !optional {
            return false;
        }
        rest = if let Some(counted) = after.strip_prefix('{') {
            counted.split_once('}').map_or("", |(_, after)| after)
        } else {
            after.trim_start_matches(['*', '?', '+'])
        };
    }
    true
}

/// Where the group that is open at the beginning ends.
fn closing(inner: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, c) in inner.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}
