//! Which masks hold on what a statement or request touches.

use super::rules::{Grant, MaskAs, RuleId, RuleKind};
use super::scope::{class_matches, table_matches};
use super::{Object, Program, Subject};

/// A mask that applies to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskHit {
    /// The mask.
    pub rule: RuleId,
    /// The object.
    pub object: Object,
    /// The column; `None` when the whole relation or every value is concerned.
    pub column: Option<String>,
    /// How.
    pub mask: MaskAs,
}

impl MaskAs {
    /// Strictness: `nullify > fixed = redact > hash > partial`.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Partial { .. } => 1,
            Self::Hash => 2,
            Self::Redact | Self::Fixed(_) => 3,
            Self::Nullify => 4,
        }
    }

    /// The word of the language.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Partial { .. } => "partial",
            Self::Hash => "hash",
            Self::Redact => "redact",
            Self::Fixed(_) => "fixed",
            Self::Nullify => "nullify",
        }
    }
}

impl Program {
    /// The masks that hold on an object for a subject under a grant; what the grant may and does reveal is lifted.
    pub fn masked(&self, subject: &Subject, grant: &Grant, connection: &str, object: &Object) -> Vec<MaskHit> {
        let Some((target, index)) = self.indexed(connection) else { return Vec::new() };
        let (schema, name) = match object {
            Object::Table { schema, name } => (schema, name),
            // What an API answers is JSON, in which pointers name what a mask hides.
            Object::Path(_) | Object::Kubernetes { .. } => return self.masked_json(subject, grant, connection, object),
            Object::Nothing | Object::Argv(_) => return Vec::new(),
        };
        let mut hits = Vec::new();
        for (_, mask) in index.masks.concerning(&self.rules.masks, &self.to_masks, subject) {
            let mut hit = |column: Option<String>| {
                hits.push(MaskHit {
                    rule: RuleId::new(RuleKind::Mask, &mask.name),
                    object: object.clone(),
                    column,
                    mask: mask.mask.clone(),
                });
            };
            for item in &target.classified {
                let applies = mask.classes.iter().any(|class| class_matches(class, &item.class))
                    && table_matches(&item.object, schema, name);
                let revealed =
                    mask.reveal_by_grant && grant.reveal.iter().any(|class| class_matches(class, &item.class));
                if applies && !revealed {
                    hit(item.column.clone());
                }
            }
            for column in &mask.columns {
                if let Some((table, column)) = column.rsplit_once('.')
                    && table_matches(table, schema, name)
                {
                    hit(Some(column.to_owned()));
                }
            }
            if !mask.patterns.is_empty() {
                hit(None);
            }
        }
        hits
    }

    /// The masks on what an API answers: the pointer stands where a table has its column.
    fn masked_json(&self, subject: &Subject, grant: &Grant, connection: &str, object: &Object) -> Vec<MaskHit> {
        let Some((target, index)) = self.indexed(connection) else { return Vec::new() };
        let mut hits = Vec::new();
        for (_, mask) in index.masks.concerning(&self.rules.masks, &self.to_masks, subject) {
            let lifted =
                |class: &str| mask.reveal_by_grant && grant.reveal.iter().any(|reveal| class_matches(reveal, class));
            let classified = (target.classified.iter())
                .filter(|item| item.object.starts_with('/') && !lifted(&item.class))
                .filter(|item| mask.classes.iter().any(|class| class_matches(class, &item.class)))
                .map(|item| Some(item.object.clone()));
            let named = mask.json.iter().map(|pointer| Some(pointer.clone()));
            let anywhere = (!mask.patterns.is_empty()).then_some(None);
            hits.extend(classified.chain(named).chain(anywhere).map(|column| MaskHit {
                rule: RuleId::new(RuleKind::Mask, &mask.name),
                object: object.clone(),
                column,
                mask: mask.mask.clone(),
            }));
        }
        hits
    }

    /// Whether any mask could hold on some object of a connection. Those that look for patterns in what a SQL connection
    /// shows concern no object: see [`Program::patterns`].
    pub fn has_masks(&self, connection: &str) -> bool {
        let Some((target, index)) = self.indexed(connection) else { return false };
        index.masks.all(&self.rules.masks).any(|(_, mask)| {
            let classified = |class: &String| target.classified.iter().any(|item| class_matches(class, &item.class));
            !mask.columns.is_empty()
                || (!mask.json.is_empty() && !target.kind.is_sql())
                || (!mask.patterns.is_empty() && !target.kind.is_sql())
                || mask.classes.iter().any(classified)
        })
    }
}
