//! How long and how deep a text may be, decided before the grammar reads it.
//!
//! PostgreSQL's grammar and its encoder guard their own stack. What follows them (decoding the tree, walking and dropping
//! it) recurses once per level without a guard, so the depth of a tree is bounded from the text.
//!
//! INVARIANT (depth): the height of the tree is at most a small constant times the height computed here, which counts each
//! token that can nest as one. Parts of one bracket between commas, AND, OR, WHEN, THEN and ELSE are siblings, so the
//! tallest counts; set operations and joins wrap everything to their left across commas, so all of them count; and a
//! closed bracket counts with its height, because what follows it wraps it.

use crate::refusal::Refusal;
use pg_query::protobuf::Token;

/// The longest text that is judged, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The greatest height of a text, in tokens that nest, that is judged.
pub const DEPTH_MAX: usize = 1_000;

/// The stack that a thread needs to judge any text, in bytes. A thread with less may overflow, which ends the process.
pub const STACK_BYTES: usize = 64 << 20;

/// Checks a text before it is parsed.
pub(crate) fn check(sql: &str) -> Result<(), Refusal> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(Refusal::TooLong { bytes: sql.len(), bytes_max: TEXT_BYTES_MAX });
    }
    // A token has at least one byte: a short text cannot be deep.
    if sql.len() <= DEPTH_MAX {
        return Ok(());
    }
    let scanned = pg_query::scan(sql).map_err(|error| Refusal::unparsed(&error))?;
    let tokens = scanned.tokens.iter().map(|token| Token::try_from(token.token).ok());
    if height(tokens) > DEPTH_MAX { Err(Refusal::TooDeep { depth_max: DEPTH_MAX }) } else { Ok(()) }
}

/// One open bracket, or CASE.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    is_case: bool,
    /// The height since the last separator.
    run: usize,
    /// The tallest part before it.
    tallest: usize,
    /// Set operations and joins.
    chain: usize,
}

impl Level {
    fn separate(&mut self) {
        self.tallest = self.tallest.max(self.run);
        self.run = 0;
    }

    fn height(self) -> usize {
        self.tallest.max(self.run).saturating_add(self.chain).saturating_add(1)
    }
}

/// An upper bound, up to a constant factor, of the height of the tree.
fn height(tokens: impl Iterator<Item = Option<Token>>) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut tallest = 0;
    // After a dot or AS, CASE and END are names.
    let mut is_name = false;
    for token in tokens {
        match token {
            Some(Token::SqlComment | Token::CComment) => continue,
            Some(Token::Ascii40 | Token::Ascii91) => outer.push(std::mem::take(&mut level)),
            Some(Token::Case) if !is_name => {
                outer.push(std::mem::take(&mut level));
                level.is_case = true;
            }
            Some(Token::Ascii41 | Token::Ascii93) => {
                // A CASE without its END does not parse; it ends with its bracket here.
                while level.is_case {
                    close(&mut outer, &mut level);
                }
                close(&mut outer, &mut level);
            }
            Some(Token::EndP) if level.is_case && !is_name => close(&mut outer, &mut level),
            Some(Token::Ascii59) if outer.is_empty() => {
                tallest = tallest.max(level.height());
                level = Level::default();
            }
            Some(Token::Ascii44 | Token::And | Token::Or) => level.separate(),
            Some(Token::When | Token::Then | Token::Else) if level.is_case => level.separate(),
            Some(Token::Union | Token::Intersect | Token::Except | Token::Join) => {
                level.chain = level.chain.saturating_add(1);
                level.separate();
            }
            // Names, dots and constants are leaves.
            Some(
                Token::Ident
                | Token::Uident
                | Token::Iconst
                | Token::Fconst
                | Token::Sconst
                | Token::Usconst
                | Token::Bconst
                | Token::Xconst
                | Token::Param
                | Token::Ascii46,
            ) => {}
            _ => level.run = level.run.saturating_add(1),
        }
        is_name = matches!(token, Some(Token::Ascii46 | Token::As));
    }
    while !outer.is_empty() {
        close(&mut outer, &mut level);
    }
    tallest.max(level.height())
}

/// Ends a bracket: its height is that of one item of the enclosing one. A bracket that was never opened does not parse.
fn close(outer: &mut Vec<Level>, level: &mut Level) {
    let height = level.height();
    *level = outer.pop().unwrap_or_default();
    level.run = level.run.saturating_add(height);
}
