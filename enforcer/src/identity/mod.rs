//! OIDC access tokens verified into an [`crate::core::identity::Identity`].
