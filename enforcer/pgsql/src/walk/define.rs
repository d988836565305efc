//! Definitions of relations: tables, views, indexes, sequences, statistics, schemas.

use super::names::kind_of;
use super::{E, ObjectClass, ObjectKind, Seen, Walked, Walker, never, pg, unknown};
use crate::statement::Action;
use lang::protocol::Operation;

impl<'t> Walker<'t> {
    pub(super) fn create_table(&mut self, n: &'t pg::CreateStmt) -> Walked {
        self.target(Operation::DdlCreate, n.relation.as_ref())?;
        self.nodes(&n.table_elts)?;
        self.relations(Operation::DdlCreate, &n.inh_relations)?;
        if let Some(bound) = &n.partbound {
            self.partition_bound(bound)?;
        }
        if let Some(spec) = &n.partspec {
            self.nodes(&spec.part_params)?;
        }
        if let Some(name) = &n.of_typename {
            self.type_name(name)?;
        }
        self.nodes(&n.constraints)?;
        self.nodes(&n.nnconstraints)?;
        self.nodes(&n.options)
    }

    /// What it shows lies with its server, which no scope names: a file, a program's output, another database.
    pub(super) fn create_foreign_table(&mut self, n: &'t pg::CreateForeignTableStmt) -> Walked {
        self.touch(Operation::DdlCreate, Seen::DATABASE);
        self.foreign_options(&n.options);
        self.nodes(&n.options)?;
        n.base_stmt.as_ref().map_or_else(|| unknown("CreateForeignTableStmt"), |base| self.create_table(base))
    }

    /// A foreign table over a file or a program of the server is COPY of it under another name.
    fn foreign_options(&mut self, options: &'t [pg::Node]) {
        let runs = |name: &str| ["program", "filename"].iter().any(|option| name.eq_ignore_ascii_case(option));
        let named = |node: &pg::Node| matches!(node.node.as_ref(), Some(E::DefElem(option)) if runs(&option.defname));
        if options.iter().any(named) {
            self.touch(Operation::CopyProgram, Seen::DATABASE);
        }
    }

    pub(super) fn column_definition(&mut self, n: &'t pg::ColumnDef) -> Walked {
        if let Some(name) = &n.type_name {
            self.type_name(name)?;
        }
        if let Some(collation) = &n.coll_clause {
            self.boxed(collation.arg.as_ref())?;
        }
        if n.cooked_default.is_some() || n.identity_sequence.is_some() {
            return unknown("ColumnDef");
        }
        self.default(n.raw_default.as_deref())?;
        self.nodes(&n.constraints)?;
        self.nodes(&n.fdwoptions)
    }

    /// A column's default may advance a sequence: that is what a serial column is.
    fn default(&mut self, expression: Option<&'t pg::Node>) -> Walked {
        let outer = std::mem::replace(&mut self.in_default, true);
        let walked = self.optional(expression);
        self.in_default = outer;
        walked
    }

    pub(super) fn constraint(&mut self, n: &'t pg::Constraint) -> Walked {
        if n.contype == pg::ConstrType::ConstrDefault as i32 {
            self.default(n.raw_expr.as_deref())?;
        } else {
            self.boxed(n.raw_expr.as_ref())?;
        }
        self.nodes(&n.exclusions)?;
        self.nodes(&n.options)?;
        self.boxed(n.where_clause.as_ref())?;
        // A foreign key puts triggers on the table that it references, and reads it.
        match &n.pktable {
            Some(table) => {
                self.relation(Operation::DdlAlter, table)?;
                self.relation(Operation::Select, table)
            }
            None => Ok(()),
        }
    }

    /// LIKE copies a definition, which the server allows to whoever may read the table.
    pub(super) fn table_like(&mut self, n: &'t pg::TableLikeClause) -> Walked {
        self.target(Operation::Select, n.relation.as_ref())
    }

    pub(super) fn partition_bound(&mut self, n: &'t pg::PartitionBoundSpec) -> Walked {
        self.nodes(&n.listdatums)?;
        self.nodes(&n.lowerdatums)?;
        self.nodes(&n.upperdatums)
    }

    pub(super) fn partition_command(&mut self, n: &'t pg::PartitionCmd) -> Walked {
        if let Some(bound) = &n.bound {
            self.partition_bound(bound)?;
        }
        self.target(Operation::DdlAlter, n.name.as_ref())
    }

    pub(super) fn index_element(&mut self, n: &'t pg::IndexElem) -> Walked {
        self.boxed(n.expr.as_ref())?;
        self.nodes(&n.opclassopts)
    }

