//! Expressions: operators, function calls, columns, casts and SQL/JSON.

use super::names::{qualified, string};
use super::restriction::Column;
use super::{E, ObjectClass, ObjectKind, Seen, Walked, Walker, pg, unknown};
use crate::catalog::{PG_CATALOG, relation_class, schema_of};
use crate::routines::{self, Routine};
use crate::statement::{Action, Parameter};
use lang::protocol::Operation;

/// What is longer, the server cuts (`NAMEDATALEN`).
const NAME_BYTES_MAX: usize = 64;

impl<'t> Walker<'t> {
    pub(super) fn operator(&mut self, expression: &'t pg::AExpr) -> Walked {
        self.operator_name(&expression.name)?;
        self.boxed(expression.lexpr.as_ref())?;
        self.boxed(expression.rexpr.as_ref())
    }

    /// An operator that the text qualifies outside `pg_catalog` calls somebody's function.
    fn operator_name(&mut self, names: &'t [pg::Node]) -> Walked {
        let [_, ..] = names else { return Ok(()) };
        let (schema, name) = qualified(names)?;
        match schema {
            None if self.session.operators.contains(name) => {
                self.call_of(name);
                Ok(())
            }
            None | Some(PG_CATALOG) => Ok(()),
            Some(_) => {
                self.touch(
                    Operation::Call,
                    Seen { kind: ObjectKind::Routine, schema, name, class: ObjectClass::Ordinary },
                );
                Ok(())
            }
        }
    }

    /// A routine of the database that something other than a call runs.
    fn call_of(&mut self, name: &'t str) {
        let schema = Some(self.session.default_schema.as_ref());
        self.touch(Operation::Call, Seen { kind: ObjectKind::Routine, schema, name, class: ObjectClass::Ordinary });
    }

    pub(super) fn sub_link(&mut self, link: &'t pg::SubLink) -> Walked {
        self.boxed(link.testexpr.as_ref())?;
        self.operator_name(&link.oper_name)?;
        self.inner_query(link.subselect.as_deref())
    }

    /// A query inside an expression says nothing about what the statement around it is.
    fn inner_query(&mut self, query: Option<&'t pg::Node>) -> Walked {
        let action = std::mem::replace(&mut self.action, Action::Other);
        let returns_rows = self.returns_rows;
        self.optional(query)?;
        self.action = action;
        self.returns_rows = returns_rows;
        Ok(())
    }

    pub(super) fn sort_by(&mut self, sort: &'t pg::SortBy) -> Walked {
        self.operator_name(&sort.use_op)?;
        self.boxed(sort.node.as_ref())
    }

    pub(super) fn window(&mut self, window: &'t pg::WindowDef) -> Walked {
        self.nodes(&window.partition_clause)?;
        self.nodes(&window.order_clause)?;
        self.boxed(window.start_offset.as_ref())?;
        self.boxed(window.end_offset.as_ref())
    }

    /// `row.name` calls a function of the row's type when there is no such column.
    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn column(&mut self, column: &'t pg::ColumnRef) -> Walked {
        self.columns.push(Column { fields: &column.fields, level: self.level });
        if column.fields.len() > 1 {
            self.attribute(column.fields.last());
        }
        Ok(())
    }

    pub(super) fn indirection(&mut self, indirection: &'t pg::AIndirection) -> Walked {
        self.boxed(indirection.arg.as_ref())?;
        for field in &indirection.indirection {
            self.attribute(Some(field));
            self.node(field)?;
        }
        Ok(())
    }

    /// `value.name` is a call of `name` with that value, whatever its type is, where there is no column of that name.
    fn attribute(&mut self, name: Option<&'t pg::Node>) {
        let Some(name) = name.and_then(string) else { return };
        if self.session.row_routines.contains(name) {
            self.call_of(name);
        }
        if name == "current_setting" {
            self.current_setting(&[]);
        } else if routines::is_attribute(name) {
            let Routine { schema, name, class } = routines::resolve(Some(PG_CATALOG), name, self.session);
            self.touch(Operation::Call, Seen { kind: ObjectKind::Routine, schema: Some(schema), name, class });
        }
    }

