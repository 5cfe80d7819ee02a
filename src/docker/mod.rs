//! The one door to Docker. Nothing outside this folder names bollard or speaks HTTP.

pub mod container;

pub use container::Container;