    /// An option's value. A SET clause among a routine's options holds within the routine only.
    pub(super) fn option(&mut self, n: &'t pg::DefElem) -> Walked {
        match n.arg.as_deref().and_then(|arg| arg.node.as_ref()) {
            Some(E::VariableSetStmt(set)) => self.routine_setting(set),
            // OWNED BY table.column ties the sequence to the table.
            Some(E::List(names)) if n.defname == "owned_by" && names.items.len() > 1 => {
                let table = names.items.split_last().map_or(&[] as &[pg::Node], |(_, table)| table);
                let table = self.relation_by_list(ObjectKind::Relation, table)?;
                self.touch(Operation::DdlAlter, table);
                Ok(())
            }
            // GENERATED … AS IDENTITY (SEQUENCE NAME …) makes the sequence where that says.
            Some(E::List(names)) if n.defname == "sequence_name" => {
                let sequence = self.relation_by_list(ObjectKind::Relation, &names.items)?;
                self.touch(Operation::DdlCreate, sequence);
                Ok(())
            }
            // `handler = none` and the like.
            Some(_) => self.boxed(n.arg.as_ref()),
            None => Ok(()),
        }
    }

    fn routine_setting(&mut self, set: &'t pg::VariableSetStmt) -> Walked {
        self.nodes(&set.args)?;
        if set.name.eq_ignore_ascii_case("role") || set.name.eq_ignore_ascii_case("session_authorization") {
            self.touch(Operation::DclRole, Seen::DATABASE);
        }
        Ok(())
    }

    pub(super) fn alter_table(&mut self, n: &'t pg::AlterTableStmt) -> Walked {
        let Some(relation) = n.relation.as_ref() else { return unknown("AlterTableStmt") };
        self.relation_as(kind_of(n.objtype), Operation::DdlAlter, relation)?;
        for node in &n.cmds {
            let Some(E::AlterTableCmd(command)) = node.node.as_ref() else { return unknown("AlterTableStmt") };
            let first = self.touches.len();
            self.alter_table_command(command)?;
            self.leaves_parent(relation, command, first)?;
            if command.subtype == pg::AlterTableType::AtChangeOwner as i32 {
                self.relation(Operation::DclGrant, relation)?;
            }
        }
        Ok(())
    }

