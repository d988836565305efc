//! One complete walk over a statement's tree that collects every (operation, object) it touches.
//!
//! The dispatch below names every node of PostgreSQL's parse tree, so that a new node does not compile. A node that only
//! the server's analyser or planner makes, and an empty node where the grammar never leaves one, is refused.
//! The walk never guesses: what it cannot place is a [`Refusal`].

mod asked;
mod data;
mod define;
mod expression;
mod formula;
mod from;
mod joined;
mod made;
mod names;
mod object;
mod operator;
#[cfg(test)]
mod oracle;
mod pattern;
mod privilege;
mod query;
mod restriction;
mod routine;
mod sampled;
mod session;
mod tautology;
#[cfg(test)]
mod trace;
mod twin;
#[cfg(test)]
mod unbounded;
mod whole;

use crate::refusal::Refusal;
use crate::session::SessionFacts;
use crate::statement::{Access, Action, Object, ObjectClass, ObjectKind, Renamed, SettingChange};
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// Nodes that name nothing and hold no other node: every walk passes over them.
macro_rules! leaf {
    () => {
        E::Integer(_)
            | E::Float(_)
            | E::Boolean(_)
            | E::String(_)
            | E::AConst(_)
            | E::AStar(_)
            | E::ParamRef(_)
            | E::SetToDefault(_)
            | E::CurrentOfExpr(_)
    };
}
pub(crate) use leaf;

/// The result of walking a part of the tree.
pub(crate) type Walked = Result<(), Refusal>;

/// An object, borrowed from the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen<'t> {
    kind: ObjectKind,
    schema: Option<&'t str>,
    name: &'t str,
    class: ObjectClass,
}

impl<'t> Seen<'t> {
    /// Everything that the statement reaches without naming it.
    const DATABASE: Self = Self { kind: ObjectKind::Database, schema: None, name: "", class: ObjectClass::Ordinary };

    const fn plain(kind: ObjectKind, name: &'t str) -> Self {
        Self { kind, schema: None, name, class: ObjectClass::Ordinary }
    }

    fn to_object(self) -> Object {
        Object { kind: self.kind, schema: self.schema.map(Into::into), name: self.name.into(), class: self.class }
    }
}

/// One operation on one object, borrowed from the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Touch<'t> {
    operation: Operation,
    object: Option<Seen<'t>>,
}

impl Touch<'_> {
    /// A harmless relation is one to read, and a harmless routine one to call: neither is one to change.
    fn to_access(self) -> Access {
        let reads = matches!(self.operation, Operation::Select | Operation::Explain | Operation::CopyOut);
        let object = self.object.map(|mut object| {
            if object.class == ObjectClass::Harmless && !reads {
                object.class = ObjectClass::Sensitive;
            }
            object.to_object()
        });
        Access { operation: self.operation, object }
    }
}

/// What the walk of one statement found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) action: Action,
    pub(crate) accesses: Vec<Access>,
    pub(crate) settings: Vec<SettingChange>,
    pub(crate) executes: Option<Box<str>>,
    pub(crate) sequences: Vec<Option<Box<str>>>,
    pub(crate) returns_rows: bool,
    pub(crate) reads_only: bool,
    pub(crate) writes: usize,
    pub(crate) renames: Vec<Renamed>,
}

/// The state of the walk of one statement.
#[derive(Debug)]
pub(crate) struct Walker<'t> {
    session: &'t SessionFacts,
    ctes: query::Ctes<'t>,
    touches: Vec<Touch<'t>>,
    settings: Vec<SettingChange>,
    executes: Option<&'t str>,
    /// What calls of routines over sequences name.
    sequences: Vec<Option<&'t str>>,
    action: Action,
    /// What objects were called, and are from now on.
    renames: Vec<(Seen<'t>, Seen<'t>)>,
    returns_rows: bool,
    /// Columns that the text names, and how deep; what restricts a write rests on them.
    columns: Vec<restriction::Column<'t>>,
    /// What the items of FROM are called.
    aliases: Vec<&'t str>,
    /// How many queries enclose the present node.
    level: u32,
    /// How many nodes were walked.
    walked: usize,
    /// How many changing statements were walked.
    writes: usize,
    /// Inside a changing statement, or a probe of one: what restricts a write in here is not asked, since the server
    /// accepts no write there and asking at every level would cost the product of the levels.
    inside_write: bool,
    effort: restriction::Effort,
    /// Inside a column's default, where `nextval` is how every serial column is defined.
    in_default: bool,
    #[cfg(test)]
    trace: trace::Trace,
}

