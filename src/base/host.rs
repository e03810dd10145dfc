//! The name of this machine.

use std::path::Path;

use crate::base::disk::{self};

pub(crate) fn host() -> String {
    disk::read(Path::new("/proc/sys/kernel/hostname")).map_or_else(
        |_| "unknown".to_owned(),
        |bytes| String::from_utf8_lossy(&bytes).trim().to_owned(),
    )
}
