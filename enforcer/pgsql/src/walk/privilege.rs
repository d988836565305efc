//! Privileges, ownership and roles.

use super::{E, ObjectKind, Seen, Walked, Walker, pg, unknown};
use lang::protocol::Operation;
use pg::ObjectType as T;

impl<'t> Walker<'t> {
    pub(super) fn grant(&mut self, n: &'t pg::GrantStmt) -> Walked {
        let operation = if n.is_grant { Operation::DclGrant } else { Operation::DclRevoke };
        for node in &n.grantees {
            self.role_of(node)?;
        }
        match pg::GrantTargetType::try_from(n.targtype) {
            Ok(pg::GrantTargetType::AclTargetObject) => {
                n.objects.iter().try_for_each(|object| self.grant_object(operation, n.objtype, object))
            }
            Ok(pg::GrantTargetType::AclTargetAllInSchema) => n.objects.iter().try_for_each(|schema| {
                let Some(schema) = super::names::string(schema) else { return unknown("GrantStmt") };
                self.touch(operation, Seen::plain(ObjectKind::Schema, schema));
                Ok(())
            }),
            Ok(pg::GrantTargetType::AclTargetDefaults) => {
                self.touch(operation, Seen::DATABASE);
                Ok(())
            }
            Ok(pg::GrantTargetType::Undefined) | Err(_) => unknown("GrantStmt"),
        }
    }

    fn grant_object(&mut self, operation: Operation, kind: i32, object: &'t pg::Node) -> Walked {
        match object.node.as_ref() {
            Some(E::RangeVar(relation)) => self.relation(operation, relation),
            Some(E::List(names)) if kind == T::ObjectType as i32 || kind == T::ObjectDomain as i32 => {
                let seen = self.named(ObjectKind::Type, &names.items)?;
                self.touch(operation, seen);
                Ok(())
            }
            _ => self.any_object(operation, kind, None, Some(object)),
        }
    }

    /// The grantee is not what the privilege is on, so it is no object; the node must still be one that is known.
    #[expect(clippy::unused_self, reason = "reads as a step of the walk")]
    fn role_of(&mut self, node: &'t pg::Node) -> Walked {
        if matches!(node.node, Some(E::RoleSpec(_))) { Ok(()) } else { unknown("GrantStmt") }
    }

    /// GRANT role TO role: the privilege is the role itself.
    pub(super) fn grant_role(&mut self, n: &'t pg::GrantRoleStmt) -> Walked {
        let operation = if n.is_grant { Operation::DclGrant } else { Operation::DclRevoke };
        for node in &n.granted_roles {
            let Some(E::AccessPriv(role)) = node.node.as_ref() else { return unknown("GrantRoleStmt") };
            self.touch(operation, Seen::plain(ObjectKind::Role, &role.priv_name));
        }
        Ok(())
    }

    pub(super) fn alter_default_privileges(&mut self, n: &'t pg::AlterDefaultPrivilegesStmt) -> Walked {
        let Some(action) = &n.action else { return unknown("AlterDefaultPrivilegesStmt") };
        self.grant(action)
    }

    /// A new owner has every privilege.
    pub(super) fn alter_owner(&mut self, n: &'t pg::AlterOwnerStmt) -> Walked {
        self.any_object(Operation::DdlAlter, n.object_type, n.relation.as_ref(), n.object.as_deref())?;
        let first = self.touches.len().saturating_sub(1);
        let object = self.touches.get(first).and_then(|touch| touch.object).unwrap_or(Seen::DATABASE);
        self.touch(Operation::DclGrant, object);
        Ok(())
    }

    /// A security label is how mandatory access control grants.
    pub(super) fn security_label(&mut self, n: &'t pg::SecLabelStmt) -> Walked {
        self.any_object(Operation::DclGrant, n.objtype, None, n.object.as_deref())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an arm of the dispatch, as its neighbours")]
    pub(super) fn role(&mut self, name: &'t str) -> Walked {
        self.touch(Operation::DclRole, Seen::plain(ObjectKind::Role, name));
        Ok(())
    }

    pub(super) fn role_spec(&mut self, role: Option<&'t pg::RoleSpec>) -> Walked {
        let Some(role) = role else { return unknown("RoleSpec") };
        match pg::RoleSpecType::try_from(role.roletype) {
            Ok(pg::RoleSpecType::RolespecCstring) => self.role(&role.rolename),
            Ok(pg::RoleSpecType::RolespecCurrentRole) => self.role("current_role"),
            Ok(pg::RoleSpecType::RolespecCurrentUser) => self.role("current_user"),
            Ok(pg::RoleSpecType::RolespecSessionUser) => self.role("session_user"),
            Ok(pg::RoleSpecType::RolespecPublic) => self.role("public"),
            Ok(pg::RoleSpecType::Undefined) | Err(_) => unknown("RoleSpec"),
        }
    }

    pub(super) fn roles(&mut self, roles: &'t [pg::Node]) -> Walked {
        roles.iter().try_for_each(|node| match node.node.as_ref() {
            Some(E::RoleSpec(role)) => self.role_spec(Some(role)),
            _ => unknown("RoleSpec"),
        })
    }

    pub(super) fn drop_owned(&mut self, n: &'t pg::DropOwnedStmt) -> Walked {
        self.touch(Operation::DdlDrop, Seen::DATABASE);
        self.roles(&n.roles)
    }

    pub(super) fn reassign_owned(&mut self, n: &'t pg::ReassignOwnedStmt) -> Walked {
        self.touch(Operation::DdlAlter, Seen::DATABASE);
        self.roles(&n.roles)?;
        self.role_spec(n.newrole.as_ref())
    }
}