impl<'t> Walker<'t> {
    pub(crate) fn new(session: &'t SessionFacts) -> Self {
        Self {
            session,
            ctes: query::Ctes::default(),
            touches: Vec::new(),
            settings: Vec::new(),
            executes: None,
            sequences: Vec::new(),
            action: Action::Other,
            renames: Vec::new(),
            returns_rows: false,
            columns: Vec::new(),
            aliases: Vec::new(),
            level: 0,
            walked: 0,
            writes: 0,
            inside_write: false,
            effort: restriction::Effort::default(),
            in_default: false,
            #[cfg(test)]
            trace: trace::Trace::default(),
        }
    }

    /// Walks one whole statement.
    pub(crate) fn statement(mut self, statement: &'t pg::Node) -> Result<Found, Refusal> {
        self.node(statement)?;
        Ok(self.found())
    }

    fn found(self) -> Found {
        let reads_only = self.reads_only();
        let mut touches = self.touches;
        touches.sort_unstable();
        touches.dedup();
        let accesses = touches.into_iter().map(Touch::to_access).collect();
        Found {
            action: self.action,
            accesses,
            settings: self.settings,
            executes: self.executes.map(Into::into),
            sequences: self.sequences.into_iter().map(|name| name.map(Into::into)).collect(),
            returns_rows: self.returns_rows,
            writes: self.writes,
            renames: self
                .renames
                .iter()
                .map(|(from, to)| Renamed { from: from.to_object(), to: to.to_object() })
                .collect(),
            reads_only,
        }
    }

    /// Whether what was walked so far only reads. What runs by name (EXECUTE, FETCH) is not known here.
    fn reads_only(&self) -> bool {
        let reads = |operation| matches!(operation, Operation::Select | Operation::Explain | Operation::Show);
        let action_reads = match self.action {
            Action::Query
            | Action::Explain { .. }
            | Action::Show
            | Action::CopyOut
            | Action::DeclareCursor { .. }
            | Action::Prepare { .. } => true,
            Action::Transaction(_)
            | Action::Modify
            | Action::Execute { .. }
            | Action::Deallocate { .. }
            | Action::Fetch { .. }
            | Action::Move { .. }
            | Action::CloseCursor { .. }
            | Action::CopyIn
            | Action::Set
            | Action::Discard(_)
            | Action::Beside
            | Action::Rename
            | Action::Other => false,
        };
        action_reads
            && self.executes.is_none()
            && self.settings.is_empty()
            && self.touches.iter().all(|touch| reads(touch.operation) || touch.operation == Operation::CopyOut)
    }

    fn touch(&mut self, operation: Operation, object: Seen<'t>) {
        self.touches.push(Touch { operation, object: Some(object) });
    }

    fn touch_nothing(&mut self, operation: Operation) {
        self.touches.push(Touch { operation, object: None });
    }

    /// Walks an optional node.
    fn optional(&mut self, node: Option<&'t pg::Node>) -> Walked {
        node.map_or(Ok(()), |node| self.node(node))
    }

    /// Walks an optional boxed node, as most fields are.
    #[expect(clippy::borrowed_box, reason = "the tree's own type, so that callers need not convert")]
    fn boxed(&mut self, node: Option<&'t Box<pg::Node>>) -> Walked {
        self.optional(node.map(AsRef::as_ref))
    }