    pub(super) fn result_target(&mut self, target: &'t pg::ResTarget) -> Walked {
        self.nodes(&target.indirection)?;
        self.boxed(target.val.as_ref())
    }

    pub(super) fn type_cast(&mut self, cast: &'t pg::TypeCast) -> Walked {
        if let Some(name) = &cast.type_name {
            self.type_name(name)?;
            if let Some(last) = name.names.last().and_then(string)
                && self.session.types.contains(last)
            {
                self.call_of(last);
            }
        }
        self.boxed(cast.arg.as_ref())
    }

    /// A type's modifiers are expressions. Its name touches nothing, unless a value of it cannot be made without a
    /// routine of the database: a value may come from anywhere (`json_to_record(…) AS t(x domain)`).
    pub(super) fn type_name(&mut self, name: &'t pg::TypeName) -> Walked {
        if let Some(last) = name.names.last().and_then(string)
            && self.session.domains.contains(last)
        {
            self.call_of(last);
        }
        self.nodes(&name.typmods)?;
        self.nodes(&name.array_bounds)
    }

    pub(super) fn function_call(&mut self, call: &'t pg::FuncCall) -> Walked {
        #[cfg(test)]
        self.trace.call(call);
        self.nodes(&call.args)?;
        self.nodes(&call.agg_order)?;
        self.boxed(call.agg_filter.as_ref())?;
        if let Some(over) = &call.over {
            self.window(over)?;
        }
        let (schema, name) = qualified(&call.funcname)?;
        // The grammar itself puts the schema before what became a keyword in 16; older servers look the name up.
        let by_keyword = name == "json_object" && self.session.server_major < 16;
        let routine = routines::resolve(schema.filter(|_| !by_keyword), name, self.session);
        let built_in = routine.schema == PG_CATALOG;
        if built_in && routines::OF_SEQUENCES.contains(&routine.name) {
            self.sequences.push(call.args.first().and_then(sequence));
        }
        match routine.name {
            "set_config" if built_in => self.set_config(&call.args),
            "current_setting" if built_in => self.current_setting(&call.args),
            "pg_notify" if built_in => self.notify_call(&call.args),
            "nextval" if built_in && self.in_default => self.default_of_sequence(call.args.first()),
            _ if routine.class == ObjectClass::Harmless => {}
            _ => self.touch(
                Operation::Call,
                Seen {
                    kind: ObjectKind::Routine,
                    schema: Some(routine.schema),
                    name: routine.name,
                    class: routine.class,
                },
            ),
        }
        Ok(())
    }

    /// A column's default may advance a sequence that the scope holds: that is what a serial column is.
    fn default_of_sequence(&mut self, argument: Option<&'t pg::Node>) {
        let Some((schema, name)) = argument.and_then(sequence).and_then(relation_of) else {
            let schema = Some(PG_CATALOG);
            let seen = Seen { kind: ObjectKind::Routine, schema, name: "nextval", class: ObjectClass::Ordinary };
            return self.touch(Operation::Call, seen);
        };
        let schema = schema.unwrap_or_else(|| schema_of(name, &self.session.default_schema));
        let class = relation_class(schema, name);
        self.touch(Operation::Select, Seen { kind: ObjectKind::Relation, schema: Some(schema), name, class });
    }

    /// `set_config(name, value, local)` is SET in a function's clothes, whatever statement it stands in.
    fn set_config(&mut self, args: &'t [pg::Node]) {
        let local = args.get(2).and_then(constant).is_some_and(|text| matches!(text, "t" | "true"));
        let value = args.get(1).and_then(constant);
        match args.first().and_then(constant) {
            Some(name) => self.setting(Parameter::Named(name.to_ascii_lowercase().into()), Some(name), value, local),
            None => self.setting(Parameter::Unknown, None, value, local),
        }
    }

