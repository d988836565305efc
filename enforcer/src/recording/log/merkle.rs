//! The Merkle tree of the log, as RFC 6962 defines it, kept as the hashes of its complete subtrees.

use aws_lc_rs::digest::{Context, SHA256};

/// A hash of the tree.
pub type Hash = [u8; 32];

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// The tree of all leaves so far.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// Complete subtrees from the left, with their heights: at most one of each height.
    peaks: Vec<(u32, Hash)>,
}

impl Tree {
    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut height = 0;
        let mut node = hash(&[&[0], leaf]);
        while let Some((_, left)) = self.peaks.pop_if(|(other, _)| *other == height) {
            node = hash(&[&[1], &left, &node]);
            height += 1;
        }
        self.peaks.push((height, node));
        self.size += 1;
    }

    /// The hash of the whole.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, peak)| *peak);
        let Some(last) = peaks.next() else { return hash(&[]) };
        peaks.fold(last, |right, left| hash(&[&[1], &left, &right]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn slow(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => hash(&[]),
            [one] => hash(&[&[0], one]),
            many => {
                let split = 1 << (usize::BITS - 1 - (many.len() - 1).leading_zeros());
                hash(&[&[1], &slow(&many[..split]), &slow(&many[split..])])
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962() {
        let mut tree = Tree::default();
        let mut leaves: Vec<Vec<u8>> = Vec::new();
        for number in 0..70_u8 {
            assert_eq!(tree.root(), slow(&leaves));
            tree.push(&[number, 7]);
            leaves.push(vec![number, 7]);
        }
        assert_eq!(tree.size(), 70);
        // A published vector: the empty tree.
        let empty = crate::recording::key::hexadecimal(&Tree::default().root());
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
