//! Definitions that make the server run code: routines, triggers, rules, types, casts, operators.
//!
//! Whoever may define such a thing may run it, and may have it run by others: each needs `call` on the routine besides
//! `ddl.create`.

use super::{E, ObjectClass, ObjectKind, Seen, Walked, Walker, pg, unknown};
use crate::routines::hides;
use lang::protocol::Operation;

impl<'t> Walker<'t> {
    pub(super) fn create_function(&mut self, n: &'t pg::CreateFunctionStmt) -> Walked {
        self.nodes(&n.parameters)?;
        if let Some(name) = &n.return_type {
            self.type_name(name)?;
        }
        self.nodes(&n.options)?;
        self.sql_body(n.sql_body.as_deref())?;
        if n.sql_body.is_none() {
            // A body that is a text is not judged: it may reach anything.
            self.touch(Operation::DdlCreate, Seen::DATABASE);
        }
        self.new_routine(&n.funcname)?;
        self.defined();
        Ok(())
    }

    /// RETURN expression, or BEGIN ATOMIC with statements in nested lists.
    fn sql_body(&mut self, body: Option<&'t pg::Node>) -> Walked {
        let Some(body) = body else { return Ok(()) };
        match body.node.as_ref() {
            Some(E::List(list)) => list.items.iter().try_for_each(|item| self.sql_body(Some(item))),
            // An empty statement between two semicolons, or an empty list.
            None => Ok(()),
            Some(_) => self.node(body),
        }
    }

    fn new_routine(&mut self, names: &'t [pg::Node]) -> Walked {
        let mut routine = self.named(ObjectKind::Routine, names)?;
        if hides(routine.schema, routine.name) {
            routine.class = ObjectClass::Sensitive;
        }
        self.touch(Operation::DdlCreate, routine);
        self.touch(Operation::Call, routine);
        Ok(())
    }

    pub(super) fn function_parameter(&mut self, n: &'t pg::FunctionParameter) -> Walked {
        if let Some(name) = &n.arg_type {
            self.type_name(name)?;
        }
        self.boxed(n.defexpr.as_ref())
    }

    pub(super) fn alter_function(&mut self, n: &'t pg::AlterFunctionStmt) -> Walked {
        let Some(function) = &n.func else { return unknown("AlterFunctionStmt") };
        self.nodes(&n.actions)?;
        let routine = self.routine(&function.objname)?;
        self.touch(Operation::DdlAlter, routine);
        Ok(())
    }

    pub(super) fn create_trigger(&mut self, n: &'t pg::CreateTrigStmt) -> Walked {
        self.nodes(&n.args)?;
        self.boxed(n.when_clause.as_ref())?;
        self.nodes(&n.transition_rels)?;
        if let Some(relation) = &n.constrrel {
            self.relation(Operation::DdlCreate, relation)?;
        }
        self.installed_routine(&n.funcname)?;
        self.target(Operation::DdlCreate, n.relation.as_ref())
    }

    pub(super) fn create_event_trigger(&mut self, n: &'t pg::CreateEventTrigStmt) -> Walked {
        self.nodes(&n.whenclause)?;
        self.installed_routine(&n.funcname)?;
        self.create_other(&n.trigname, &[])
    }

    /// A rule makes its actions part of every statement on its table: they are judged as if they ran.
    pub(super) fn create_rule(&mut self, n: &'t pg::RuleStmt) -> Walked {
        self.boxed(n.where_clause.as_ref())?;
        self.nodes_or_empty(&n.actions)?;
        self.target(Operation::DdlCreate, n.relation.as_ref())?;
        self.defined();
        Ok(())
    }

    /// CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH …: their definitions name routines as types do.
    pub(super) fn define(&mut self, n: &'t pg::DefineStmt) -> Walked {
        use pg::ObjectType as T;
        let is = |kind: T| n.kind == kind as i32;
        self.nodes_or_empty(&n.args)?;
        self.define_arguments(&n.args)?;
        for node in &n.definition {
            let Some(E::DefElem(option)) = node.node.as_ref() else { return unknown("DefineStmt") };
            if let Some(E::TypeName(name)) = option.arg.as_deref().and_then(|arg| arg.node.as_ref())
                && names_routine(&option.defname)
            {
                self.installed_routine(&name.names)?;
            }
            self.option(option)?;
        }
        if is(T::ObjectAggregate) {
            return self.new_routine(&n.defnames);
        }
        let kind = if is(T::ObjectType) { ObjectKind::Type } else { ObjectKind::Other };
        let seen = self.named(kind, &n.defnames)?;
        self.touch(Operation::DdlCreate, seen);
        Ok(())
    }

    /// An aggregate's arguments are a list of two: the parameters, and how many of them are direct.
    #[expect(clippy::unused_self, reason = "reads as a step of the walk")]
    fn define_arguments(&mut self, args: &'t [pg::Node]) -> Walked {
        let known = args.iter().all(|arg| {
            matches!(arg.node, None | Some(E::List(_) | E::Integer(_) | E::FunctionParameter(_) | E::TypeName(_)))
        });
        if known { Ok(()) } else { unknown("DefineStmt") }
    }

