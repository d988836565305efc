//! Source texts and positions in them: one map holds every file of a policy, so that a finding can point
//! into several files at once. It never reads a file: texts are handed in.

use std::sync::Arc;

/// A file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of bytes of one source, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `source`; an end before the start is taken as empty.
    pub fn new(source: SourceId, start: u32, end: u32) -> Self {
        Self { source, start, end: end.max(start) }
    }

    /// The empty range at `at`.
    pub const fn point(source: SourceId, at: u32) -> Self {
        Self { source, start: at, end: at }
    }

    /// From the beginning of this range to the end of `other`, which lies in the same source.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty range after this one.
    #[must_use]
    pub const fn after(self) -> Self {
        Self::point(self.source, self.end)
    }

    /// The number of bytes.
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether no byte is covered.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `other` lies within this range.
    pub fn contains(self, other: Self) -> bool {
        self.source == other.source && self.start <= other.start && other.end <= self.end
    }
}

/// A value and the text that states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is stated.
    pub span: Span,
}

/// A line and a column for people; both begin with 1 and columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// The line.
    pub line: u32,
    /// The character of the line.
    pub column: u32,
}

/// One text and where its lines begin.
#[derive(Clone, Debug)]
pub struct Source {
    path: String,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl Source {
    fn new(path: String, text: Arc<str>) -> Self {
        let mut line_starts = vec![0];
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                line_starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        Self { path, text, line_starts }
    }

    /// The path as it was handed in, relative to the policy's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number of lines; an empty text has one.
    pub fn line_count(&self) -> u32 {
        u32::try_from(self.line_starts.len()).unwrap_or(u32::MAX)
    }

    /// The text of a line without its end; empty when there is no such line.
    pub fn line(&self, line: u32) -> &str {
        let index = line.saturating_sub(1) as usize;
        let Some(start) = self.line_starts.get(index) else { return "" };
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| *next as usize);
        self.text.get(*start as usize..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// The offset of the first byte of a line; the length of the text when there is no such line.
    pub fn line_start(&self, line: u32) -> u32 {
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.line_starts.get(line.saturating_sub(1) as usize).copied().unwrap_or(end)
    }

    /// The line and column of a byte.
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let index = self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.line_starts.get(index).copied().unwrap_or(0) as usize;
        let mut end = (offset as usize).min(self.text.len());
        while end > start && !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let characters = self.text.get(start..end).map_or(0, |line| line.chars().count());
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).saturating_add(1);
        LineColumn { line: number(index), column: number(characters) }
    }
}

/// Every text of one policy.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// A map without texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under its path, relative to the policy's root.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(Source::new(path.into(), text.into()));
        id
    }

    /// The source with this id; `None` for an id of another map.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// The path of a source; empty for an id of another map.
    pub fn path(&self, id: SourceId) -> &str {
        self.source(id).map_or("", Source::path)
    }

    /// The text of a source; empty for an id of another map.
    pub fn text(&self, id: SourceId) -> &str {
        self.source(id).map_or("", Source::text)
    }

    /// The text that a span covers; empty for a span of another map.
    pub fn snippet(&self, span: Span) -> &str {
        self.text(span.source).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The line and column at which a span begins.
    pub fn line_column(&self, span: Span) -> LineColumn {
        self.source(span.source).map_or(LineColumn { line: 1, column: 1 }, |source| source.line_column(span.start))
    }

    /// The line and column after the last byte of a span.
    pub fn end_line_column(&self, span: Span) -> LineColumn {
        self.source(span.source).map_or(LineColumn { line: 1, column: 1 }, |source| source.line_column(span.end))
    }

    /// The source with this path.
    pub fn find(&self, path: &str) -> Option<SourceId> {
        self.iter().find(|(_, source)| source.path == path).map(|(id, _)| id)
    }

    /// Every source in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().enumerate().map(|(i, source)| (SourceId(u32::try_from(i).unwrap_or(u32::MAX)), source))
    }

    /// The number of sources.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is no source.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let mut map = SourceMap::new();
        let id = map.add("a.kdl", "ä b\r\nc\n");
        let source = map.source(id).unwrap();
        assert_eq!((source.line(1), source.line(2), source.line(3), source.line(4)), ("ä b", "c", "", ""));
        assert_eq!(source.line_column(3), LineColumn { line: 1, column: 3 });
        assert_eq!(source.line_column(1), LineColumn { line: 1, column: 1 }, "inside a character");
        assert_eq!(source.line_column(6), LineColumn { line: 2, column: 1 });
        assert_eq!(source.line_column(99), LineColumn { line: 3, column: 1 });
        assert_eq!(map.snippet(Span::new(id, 0, 2)), "ä");
        assert_eq!(map.snippet(Span::new(id, 1, 2)), "", "not a boundary");
        assert_eq!(map.find("a.kdl"), Some(id));
    }
}