    /// Walks every node of a list.
    fn nodes(&mut self, nodes: &'t [pg::Node]) -> Walked {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    /// As [`Self::nodes`], where the grammar leaves empty nodes (`SELECT DISTINCT`, `NONE` for an operand).
    fn nodes_or_empty(&mut self, nodes: &'t [pg::Node]) -> Walked {
        nodes.iter().filter(|node| node.node.is_some()).try_for_each(|node| self.node(node))
    }

    /// Walks any node of the tree.
    #[expect(clippy::match_same_arms, reason = "the table is grouped by what its nodes are")]
    #[expect(clippy::too_many_lines, reason = "one exhaustive table of the tree's nodes, without a fallback arm")]
    fn node(&mut self, node: &'t pg::Node) -> Walked {
        self.walked = self.walked.saturating_add(1);
        let Some(node) = node.node.as_ref() else { return unknown("an empty node") };
        match node {
            // Leaves.
            leaf!() => Ok(()),
            E::SqlvalueFunction(_)
            | E::RoleSpec(_)
            | E::AccessPriv(_)
            | E::TriggerTransition(_)
            | E::ReplicaIdentityStmt(_)
            | E::AtalterConstraint(_) => Ok(()),
            E::MergeSupportFunc(_) => {
                self.construct_since("merge_action", 17);
                Ok(())
            }

            // Lists.
            E::List(n) => self.nodes(&n.items),

            // Expressions.
            E::AExpr(n) => self.operator(n),
            E::BoolExpr(n) => self.nodes(&n.args),
            E::SubLink(n) => self.sub_link(n),
            E::FuncCall(n) => self.function_call(n),
            E::ColumnRef(n) => self.column(n),
            E::TypeCast(n) => self.type_cast(n),
            E::TypeName(n) => self.type_name(n),
            E::CollateClause(n) => self.boxed(n.arg.as_ref()),
            E::NamedArgExpr(n) => self.boxed(n.arg.as_ref()),
            E::CaseExpr(n) => {
                self.boxed(n.arg.as_ref())?;
                self.nodes(&n.args)?;
                self.boxed(n.defresult.as_ref())
            }
            E::CaseWhen(n) => {
                self.boxed(n.expr.as_ref())?;
                self.boxed(n.result.as_ref())
            }
            E::AArrayExpr(n) => self.nodes(&n.elements),
            E::RowExpr(n) => self.nodes(&n.args),
            E::CoalesceExpr(n) => self.nodes(&n.args),
            E::MinMaxExpr(n) => self.nodes(&n.args),
            E::GroupingFunc(n) => self.nodes(&n.args),
            E::GroupingSet(n) => self.nodes(&n.content),
            E::NullTest(n) => self.boxed(n.arg.as_ref()),
            E::BooleanTest(n) => self.boxed(n.arg.as_ref()),
            E::AIndices(n) => {
                self.boxed(n.lidx.as_ref())?;
                self.boxed(n.uidx.as_ref())
            }
            E::AIndirection(n) => self.indirection(n),
            E::MultiAssignRef(n) => self.boxed(n.source.as_ref()),
            E::ResTarget(n) => self.result_target(n),
            E::SortBy(n) => self.sort_by(n),
            E::WindowDef(n) => self.window(n),
            E::XmlExpr(n) => {
                self.nodes(&n.named_args)?;
                self.nodes(&n.args)
            }
            E::XmlSerialize(n) => {
                self.boxed(n.expr.as_ref())?;
                n.type_name.as_ref().map_or(Ok(()), |name| self.type_name(name))
            }
            E::JsonValueExpr(n) => self.json_value(n),
            E::JsonIsPredicate(n) => self.boxed(n.expr.as_ref()),
            E::JsonArgument(n) => self.json_argument(n),
            E::JsonKeyValue(n) => self.json_key_value(n),
            E::JsonFuncExpr(n) => self.json_function(n),
            E::JsonParseExpr(n) => self.json_parse(n),
            E::JsonScalarExpr(n) => self.json_scalar(n),
            E::JsonSerializeExpr(n) => self.json_serialize(n),
            E::JsonObjectConstructor(n) => self.json_object(n),
            E::JsonArrayConstructor(n) => self.json_array(n),
            E::JsonArrayQueryConstructor(n) => self.json_array_query(n),
            E::JsonObjectAgg(n) => self.json_object_aggregate(n),
            E::JsonArrayAgg(n) => self.json_array_aggregate(n),

            // FROM.
            E::RangeVar(n) => self.read(n),
            E::JoinExpr(n) => self.join(n),
            E::RangeSubselect(n) => self.boxed(n.subquery.as_ref()),
            E::RangeFunction(n) => self.range_function(n),
            E::RangeTableSample(n) => self.table_sample(n),
            E::RangeTableFunc(n) => self.xml_table(n),
            E::RangeTableFuncCol(n) => self.xml_table_column(n),
            E::JsonTable(n) => self.json_table(n),
            E::JsonTableColumn(n) => self.json_table_column(n),

            // Queries and data.
            E::SelectStmt(n) => self.select(n),
            E::InsertStmt(n) => self.insert(n),
            E::UpdateStmt(n) => self.update(n),
            E::DeleteStmt(n) => self.delete(n),
            E::MergeStmt(n) => self.merge(n),
            E::CopyStmt(n) => self.copy(n),
            E::TruncateStmt(n) => self.truncate(n),
            E::LockStmt(n) => self.lock(n),
            E::ReturnStmt(n) => self.boxed(n.returnval.as_ref()),
            E::ExplainStmt(n) => self.explain(n),
            E::CreateTableAsStmt(n) => self.create_table_as(n),
            E::CallStmt(n) => self.call(n),
            E::DoStmt(n) => self.do_block(n),

            // The session.
            E::TransactionStmt(n) => self.transaction(n),
            E::PrepareStmt(n) => self.prepare(n),
            E::ExecuteStmt(n) => self.execute(n),
            E::DeallocateStmt(n) => self.deallocate(n),
            E::DeclareCursorStmt(n) => self.declare_cursor(n),
            E::FetchStmt(n) => self.fetch(n),
            E::ClosePortalStmt(n) => self.close_cursor(n),
            E::VariableSetStmt(n) => self.set(n),
            E::VariableShowStmt(n) => self.show(n),
            E::DiscardStmt(n) => self.discard(n),
            E::ConstraintsSetStmt(n) => self.set_constraints(n),
            E::ListenStmt(n) => self.listen(&n.conditionname),
            E::NotifyStmt(n) => self.listen(&n.conditionname),
            E::UnlistenStmt(_) => Ok(()),

            // Maintenance.
            E::VacuumStmt(n) => self.vacuum(n),
            E::ClusterStmt(n) => self.cluster(n),
            E::ReindexStmt(n) => self.reindex(n),
            E::RefreshMatViewStmt(n) => self.refresh(n),

            // Definitions.
            E::CreateStmt(n) => self.create_table(n),
            E::CreateForeignTableStmt(n) => self.create_foreign_table(n),
            E::ColumnDef(n) => self.column_definition(n),
            E::Constraint(n) => self.constraint(n),
            E::TableLikeClause(n) => self.table_like(n),
            E::PartitionElem(n) => self.boxed(n.expr.as_ref()),
            E::PartitionCmd(n) => self.partition_command(n),
            E::IndexElem(n) => self.index_element(n),
            E::DefElem(n) => self.option(n),
            E::AlterTableStmt(n) => self.alter_table(n),
            E::AlterTableCmd(n) => self.alter_table_command(n),
            E::ViewStmt(n) => self.create_view(n),
            E::IndexStmt(n) => self.create_index(n),
            E::CreateSchemaStmt(n) => self.create_schema(n),
            E::CreateSeqStmt(n) => self.create_sequence(n),
            E::AlterSeqStmt(n) => self.alter_sequence(n),
            E::CreateStatsStmt(n) => self.create_statistics(n),
            E::StatsElem(n) => self.boxed(n.expr.as_ref()),
            E::AlterStatsStmt(n) => self.alter_named(&n.defnames, ObjectKind::Other),
            E::CreateFunctionStmt(n) => self.create_function(n),
            E::FunctionParameter(n) => self.function_parameter(n),
            E::AlterFunctionStmt(n) => self.alter_function(n),
            E::ObjectWithArgs(n) => self.nodes_or_empty(&n.objargs),
            E::CreateTrigStmt(n) => self.create_trigger(n),
            E::CreateEventTrigStmt(n) => self.create_event_trigger(n),
            E::AlterEventTrigStmt(n) => self.alter_other(&n.trigname),
            E::RuleStmt(n) => self.create_rule(n),
            E::CreatePolicyStmt(n) => self.create_policy(n),
            E::AlterPolicyStmt(n) => self.alter_policy(n),
            E::DefineStmt(n) => self.define(n),
            E::CompositeTypeStmt(n) => self.create_composite_type(n),
            E::CreateEnumStmt(n) => self.create_named(&n.type_name, ObjectKind::Type),
            E::CreateRangeStmt(n) => self.create_range(n),
            E::AlterEnumStmt(n) => self.alter_named(&n.type_name, ObjectKind::Type),
            E::AlterTypeStmt(n) => self.alter_type(n),
            E::CreateDomainStmt(n) => self.create_domain(n),
            E::AlterDomainStmt(n) => self.alter_domain(n),
            E::CreateCastStmt(n) => self.create_cast(n),
            E::CreateConversionStmt(n) => self.create_conversion(n),
            E::CreateTransformStmt(n) => self.create_transform(n),
            E::CreateOpClassStmt(n) => self.create_operator_class(n),
            E::CreateOpClassItem(n) => self.operator_class_item(n),
            E::CreateOpFamilyStmt(n) => self.create_named(&n.opfamilyname, ObjectKind::Other),
            E::AlterOpFamilyStmt(n) => self.alter_operator_family(n),
            E::AlterOperatorStmt(n) => self.alter_operator(n),
            E::AlterCollationStmt(n) => self.alter_named(&n.collname, ObjectKind::Other),
            E::AlterTsdictionaryStmt(n) => self.alter_named(&n.dictname, ObjectKind::Other),
            E::AlterTsconfigurationStmt(n) => self.alter_named(&n.cfgname, ObjectKind::Other),
            E::CreateExtensionStmt(n) => self.create_other(&n.extname, &n.options),
            E::AlterExtensionStmt(n) => self.alter_other(&n.extname),
            E::AlterExtensionContentsStmt(n) => self.alter_extension_contents(n),
            E::CreateFdwStmt(n) => self.create_other(&n.fdwname, &n.options),
            E::AlterFdwStmt(n) => self.alter_other(&n.fdwname),
            E::CreateForeignServerStmt(n) => self.create_other(&n.servername, &n.options),
            E::AlterForeignServerStmt(n) => self.alter_other(&n.servername),
            E::ImportForeignSchemaStmt(n) => self.import_foreign_schema(n),
            E::CreateAmStmt(n) => self.create_other(&n.amname, &[]),
            E::CreatePublicationStmt(n) => self.create_publication(n),
            E::AlterPublicationStmt(n) => self.alter_publication(n),
            E::PublicationObjSpec(_) | E::PublicationTable(_) => unknown("PublicationObjSpec"),
            E::CreatedbStmt(n) => self.create_other(&n.dbname, &n.options),
            E::AlterDatabaseStmt(n) => self.alter_other(&n.dbname),
            E::AlterDatabaseRefreshCollStmt(n) => self.alter_other(&n.dbname),
            E::DropdbStmt(n) => self.drop_other(&n.dbname),
            E::CreateTableSpaceStmt(n) => self.create_other(&n.tablespacename, &n.options),
            E::DropTableSpaceStmt(n) => self.drop_other(&n.tablespacename),
            E::AlterTableSpaceOptionsStmt(n) => self.alter_other(&n.tablespacename),
            E::AlterTableMoveAllStmt(n) => self.alter_other(&n.orig_tablespacename),
            E::DropStmt(n) => self.drop_objects(n),
            E::CommentStmt(n) => self.comment(n),
            E::RenameStmt(n) => self.rename(n),
            E::AlterObjectSchemaStmt(n) => self.alter_schema_of(n),
            E::AlterObjectDependsStmt(n) => self.alter_depends(n),

            // Privileges and roles.
            E::GrantStmt(n) => self.grant(n),
            E::GrantRoleStmt(n) => self.grant_role(n),
            E::AlterDefaultPrivilegesStmt(n) => self.alter_default_privileges(n),
            E::AlterOwnerStmt(n) => self.alter_owner(n),
            E::SecLabelStmt(n) => self.security_label(n),
            E::CreateRoleStmt(n) => self.role(&n.role),
            E::AlterRoleStmt(n) => self.role_spec(n.role.as_ref()),
            E::DropRoleStmt(n) => self.roles(&n.roles),
            E::DropOwnedStmt(n) => self.drop_owned(n),
            E::ReassignOwnedStmt(n) => self.reassign_owned(n),
            E::CreateUserMappingStmt(n) => self.role_spec(n.user.as_ref()),
            E::AlterUserMappingStmt(n) => self.role_spec(n.user.as_ref()),
            E::DropUserMappingStmt(n) => self.role_spec(n.user.as_ref()),

            // Never through the gateway.
            E::AlterSystemStmt(_) => never("ALTER SYSTEM", "it sets parameters of every session"),
            E::AlterDatabaseSetStmt(_) => never("ALTER DATABASE … SET", "it sets parameters of later sessions"),
            E::AlterRoleSetStmt(_) => never("ALTER ROLE … SET", "it sets parameters of later sessions"),
            E::LoadStmt(_) => never("LOAD", "it loads code into the server"),
            E::CheckPointStmt(_) => never("CHECKPOINT", "it concerns the whole server"),
            E::CreatePlangStmt(_) => never("CREATE LANGUAGE", "it loads code into the server"),
            E::CreateSubscriptionStmt(_) => never("CREATE SUBSCRIPTION", "the server would connect elsewhere"),
            E::AlterSubscriptionStmt(_) => never("ALTER SUBSCRIPTION", "the server would connect elsewhere"),
            E::DropSubscriptionStmt(_) => never("DROP SUBSCRIPTION", "the server would connect elsewhere"),

            // Parts that are walked where they stand, never as nodes of their own.
            E::Alias(_) => unknown("Alias"),
            E::WithClause(_) => unknown("WithClause"),
            E::CommonTableExpr(_) => unknown("CommonTableExpr"),
            E::CtesearchClause(_) => unknown("CTESearchClause"),
            E::CtecycleClause(_) => unknown("CTECycleClause"),
            E::IntoClause(_) => unknown("IntoClause"),
            E::LockingClause(_) => unknown("LockingClause"),
            E::InferClause(_) => unknown("InferClause"),
            E::OnConflictClause(_) => unknown("OnConflictClause"),
            E::MergeWhenClause(_) => unknown("MergeWhenClause"),
            E::ReturningClause(_) => unknown("ReturningClause"),
            E::ReturningOption(_) => unknown("ReturningOption"),
            E::VacuumRelation(_) => unknown("VacuumRelation"),
            E::PartitionSpec(_) => unknown("PartitionSpec"),
            E::PartitionBoundSpec(_) => unknown("PartitionBoundSpec"),
            E::BitString(_) => unknown("BitString"),
            E::JsonFormat(_) => unknown("JsonFormat"),
            E::JsonReturning(_) => unknown("JsonReturning"),
            E::JsonOutput(_) => unknown("JsonOutput"),
            E::JsonBehavior(_) => unknown("JsonBehavior"),
            E::JsonTablePathSpec(_) => unknown("JsonTablePathSpec"),
            E::JsonAggConstructor(_) => unknown("JsonAggConstructor"),
            E::RawStmt(_) => unknown("RawStmt"),
            E::PlassignStmt(_) => unknown("PLAssignStmt"),

            // Nodes of the analyser, the planner and the executor.
            E::IntList(_) => unknown("IntList"),
            E::OidList(_) => unknown("OidList"),
            E::CaseTestExpr(_) => unknown("CaseTestExpr"),
            E::PartitionRangeDatum(_) => unknown("PartitionRangeDatum"),
            E::TableFunc(_) => unknown("TableFunc"),
            E::Var(_) => unknown("Var"),
            E::Param(_) => unknown("Param"),
            E::Aggref(_) => unknown("Aggref"),
            E::WindowFunc(_) => unknown("WindowFunc"),
            E::WindowFuncRunCondition(_) => unknown("WindowFuncRunCondition"),
            E::SubscriptingRef(_) => unknown("SubscriptingRef"),
            E::FuncExpr(_) => unknown("FuncExpr"),
            E::OpExpr(_) => unknown("OpExpr"),
            E::DistinctExpr(_) => unknown("DistinctExpr"),
            E::NullIfExpr(_) => unknown("NullIfExpr"),
            E::ScalarArrayOpExpr(_) => unknown("ScalarArrayOpExpr"),
            E::SubPlan(_) => unknown("SubPlan"),
            E::AlternativeSubPlan(_) => unknown("AlternativeSubPlan"),
            E::FieldSelect(_) => unknown("FieldSelect"),
            E::FieldStore(_) => unknown("FieldStore"),
            E::RelabelType(_) => unknown("RelabelType"),
            E::CoerceViaIo(_) => unknown("CoerceViaIO"),
            E::ArrayCoerceExpr(_) => unknown("ArrayCoerceExpr"),
            E::ConvertRowtypeExpr(_) => unknown("ConvertRowtypeExpr"),
            E::CollateExpr(_) => unknown("CollateExpr"),
            E::ArrayExpr(_) => unknown("ArrayExpr"),
            E::RowCompareExpr(_) => unknown("RowCompareExpr"),
            E::JsonConstructorExpr(_) => unknown("JsonConstructorExpr"),
            E::JsonExpr(_) => unknown("JsonExpr"),
            E::JsonTablePath(_) => unknown("JsonTablePath"),
            E::JsonTablePathScan(_) => unknown("JsonTablePathScan"),
            E::JsonTableSiblingJoin(_) => unknown("JsonTableSiblingJoin"),
            E::MergeAction(_) => unknown("MergeAction"),
            E::CoerceToDomain(_) => unknown("CoerceToDomain"),
            E::CoerceToDomainValue(_) => unknown("CoerceToDomainValue"),
            E::NextValueExpr(_) => unknown("NextValueExpr"),
            E::InferenceElem(_) => unknown("InferenceElem"),
            E::ReturningExpr(_) => unknown("ReturningExpr"),
            E::TargetEntry(_) => unknown("TargetEntry"),
            E::RangeTblRef(_) => unknown("RangeTblRef"),
            E::FromExpr(_) => unknown("FromExpr"),
            E::OnConflictExpr(_) => unknown("OnConflictExpr"),
            E::Query(_) => unknown("Query"),
            E::RangeTblEntry(_) => unknown("RangeTblEntry"),
            E::RtepermissionInfo(_) => unknown("RTEPermissionInfo"),
            E::RangeTblFunction(_) => unknown("RangeTblFunction"),
            E::TableSampleClause(_) => unknown("TableSampleClause"),
            E::WithCheckOption(_) => unknown("WithCheckOption"),
            E::SortGroupClause(_) => unknown("SortGroupClause"),
            E::WindowClause(_) => unknown("WindowClause"),
            E::RowMarkClause(_) => unknown("RowMarkClause"),
            E::SetOperationStmt(_) => unknown("SetOperationStmt"),
            E::InlineCodeBlock(_) => unknown("InlineCodeBlock"),
            E::CallContext(_) => unknown("CallContext"),
        }
    }
}

/// Refuses a part of the tree that is not judged.
fn unknown(name: &'static str) -> Walked {
    Err(Refusal::UnknownNode { name })
}

/// Refuses a statement that never runs through the gateway.
fn never(statement: &'static str, reason: &'static str) -> Walked {
    Err(Refusal::NeverRuns { statement, reason })
}
