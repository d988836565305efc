//! A session's recording from the gateway into a folder that goes when the command ends.
//!
//! The archive comes from afar: only plain files with the names of segments are taken from it, and only into the
//! folder that was made for them.

use super::connect::{Api, Connect, Failure};
use crate::core::id::SessionId;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// A downloaded recording; dropping it removes the files.
#[derive(Debug)]
pub struct Downloaded {
    folder: PathBuf,
    session: SessionId,
}

impl Downloaded {
    /// The recording's folder, named as its session.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.session.as_str())
    }
}

impl Drop for Downloaded {
    fn drop(&mut self) {
        // What cannot be removed stays private to its user.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The session that a command's argument names, when its recording must be fetched: it is no path, and no folder of
/// recordings was given.
pub fn remote(argument: &str, recordings: Option<&Path>) -> Option<SessionId> {
    if recordings.is_some() { None } else { SessionId::parse(argument) }
}

/// Fetches a recording.
///
/// # Errors
/// When the gateway refuses or does not answer, or the files cannot be written.
pub async fn recording(connect: &Connect, session: &SessionId) -> Result<Downloaded, Failure> {
    let api = Api::ready(connect).await?;
    let mut response = api.stream(&["v1", "sessions", session.as_str(), "recording"]).await?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
    let folder = std::env::temp_dir().join(format!("leasehold-{:016x}", u64::from_be_bytes(random)));
    let io = |error: std::io::Error| Failure::Unavailable(format!("cannot write {}: {error}", folder.display()));
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder.create(&folder).map_err(io)?;
    let downloaded = Downloaded { folder: folder.clone(), session: session.clone() };
    builder.create(downloaded.path()).map_err(io)?;
    let mut archive = Unpack::new(&downloaded);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => archive.feed(&chunk).map_err(io)?,
            Ok(None) => break,
            Err(_) => return Err(Failure::Unavailable("the connection to the gateway broke; try again".to_owned())),
        }
    }
    archive.end().map_err(io)?;
    Ok(downloaded)
}

#[derive(Debug)]
enum Step {
    Head,
    File { file: File, left: u64, padding: usize },
    Padding(usize),
    End,
}

/// Reads an archive piece by piece.
#[derive(Debug)]
struct Unpack<'a> {
    to: &'a Downloaded,
    step: Step,
    head: Vec<u8>,
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("the gateway's archive is malformed: {what}"))
}

impl<'a> Unpack<'a> {
    fn new(to: &'a Downloaded) -> Self {
        Self { to, step: Step::Head, head: Vec::new() }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let used = match &mut self.step {
                Step::Head => {
                    let take = (BLOCK - self.head.len()).min(bytes.len());
                    self.head.extend(bytes.iter().take(take));
                    if self.head.len() == BLOCK {
                        self.step = self.entry()?;
                        self.head.clear();
                    }
                    take
                }
                Step::File { file, left, padding } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    file.write_all(bytes.get(..take).unwrap_or_default())?;
                    *left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
                    if *left == 0 {
                        self.step = if *padding == 0 { Step::Head } else { Step::Padding(*padding) };
                    }
                    take
                }
                Step::Padding(left) => {
                    let take = (*left).min(bytes.len());
                    *left -= take;
                    if *left == 0 {
                        self.step = Step::Head;
                    }
                    take
                }
                Step::End => bytes.len(),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// What the header block that was read begins.
    fn entry(&self) -> std::io::Result<Step> {
        if self.head.iter().all(|byte| *byte == 0) {
            return Ok(Step::End);
        }
        let text = |from: usize, length: usize| {
            let field = self.head.get(from..from + length).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            std::str::from_utf8(field.get(..end).unwrap_or_default()).map_err(|_| malformed("a field is no text"))
        };
        let plain = matches!(self.head.get(156), Some(b'0' | 0));
        let name = text(0, 100)?
            .strip_prefix(self.to.session.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|name| plain && is_segment(name))
            .ok_or_else(|| malformed("it holds something else than segments"))?;
        let length = u64::from_str_radix(text(124, 12)?.trim(), 8).map_err(|_| malformed("a length is no number"))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.to.path().join(name))?;
        let over = usize::try_from(length % 512).unwrap_or(0);
        let padding = (BLOCK - over) % BLOCK;
        Ok(if length == 0 { Step::Head } else { Step::File { file, left: length, padding } })
    }

