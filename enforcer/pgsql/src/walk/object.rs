//! Statements on objects of any kind: DROP, COMMENT, RENAME, SET SCHEMA, and publications.

use super::{E, ObjectClass, ObjectKind, Seen, Walked, Walker, pg, unknown};
use crate::routines::hides;
use crate::statement::Action;
use lang::protocol::Operation;

impl<'t> Walker<'t> {
    pub(super) fn drop_objects(&mut self, n: &'t pg::DropStmt) -> Walked {
        for object in &n.objects {
            self.any_object(Operation::DdlDrop, n.remove_type, None, Some(object))?;
        }
        self.cascade(Operation::DdlDrop, n.behavior);
        Ok(())
    }

    pub(super) fn comment(&mut self, n: &'t pg::CommentStmt) -> Walked {
        self.action = Action::Beside;
        self.any_object(Operation::DdlAlter, n.objtype, None, n.object.as_deref())
    }

    /// A rename concerns the old name and the new one: a scope must hold both.
    pub(super) fn rename(&mut self, n: &'t pg::RenameStmt) -> Walked {
        use pg::ObjectType as T;
        let first = self.touches.len();
        if n.relation.is_none() && n.object.is_none() {
            // Roles, databases and tablespaces have bare names.
            let Ok(kind) = T::try_from(n.rename_type) else { return unknown("RenameStmt") };
            let operation = if kind == T::ObjectRole { Operation::DclRole } else { Operation::DdlAlter };
            let old = self.object_of_name(kind, &n.subname);
            let new = Seen { name: &n.newname, ..old };
            self.touch(operation, old);
            self.touch(operation, new);
            if kind == T::ObjectSchema {
                self.renames.push((old, new));
            }
            return Ok(());
        }
        self.any_object(Operation::DdlAlter, n.rename_type, n.relation.as_ref(), n.object.as_deref())?;
        self.cascade(Operation::DdlAlter, n.behavior);
        let part = matches!(
            T::try_from(n.rename_type),
            Ok(T::ObjectColumn
                | T::ObjectAttribute
                | T::ObjectTabconstraint
                | T::ObjectDomconstraint
                | T::ObjectPolicy
                | T::ObjectRule
                | T::ObjectTrigger)
        );
        if part {
            return Ok(());
        }
        match self.touches.get(first).and_then(|touch| touch.object) {
            Some(old) => {
                let hides_built_in = old.kind == ObjectKind::Routine && hides(old.schema, &n.newname);
                let class = if hides_built_in { ObjectClass::Sensitive } else { old.class };
                self.renamed(old, Seen { name: &n.newname, class, ..old });
                Ok(())
            }
            None => unknown("RenameStmt"),
        }
    }

    /// What an object becomes is altered with it.
    fn renamed(&mut self, old: Seen<'t>, new: Seen<'t>) {
        self.touch(Operation::DdlAlter, new);
        self.action = Action::Rename;
        self.renames.push((old, new));
    }

    /// As a rename, into another schema.
    pub(super) fn alter_schema_of(&mut self, n: &'t pg::AlterObjectSchemaStmt) -> Walked {
        let first = self.touches.len();
        self.any_object(Operation::DdlAlter, n.object_type, n.relation.as_ref(), n.object.as_deref())?;
        match self.touches.get(first).and_then(|touch| touch.object) {
            Some(old) => {
                self.renamed(old, Seen { schema: Some(&n.newschema), ..old });
                Ok(())
            }
            None => unknown("AlterObjectSchemaStmt"),
        }
    }

    pub(super) fn alter_depends(&mut self, n: &'t pg::AlterObjectDependsStmt) -> Walked {
        self.any_object(Operation::DdlAlter, n.object_type, n.relation.as_ref(), n.object.as_deref())
    }

    pub(super) fn alter_extension_contents(&mut self, n: &'t pg::AlterExtensionContentsStmt) -> Walked {
        self.any_object(Operation::DdlAlter, n.objtype, None, n.object.as_deref())?;
        self.alter_other(&n.extname)
    }

    pub(super) fn import_foreign_schema(&mut self, n: &'t pg::ImportForeignSchemaStmt) -> Walked {
        self.nodes(&n.options)?;
        for node in &n.table_list {
            // Names of the foreign side.
            let Some(E::RangeVar(name)) = node.node.as_ref() else { return unknown("ImportForeignSchemaStmt") };
            #[cfg(test)]
            self.trace.relation(name);
            let _ = name;
        }
        self.touch(Operation::DdlCreate, Seen::plain(ObjectKind::Schema, &n.local_schema));
        self.touch(Operation::DdlCreate, Seen::DATABASE);
        Ok(())
    }

    pub(super) fn create_publication(&mut self, n: &'t pg::CreatePublicationStmt) -> Walked {
        self.nodes(&n.options)?;
        self.publication(Operation::DdlCreate, &n.pubname, &n.pubobjects, n.for_all_tables)
    }

    pub(super) fn alter_publication(&mut self, n: &'t pg::AlterPublicationStmt) -> Walked {
        self.nodes(&n.options)?;
        self.publication(Operation::DdlAlter, &n.pubname, &n.pubobjects, n.for_all_tables)
    }

    /// A publication sends the rows of its tables to whoever subscribes.
    fn publication(
        &mut self,
        operation: Operation,
        name: &'t str,
        objects: &'t [pg::Node],
        all_tables: bool,
    ) -> Walked {
        self.touch(operation, Seen { kind: ObjectKind::Other, schema: None, name, class: ObjectClass::Ordinary });
        if all_tables {
            self.touch(operation, Seen::DATABASE);
            self.touch(Operation::CopyOut, Seen::DATABASE);
        }
        for node in objects {
            let Some(E::PublicationObjSpec(spec)) = node.node.as_ref() else { return unknown("PublicationObjSpec") };
            if let Some(table) = &spec.pubtable {
                self.boxed(table.where_clause.as_ref())?;
                self.target(operation, table.relation.as_ref())?;
                self.target(Operation::CopyOut, table.relation.as_ref())?;
            } else {
                let schema = if spec.name.is_empty() { &self.session.default_schema } else { spec.name.as_str() };
                self.touch(operation, Seen::plain(ObjectKind::Schema, schema));
                self.touch(Operation::CopyOut, Seen::plain(ObjectKind::Schema, schema));
            }
        }
        Ok(())
    }
}
