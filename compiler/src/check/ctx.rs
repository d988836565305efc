//! What every check may ask: the resolved policy, its text, and what follows from nesting and kinds.

use super::{Page, beside::Beside};
use crate::{
    analyze::estate::Estate,
    kept::{Key, Memos},
    parallel,
};
use lang::{
    model::{ConnectionId, Grant, GrantId, GroupId, Head, Limits, Policy, Principal, TeamId, To},
    program::{Program, SubjectKind},
    span::{SourceMap, Span},
    syntax::ast::{Document, Node},
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

/// The input of all checks.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The resolved policy.
    pub policy: &'a Policy,
    /// The typed trees, for rules about text.
    pub documents: &'a [Arc<Document>],
    /// The texts.
    pub sources: &'a SourceMap,
    /// The instant that counts as now.
    pub at: Timestamp,
    /// The policy as tables, when names and values are right.
    pub program: Option<&'a Program>,
    /// What stands beside the policy.
    pub beside: Beside,
    /// How many threads one check may take.
    pub threads: usize,
    /// What the last compilation found, by what it followed from.
    pub(super) memos: Option<&'a Memos>,
    pages: OnceLock<Vec<Arc<Page>>>,
    closures: Vec<BTreeSet<GroupId>>,
    estate: OnceLock<Estate<'a>>,
    /// For each group, what holds it: itself and everything that nests in it.
    holders: Vec<Vec<GroupId>>,
    folders: BTreeMap<&'a str, TeamId>,
    grants_on: BTreeMap<ConnectionId, Vec<GrantId>>,
}

impl<'a> Ctx<'a> {
    /// Prepares the questions that checks ask.
    pub fn new(policy: &'a Policy, documents: &'a [Arc<Document>], sources: &'a SourceMap, at: Timestamp) -> Self {
        let closures: Vec<BTreeSet<GroupId>> = policy.group_ids().map(|(id, _)| closure(policy, id)).collect();
        let mut holders = vec![Vec::new(); closures.len()];
        for ((id, _), closure) in policy.group_ids().zip(&closures) {
            for held in closure {
                if let Some(holders) = holders.get_mut(held.index()) {
                    holders.push(id);
                }
            }
        }
        let mut folders = BTreeMap::new();
        for (id, team) in policy.team_ids() {
            if let Some(folder) = &team.folder {
                folders.entry(folder.value.as_str()).or_insert(id);
            }
        }
        let mut grants_on: BTreeMap<ConnectionId, Vec<GrantId>> = BTreeMap::new();
        for (id, grant) in policy.grant_ids() {
            for connection in grant.connections() {
                grants_on.entry(connection).or_default().push(id);
            }
        }
        let (program, memos, beside, estate) = (None, None, Beside::default(), OnceLock::new());
        Self {
            policy,
            documents,
            sources,
            at,
            program,
            beside,
            threads: 1,
            memos,
            pages: OnceLock::new(),
            closures,
            estate,
            holders,
            folders,
            grants_on,
        }
    }

    /// The same with the policy's tables.
    #[must_use]
    pub fn with_program(mut self, program: Option<&'a Program>) -> Self {
        self.program = program;
        self
    }

    /// The same questions with what stands beside the policy.
    #[must_use]
    pub fn with_beside(mut self, beside: Beside) -> Self {
        self.beside = beside;
        self
    }

    /// The same questions with several threads for one check.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same questions with what was found before.
    #[must_use]
    pub(crate) fn with_memos(mut self, memos: Option<&'a Memos>) -> Self {
        self.memos = memos;
        self
    }

    /// What each file says by itself, in the order of the documents.
    pub(super) fn pages(&self) -> &[Arc<Page>] {
        self.pages.get_or_init(|| {
            parallel::map(self.documents, self.threads, |document| {
                let (path, text) = (self.sources.path(document.source), self.sources.text(document.source));
                let look = || Page::of(document, self.sources);
                match self.memos {
                    Some(memos) => {
                        memos.pages.recall(Key::of(&(document.source, path, text, document.nodes.len())), look)
                    }
                    None => Arc::new(look()),
                }
            })
        })
    }

    /// Every rule that could be read whole, with what it says, in the order of files and nodes.
    pub(super) fn rules_said(&self) -> impl Iterator<Item = (&'a Node, &str)> {
        let pages = self.documents.iter().zip(self.pages());
        let nodes = pages.flat_map(|(document, page)| document.nodes.iter().zip(&page.bodies));
        nodes.filter_map(|(node, body)| Some((node, body.as_deref()?)))
    }

