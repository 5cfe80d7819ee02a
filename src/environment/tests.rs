//! Tests of discovery as a whole.
