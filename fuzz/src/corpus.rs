//! The inputs that a search begins with: every policy text of the repository, whole, the bundles built from them, and
//! what a target makes by itself.

use crate::targets;
use std::{fs, io, path::Path};

/// What kind of seeds a target takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seeds {
    /// Policy texts.
    Texts,
    /// Bundles of the policies that compile.
    Bundles,
    /// What this makes of the repository.
    #[cfg(feature = "gateway")]
    Made(fn(&Path) -> io::Result<Vec<Vec<u8>>>),
}

/// The longest seed in bytes: short ones are changed faster.
const SEED_BYTES_MAX: u64 = 16 * 1024;

/// The seeds, in a stable order.
pub(crate) fn seeds(root: &Path, kind: Seeds) -> io::Result<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    for folder in ["fixtures/policy", "policies"] {
        collect(&root.join(folder), &mut texts)?;
    }
    Ok(match kind {
        Seeds::Texts => texts,
        Seeds::Bundles => texts.iter().filter_map(|text| targets::bundle_of(text)).collect(),
        #[cfg(feature = "gateway")]
        Seeds::Made(make) => make(root)?,
    })
}

fn collect(folder: &Path, out: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|extension| extension == "kdl")
            && entry.metadata()?.len() <= SEED_BYTES_MAX
        {
            out.push(fs::read(&path)?);
        }
    }
    Ok(())
}