    /// The policy under the exact analysis, from now on; `None` when it has no tables.
    pub fn estate(&self) -> Option<&Estate<'a>> {
        self.program.map(|program| self.estate.get_or_init(|| Estate::new(program, self.at)))
    }

    /// The groups that a member of this group holds: itself and everything that it nests in.
    pub fn closure(&self, group: GroupId) -> BTreeSet<GroupId> {
        self.closures.get(group.index()).cloned().unwrap_or_default()
    }

    /// The groups whose members all hold this group: itself and everything that nests in it, ascending.
    pub fn holders(&self, group: GroupId) -> &[GroupId] {
        self.holders.get(group.index()).map_or(&[], Vec::as_slice)
    }

    /// Every grant on a connection, break-glass too.
    pub fn grants_on(&self, connection: ConnectionId) -> impl Iterator<Item = &'a Grant> + use<'a, '_> {
        let policy = self.policy;
        self.grants_on.get(&connection).into_iter().flatten().map(move |id| &policy[*id])
    }

    /// The groups that everybody holds who matches this alternative.
    pub fn held(&self, principal: &Principal) -> BTreeSet<GroupId> {
        let closures = principal.groups.iter().filter_map(|group| self.closures.get(group.index()));
        closures.flatten().copied().collect()
    }

    /// The kinds of subjects that can match this alternative; none when its groups contradict each other.
    pub fn kinds(&self, principal: &Principal) -> Vec<SubjectKind> {
        let held = self.held(principal);
        SubjectKind::ALL
            .into_iter()
            .filter(|kind| principal.kind.is_none_or(|stated| stated == *kind))
            .filter(|kind| {
                held.iter().all(|group| self.policy[*group].kind.as_ref().is_none_or(|own| own.value == *kind))
            })
            .collect()
    }

    /// The kinds of subjects that a rule can concern.
    pub fn kinds_of(&self, to: &To) -> BTreeSet<SubjectKind> {
        match to {
            To::Everybody => SubjectKind::ALL.into_iter().collect(),
            To::Any(principals) => principals.iter().flat_map(|principal| self.kinds(principal)).collect(),
        }
    }

    /// Whether some subject can match this alternative: kinds agree and no two of its groups are disjoint.
    pub fn is_feasible(&self, principal: &Principal) -> bool {
        !self.kinds(principal).is_empty() && !self.is_disjoint(&self.held(principal))
    }

    /// Whether nobody may hold all of these groups.
    pub fn is_disjoint(&self, groups: &BTreeSet<GroupId>) -> bool {
        self.policy
            .disjoint
            .iter()
            .any(|rule| rule.groups.iter().map(|group| group.value).filter(|group| groups.contains(group)).count() > 1)
    }

    /// Whether every subject that matches `narrow` must match `wide`.
    pub fn implies(&self, narrow: &Principal, wide: &Principal) -> bool {
        let kinds = self.kinds(narrow);
        wide.groups.is_subset(&self.held(narrow))
            && wide.kind.is_none_or(|kind| !kinds.is_empty() && kinds.iter().all(|own| *own == kind))
    }

    /// Whether every subject that matches `narrow` must match some alternative of `wide`.
    pub fn implies_any(&self, narrow: &Principal, wide: &To) -> bool {
        match wide {
            To::Everybody => true,
            To::Any(alternatives) => alternatives.iter().any(|wide| self.implies(narrow, wide)),
        }
    }

    /// Whether some feasible subject can match both alternatives.
    pub fn may_meet(&self, a: &Principal, b: &Principal) -> bool {
        let kind = match (a.kind, b.kind) {
            (Some(a), Some(b)) if a != b => return false,
            (Some(kind), _) | (None, Some(kind)) => Some(kind),
            (None, None) => None,
        };
        self.is_feasible(&Principal { groups: a.groups.union(&b.groups).copied().collect(), kind, span: a.span })
    }

    /// The `limits` that concern a connection.
    pub fn limits_on(&self, connection: ConnectionId) -> impl Iterator<Item = &'a Limits> {
        self.policy.limits.iter().filter(move |limits| limits.on.connections.contains(&connection))
    }

    /// Whether a connection's labels say production.
    pub fn is_prod(&self, connection: ConnectionId) -> bool {
        self.policy[connection].label("env") == Some("prod")
    }

    /// The path of the file in which something stands, relative to the policy's root.
    pub fn file(&self, span: Span) -> &'a str {
        self.sources.path(span.source)
    }

    /// The team in whose folder something stands.
    pub fn team_of(&self, span: Span) -> Option<TeamId> {
        let path = self.file(span);
        // Folders do not overlap (P0805); where they do, the team that is written first counts.
        let above = path.match_indices('/').filter_map(|(end, _)| self.folders.get(path.get(..end)?));
        above.min().copied()
    }

    /// The text that a span covers.
    pub fn text(&self, span: Span) -> &'a str {
        self.sources.snippet(span)
    }

    /// The name of a group for messages, without its prefix.
    pub fn group_name(&self, group: GroupId) -> &'a str {
        &self.policy[group].head.name.value
    }

    /// `group:a + group:b kind=agent` for messages.
    pub fn describe(&self, principal: &Principal) -> String {
        let groups: Vec<&str> = principal.groups.iter().map(|group| self.group_name(*group)).collect();
        match (groups.is_empty(), principal.kind) {
            (true, Some(kind)) => format!("every {kind}"),
            (true, None) => "everybody".to_owned(),
            (false, Some(kind)) => format!("{} of kind {kind}", groups.join(" and ")),
            (false, None) => groups.join(" and "),
        }
    }
}

/// Whether an item's head may be concluded from.
pub(super) const fn is_whole(head: &Head) -> bool {
    !head.broken
}

fn closure(policy: &Policy, start: GroupId) -> BTreeSet<GroupId> {
    let mut all = BTreeSet::new();
    let mut open = vec![start];
    while let Some(group) = open.pop() {
        if all.insert(group) {
            open.extend(policy[group].within.iter().map(|parent| parent.value));
        }
    }
    all
}
