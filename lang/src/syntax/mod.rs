//! Policy text to a typed tree, and back to formatted text.
//!
//! Every mistake of a file is reported at once, and the tree of what could be read is returned beside them.
//! Nothing outside this folder knows how KDL is written, and nothing in it knows what a name refers to.

pub mod ast;
pub mod keyword;
pub mod schema;
