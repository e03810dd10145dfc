//! What is kept away from this machine.

mod bucket_faults;
mod object_server;
