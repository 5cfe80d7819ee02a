//! Files that appear under their name when they are complete, and private directories with an owner.

pub(crate) mod atomic_file;
pub(crate) mod owned_lock;
pub(crate) mod private_dir;
pub(crate) mod read_lock;