    /// `current_setting(name)` is SHOW.
    fn current_setting(&mut self, args: &'t [pg::Node]) {
        match args.first().and_then(constant) {
            Some(name) => self.touch(Operation::Show, Seen::plain(ObjectKind::Parameter, name)),
            None => self.touch_nothing(Operation::Show),
        }
    }

    fn notify_call(&mut self, args: &'t [pg::Node]) {
        match args.first().and_then(constant) {
            Some(channel) => self.touch(Operation::Listen, Seen::plain(ObjectKind::Channel, channel)),
            None => self.touch_nothing(Operation::Listen),
        }
    }

    /// A construct of the grammar that an older server reads as a call of an ordinary function.
    pub(super) fn construct_since(&mut self, name: &'static str, since: u16) {
        if self.session.server_major < since {
            let schema = Some(self.session.default_schema.as_ref());
            self.touch(Operation::Call, Seen { kind: ObjectKind::Routine, schema, name, class: ObjectClass::Ordinary });
        }
    }

    pub(super) fn json_value(&mut self, value: &'t pg::JsonValueExpr) -> Walked {
        self.boxed(value.raw_expr.as_ref())?;
        self.boxed(value.formatted_expr.as_ref())
    }

    pub(super) fn json_value_of(&mut self, value: Option<&'t pg::JsonValueExpr>) -> Walked {
        value.map_or(Ok(()), |value| self.json_value(value))
    }

    pub(super) fn json_path(&mut self, path: Option<&'t pg::JsonTablePathSpec>) -> Walked {
        path.map_or(Ok(()), |path| self.boxed(path.string.as_ref()))
    }

    pub(super) fn json_behaviour(&mut self, behaviour: Option<&'t pg::JsonBehavior>) -> Walked {
        behaviour.map_or(Ok(()), |behaviour| self.boxed(behaviour.expr.as_ref()))
    }

    pub(super) fn json_output(&mut self, output: Option<&'t pg::JsonOutput>) -> Walked {
        output.and_then(|output| output.type_name.as_ref()).map_or(Ok(()), |name| self.type_name(name))
    }

    pub(super) fn json_argument(&mut self, argument: &'t pg::JsonArgument) -> Walked {
        self.json_value_of(argument.val.as_deref())
    }

    pub(super) fn json_key_value(&mut self, pair: &'t pg::JsonKeyValue) -> Walked {
        self.boxed(pair.key.as_ref())?;
        self.json_value_of(pair.value.as_deref())
    }

    pub(super) fn json_function(&mut self, function: &'t pg::JsonFuncExpr) -> Walked {
        match pg::JsonExprOp::try_from(function.op) {
            Ok(pg::JsonExprOp::JsonExistsOp) => self.construct_since("json_exists", 17),
            Ok(pg::JsonExprOp::JsonQueryOp) => self.construct_since("json_query", 17),
            Ok(pg::JsonExprOp::JsonValueOp) => self.construct_since("json_value", 17),
            Ok(pg::JsonExprOp::JsonTableOp | pg::JsonExprOp::Undefined) | Err(_) => return unknown("JsonFuncExpr"),
        }
        self.json_value_of(function.context_item.as_deref())?;
        self.boxed(function.pathspec.as_ref())?;
        self.nodes(&function.passing)?;
        self.json_output(function.output.as_ref())?;
        self.json_behaviour(function.on_empty.as_deref())?;
        self.json_behaviour(function.on_error.as_deref())
    }

    pub(super) fn json_parse(&mut self, parse: &'t pg::JsonParseExpr) -> Walked {
        self.construct_since("json", 17);
        self.json_value_of(parse.expr.as_deref())?;
        self.json_output(parse.output.as_ref())
    }

    pub(super) fn json_scalar(&mut self, scalar: &'t pg::JsonScalarExpr) -> Walked {
        self.construct_since("json_scalar", 17);
        self.boxed(scalar.expr.as_ref())?;
        self.json_output(scalar.output.as_ref())
    }

    pub(super) fn json_serialize(&mut self, serialize: &'t pg::JsonSerializeExpr) -> Walked {
        self.construct_since("json_serialize", 17);
        self.json_value_of(serialize.expr.as_deref())?;
        self.json_output(serialize.output.as_ref())
    }

