//! The record of activations: which commit was in force from when, on which gateway, and what it changed.

use super::Access;
use super::list::{LIMIT_MAX, Listed, cut};
use super::refusal::{Because, Refused};
use crate::core::active::Active;
use crate::core::identity::Identity;
use crate::store::Bundle;
use lang::program::rules::{Operator, Rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Activations that wait to be written down.
pub const WAITING_MAX: usize = 256;
/// Between two attempts to write one down.
const AGAIN: Duration = Duration::from_secs(1);
/// Changed rules that a summary names.
const NAMED_MAX: usize = 40;

/// A policy that came into force, with the one before it.
#[derive(Clone, Debug)]
pub struct Activation {
    /// What this process served before; none for its first.
    pub before: Option<Arc<Active>>,
    /// What it serves now.
    pub active: Arc<Active>,
}

/// Says what an activation changed for people, one sentence each.
pub type Difference = fn(&Activation) -> Vec<String>;

impl Access {
    /// Writes an activation down, with the audit event and what it changed for people. A restart onto the same commit
    /// is none.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn note_activation(&self, activation: &Activation, access: &[String]) -> Result<bool, Refused> {
        let active = &activation.active;
        let before = activation.before.as_ref().map(|before| before.program.rules());
        let bundle = Bundle {
            digest: active.digest.clone(),
            commit: active.commit.clone(),
            committed_at: active.committed_at,
            activated_at: active.activated_at,
            gateway: self.0.gateway.clone(),
            previous: None,
            summary: before.map(|before| summary(before, active.program.rules())).unwrap_or_default(),
            access: access.to_vec(),
        };
        Ok(self.0.store.bundle_activated(bundle).await?)
    }

    /// Writes down what comes, in order, until nothing more can come; a state that does not answer is asked again.
    /// `difference` says what an activation changed for people.
    pub async fn keep_journal(self, mut activations: mpsc::Receiver<Activation>, difference: Difference) {
        while let Some(activation) = activations.recv().await {
            let compared = activation.clone();
            let access = tokio::task::spawn_blocking(move || difference(&compared)).await.unwrap_or_else(|error| {
                tracing::error!(commit = activation.active.commit, %error, "an activation could not be compared");
                vec!["the difference could not be computed; compare with `leaseholdc diff`".to_owned()]
            });
            while let Err(error) = self.note_activation(&activation, &access).await {
                tracing::error!(commit = activation.active.commit, %error, "an activation could not be written down");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// The activations, newest first.
    ///
    /// # Errors
    /// When no `operate … policy` rule names the caller, or the state cannot be read.
    pub async fn activations(
        &self,
        identity: &Identity,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Listed<Bundle>, Refused> {
        let caller = self.caller(identity)?;
        if caller.connections(&[Operator::Policy]).is_empty() {
            let sentence = "no `operate` rule lets you see the history of the policy";
            return Err(Refused::Forbidden(Because::plain(sentence)));
        }
        let limit = limit.clamp(1, LIMIT_MAX);
        let rows = self.0.store.bundles(before, limit.saturating_add(1)).await?;
        let Listed { items, next } = cut(rows, limit, |(number, _)| number.to_string());
        Ok(Listed { items: items.into_iter().map(|(_, bundle)| bundle).collect(), next })
    }

    /// The commit that this gateway served before the one in force.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn previous_commit(&self, commit: &str) -> Result<Option<String>, Refused> {
        let recent = self.0.store.bundles(None, LIMIT_MAX).await?;
        let ours = recent
            .into_iter()
            .map(|(_, bundle)| bundle)
            .find(|bundle| bundle.gateway == self.0.gateway && bundle.commit == commit);
        Ok(ours.and_then(|bundle| bundle.previous))
    }
}

/// Rules by kind and name, as one text each.
fn table(rules: &Rules) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut put = |kind: &str, name: &str, text: serde_json::Result<String>| {
        all.insert(format!("{kind} {name}"), text.unwrap_or_default());
    };
    rules.idps.iter().for_each(|rule| put("idp", &rule.name, serde_json::to_string(rule)));
    rules.groups.iter().for_each(|rule| put("group", &rule.name, serde_json::to_string(rule)));
    rules.connections.iter().for_each(|rule| put("connection", &rule.name, serde_json::to_string(rule)));
    rules.limits.iter().for_each(|rule| put("limits", &rule.name, serde_json::to_string(rule)));
    rules.masks.iter().for_each(|rule| put("mask", &rule.name, serde_json::to_string(rule)));
    rules.guards.iter().for_each(|rule| put("guard", &rule.name, serde_json::to_string(rule)));
    rules.approvals.iter().for_each(|rule| put("approval", &rule.name, serde_json::to_string(rule)));
    rules.forbids.iter().for_each(|rule| put("forbid", &rule.name, serde_json::to_string(rule)));
    rules.operators.iter().for_each(|rule| put("operate", &rule.name, serde_json::to_string(rule)));
    for grant in &rules.grants {
        let kind = if grant.break_glass.is_some() { "break-glass" } else { "grant" };
        put(kind, &grant.id, serde_json::to_string(grant));
    }
    all
}

/// Which rules came, went and changed, one a line: `+ grant x`, `- forbid y`, `~ group z`.
fn summary(before: &Rules, after: &Rules) -> String {
    let (before, after) = (table(before), table(after));
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("- {name}"));
    let come = after.iter().filter_map(|(name, text)| match before.get(name) {
        None => Some(format!("+ {name}")),
        Some(old) if old != text => Some(format!("~ {name}")),
        Some(_) => None,
    });
    let mut lines: Vec<String> = gone.chain(come).collect();
    if lines.len() > NAMED_MAX {
        let more = lines.len() - NAMED_MAX;
        lines.truncate(NAMED_MAX);
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}
