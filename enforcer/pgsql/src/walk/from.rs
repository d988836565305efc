//! The items of FROM that are not plain relations: joins, functions, samples, XMLTABLE and `JSON_TABLE`.

use super::{ObjectClass, ObjectKind, Seen, Walked, Walker, pg, unknown};
use crate::catalog::PG_CATALOG;
use crate::walk::names::qualified;
use lang::protocol::Operation;

impl<'t> Walker<'t> {
    pub(super) fn join(&mut self, join: &'t pg::JoinExpr) -> Walked {
        self.boxed(join.larg.as_ref())?;
        self.boxed(join.rarg.as_ref())?;
        self.boxed(join.quals.as_ref())
    }

    /// Functions in FROM: each stands in a list together with its own column definitions.
    pub(super) fn range_function(&mut self, function: &'t pg::RangeFunction) -> Walked {
        for item in &function.functions {
            let Some(super::E::List(parts)) = item.node.as_ref() else { return unknown("RangeFunction") };
            self.nodes_or_empty(&parts.items)?;
        }
        self.nodes(&function.coldeflist)
    }

    /// TABLESAMPLE calls a sampling method, which is a function by its name.
    pub(super) fn table_sample(&mut self, sample: &'t pg::RangeTableSample) -> Walked {
        self.boxed(sample.relation.as_ref())?;
        self.nodes(&sample.args)?;
        self.boxed(sample.repeatable.as_ref())?;
        let (schema, name) = qualified(&sample.method)?;
        let built_in = schema.is_none_or(|schema| schema == PG_CATALOG) && matches!(name, "bernoulli" | "system");
        if !built_in {
            let schema = Some(schema.unwrap_or(&self.session.default_schema));
            self.touch(Operation::Call, Seen { kind: ObjectKind::Routine, schema, name, class: ObjectClass::Ordinary });
        }
        Ok(())
    }

    pub(super) fn xml_table(&mut self, table: &'t pg::RangeTableFunc) -> Walked {
        self.boxed(table.docexpr.as_ref())?;
        self.boxed(table.rowexpr.as_ref())?;
        self.nodes(&table.namespaces)?;
        self.nodes(&table.columns)
    }

    pub(super) fn xml_table_column(&mut self, column: &'t pg::RangeTableFuncCol) -> Walked {
        if let Some(name) = &column.type_name {
            self.type_name(name)?;
        }
        self.boxed(column.colexpr.as_ref())?;
        self.boxed(column.coldefexpr.as_ref())
    }

    pub(super) fn json_table(&mut self, table: &'t pg::JsonTable) -> Walked {
        self.construct_since("json_table", 17);
        self.json_value_of(table.context_item.as_deref())?;
        self.json_path(table.pathspec.as_deref())?;
        self.nodes(&table.passing)?;
        self.nodes(&table.columns)?;
        self.json_behaviour(table.on_error.as_deref())
    }

    pub(super) fn json_table_column(&mut self, column: &'t pg::JsonTableColumn) -> Walked {
        if let Some(name) = &column.type_name {
            self.type_name(name)?;
        }
        self.json_path(column.pathspec.as_deref())?;
        self.nodes(&column.columns)?;
        self.json_behaviour(column.on_empty.as_deref())?;
        self.json_behaviour(column.on_error.as_deref())
    }
}
