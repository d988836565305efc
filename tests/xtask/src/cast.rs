//! The people and programs of the example policies. Their object ids are made up; their groups are those of
//! `policies/identity/entra.kdl`.

use serde_json::{Value, json};

/// Somebody who can have a token.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// The name in the token.
    pub name: &'static str,
    /// The directory's object id.
    pub oid: &'static str,
    /// `human`, `service` or `agent`.
    pub kind: &'static str,
    /// Object ids of groups.
    pub groups: &'static [&'static str],
}

impl Person {
    /// What the identity provider is asked for.
    pub fn claims(&self) -> Value {
        json!({ "oid": self.oid, "kind": self.kind, "groups": self.groups, "name": self.name })
    }

    /// The same person in other groups.
    #[must_use]
    pub const fn within(self, groups: &'static [&'static str]) -> Self {
        Self { groups, ..self }
    }
}

const TRIAGE_AGENTS: &str = "8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10";
const CODING_AGENTS: &str = "0c5b63aa-0d8b-4a3e-8d3e-5b1f3a1f9e21";
const PAYMENTS_DEV: &str = "b3f0a9d2-5a3c-4c44-9b8b-0e0d7a1c2f33";
const PAYMENTS_LEADS: &str = "f1c2d3e4-a5b6-4c7d-8e9f-101112131415";
const SECURITY: &str = "5e5e5e5e-1111-4222-8333-444455556666";
const SRE_ONCALL: &str = "3a6b9c12-8d7e-4f60-b1a2-c3d4e5f60718";
const CI_RUNNERS: &str = "d00dfeed-3333-4444-8555-666677778888";

/// An AI agent that looks into incidents.
pub const TRIAGE: Person =
    Person { name: "triage-bot", oid: "a0000000-0000-4000-8000-000000000001", kind: "agent", groups: &[TRIAGE_AGENTS] };
/// An AI agent that writes code.
pub const CODER: Person =
    Person { name: "coding-bot", oid: "a0000000-0000-4000-8000-000000000002", kind: "agent", groups: &[CODING_AGENTS] };
/// A developer of the payments team.
pub const PAULA: Person = Person {
    name: "Paula Payments",
    oid: "b0000000-0000-4000-8000-000000000001",
    kind: "human",
    groups: &[PAYMENTS_DEV],
};
/// Another developer of the payments team.
pub const PIET: Person = Person {
    name: "Piet Payments",
    oid: "b0000000-0000-4000-8000-000000000002",
    kind: "human",
    groups: &[PAYMENTS_DEV],
};
/// A lead of the payments team.
pub const LENA: Person =
    Person { name: "Lena Lead", oid: "b0000000-0000-4000-8000-000000000003", kind: "human", groups: &[PAYMENTS_LEADS] };
/// A security engineer.
pub const SAM: Person =
    Person { name: "Sam Security", oid: "b0000000-0000-4000-8000-000000000004", kind: "human", groups: &[SECURITY] };
/// An engineer on call.
pub const OTTO: Person =
    Person { name: "Otto Oncall", oid: "b0000000-0000-4000-8000-000000000005", kind: "human", groups: &[SRE_ONCALL] };
/// The release pipeline.
pub const PIPELINE: Person = Person {
    name: "release-pipeline",
    oid: "c0000000-0000-4000-8000-000000000001",
    kind: "service",
    groups: &[CI_RUNNERS],
};
