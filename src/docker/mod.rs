//! The one door to Docker. Nothing outside this folder names bollard or speaks HTTP.

pub mod container;
pub mod context;

pub use container::Container;
