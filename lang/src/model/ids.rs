//! Typed positions in the tables of a policy. An id is good only for the policy that it was made for.

macro_rules! ids {
    ($( $(#[$doc:meta])* $id:ident; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(usize);

        impl $id {
            /// The id of the item at this position.
            pub const fn at(index: usize) -> Self {
                Self(index)
            }

            /// The position.
            pub const fn index(self) -> usize {
                self.0
            }
        }
    )* };
}

ids! {
    /// An `idp`.
    IdpId;
    /// A `group`.
    GroupId;
    /// A `connection`.
    ConnectionId;
    /// An `approval`.
    ApprovalId;
    /// A `grant` or `break-glass`.
    GrantId;
    /// A `team`.
    TeamId;
}
