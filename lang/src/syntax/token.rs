//! KDL v2 text as tokens. Every byte belongs to exactly one token, so that the formatter loses nothing, and the work
//! is linear in the text. Tokens are not judged here: a number may be malformed and a string unfinished.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Spaces, and a byte order mark at the beginning.
    Space,
    /// One end of a line.
    Newline,
    /// `// …`, without the end of the line.
    LineComment,
    /// `/* … */`; `false` when it does not end, and then it is cut at the next space.
    BlockComment(bool),
    /// `\`, spaces, a comment and the end of the line: the node goes on.
    Continuation,
    /// `/-`
    SlashDash,
    /// `;`
    Semicolon,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `=`
    Equals,
    /// Characters of an identifier: a bare string or a number.
    Word,
    /// `#true` and the like.
    HashWord,
    /// `"…"`
    Quoted(Text),
    /// `#"…"#`
    Raw(Text),
    /// A character that means nothing here.
    Stray,
}

/// The form of a quoted or raw string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// On one line.
    Line,
    /// Between `"""`.
    Block,
    /// Its end is missing.
    Open,
}

/// A piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Its first byte.
    pub(super) start: u32,
    /// The byte after it.
    pub(super) end: u32,
}

impl Kind {
    /// Whether the token separates the parts of a node.
    pub(super) const fn is_node_space(self) -> bool {
        matches!(self, Self::Space | Self::BlockComment(_) | Self::Continuation)
    }

    /// Whether the token may stand between nodes.
    pub(super) const fn is_line_space(self) -> bool {
        self.is_node_space() || matches!(self, Self::Newline | Self::LineComment)
    }
}

/// Whether a character is a space of KDL.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

/// Whether a character ends a line.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{B}' | '\u{C}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character must not stand anywhere in a document: controls and marks that reorder text.
pub(super) fn is_disallowed(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{E}'..='\u{1F}' | '\u{7F}' | '\u{200E}' | '\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Whether a character may stand in a bare string.
pub(super) fn is_word(c: char) -> bool {
    !is_space(c)
        && !is_newline(c)
        && !matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '#' | '=')
}

/// The tokens of a text.
pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, comments_broken: false };
    let mut tokens = Vec::with_capacity(text.len() / 4);
    if text.starts_with('\u{FEFF}') {
        tokens.push(Token { kind: Kind::Space, start: 0, end: 3 });
        lexer.at = 3;
    }
    while let Some(c) = lexer.peek() {
        let start = lexer.at;
        let kind = lexer.token(c);
        debug_assert!(lexer.at > start, "every token has a length");
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        tokens.push(Token { kind, start: offset(start), end: offset(lexer.at) });
    }
    tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether a block comment did not end: none is looked for after it, which keeps the work linear.
    comments_broken: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn bump_while(&mut self, mut test: impl FnMut(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !test(c)).unwrap_or(rest.len());
    }

    fn token(&mut self, c: char) -> Kind {
        let single = match c {
            ';' => Kind::Semicolon,
            '{' => Kind::OpenBrace,
            '}' => Kind::CloseBrace,
            '(' => Kind::OpenParen,
            ')' => Kind::CloseParen,
            '=' => Kind::Equals,
            '/' => return self.slash(),
            '\\' => return self.backslash(),
            '"' => return self.quoted(),
            '#' => return self.hash(),
            _ if is_space(c) => {
                self.bump_while(is_space);
                return Kind::Space;
            }
            _ if is_newline(c) => {
                self.newline();
                return Kind::Newline;
            }
            _ if is_word(c) => {
                self.bump_while(is_word);
                return Kind::Word;
            }
            _ => Kind::Stray,
        };
        self.bump();
        single
    }

    /// One end of a line; `\r\n` is one.
    fn newline(&mut self) {
        self.at += if self.rest().starts_with("\r\n") { 2 } else { self.peek().map_or(0, char::len_utf8) };
    }

    fn slash(&mut self) -> Kind {
        let rest = self.rest();
        if rest.starts_with("//") {
            self.bump_while(|c| !is_newline(c));
            Kind::LineComment
        } else if rest.starts_with("/-") {
            self.at += 2;
            Kind::SlashDash
        } else if rest.starts_with("/*") {
            let before = self.at;
            let ended = !self.comments_broken && self.block_comment();
            if !ended {
                self.comments_broken = true;
                self.at = before;
                self.bump_while(|c| !is_space(c) && !is_newline(c));
            }
            Kind::BlockComment(ended)
        } else {
            self.at += 1;
            Kind::Stray
        }
    }

    /// Block comments nest, without limit and without recursion.
    fn block_comment(&mut self) -> bool {
        let mut depth = 0_usize;
        let bytes = self.rest().as_bytes();
        let mut at = 0;
        let mut ended = false;
        while at < bytes.len() {
            match bytes.get(at..at + 2) {
                Some(b"/*") => {
                    depth += 1;
                    at += 2;
                }
                Some(b"*/") => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        ended = true;
                        break;
                    }
                }
                Some(_) | None => at += 1,
            }
        }
        self.at += at;
        ended
    }

    fn backslash(&mut self) -> Kind {
        let before = self.at;
        self.at += 1;
        loop {
            self.bump_while(is_space);
            let after_spaces = self.at;
            if self.rest().starts_with("/*") && !self.comments_broken && self.block_comment() {
                continue;
            }
            self.at = after_spaces;
            break;
        }
        if self.rest().starts_with("//") {
            self.bump_while(|c| !is_newline(c));
        }
        match self.peek() {
            None => Kind::Continuation,
            Some(c) if is_newline(c) => {
                self.newline();
                Kind::Continuation
            }
            Some(_) => {
                self.at = before + 1;
                Kind::Stray
            }
        }
    }

    fn quoted(&mut self) -> Kind {
        if self.rest().starts_with("\"\"\"") {
            self.at += 3;
            let rest = self.rest();
            let mut escaped = false;
            for (at, c) in rest.char_indices() {
                if escaped {
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if c == '"' && rest.get(at..).is_some_and(|rest| rest.starts_with("\"\"\"")) {
                    self.at += at + 3;
                    return Kind::Quoted(Text::Block);
                }
            }
            self.at = self.text.len();
            return Kind::Quoted(Text::Open);
        }
        self.at += 1;
        let rest = self.rest();
        let mut characters = rest.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            if c == '"' {
                self.at += at + 1;
                return Kind::Quoted(Text::Line);
            }
            if c == '\\' {
                // A backslash takes all spaces and ends of lines after it, or else the next character.
                let mut blank = false;
                while characters.next_if(|(_, c)| is_space(*c) || is_newline(*c)).is_some() {
                    blank = true;
                }
                if !blank {
                    characters.next();
                }
            } else if is_newline(c) {
                self.at += at;
                return Kind::Quoted(Text::Open);
            }
        }
        self.at = self.text.len();
        Kind::Quoted(Text::Open)
    }

    fn hash(&mut self) -> Kind {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let after = rest.get(hashes..).unwrap_or("");
        if !after.starts_with('"') {
            self.at += hashes;
            self.bump_while(is_word);
            return Kind::HashWord;
        }
        let block = after.starts_with("\"\"\"");
        let quotes = if block { "\"\"\"" } else { "\"" };
        let body = after.get(quotes.len()..).unwrap_or("");
        let line = if block { body } else { body.split(is_newline).next().unwrap_or("") };
        let hash_text = rest.get(..hashes).unwrap_or("");
        self.at += hashes + quotes.len();
        let Some(end) = find_closing(line, quotes, hash_text) else {
            self.at += line.len();
            return Kind::Raw(Text::Open);
        };
        self.at += end + quotes.len() + hashes;
        Kind::Raw(if block { Text::Block } else { Text::Line })
    }
}

