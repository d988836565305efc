//! How an input becomes the next one: a few small changes, drawn from a generator that a seed determines.

/// The longest input in bytes.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Pieces that parsers stumble over.
const PIECES: [&[u8]; 44] = [
    b"{",
    b"}",
    b"(",
    b")",
    b"\"",
    b"\\",
    b";",
    b"=",
    b"/-",
    b"//",
    b"/*",
    b"*/",
    b"\"\"\"",
    b"#\"",
    b"\"#",
    b"##\"",
    b"\n",
    b"\r\n",
    b"\\\n",
    b"\xEF\xBB\xBF",
    b"\xC2\xA0",
    b"\xE2\x80\xA8",
    b"\xFF",
    b"\x00",
    b"\x7F",
    b"15m",
    b"-1",
    b"0x",
    b"1e9",
    b"#true",
    b"#inf",
    b"null",
    b"(uuid)",
    b"(regex)",
    b"group:",
    b"team:",
    b"\\u{10FFFF}",
    b"\\u{}",
    b"to:",
    b"- item",
    b"all-of",
    b"*",
    b"\xE2\x80\xAE",
    b"{{{{{{{{{{{{{{{{",
];

/// A small generator (SplitMix64): equal seeds give equal runs on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero for no bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let number = usize::try_from(self.next() >> 1).unwrap_or(usize::MAX);
        number.checked_rem(bound).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// The next input.
pub(crate) fn next(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=rng.below(6) {
        change(&mut input, corpus, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(input.len() + 1);
    let end = (at + rng.below(64)).min(input.len());
    match rng.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => input.insert(at, u8::try_from(rng.below(256)).unwrap_or(0)),
        2 | 3 => {
            let piece = rng.pick(&PIECES).copied().unwrap_or_default();
            input.splice(at..at, piece.iter().copied());
        }
        4 => {
            input.drain(at..end);
        }
        5 => {
            let copy: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
            for _ in 0..=rng.below(40) {
                input.splice(at..at, copy.iter().copied());
            }
        }
        6 => {
            // A stretch of another input, at a line where there is one.
            let other = rng.pick(corpus).map(Vec::as_slice).unwrap_or_default();
            let from = rng.below(other.len() + 1);
            let until = (from + rng.below(512)).min(other.len());
            input.splice(at..end, other.get(from..until).unwrap_or_default().iter().copied());
        }
        7 => swap_lines(input, rng),
        _ => input.truncate(at),
    }
}

fn swap_lines(input: &mut Vec<u8>, rng: &mut Rng) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (a, b) = (rng.below(lines.len()), rng.below(lines.len()));
    if a < lines.len() && b < lines.len() {
        lines.swap(a, b);
    }
    *input = lines.concat();
}