    /// A child or partition that is taken out of its parent: rules found its rows by the parent's name too. What the command
    /// names was touched from `first` on.
    fn leaves_parent(&mut self, relation: &'t pg::RangeVar, command: &pg::AlterTableCmd, first: usize) -> Walked {
        use pg::AlterTableType as A;
        let Some(named) = self.touches.get(first..).into_iter().flatten().find_map(|touch| touch.object) else {
            return Ok(());
        };
        let own = self.resolve(relation)?;
        match A::try_from(command.subtype) {
            Ok(A::AtDetachPartition) => self.renames.push((own, named)),
            Ok(A::AtDropInherit) => self.renames.push((named, own)),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn alter_table_command(&mut self, n: &'t pg::AlterTableCmd) -> Walked {
        use pg::AlterTableType as A;
        let drops = matches!(
            A::try_from(n.subtype),
            Ok(A::AtDropColumn | A::AtDropConstraint | A::AtDropExpression | A::AtDropIdentity)
        );
        if drops {
            self.cascade(Operation::DdlDrop, n.behavior);
        } else {
            self.cascade(Operation::DdlAlter, n.behavior);
        }
        // OPTIONS say what of the server a foreign table or its column shows.
        match n.def.as_deref().and_then(|def| def.node.as_ref()) {
            Some(E::List(options))
                if [A::AtGenericOptions, A::AtAlterColumnGenericOptions].map(|one| one as i32).contains(&n.subtype) =>
            {
                self.touch(Operation::DdlAlter, Seen::DATABASE);
                self.foreign_options(&options.items);
            }
            Some(E::ColumnDef(column)) if !column.fdwoptions.is_empty() => {
                self.touch(Operation::DdlAlter, Seen::DATABASE);
            }
            _ => {}
        }
        match n.def.as_deref().and_then(|def| def.node.as_ref()) {
            // INHERIT and NO INHERIT name the parent.
            Some(E::RangeVar(parent)) => self.relation(Operation::DdlAlter, parent),
            // SET DEFAULT, SET EXPRESSION.
            Some(_) if n.subtype == A::AtColumnDefault as i32 => self.default(n.def.as_deref()),
            Some(_) => self.boxed(n.def.as_ref()),
            None => Ok(()),
        }
    }

    pub(super) fn create_view(&mut self, n: &'t pg::ViewStmt) -> Walked {
        let first = self.touches.len();
        self.boxed(n.query.as_ref())?;
        self.hold_settings(first);
        self.nodes(&n.options)?;
        self.target(Operation::DdlCreate, n.view.as_ref())?;
        self.defined();
        Ok(())
    }

    /// UPDATE of a view over `pg_settings` is `set_config()` too, under another name: such a view is not made.
    fn hold_settings(&mut self, first: usize) {
        for object in self.touches.iter_mut().skip(first).filter_map(|touch| touch.object.as_mut()) {
            if object.kind == ObjectKind::Relation && object.name == "pg_settings" {
                object.class = ObjectClass::Sensitive;
            }
        }
    }

    /// What a definition with statements inside is, once they are walked: none of them runs now.
    pub(super) fn defined(&mut self) {
        self.action = Action::Other;
        self.returns_rows = false;
    }

    pub(super) fn create_index(&mut self, n: &'t pg::IndexStmt) -> Walked {
        self.nodes(&n.index_params)?;
        self.nodes(&n.index_including_params)?;
        self.nodes(&n.options)?;
        self.boxed(n.where_clause.as_ref())?;
        self.action = Action::Beside;
        self.target(Operation::DdlCreate, n.relation.as_ref())
    }

    pub(super) fn create_schema(&mut self, n: &'t pg::CreateSchemaStmt) -> Walked {
        if !n.schema_elts.is_empty() {
            return never("CREATE SCHEMA with elements", "its names resolve in a schema that does not exist yet");
        }
        self.action = Action::Beside;
        let name = match (&n.authrole, n.schemaname.is_empty()) {
            (_, false) => n.schemaname.as_str(),
            (Some(role), true) => role.rolename.as_str(),
            (None, true) => return unknown("CreateSchemaStmt"),
        };
        self.touch(Operation::DdlCreate, Seen::plain(ObjectKind::Schema, name));
        if n.authrole.is_some() {
            self.touch(Operation::DclGrant, Seen::plain(ObjectKind::Schema, name));
        }
        Ok(())
    }

    pub(super) fn create_sequence(&mut self, n: &'t pg::CreateSeqStmt) -> Walked {
        self.nodes(&n.options)?;
        self.target(Operation::DdlCreate, n.sequence.as_ref())
    }

    pub(super) fn alter_sequence(&mut self, n: &'t pg::AlterSeqStmt) -> Walked {
        self.nodes(&n.options)?;
        self.target(Operation::DdlAlter, n.sequence.as_ref())
    }

    pub(super) fn create_statistics(&mut self, n: &'t pg::CreateStatsStmt) -> Walked {
        self.nodes(&n.exprs)?;
        self.action = Action::Beside;
        if n.defnames.len() > 1 {
            // Without a schema it lies with its table.
            let own = self.named(ObjectKind::Other, &n.defnames)?;
            self.touch(Operation::DdlCreate, own);
        }
        self.relations(Operation::DdlCreate, &n.relations)
    }

    pub(super) fn create_policy(&mut self, n: &'t pg::CreatePolicyStmt) -> Walked {
        self.roles_are_known(&n.roles)?;
        self.boxed(n.qual.as_ref())?;
        self.boxed(n.with_check.as_ref())?;
        self.target(Operation::DdlCreate, n.table.as_ref())?;
        self.target(Operation::DclGrant, n.table.as_ref())?;
        self.defined();
        Ok(())
    }

    pub(super) fn alter_policy(&mut self, n: &'t pg::AlterPolicyStmt) -> Walked {
        self.roles_are_known(&n.roles)?;
        self.boxed(n.qual.as_ref())?;
        self.boxed(n.with_check.as_ref())?;
        self.target(Operation::DdlAlter, n.table.as_ref())?;
        self.target(Operation::DclGrant, n.table.as_ref())?;
        self.defined();
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the walk")]
    fn roles_are_known(&self, roles: &'t [pg::Node]) -> Walked {
        let known = roles.iter().all(|role| matches!(role.node, Some(E::RoleSpec(_))));
        if known { Ok(()) } else { unknown("RoleSpec") }
    }

    /// An object of a kind without a scope, by its bare name.
    pub(super) fn create_other(&mut self, name: &'t str, options: &'t [pg::Node]) -> Walked {
        self.nodes(options)?;
        self.other(Operation::DdlCreate, name);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn alter_other(&mut self, name: &'t str) -> Walked {
        self.other(Operation::DdlAlter, name);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn drop_other(&mut self, name: &'t str) -> Walked {
        self.other(Operation::DdlDrop, name);
        Ok(())
    }

    fn other(&mut self, operation: Operation, name: &'t str) {
        self.touch(operation, Seen { kind: ObjectKind::Other, schema: None, name, class: ObjectClass::Ordinary });
    }
}
