//! What of the data is seen, and how: for every column, and for every value that a pattern finds, the strictest
//! mask that applies.

use lang::program::{
    MaskHit, Object, class_matches,
    rules::{Connection, Grant, Mask, MaskAs, RuleId, RuleKind},
    segment_matches, table_matches,
};
use lang::protocol::ConnectionKind;
use std::collections::BTreeSet;

/// How much of a value is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: NULL.
    Nullify,
    /// A text in its place.
    Redact,
    /// A keyed hash.
    Hash,
    /// Some characters.
    Partial {
        /// Kept at the beginning.
        first: u32,
        /// Kept at the end.
        last: u32,
    },
    /// All of it.
    Raw,
}

impl Level {
    const fn of(mask: &MaskAs) -> Self {
        match mask {
            MaskAs::Partial { keep_first, keep_last } => Self::Partial { first: *keep_first, last: *keep_last },
            MaskAs::Hash => Self::Hash,
            MaskAs::Redact | MaskAs::Fixed(_) => Self::Redact,
            MaskAs::Nullify => Self::Nullify,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Nullify => 0,
            Self::Redact => 1,
            Self::Hash => 2,
            Self::Partial { .. } => 3,
            Self::Raw => 4,
        }
    }

    fn strictest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Partial { first: a, last: b }, Self::Partial { first: c, last: d }) => {
                Self::Partial { first: a.min(c), last: b.min(d) }
            }
            (a, b) if a.rank() <= b.rank() => a,
            (_, b) => b,
        }
    }

    /// Whether no more is left than at the other level.
    fn within(self, other: Self) -> bool {
        match (self, other) {
            (Self::Partial { first: a, last: b }, Self::Partial { first: c, last: d }) => a <= c && b <= d,
            (a, b) => a.rank() <= b.rank(),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Nullify => "nullify",
            Self::Redact => "redact",
            Self::Hash => "hash",
            Self::Partial { .. } => "partial",
            Self::Raw => "raw",
        }
    }
}

/// What a mask is laid over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Over {
    /// Every value.
    All,
    /// A column, or the values that a JSON pointer finds.
    Column(String),
    /// Values that a pattern finds, with what they must pass.
    Pattern(String, Option<String>),
}

/// Masks on one object under one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sight {
    masks: BTreeSet<(Over, Level)>,
    /// What `lang` says of the same, to be compared with it.
    pub(super) hits: BTreeSet<(RuleId, Option<String>)>,
}

impl Sight {
    /// The masks among `masks` that hold on an object of a connection under a grant.
    pub(super) fn of(masks: &[&Mask], grant: &Grant, connection: &Connection, object: &Object) -> Self {
        let mut sight = Self::default();
        for mask in masks {
            let level = Level::of(&mask.mask);
            let rule = RuleId::new(RuleKind::Mask, &mask.name);
            let mut lay = |over: Over| {
                let column = match &over {
                    Over::Column(name) => Some(name.clone()),
                    Over::All | Over::Pattern(..) => None,
                };
                sight.hits.insert((rule.clone(), column));
                sight.masks.insert((over, level));
            };
            let hidden = |class: &String| {
                mask.classes.iter().any(|own| class_matches(own, class))
                    && !(mask.reveal_by_grant && grant.reveal.iter().any(|own| class_matches(own, class)))
            };
            for item in connection.classified.iter().filter(|item| hidden(&item.class)) {
                match (connection.kind, object) {
                    (ConnectionKind::Postgres | ConnectionKind::Mysql, Object::Table { schema, name }) => {
                        if table_matches(&item.object, schema, name) {
                            lay(item.column.clone().map_or(Over::All, Over::Column));
                        }
                    }
                    (ConnectionKind::Kubernetes, Object::Kubernetes { .. })
                    | (ConnectionKind::Http, Object::Path(_)) => {
                        lay(Over::Column(item.object.clone()));
                    }
                    (
                        ConnectionKind::Postgres
                        | ConnectionKind::Mysql
                        | ConnectionKind::Ssh
                        | ConnectionKind::Kubernetes
                        | ConnectionKind::Http,
                        _,
                    ) => {}
                }
            }
            match object {
                Object::Table { schema, name } => {
                    let columns = mask.columns.iter().filter_map(|column| column.rsplit_once('.'));
                    columns
                        .filter(|(table, _)| table_matches(table, schema, name))
                        .for_each(|(_, column)| lay(Over::Column(column.to_owned())));
                }
                Object::Kubernetes { .. } | Object::Path(_) => {
                    mask.json.iter().for_each(|pointer| lay(Over::Column(pointer.clone())));
                }
                Object::Nothing | Object::Argv(_) => {}
            }
            if !matches!(object, Object::Nothing | Object::Argv(_)) {
                let patterns = mask.patterns.iter().cloned();
                patterns.for_each(|(pattern, check)| lay(Over::Pattern(pattern, check)));
            }
        }
        sight
    }

    /// Both masks.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self {
            masks: self.masks.union(&other.masks).cloned().collect(),
            hits: self.hits.union(&other.hits).cloned().collect(),
        }
    }

    /// Whether nothing is seen better than under `other`.
    pub fn within(&self, other: &Self) -> bool {
        if self.masks == other.masks || other.masks.is_empty() {
            return true;
        }
        let both = || self.masks.iter().chain(&other.masks).map(|(over, _)| over);
        let columns: BTreeSet<Option<&str>> = both()
            .filter_map(|over| match over {
                Over::Column(name) => Some(Some(name.as_str())),
                Over::All | Over::Pattern(..) => None,
            })
            .chain([None])
            .collect();
        let patterns: BTreeSet<Option<(&str, Option<&str>)>> = both()
            .filter_map(|over| match over {
                Over::Pattern(pattern, check) => Some(Some((pattern.as_str(), check.as_deref()))),
                Over::All | Over::Column(_) => None,
            })
            .chain([None])
            .collect();
        columns.iter().all(|column| {
            patterns.iter().all(|pattern| self.level(*column, *pattern).within(other.level(*column, *pattern)))
        })
    }

    /// What is left of a value of a column that a pattern finds.
    fn level(&self, column: Option<&str>, pattern: Option<(&str, Option<&str>)>) -> Level {
        let applies = |over: &Over| match over {
            Over::All => true,
            Over::Column(name) => column.is_some_and(|column| segment_matches(name, column)),
            Over::Pattern(own, check) => pattern == Some((own, check.as_deref())),
        };
        self.masks.iter().filter(|(over, _)| applies(over)).fold(Level::Raw, |level, (_, own)| level.strictest(*own))
    }

    /// Whether a column is seen as it is; `None` asks for all of the object.
    pub fn is_raw(&self, column: Option<&str>) -> bool {
        self.level(column, None) == Level::Raw
    }

    /// The masks in words.
    pub(super) fn describe(&self) -> Option<String> {
        let parts: Vec<String> = self
            .masks
            .iter()
            .map(|(over, level)| match over {
                Over::All => level.word().to_owned(),
                Over::Column(name) => format!("{} {name}", level.word()),
                Over::Pattern(..) => format!("{} patterns", level.word()),
            })
            .collect();
        (!parts.is_empty()).then(|| format!("masked ({})", parts.join(", ")))
    }
}

/// The same as `lang` says it.
pub(super) fn hits(found: &[MaskHit]) -> BTreeSet<(RuleId, Option<String>)> {
    found.iter().map(|hit| (hit.rule.clone(), hit.column.clone())).collect()
}
