//! Statements about the session: transactions, prepared statements, cursors, parameters, notifications.

use super::expression::constant;
use super::{E, ObjectKind, Seen, Walked, Walker, never, pg, unknown};
use crate::settings;
use crate::statement::{Action, Discard, Parameter, SettingChange, SettingClass, Transaction};
use lang::protocol::Operation;

/// Bits of a cursor's options, from PostgreSQL's `parsenodes.h`.
const CURSOR_BINARY: i32 = 0x0001;
const CURSOR_HOLD: i32 = 0x0020;

impl<'t> Walker<'t> {
    pub(super) fn transaction(&mut self, n: &'t pg::TransactionStmt) -> Walked {
        use pg::TransactionStmtKind as K;
        let name = || n.savepoint_name.as_str().into();
        let transaction = match K::try_from(n.kind) {
            Ok(K::TransStmtBegin | K::TransStmtStart) => Transaction::Begin,
            Ok(K::TransStmtCommit) => Transaction::Commit { chain: n.chain },
            Ok(K::TransStmtRollback) => Transaction::Rollback { chain: n.chain },
            Ok(K::TransStmtSavepoint) => Transaction::Savepoint(name()),
            Ok(K::TransStmtRelease) => Transaction::Release(name()),
            Ok(K::TransStmtRollbackTo) => Transaction::RollbackTo(name()),
            Ok(K::TransStmtPrepare | K::TransStmtCommitPrepared | K::TransStmtRollbackPrepared) => {
                return never("two-phase commit", "its transaction would outlive the session");
            }
            Ok(K::Undefined) | Err(_) => return unknown("TransactionStmt"),
        };
        self.transaction_modes(&n.options, true)?;
        self.action = Action::Transaction(transaction);
        Ok(())
    }

