//! Policy text to a typed tree, and back to formatted text.
//!
//! Every mistake of a file is reported at once, and the tree of what could be read is returned beside them.
//! Nothing outside this folder knows how KDL is written, and nothing in it knows what a name refers to.

pub mod ast;
pub mod keyword;
pub mod limits;
mod number;
pub mod print;
#[cfg(test)]
mod properties;
mod reader;
pub mod schema;
mod string;
#[cfg(test)]
mod tests;
mod token;
pub mod tree;
mod validate;
mod value;
mod yaml;

use crate::{
    diag::{Code, Diagnostic, Sink},
    span::{SourceId, SourceMap, Span},
};

/// Reads one file of a policy and reports everything that is wrong with its form.
///
/// The document holds what could be read, so that names it defines are known although another part is broken.
pub fn parse(source: SourceId, sources: &SourceMap, sink: &mut Sink) -> ast::Document {
    let text = sources.text(source);
    let mut tree = tree::read(source, text);
    yaml::report(&mut tree, sources);
    // One file never floods the others, and a hostile one costs no more than an honest one.
    let mut own = Sink::limited(limits::MISTAKES_MAX);
    let mut document = validate::document(source, tree, &mut own);
    if own.is_full() {
        let message = format!("the file has {} mistakes or more, and the rest is not shown", limits::MISTAKES_MAX);
        sink.push(Diagnostic::new(Code::P0008, Span::point(source, 0), message));
        document.broken = true;
    }
    sink.absorb(own);
    document
}

/// A text as a quoted string of KDL.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if token::is_disallowed(c) || token::is_newline(c) => {
                out.extend(["\\u{", format!("{:x}", u32::from(c)).as_str(), "}"]);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text as a bare word where KDL permits it, else as a quoted string.
pub fn word_or_quote(text: &str) -> String {
    let reserved = matches!(text, "true" | "false" | "null" | "inf" | "-inf" | "nan");
    let bare = !text.is_empty()
        && !reserved
        && !number::looks_like_number(text)
        && text.chars().all(|c| token::is_word(c) && !token::is_disallowed(c));
    if bare { text.to_owned() } else { quote(text) }
}
