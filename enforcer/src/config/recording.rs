//! The `recording` block: where and how sessions are recorded, who may read them, and where they are archived.

use super::Recording;
use super::document::Node;
use super::read::{Given, Reader, key_file};
use crate::recording::age::Recipient;
use crate::recording::archive::store::{Kind, Place};
use crate::recording::{Durability, archive, transit};
use std::path::Path;

const FREE_BYTES_MIN: u64 = 1 << 30;
const ARCHIVE: &[&str] = &["region", "endpoint", "access-key", "account", "secret", "keep-local"];

impl Reader<'_> {
    pub(super) fn recording(&mut self, node: Option<Node<'_>>, state: Option<&Path>) -> Option<Recording> {
        let mut nodes = Vec::new();
        if let Some(node) = node {
            let [] = node.arguments([], self.findings);
            let [] = node.properties([], self.findings);
            let known = ["folder", "signing-key", "durability", "free-min", "quota", "keep", "archive", "key-service"];
            nodes = node.children(&known, &["encrypt-to"], self.findings);
        }
        let recipients = self.recipients(&nodes);
        let archive = nodes.iter().copied().find(|node| node.name() == "archive").map(|node| self.archive(node));
        let clause = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let service = clause("key-service").map(|node| self.key_service(node));
        if let Some(node) = clause("key-service").filter(|_| clause("encrypt-to").is_some()) {
            let help = "keep `encrypt-to` or `key-service`";
            self.findings.error(node.place(), "a recording's key is wrapped by one of the two", help);
        }
        let mut given = |name: &str| self.given(clause(name));
        let (folder, key) = (given("folder"), given("signing-key"));
        let (durability, free) = (given("durability"), given("free-min"));
        let (quota, keep) = (given("quota"), given("keep"));
        let folder = folder.and_then(|value| value.path(self.base, self.findings));
        let key = key.and_then(|value| self.secret_file(&value));
        let durability = durability.and_then(|value| {
            let word = value.text(self.findings)?;
            let parsed = Durability::parse(&word);
            if parsed.is_none() {
                let message = format!("`{word}` is no durability");
                self.findings.error(value.place.clone(), message, "write `process` or `disk`");
            }
            parsed
        });
        let free = free.and_then(|value| value.bytes(self.findings));
        let quota = quota.and_then(|value| value.bytes(self.findings));
        let keep = keep.and_then(|value| value.duration(self.findings));
        let state = state?;
        Some(Recording {
            folder: folder.or(|| state.join("recordings"))?,
            signing_key: key_file(key, state, "recording.key")?,
            durability: durability.or(|| Durability::Process)?,
            free_bytes_min: free.or(|| FREE_BYTES_MIN)?,
            quota_bytes: quota.map(Some).or(|| None)?,
            recipients: recipients?,
            keep: keep.map(Some).or(|| None)?,
            key_service: match service {
                Some(read) => Some(read?),
                None => None,
            },
            archive: match archive {
                Some(read) => Some(read?),
                None => None,
            },
        })
    }

    /// Who may read recordings; `None` when one of them is no recipient.
    fn recipients(&mut self, nodes: &[Node<'_>]) -> Option<Vec<Recipient>> {
        let stated = nodes.iter().copied().filter(|node| node.name() == "encrypt-to");
        let mut all = Some(Vec::new());
        for node in stated {
            let Given::Value(value) = self.given(Some(node)) else {
                all = None;
                continue;
            };
            let parsed = value.text(self.findings).map(|text| Recipient::parse(&text));
            match parsed {
                Some(Ok(recipient)) => {
                    if let Some(all) = &mut all {
                        all.push(recipient);
                    }
                }
                Some(Err(error)) => {
                    self.findings.error(value.place.clone(), error.to_string(), "`age-keygen` makes a pair of keys");
                    all = None;
                }
                None => all = None,
            }
        }
        all
    }

    /// `archive "s3://BUCKET/PREFIX" { … }`
    fn archive(&mut self, node: Node<'_>) -> Option<archive::Settings> {
        let [] = node.properties([], self.findings);
        let [location] = node.arguments(["an address"], self.findings);
        let nodes = node.children(ARCHIVE, &[], self.findings);
        let clause = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let mut given = |name: &str| self.given(clause(name));
        let (region, endpoint) = (given("region"), given("endpoint"));
        let (access_key, account) = (given("access-key"), given("account"));
        let (secret, keep_local) = (given("secret"), given("keep-local"));
        let region = region.and_then(|value| value.text(self.findings)).map(Some).or(|| None);
        let endpoint = endpoint.and_then(|value| value.web_url(self.findings)).map(Some).or(|| None);
        let access_key = access_key.and_then(|value| value.text(self.findings)).map(Some).or(|| None);
        let account = account.and_then(|value| value.text(self.findings)).map(Some).or(|| None);
        let secret = secret.and_then(|value| self.secret_file(&value)).map(Some).or(|| None);
        let keep_local = keep_local.and_then(|value| value.duration(self.findings)).map(Some).or(|| None);
        let location = location?;
        let text = location.text(self.findings)?;
        let Some(place) = Place::parse(&text) else {
            let help = "write \"s3://BUCKET/PREFIX\", \"azure://CONTAINER/PREFIX\" or \"file:///FOLDER\"";
            self.findings.error(location.place, format!("`{text}` is no archive"), help);
            return None;
        };
        let (region, access_key, account, secret) = (region?, access_key?, account?, secret?);
        let (kind, named) = match place.kind {
            Kind::S3 { bucket, .. } => {
                self.not_here(&nodes, &["account"], "S3");
                (Kind::S3 { bucket, region }, access_key)
            }
            Kind::Azure { container } => {
                self.not_here(&nodes, &["region", "access-key"], "Azure");
                if account.is_none() {
                    self.findings.error(node.place(), "an Azure archive needs `account`", "write `account \"…\"`");
                }
                (Kind::Azure { container }, account)
            }
            Kind::Folder(folder) => {
                self.not_here(&nodes, &["region", "access-key", "account", "secret", "endpoint"], "a folder");
                (Kind::Folder(folder), None)
            }
        };
        if matches!(kind, Kind::S3 { .. }) && named.is_some() != secret.is_some() {
            let help = "leave both out to use the machine's own identity";
            self.findings.error(node.place(), "`access-key` and `secret` belong together", help);
        }
        let keep_local_ms = keep_local?.map(|keep| u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        let place = Place { kind, prefix: place.prefix, endpoint: endpoint?, account: named, secret };
        Some(archive::Settings { place, keep_local_ms })
    }

    /// `key-service "https://vault.acme.example" { key "transit/NAME"; token (file)"…"; }`
    fn key_service(&mut self, node: Node<'_>) -> Option<transit::Settings> {
        let [] = node.properties([], self.findings);
        let [address] = node.arguments(["an address"], self.findings);
        let nodes = node.children(&["key", "token"], &[], self.findings);
        let clause = |name: &str| nodes.iter().copied().find(|node| node.name() == name);
        let key = self.needed(node, clause("key"), "key \"transit/recordings\"");
        let token = self.needed(node, clause("token"), "token (file)\"/path\"");
        let token = token.and_then(|value| self.secret_file(&value));
        let path = key.and_then(|value| {
            let text = value.text(self.findings)?;
            let split = text.rsplit_once('/').map(|(mount, key)| (mount.to_owned(), key.to_owned()));
            let named = split.filter(|(mount, key)| mount.split('/').chain([key.as_str()]).all(transit::is_name));
            if named.is_none() {
                let help = "write the mount of the transit engine and the key's name: \"transit/recordings\"";
                self.findings.error(value.place, format!("`{text}` is no key of a transit engine"), help);
            }
            named
        });
        let address = address.and_then(|value| value.web_url(self.findings));
        let (mount, key) = path?;
        Some(transit::Settings { address: address?, mount, key, token: token? })
    }

    /// Reports clauses that another kind of archive has.
    fn not_here(&mut self, nodes: &[Node<'_>], names: &[&str], kind: &str) {
        for node in nodes.iter().filter(|node| names.contains(&node.name())) {
            self.findings.error(node.place(), format!("{kind} has no `{}`", node.name()), "remove it");
        }
    }
}