    pub(super) fn json_object(&mut self, object: &'t pg::JsonObjectConstructor) -> Walked {
        // Before 16 `json_object(…)` is the built-in of that name, which is harmless, or what overloads it.
        if self.session.overloads.contains("json_object") {
            self.construct_since("json_object", 16);
        }
        self.nodes(&object.exprs)?;
        self.json_output(object.output.as_ref())
    }

    pub(super) fn json_array(&mut self, array: &'t pg::JsonArrayConstructor) -> Walked {
        self.construct_since("json_array", 16);
        self.nodes(&array.exprs)?;
        self.json_output(array.output.as_ref())
    }

    pub(super) fn json_array_query(&mut self, array: &'t pg::JsonArrayQueryConstructor) -> Walked {
        self.construct_since("json_array", 16);
        self.inner_query(array.query.as_deref())?;
        self.json_output(array.output.as_ref())
    }

    pub(super) fn json_aggregate(&mut self, aggregate: &'t pg::JsonAggConstructor) -> Walked {
        self.json_output(aggregate.output.as_ref())?;
        self.boxed(aggregate.agg_filter.as_ref())?;
        self.nodes(&aggregate.agg_order)?;
        aggregate.over.as_ref().map_or(Ok(()), |over| self.window(over))
    }

    pub(super) fn json_object_aggregate(&mut self, aggregate: &'t pg::JsonObjectAgg) -> Walked {
        self.construct_since("json_objectagg", 16);
        if let Some(constructor) = &aggregate.constructor {
            self.json_aggregate(constructor)?;
        }
        aggregate.arg.as_ref().map_or(Ok(()), |arg| self.json_key_value(arg))
    }

    pub(super) fn json_array_aggregate(&mut self, aggregate: &'t pg::JsonArrayAgg) -> Walked {
        self.construct_since("json_arrayagg", 16);
        if let Some(constructor) = &aggregate.constructor {
            self.json_aggregate(constructor)?;
        }
        self.json_value_of(aggregate.arg.as_deref())
    }
}

/// The sequence that a constant names, cast to what the routine takes or not.
fn sequence(argument: &pg::Node) -> Option<&str> {
    match argument.node.as_ref() {
        Some(E::TypeCast(cast)) => {
            let kind = cast.type_name.as_ref()?.names.last()?;
            let is_class = matches!(&kind.node, Some(E::String(name)) if name.sval == "regclass");
            cast.arg.as_deref().filter(|_| is_class).and_then(constant)
        }
        _ => constant(argument),
    }
}

/// The relation that a text names, where the server would read it as it is written: nothing is folded, doubled or cut.
fn relation_of(text: &str) -> Option<(Option<&str>, &str)> {
    let (first, rest) = identifier(text)?;
    if rest.is_empty() {
        return Some((None, first));
    }
    let (second, rest) = identifier(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((Some(first), second))
}

/// The name that a text begins with, and what follows it.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = if let Some(quoted) = text.strip_prefix('"') {
        quoted.split_once('"').filter(|(_, rest)| !rest.starts_with('"'))?
    } else {
        let plain =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '$');
        text.split_at(text.find(|letter| !plain(letter)).unwrap_or(text.len()))
    };
    (!name.is_empty() && name.len() < NAME_BYTES_MAX).then_some((name, rest))
}

/// The text of a constant. A cast may change it, so that a constant under a cast has none.
pub(super) fn constant(node: &pg::Node) -> Option<&str> {
    let Some(E::AConst(constant)) = node.node.as_ref() else { return None };
    match constant.val.as_ref().filter(|_| !constant.isnull)? {
        pg::a_const::Val::Sval(text) => Some(&text.sval),
        pg::a_const::Val::Fval(number) => Some(&number.fval),
        pg::a_const::Val::Boolval(flag) => Some(if flag.boolval { "true" } else { "false" }),
        pg::a_const::Val::Ival(_) | pg::a_const::Val::Bsval(_) => None,
    }
}