/// The first place in `body` at which `quotes` and as many hashes as at the beginning stand.
fn find_closing(body: &str, quotes: &str, hashes: &str) -> Option<usize> {
    body.match_indices('"').map(|(at, _)| at).find(|at| {
        body.get(*at..).and_then(|rest| rest.strip_prefix(quotes)).is_some_and(|rest| rest.starts_with(hashes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let tokens = tokenize(text);
        let mut at = 0;
        for token in &tokens {
            assert_eq!(token.start, at, "{text}");
            at = token.end;
        }
        assert_eq!(at as usize, text.len(), "{text}");
        tokens.iter().map(|t| (t.kind, text.get(t.start as usize..t.end as usize).unwrap())).collect()
    }

    #[test]
    fn every_byte_is_in_one_token() {
        use Kind::*;
        assert_eq!(
            kinds("a \"x\\\"y\" k=1;/-b{ } // c\r\n"),
            [
                (Word, "a"),
                (Space, " "),
                (Quoted(Text::Line), "\"x\\\"y\""),
                (Space, " "),
                (Word, "k"),
                (Equals, "="),
                (Word, "1"),
                (Semicolon, ";"),
                (SlashDash, "/-"),
                (Word, "b"),
                (OpenBrace, "{"),
                (Space, " "),
                (CloseBrace, "}"),
                (Space, " "),
                (LineComment, "// c"),
                (Newline, "\r\n"),
            ]
        );
        assert_eq!(kinds("#\"a\"b\"# #true"), [(Raw(Text::Line), "#\"a\"b\"#"), (Space, " "), (HashWord, "#true")]);
        assert_eq!(kinds("/* a /* b */ c */x"), [(BlockComment(true), "/* a /* b */ c */"), (Word, "x")]);
        assert_eq!(kinds("a \\ // c\nb"), [(Word, "a"), (Space, " "), (Continuation, "\\ // c\n"), (Word, "b")]);
    }

    #[test]
    fn strings_without_an_end_stop_at_the_line_or_the_text() {
        assert_eq!(kinds("\"a\nb")[0], (Kind::Quoted(Text::Open), "\"a"));
        assert_eq!(kinds("#\"a\nb")[0], (Kind::Raw(Text::Open), "#\"a"));
        assert_eq!(kinds("\"\"\"\na")[0], (Kind::Quoted(Text::Open), "\"\"\"\na"));
        assert_eq!(kinds("\"a\\\n  b\"")[0].0, Kind::Quoted(Text::Line), "a backslash continues the line");
        assert_eq!(kinds("/v1/** x /* y */")[2..4], [(Kind::BlockComment(false), "/**"), (Kind::Space, " ")]);
    }
}
