//! Applies the edits of fixes to a text. It never guesses: overlapping or foreign edits are refused.

use super::Edit;
use crate::span::SourceId;

/// Why edits cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Two edits replace the same bytes.
    #[error("two edits overlap")]
    Overlap,
    /// An edit lies outside the text or within a character.
    #[error("an edit lies outside the text")]
    Outside,
}

/// The text of `source` after those of `edits` that concern it; equal edits count once.
///
/// # Errors
/// When edits overlap or lie outside the text.
pub fn apply(text: &str, source: SourceId, edits: &[Edit]) -> Result<String, ApplyError> {
    let mut edits: Vec<&Edit> = edits.iter().filter(|edit| edit.span.source == source).collect();
    edits.sort();
    edits.dedup();
    let mut out = String::with_capacity(text.len());
    let mut done = 0_usize;
    for edit in edits {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        if start < done {
            return Err(ApplyError::Overlap);
        }
        out.push_str(text.get(done..start).ok_or(ApplyError::Outside)?);
        text.get(start..end).ok_or(ApplyError::Outside)?;
        out.push_str(&edit.replacement);
        done = end;
    }
    out.push_str(text.get(done..).ok_or(ApplyError::Outside)?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{SourceMap, Span};

    #[test]
    fn edits_apply_once_and_never_overlap() {
        let mut map = SourceMap::new();
        let id = map.add("a", "lifetime 15m");
        let quote = Edit { span: Span::new(id, 9, 12), replacement: "\"15m\"".into() };
        assert_eq!(apply(map.text(id), id, &[quote.clone(), quote.clone()]).unwrap(), "lifetime \"15m\"");
        let other = Edit { span: Span::new(id, 10, 11), replacement: String::new() };
        assert_eq!(apply(map.text(id), id, &[quote, other]), Err(ApplyError::Overlap));
        let outside = Edit { span: Span::new(id, 90, 91), replacement: String::new() };
        assert_eq!(apply(map.text(id), id, &[outside]), Err(ApplyError::Outside));
    }
}
