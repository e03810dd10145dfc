//! The one integration-test binary: every file below is a module here, or `floors` fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod engine;
mod floors;
mod laws;
mod loopback_runner;
mod memory;
mod toy;
mod world;

#[cfg(feature = "kinds")]
mod broken;
#[cfg(feature = "kinds")]
mod cli;
mod dice;
#[cfg(feature = "kinds")]
mod docs;
#[cfg(feature = "kinds")]
mod far;
#[cfg(feature = "kinds")]
mod kinds;
#[cfg(feature = "kinds")]
mod mongod;
#[cfg(feature = "kinds")]
mod notices;
#[cfg(feature = "kinds")]
mod old;
#[cfg(feature = "kinds")]
mod pipelines;
#[cfg(feature = "kinds")]
mod serve;