    /// ISOLATION LEVEL, READ ONLY, READ WRITE, DEFERRABLE.
    fn transaction_modes(&mut self, options: &'t [pg::Node], local: bool) -> Walked {
        for node in options {
            let Some(E::DefElem(option)) = node.node.as_ref() else { return unknown("TransactionStmt") };
            if option.defname == "transaction_read_only" {
                let on = match option.arg.as_deref().and_then(|arg| arg.node.as_ref()) {
                    Some(E::AConst(value)) => match &value.val {
                        Some(pg::a_const::Val::Ival(number)) => number.ival != 0,
                        _ => return unknown("TransactionStmt"),
                    },
                    _ => return unknown("TransactionStmt"),
                };
                let parameter = if local { "transaction_read_only" } else { "default_transaction_read_only" };
                self.settings.push(SettingChange {
                    parameter: Parameter::Named(parameter.into()),
                    value: Some(if on { "on" } else { "off" }.into()),
                    local,
                    class: SettingClass::AccessMode,
                });
            } else if option.defname == "transaction_isolation" {
                let Some(level) = option.arg.as_deref().and_then(constant) else { return unknown("TransactionStmt") };
                let parameter = if local { "transaction_isolation" } else { "default_transaction_isolation" };
                self.named_setting(parameter, Some(level), local);
            } else if option.defname != "transaction_deferrable" {
                return unknown("TransactionStmt");
            }
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, n: &'t pg::PrepareStmt) -> Walked {
        self.nodes(&n.argtypes)?;
        self.boxed(n.query.as_ref())?;
        let reads_only = self.reads_only();
        self.action = Action::Prepare { name: n.name.as_str().into(), returns_rows: self.returns_rows, reads_only };
        self.returns_rows = false;
        Ok(())
    }

    pub(super) fn execute(&mut self, n: &'t pg::ExecuteStmt) -> Walked {
        self.nodes(&n.params)?;
        self.executes = Some(&n.name);
        self.action = Action::Execute { name: n.name.as_str().into() };
        self.returns_rows = true;
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn deallocate(&mut self, n: &'t pg::DeallocateStmt) -> Walked {
        self.action = Action::Deallocate { name: (!n.isall).then(|| n.name.as_str().into()) };
        Ok(())
    }

    pub(super) fn declare_cursor(&mut self, n: &'t pg::DeclareCursorStmt) -> Walked {
        self.boxed(n.query.as_ref())?;
        self.action = Action::DeclareCursor {
            name: n.portalname.as_str().into(),
            holds: n.options & CURSOR_HOLD != 0,
            binary: n.options & CURSOR_BINARY != 0,
        };
        self.returns_rows = false;
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn fetch(&mut self, n: &'t pg::FetchStmt) -> Walked {
        let cursor = n.portalname.as_str().into();
        self.returns_rows = !n.ismove;
        self.action = if n.ismove { Action::Move { cursor } } else { Action::Fetch { cursor } };
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn close_cursor(&mut self, n: &'t pg::ClosePortalStmt) -> Walked {
        self.action = Action::CloseCursor { cursor: (!n.portalname.is_empty()).then(|| n.portalname.as_str().into()) };
        Ok(())
    }

    pub(super) fn set(&mut self, n: &'t pg::VariableSetStmt) -> Walked {
        use pg::VariableSetKind as K;
        match K::try_from(n.kind) {
            Ok(K::VarSetValue) => {
                self.nodes(&n.args)?;
                // A list (`search_path`, `DateStyle`) is not one value.
                let value = match n.args.as_slice() {
                    [value] => constant(value),
                    _ => None,
                };
                if value == Some("none") && n.name.eq_ignore_ascii_case("role") {
                    self.own_role(&n.name, value, n.is_local);
                } else {
                    self.named_setting(&n.name, value, n.is_local);
                }
            }
            Ok(K::VarSetDefault | K::VarReset) if settings::is_own_role(&n.name) => {
                self.own_role(&n.name, None, n.is_local);
            }
            Ok(K::VarSetDefault | K::VarSetCurrent | K::VarReset) => self.named_setting(&n.name, None, n.is_local),
            Ok(K::VarResetAll) => self.reset_all(),
            Ok(K::VarSetMulti) => self.set_multiple(n)?,
            Ok(K::Undefined) | Err(_) => return unknown("VariableSetStmt"),
        }
        self.action = Action::Set;
        Ok(())
    }

    /// Back to the role that logged in. The gateway made sure at the login that it is that one, and nothing here changes
    /// it: it does nothing, and drivers send it when they put a connection back into their pool.
    fn own_role(&mut self, name: &'t str, value: Option<&'t str>, local: bool) {
        self.settings.push(SettingChange {
            parameter: Parameter::Named(name.to_ascii_lowercase().into()),
            value: value.map(Into::into),
            local,
            class: SettingClass::Harmless,
        });
    }

    fn set_multiple(&mut self, n: &'t pg::VariableSetStmt) -> Walked {
        match n.name.as_str() {
            "TRANSACTION" => self.transaction_modes(&n.args, true),
            "SESSION CHARACTERISTICS" => self.transaction_modes(&n.args, false),
            "TRANSACTION SNAPSHOT" => never("SET TRANSACTION SNAPSHOT", "it reads through another session's snapshot"),
            _ => unknown("VariableSetStmt"),
        }
    }

    fn named_setting(&mut self, name: &'t str, value: Option<&'t str>, local: bool) {
        self.setting(Parameter::Named(name.to_ascii_lowercase().into()), Some(name), value, local);
    }

    /// Records a change of a parameter, and the access that it needs. `name` is that of the text.
    pub(super) fn setting(&mut self, parameter: Parameter, name: Option<&'t str>, value: Option<&'t str>, local: bool) {
        let class = match &parameter {
            Parameter::Named(name) if settings::is_pinned_value(name, value) => SettingClass::Harmless,
            Parameter::Named(name) => settings::class(name),
            Parameter::All => SettingClass::Harmless,
            Parameter::Unknown => SettingClass::Pinned,
        };
        let object = name.map_or(Seen::DATABASE, |name| Seen::plain(ObjectKind::Parameter, name));
        match class {
            SettingClass::Harmless | SettingClass::AccessMode => {}
            SettingClass::Ordinary => self.touch(Operation::Set, object),
            SettingClass::Role => {
                let role = value.map_or(Seen::DATABASE, |role| Seen::plain(ObjectKind::Role, role));
                self.touch(Operation::DclRole, role);
            }
            SettingClass::Pinned => {
                self.touch(Operation::Set, object);
                if parameter == Parameter::Unknown {
                    self.touch(Operation::DclRole, Seen::DATABASE);
                }
            }
        }
        self.settings.push(SettingChange { parameter, value: value.map(Into::into), local, class });
    }

    fn reset_all(&mut self) {
        self.settings.push(SettingChange {
            parameter: Parameter::All,
            value: None,
            local: false,
            class: SettingClass::Harmless,
        });
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn show(&mut self, n: &'t pg::VariableShowStmt) -> Walked {
        self.touch(Operation::Show, Seen::plain(ObjectKind::Parameter, &n.name));
        self.action = Action::Show;
        self.returns_rows = true;
        Ok(())
    }

    pub(super) fn discard(&mut self, n: &'t pg::DiscardStmt) -> Walked {
        let discard = match pg::DiscardMode::try_from(n.target) {
            Ok(pg::DiscardMode::DiscardAll) => Discard::All,
            Ok(pg::DiscardMode::DiscardPlans) => Discard::Plans,
            Ok(pg::DiscardMode::DiscardSequences) => Discard::Sequences,
            Ok(pg::DiscardMode::DiscardTemp) => Discard::Temp,
            Ok(pg::DiscardMode::Undefined) | Err(_) => return unknown("DiscardStmt"),
        };
        if discard == Discard::All {
            self.reset_all();
        }
        self.action = Action::Discard(discard);
        Ok(())
    }

    /// SET CONSTRAINTS moves checks within the transaction. The names are those of constraints, not relations.
    pub(super) fn set_constraints(&mut self, n: &'t pg::ConstraintsSetStmt) -> Walked {
        for node in &n.constraints {
            let Some(E::RangeVar(name)) = node.node.as_ref() else { return unknown("ConstraintsSetStmt") };
            #[cfg(test)]
            self.trace.relation(name);
            let _ = name;
        }
        self.action = Action::Set;
        Ok(())
    }

    /// LISTEN and NOTIFY. UNLISTEN only ends what LISTEN began.
    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn listen(&mut self, channel: &'t str) -> Walked {
        self.touch(Operation::Listen, Seen::plain(ObjectKind::Channel, channel));
        Ok(())
    }
}
