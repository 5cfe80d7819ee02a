//! Files that appear whole or not at all, and private directories with an owner.

pub(crate) mod atomic_file;
pub(crate) mod private_dir;
