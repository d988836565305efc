//! Names of objects, resolved as the server would, and the accesses they stand for.

use super::{E, Refusal, Seen, Walked, Walker, pg, unknown};
use crate::catalog::{relation_class, schema_of};
use crate::routines;
use crate::statement::{ObjectClass, ObjectKind};
use lang::protocol::Operation;
use pg::ObjectType as T;

/// A schema, when the text states one, and a name.
type Qualified<'t> = (Option<&'t str>, &'t str);

impl<'t> Walker<'t> {
    /// A relation in a place where the server looks for CTEs too: FROM and the like.
    pub(super) fn read(&mut self, name: &'t pg::RangeVar) -> Walked {
        if name.schemaname.is_empty() && self.ctes.hide(&name.relname) {
            #[cfg(test)]
            self.trace.relation(name);
            return Ok(());
        }
        self.relation(Operation::Select, name)
    }

    /// A relation in a place where the server never looks for CTEs: targets and definitions.
    pub(super) fn relation(&mut self, operation: Operation, name: &'t pg::RangeVar) -> Walked {
        self.relation_as(ObjectKind::Relation, operation, name)
    }

    /// As [`Self::relation`], for what the grammar calls a relation and a policy another kind of object.
    pub(super) fn relation_as(&mut self, kind: ObjectKind, operation: Operation, name: &'t pg::RangeVar) -> Walked {
        #[cfg(test)]
        self.trace.relation(name);
        let seen = self.resolve(name)?;
        self.touch(operation, Seen { kind, ..seen });
        Ok(())
    }

    /// As [`Self::relation`], for an optional field that the grammar always fills.
    pub(super) fn target(&mut self, operation: Operation, name: Option<&'t pg::RangeVar>) -> Walked {
        let Some(name) = name else { return unknown("a statement without its relation") };
        self.relation(operation, name)
    }

    /// As [`Self::relation`], for every node of a list of relations.
    pub(super) fn relations(&mut self, operation: Operation, names: &'t [pg::Node]) -> Walked {
        names.iter().try_for_each(|node| match node.node.as_ref() {
            Some(E::RangeVar(name)) => self.relation(operation, name),
            _ => unknown("a relation that is not a RangeVar"),
        })
    }

