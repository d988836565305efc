//! Single values of a configuration: texts, lengths of time, sizes, addresses, paths, references to secrets.

use super::document::Value;
use super::mistake::Findings;
use kdl::KdlValue;
use lang::time::Ttl;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

impl Value<'_> {
    /// A text without an annotation.
    pub(super) fn text(&self, findings: &mut Findings) -> Option<String> {
        if self.annotation.is_some() {
            findings.error(self.place.clone(), "this value takes no annotation", "remove the parentheses");
            return None;
        }
        self.bare_text(findings)
    }

    fn bare_text(&self, findings: &mut Findings) -> Option<String> {
        match self.stated {
            KdlValue::String(text) if !text.is_empty() && !text.chars().any(char::is_control) => Some(text.clone()),
            KdlValue::String(_) => {
                findings.error(self.place.clone(), "the text is empty or holds control characters", "");
                None
            }
            KdlValue::Integer(_) | KdlValue::Float(_) | KdlValue::Bool(_) | KdlValue::Null => {
                findings.error(self.place.clone(), "a text is needed here", "write it in quotes");
                None
            }
        }
    }

    /// The file that holds a secret: `(file)"path"`. A secret itself never stands in a configuration.
    pub(super) fn secret_file(&self, base: &Path, findings: &mut Findings) -> Option<PathBuf> {
        match self.annotation {
            Some("file") => self.bare_text(findings).map(|path| base.join(path)),
            Some(other) => {
                let message = format!("this version reads secrets from files, not from `({other})`");
                findings.error(self.place.clone(), message, "write `(file)\"/path\"`");
                None
            }
            None => {
                let message = "a secret never stands in the configuration";
                findings.error(self.place.clone(), message, "write `(file)\"/path\"` of a file that holds it");
                None
            }
        }
    }

    pub(super) fn path(&self, base: &Path, findings: &mut Findings) -> Option<PathBuf> {
        self.text(findings).map(|path| base.join(path))
    }

    pub(super) fn duration(&self, findings: &mut Findings) -> Option<Duration> {
        let text = self.text(findings)?;
        match Ttl::parse(&text) {
            Ok(ttl) if ttl > Ttl::ZERO => Some(ttl.to_std()),
            Ok(_) => {
                findings.error(self.place.clone(), "no time at all is no bound", "write for example \"5s\"");
                None
            }
            Err(error) => {
                findings.error(self.place.clone(), error.to_string(), "");
                None
            }
        }
    }

    /// A number of bytes: `"2GiB"`, `"64KiB"`, or a whole number.
    pub(super) fn bytes(&self, findings: &mut Findings) -> Option<u64> {
        let parsed = match self.stated {
            KdlValue::String(text) => parse_bytes(text),
            KdlValue::Integer(number) => u64::try_from(*number).ok(),
            KdlValue::Float(_) | KdlValue::Bool(_) | KdlValue::Null => None,
        };
        if parsed.is_none() || self.annotation.is_some() {
            findings.error(self.place.clone(), "this is not a size", "write for example \"2GiB\", \"64KiB\" or 4096");
            return None;
        }
        parsed
    }

    pub(super) fn number(&self, findings: &mut Findings) -> Option<u64> {
        match self.stated {
            KdlValue::Integer(number) if self.annotation.is_none() && u64::try_from(*number).is_ok() => {
                u64::try_from(*number).ok()
            }
            KdlValue::Integer(_) | KdlValue::String(_) | KdlValue::Float(_) | KdlValue::Bool(_) | KdlValue::Null => {
                findings.error(self.place.clone(), "a whole number is needed here", "");
                None
            }
        }
    }

    pub(super) fn address(&self, findings: &mut Findings) -> Option<SocketAddr> {
        let text = self.text(findings)?;
        let address = text.parse().ok();
        if address.is_none() {
            let help = "write an IP address and a port, for example \"127.0.0.1:5432\" or \"[::]:5432\"";
            findings.error(self.place.clone(), format!("`{text}` is not an address to listen on"), help);
        }
        address
    }

    /// A URL that people and programs may be sent to: HTTPS, or plain HTTP on this machine.
    pub(super) fn web_url(&self, findings: &mut Findings) -> Option<String> {
        let text = self.text(findings)?;
        let refuse = |findings: &mut Findings, message: &str, help: &str| {
            findings.error(self.place.clone(), message, help);
            None
        };
        let Ok(url) = reqwest::Url::parse(&text) else {
            return refuse(findings, "this is not a URL", "write for example \"https://access.acme.example\"");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(findings, "a secret never stands in the configuration", "remove the user and password");
        }
        let local = url.host_str().is_some_and(is_loopback_host);
        match url.scheme() {
            "https" => Some(text.trim_end_matches('/').to_owned()),
            "http" if local => Some(text.trim_end_matches('/').to_owned()),
            _ => refuse(findings, "only https, or http on this machine, is used", "write an https URL"),
        }
    }
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether a path stays within the folder it is relative to.
pub(super) fn stays_within(path: &Path) -> bool {
    path.components().all(|part| match part {
        Component::Normal(_) | Component::CurDir => true,
        Component::Prefix(_) | Component::RootDir | Component::ParentDir => false,
    })
}

/// Whether git takes the text for a branch and nothing else.
pub(super) fn is_branch(name: &str) -> bool {
    git2::Reference::is_valid_name(&format!("refs/heads/{name}")) && !name.starts_with('-') && name != "HEAD"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("2GiB", 2 << 30), ("64 KiB", 64 << 10), ("1B", 1)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "GiB", "2GB", "2gib", "-1", "1.5GiB", "99999999999TiB", "ä"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn branches_and_folders_are_what_they_seem() {
        for name in ["main", "release/1.0"] {
            assert!(is_branch(name), "{name}");
        }
        for name in ["", "-x", "a..b", "a b", "HEAD", "a:b", "a~1", "@{u}"] {
            assert!(!is_branch(name), "{name}");
        }
        assert!(stays_within(Path::new(".")) && stays_within(Path::new("a/b")));
        assert!(!stays_within(Path::new("/a")) && !stays_within(Path::new("a/../..")));
    }
}