    /// A type is made of names and expressions; creating it touches only itself.
    pub(super) fn create_named(&mut self, names: &'t [pg::Node], kind: ObjectKind) -> Walked {
        let seen = self.named(kind, names)?;
        self.touch(Operation::DdlCreate, seen);
        Ok(())
    }

    pub(super) fn alter_named(&mut self, names: &'t [pg::Node], kind: ObjectKind) -> Walked {
        let seen = self.named(kind, names)?;
        self.touch(Operation::DdlAlter, seen);
        Ok(())
    }

    pub(super) fn create_composite_type(&mut self, n: &'t pg::CompositeTypeStmt) -> Walked {
        self.nodes(&n.coldeflist)?;
        let Some(name) = &n.typevar else { return unknown("CompositeTypeStmt") };
        self.relation_as(ObjectKind::Type, Operation::DdlCreate, name)
    }

    pub(super) fn create_range(&mut self, n: &'t pg::CreateRangeStmt) -> Walked {
        self.routine_options(&n.params)?;
        self.create_named(&n.type_name, ObjectKind::Type)
    }

    pub(super) fn alter_type(&mut self, n: &'t pg::AlterTypeStmt) -> Walked {
        self.routine_options(&n.options)?;
        self.alter_named(&n.type_name, ObjectKind::Type)
    }

    fn routine_options(&mut self, options: &'t [pg::Node]) -> Walked {
        for node in options {
            let Some(E::DefElem(option)) = node.node.as_ref() else { return unknown("DefElem") };
            if let Some(E::TypeName(name)) = option.arg.as_deref().and_then(|arg| arg.node.as_ref())
                && names_routine(&option.defname)
            {
                self.installed_routine(&name.names)?;
            }
            self.option(option)?;
        }
        Ok(())
    }

    pub(super) fn create_domain(&mut self, n: &'t pg::CreateDomainStmt) -> Walked {
        if let Some(name) = &n.type_name {
            self.type_name(name)?;
        }
        self.nodes(&n.constraints)?;
        self.create_named(&n.domainname, ObjectKind::Type)
    }

    pub(super) fn alter_domain(&mut self, n: &'t pg::AlterDomainStmt) -> Walked {
        self.boxed(n.def.as_ref())?;
        self.cascade(Operation::DdlAlter, n.behavior);
        self.alter_named(&n.type_name, ObjectKind::Type)
    }

    pub(super) fn create_cast(&mut self, n: &'t pg::CreateCastStmt) -> Walked {
        if let Some(function) = &n.func {
            self.installed_routine(&function.objname)?;
        }
        match &n.targettype {
            Some(name) => self.create_named(&name.names, ObjectKind::Type),
            None => unknown("CreateCastStmt"),
        }
    }

    pub(super) fn create_conversion(&mut self, n: &'t pg::CreateConversionStmt) -> Walked {
        self.installed_routine(&n.func_name)?;
        self.create_named(&n.conversion_name, ObjectKind::Other)
    }

    pub(super) fn create_transform(&mut self, n: &'t pg::CreateTransformStmt) -> Walked {
        for function in [&n.fromsql, &n.tosql].into_iter().flatten() {
            self.installed_routine(&function.objname)?;
        }
        match &n.type_name {
            Some(name) => self.create_named(&name.names, ObjectKind::Type),
            None => unknown("CreateTransformStmt"),
        }
    }

    pub(super) fn create_operator_class(&mut self, n: &'t pg::CreateOpClassStmt) -> Walked {
        self.nodes(&n.items)?;
        self.create_named(&n.opclassname, ObjectKind::Other)
    }

    pub(super) fn operator_class_item(&mut self, n: &'t pg::CreateOpClassItem) -> Walked {
        const FUNCTION: i32 = 2;
        match &n.name {
            Some(function) if n.itemtype == FUNCTION => self.installed_routine(&function.objname),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn alter_operator_family(&mut self, n: &'t pg::AlterOpFamilyStmt) -> Walked {
        self.nodes(&n.items)?;
        self.alter_named(&n.opfamilyname, ObjectKind::Other)
    }

    pub(super) fn alter_operator(&mut self, n: &'t pg::AlterOperatorStmt) -> Walked {
        self.routine_options(&n.options)?;
        match &n.opername {
            Some(operator) => self.alter_named(&operator.objname, ObjectKind::Other),
            None => unknown("AlterOperatorStmt"),
        }
    }
}

/// Whether an option of a definition names a routine, although the grammar reads a type there.
fn names_routine(option: &str) -> bool {
    const OTHER: &[&str] = &[
        "alignment",
        "basetype",
        "category",
        "collatable",
        "collation",
        "commutator",
        "default",
        "delimiter",
        "element",
        "hashes",
        "hypothetical",
        "initcond",
        "internallength",
        "leftarg",
        "like",
        "mfinalfunc_extra",
        "minitcond",
        "mstype",
        "negator",
        "parallel",
        "passedbyvalue",
        "preferred",
        "rightarg",
        "sortop",
        "storage",
        "stype",
        "subtype",
        "subtype_opclass",
        "template",
        "multirange_type_name",
        "provider",
        "locale",
        "deterministic",
        "parser",
        "copy",
        "from",
        "language",
        "stopwords",
        "dictfile",
        "afffile",
    ];
    !OTHER.contains(&option)
}
