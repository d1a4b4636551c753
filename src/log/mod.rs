//! Where it is remembered.
