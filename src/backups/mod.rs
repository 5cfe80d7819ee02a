//! Making backups, keeping them, and putting them back so that nothing can half-happen.

pub mod scan;
pub mod swap;
