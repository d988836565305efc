//! Two sorted lists side by side.

use std::cmp::Ordering;

/// Every key of two lists that are sorted by it, in order, with what the one and the other say of it.
pub(super) fn beside<K: Ord + Copy, A: Copy, B: Copy>(
    left: &[(K, A)],
    right: &[(K, B)],
    mut see: impl FnMut(K, Option<A>, Option<B>),
) {
    let (mut left, mut right) = (left.iter().copied().peekable(), right.iter().copied().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let one = if order.is_le() { left.next() } else { None };
        let other = if order.is_ge() { right.next() } else { None };
        if let Some(key) = one.map(|(key, _)| key).or_else(|| other.map(|(key, _)| key)) {
            see(key, one.map(|(_, value)| value), other.map(|(_, value)| value));
        }
    }
}
