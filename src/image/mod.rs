//! Container images (OCI) of a program and a model, made without a daemon: the same bytes for the same
//! contents, wherever and whenever they are made.
//!
//! [`layer`] packs files, [`layout`] puts an image together, [`program`] looks whether a program needs
//! anything beside itself, [`registry`] sends an image away.

pub mod layer;
pub mod layout;
pub mod program;
pub mod registry;