    fn end(self) -> std::io::Result<()> {
        match self.step {
            Step::End => Ok(()),
            Step::Head | Step::File { .. } | Step::Padding(_) => Err(malformed("it ends too early")),
        }
    }
}

/// `000001.rec` or `000001.rec.zst`.
fn is_segment(name: &str) -> bool {
    let number = name.strip_suffix(".rec.zst").or_else(|| name.strip_suffix(".rec"));
    number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, length: usize, kind: u8) -> Vec<u8> {
        let mut block = vec![0_u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{length:011o}").as_bytes());
        block[156] = kind;
        block
    }

    fn unpack(archive: &[u8], step: usize) -> (std::io::Result<()>, Downloaded) {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).unwrap();
        let folder = std::env::temp_dir().join(format!("leasehold-unpack-{:016x}", u64::from_be_bytes(random)));
        let downloaded = Downloaded { folder, session: SessionId::from_random([3; 10]) };
        std::fs::create_dir_all(downloaded.path()).unwrap();
        let mut unpack = Unpack::new(&downloaded);
        let fed = archive.chunks(step).try_for_each(|piece| unpack.feed(piece));
        (fed.and_then(|()| unpack.end()), downloaded)
    }

    #[test]
    fn segments_are_unpacked_whatever_the_pieces() {
        let session = SessionId::from_random([3; 10]);
        let mut archive = block(&format!("{session}/000000.rec"), 600, b'0');
        archive.extend(vec![7; 600]);
        archive.extend(vec![0; 424]);
        archive.extend(block(&format!("{session}/000001.rec.zst"), 512, b'0'));
        archive.extend(vec![9; 512]);
        archive.extend(block(&format!("{session}/000002.rec"), 0, b'0'));
        archive.extend(vec![0; 1024]);
        for step in [1, 7, 512, 10_000] {
            let (result, downloaded) = unpack(&archive, step);
            result.unwrap();
            assert_eq!(std::fs::read(downloaded.path().join("000000.rec")).unwrap(), vec![7; 600]);
            assert_eq!(std::fs::read(downloaded.path().join("000001.rec.zst")).unwrap(), vec![9; 512]);
            assert_eq!(std::fs::read(downloaded.path().join("000002.rec")).unwrap(), Vec::<u8>::new());
        }
        assert!(unpack(&archive[..900], 512).0.is_err(), "cut in a file");
        assert!(unpack(&archive[..1536], 512).0.is_err(), "cut between files");
    }

    #[test]
    fn hostile_names_and_kinds_are_refused() {
        let session = SessionId::from_random([3; 10]);
        for (name, kind) in [
            ("000000.rec".to_owned(), b'0'),
            (format!("{session}/../000000.rec"), b'0'),
            (format!("{session}/a.rec"), b'0'),
            ("/etc/passwd".to_owned(), b'0'),
            (format!("{session}/000000.rec"), b'2'),
            (format!("{session}/000000.rec"), b'5'),
            (format!("{session}x/000000.rec"), b'0'),
        ] {
            let mut archive = block(&name, 0, kind);
            archive.extend(vec![0; 1024]);
            assert!(unpack(&archive, 512).0.is_err(), "{name} {kind}");
        }
        let mut twice = block(&format!("{session}/000000.rec"), 0, b'0');
        twice.extend(twice.clone());
        assert!(unpack(&twice, 512).0.is_err());
    }
}
