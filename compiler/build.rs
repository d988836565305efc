//! Collects the pages of `src/errors/` into one table, so that a page is added by adding a file.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=src/errors");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src/errors");
    let mut pages: Vec<String> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    pages.sort();
    let mut table = String::from("&[\n");
    for page in pages {
        // Named from the crate's folder: a build directory serves more than one checkout.
        let file = format!("/src/errors/{page}.md");
        let _infallible =
            writeln!(table, "    ({page:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {file:?}))),");
    }
    table.push_str("]\n");
    let out = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("pages.rs");
    if let Err(error) = fs::write(&out, table) {
        println!("cargo:error=cannot write {}: {error}", out.display());
    }
}