    pub(super) fn resolve(&self, name: &'t pg::RangeVar) -> Result<Seen<'t>, Refusal> {
        if name.relname.is_empty() {
            return Err(Refusal::UnknownNode { name: "a relation without a name" });
        }
        let schema = if !name.schemaname.is_empty() {
            name.schemaname.as_str()
        } else if name.relpersistence == "t" {
            "pg_temp"
        } else {
            schema_of(&name.relname, &self.session.default_schema)
        };
        Ok(Seen {
            kind: ObjectKind::Relation,
            schema: Some(schema),
            name: &name.relname,
            class: relation_class(schema, &name.relname),
        })
    }

    /// A relation named by a list of strings, as DROP and COMMENT do.
    pub(super) fn relation_by_list(&self, kind: ObjectKind, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        let (schema, name) = qualified(names)?;
        let schema = schema.unwrap_or_else(|| schema_of(name, &self.session.default_schema));
        Ok(Seen { kind, schema: Some(schema), name, class: relation_class(schema, name) })
    }

    /// An object of another kind that lives in a schema, named by a list of strings.
    pub(super) fn named(&self, kind: ObjectKind, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        let (schema, name) = qualified(names)?;
        Ok(Seen {
            kind,
            schema: Some(schema.unwrap_or(&self.session.default_schema)),
            name,
            class: ObjectClass::Ordinary,
        })
    }

    /// A routine named by a list of strings.
    pub(super) fn routine(&self, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        let (schema, name) = qualified(names)?;
        let routine = routines::resolve(schema, name, self.session);
        Ok(Seen { kind: ObjectKind::Routine, schema: Some(routine.schema), name: routine.name, class: routine.class })
    }

    /// A routine that a definition makes part of other statements (a trigger, a cast, an operator …) is called by them.
    pub(super) fn installed_routine(&mut self, names: &'t [pg::Node]) -> Walked {
        let routine = self.routine(names)?;
        if routine.class != ObjectClass::Harmless {
            self.touch(Operation::Call, routine);
        }
        Ok(())
    }

    /// The object of a statement that works on any kind (DROP, COMMENT, RENAME, OWNER TO …).
    pub(super) fn any_object(
        &mut self,
        operation: Operation,
        kind: i32,
        relation: Option<&'t pg::RangeVar>,
        object: Option<&'t pg::Node>,
    ) -> Walked {
        let grammar_kind = kind;
        let Ok(kind) = T::try_from(kind) else { return unknown("ObjectType") };
        if let Some(relation) = relation {
            self.relation_as(kind_of(grammar_kind), operation, relation)?;
        }
        let Some(object) = object.and_then(|object| object.node.as_ref()) else {
            // ALTER TABLE … RENAME and the like name only the relation.
            return if relation.is_some() { Ok(()) } else { unknown("a statement without its object") };
        };
        if relation.is_some() {
            return Ok(());
        }
        let seen = if let E::List(list) = object {
            self.object_of_list(kind, &list.items)?
        } else if let E::ObjectWithArgs(with) = object {
            self.object_with_arguments(kind, &with.objname)?
        } else if let E::TypeName(name) = object {
            self.named(ObjectKind::Type, &name.names)?
        } else if let E::String(name) = object {
            self.object_of_name(kind, &name.sval)
        } else if matches!(object, E::Integer(_) | E::Float(_)) {
            // COMMENT ON LARGE OBJECT 1 and the like.
            Seen::DATABASE
        } else {
            return unknown("an object that is neither a name nor a list of names");
        };
        self.touch(operation, seen);
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "one of the ways to name an object")]
    pub(super) fn object_of_name(&self, kind: T, name: &'t str) -> Seen<'t> {
        if kind == T::ObjectSchema {
            Seen::plain(ObjectKind::Schema, name)
        } else if kind == T::ObjectRole {
            Seen::plain(ObjectKind::Role, name)
        } else if kind == T::ObjectParameterAcl {
            Seen::plain(ObjectKind::Parameter, name)
        } else {
            Seen::plain(ObjectKind::Other, name)
        }
    }

    fn object_with_arguments(&self, kind: T, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        if kind == T::ObjectOperator { self.named(ObjectKind::Other, names) } else { self.routine(names) }
    }

    fn object_of_list(&self, kind: T, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        match kind {
            T::ObjectTable | T::ObjectView | T::ObjectMatview | T::ObjectForeignTable | T::ObjectSequence => {
                self.relation_by_list(ObjectKind::Relation, names)
            }
            T::ObjectIndex => self.relation_by_list(ObjectKind::Index, names),
            // A part of a relation: the last name is the part's own.
            T::ObjectColumn | T::ObjectPolicy | T::ObjectRule | T::ObjectTabconstraint | T::ObjectTrigger => {
                match names.split_last() {
                    Some((_, relation)) => self.relation_by_list(ObjectKind::Relation, relation),
                    None => Err(Refusal::UnknownNode { name: "a part of a relation without a name" }),
                }
            }
            T::ObjectType | T::ObjectDomain | T::ObjectAttribute | T::ObjectDomconstraint => self.type_of_list(names),
            // Their access method comes first.
            T::ObjectOpclass | T::ObjectOpfamily => self.other_of_list(names.get(1..).unwrap_or_default()),
            T::ObjectAccessMethod
            | T::ObjectAggregate
            | T::ObjectAmop
            | T::ObjectAmproc
            | T::ObjectCast
            | T::ObjectCollation
            | T::ObjectConversion
            | T::ObjectDatabase
            | T::ObjectDefault
            | T::ObjectDefacl
            | T::ObjectEventTrigger
            | T::ObjectExtension
            | T::ObjectFdw
            | T::ObjectForeignServer
            | T::ObjectFunction
            | T::ObjectLanguage
            | T::ObjectLargeobject
            | T::ObjectOperator
            | T::ObjectParameterAcl
            | T::ObjectProcedure
            | T::ObjectPublication
            | T::ObjectPublicationNamespace
            | T::ObjectPublicationRel
            | T::ObjectRole
            | T::ObjectRoutine
            | T::ObjectSchema
            | T::ObjectSubscription
            | T::ObjectStatisticExt
            | T::ObjectTablespace
            | T::ObjectTransform
            | T::ObjectTsconfiguration
            | T::ObjectTsdictionary
            | T::ObjectTsparser
            | T::ObjectTstemplate
            | T::ObjectUserMapping => self.other_of_list(names),
            T::Undefined => Err(Refusal::UnknownNode { name: "ObjectType" }),
        }
    }

    /// A type, alone or with the name of one of its parts.
    fn type_of_list(&self, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        match names.first().and_then(|first| first.node.as_ref()) {
            Some(E::TypeName(name)) => self.named(ObjectKind::Type, &name.names),
            Some(E::String(_)) => self.named(ObjectKind::Type, names),
            _ => Err(Refusal::UnknownNode { name: "a type without a name" }),
        }
    }

    /// Casts, transforms, operator classes …: their names say nothing about a scope.
    fn other_of_list(&self, names: &'t [pg::Node]) -> Result<Seen<'t>, Refusal> {
        let strings = names.iter().all(|name| matches!(name.node, Some(E::String(_))));
        if strings { self.named(ObjectKind::Other, names) } else { Ok(Seen::plain(ObjectKind::Other, "")) }
    }
}

/// The kind of object that the grammar names as a relation.
pub(super) fn kind_of(kind: i32) -> ObjectKind {
    if kind == T::ObjectIndex as i32 {
        ObjectKind::Index
    } else if kind == T::ObjectType as i32 {
        ObjectKind::Type
    } else {
        ObjectKind::Relation
    }
}

/// The schema and name of a list of strings; a database's name before them must be the current one, or the server refuses.
pub(super) fn qualified(names: &[pg::Node]) -> Result<Qualified<'_>, Refusal> {
    let mut parts = names.iter().map(string);
    let found = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(name)), None, None, None) => Some((None, name)),
        (Some(Some(schema)), Some(Some(name)), None, None)
        | (Some(Some(_)), Some(Some(schema)), Some(Some(name)), None) => Some((Some(schema), name)),
        _ => None,
    };
    found.ok_or(Refusal::UnknownNode { name: "a name that is not a list of one to three strings" })
}

/// The text of a string node that is not empty.
pub(super) fn string(node: &pg::Node) -> Option<&str> {
    match node.node.as_ref() {
        Some(E::String(name)) if !name.sval.is_empty() => Some(&name.sval),
        _ => None,
    }
}
