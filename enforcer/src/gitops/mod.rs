//! Follows one branch of one repository and activates what compiles. The only place that sees policy text.
