//! The bounds on one file, all checked before or while its tree is built. They hold for pull requests of strangers.

/// The largest file in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of blocks.
pub const DEPTH_MAX: usize = 32;
/// The most nodes of a file.
pub const NODES_MAX: usize = 60_000;
/// The most arguments and properties of a file.
pub const ENTRIES_MAX: usize = 200_000;
/// The most mistakes of one file that are shown.
pub const MISTAKES_MAX: usize = 200;
