//! What is kept away from this machine.

mod away_kinds;
mod bucket_faults;
mod casd;
mod fault_proxy;
mod grid;
mod large;
mod object_server;
mod reapi;
mod reapi_runner;
