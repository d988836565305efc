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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use crate::session::SessionFacts;

    /// Judges on a thread with half the stack that the crate asks for, so that the other half is margin.
    fn judged(sql: String) -> Result<usize, Refusal> {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES / 2);
        let handle = thread.spawn(move || judge(&sql, &SessionFacts::pinned(18)).map(|found| found.len())).unwrap();
        handle.join().unwrap()
    }

    /// One way to nest: what opens a level, what stands innermost, what closes it.
    const NESTS: &[(&str, &str, &str, &str, &str)] = &[
        ("brackets", "SELECT ", "(", "1", ")"),
        ("operators", "SELECT 1", "+1", "", ""),
        ("unary operators", "SELECT ", "- ", "1", ""),
        ("negations", "SELECT ", "NOT ", "true", ""),
        ("casts", "SELECT 1", "::int", "", ""),
        ("collations", "SELECT 'a'", " COLLATE \"C\"", "", ""),
        ("calls", "SELECT ", "abs(", "1", ")"),
        ("arrays", "SELECT ARRAY", "[", "1", "]"),
        ("rows", "SELECT ", "ROW(", "1", ")"),
        ("conditions", "SELECT ", "CASE WHEN true THEN ", "1", " END"),
        ("alternatives", "SELECT ", "CASE WHEN true THEN 1 ELSE ", "1", " END"),
        ("scalar queries", "SELECT ", "(SELECT ", "1", ")"),
        ("derived tables", "SELECT * FROM ", "(SELECT * FROM ", "t", ") x"),
        ("membership", "SELECT 1 WHERE 1 IN ", "(SELECT 1 WHERE 1 IN ", "(1)", ")"),
        ("set operations", "SELECT 1", " UNION ALL SELECT 1", "", ""),
        ("joins", "SELECT * FROM t", " CROSS JOIN t", "", ""),
        ("nested joins", "SELECT * FROM ", "(t JOIN ", "t", " ON true)"),
        ("common table expressions", "", "WITH a AS (", "SELECT 1", ") SELECT 1"),
        ("mixed junctions", "SELECT ", "(true AND (false OR ", "true", "))"),
        ("subscripts", "SELECT ", "a[", "1", "]"),
        ("time zones", "SELECT now()", " AT TIME ZONE 'UTC'", "", ""),
        ("null tests", "SELECT ", "(", "1", " IS NULL)"),
        ("wrapped brackets", "SELECT ", "(", "1", "+1+1+1+1)"),
        ("wrapped calls", "SELECT ", "f(", "1", ")::int::text"),
    ];

    fn nested(nest: &(&str, &str, &str, &str, &str), times: usize) -> String {
        let (_, before, open, inner, shut) = nest;
        format!("{before}{}{inner}{}", open.repeat(times), shut.repeat(times))
    }

    #[test]
    fn the_deepest_accepted_text_fits_the_stack() {
        for nest in NESTS {
            // The greatest depth that the bound lets through, by bisection.
            let (mut fits, mut fails) = (1, 10_000);
            while fails - fits > 1 {
                let middle = usize::midpoint(fits, fails);
                if check(&nested(nest, middle)).is_ok() { fits = middle } else { fails = middle }
            }
            assert!(fits >= 100, "{} may nest only {fits} times", nest.0);
            assert_eq!(check(&nested(nest, fails)), Err(Refusal::TooDeep { depth_max: DEPTH_MAX }), "{}", nest.0);
            // The grammar's own guard may refuse it sooner, as the server does; what it accepts is judged.
            let (mut accepted, mut refused) = (60, fits + 1);
            while refused - accepted > 1 {
                let middle = usize::midpoint(accepted, refused);
                match judged(nested(nest, middle)) {
                    Ok(_) => accepted = middle,
                    Err(Refusal::Unparsed { .. }) => refused = middle,
                    Err(other) => panic!("{} nested {middle} times: {other:?}", nest.0),
                }
            }
            assert!(accepted >= 100, "{} is judged only {accepted} times nested", nest.0);
        }
    }

    #[test]
    fn moderate_nesting_is_judged() {
        for nest in NESTS {
            assert_eq!(judged(nested(nest, 60)), Ok(1), "{}", nest.0);
        }
    }

    #[test]
    fn wide_texts_are_not_deep() {
        let numbers = vec!["1"; 20_000].join(", ");
        assert_eq!(judged(format!("SELECT * FROM t WHERE id IN ({numbers})")), Ok(1));
        let rows = vec!["(1, 'a''b', now())"; 5_000].join(", ");
        assert_eq!(judged(format!("INSERT INTO t VALUES {rows}")), Ok(1));
        let conditions = vec!["(a = 1 AND b <> 'x')"; 5_000].join(" OR ");
        assert_eq!(judged(format!("DELETE FROM t WHERE {conditions}")), Ok(1));
        let cases = vec!["WHEN a = 1 THEN 'x'"; 5_000].join(" ");
        assert_eq!(judged(format!("SELECT CASE {cases} END FROM t")), Ok(1));
        let statements = vec!["INSERT INTO t VALUES (1)"; 5_000].join(";");
        assert_eq!(judged(statements), Ok(5_000));
    }

    #[test]
    fn what_follows_a_bracket_wraps_it() {
        // Each level is shallow by itself; together they are not.
        let sql = format!("SELECT {}1{}", "(".repeat(700), format!("{})", "+1".repeat(200)).repeat(700));
        assert_eq!(check(&sql), Err(Refusal::TooDeep { depth_max: DEPTH_MAX }));
    }

    #[test]
    fn names_are_not_keywords() {
        let sql = format!("SELECT {}", vec!["t.case AS end, t.end AS case"; 2_000].join(", "));
        assert_eq!(judged(sql), Ok(1));
        let sql = format!("SELECT {}1{}", "CASE WHEN t.end THEN ".repeat(2_000), " END".repeat(2_000));
        assert_eq!(check(&sql), Err(Refusal::TooDeep { depth_max: DEPTH_MAX }));
    }

    #[test]
    fn a_long_text_is_not_read() {
        let sql = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(judged(sql.clone()), Err(Refusal::TooLong { bytes: sql.len(), bytes_max: TEXT_BYTES_MAX }));
        let sql = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX - 9));
        assert_eq!(judged(sql), Ok(1));
    }
}
