//! The process around the gate: [`app`] starts, supervises and stops it; [`reload`] notices changed files; [`admin`] is the
//! private listener; [`service`] speaks to the service manager.
//!
//! In come a configuration's place, signals and questions of operators; out come a running relay and answers about it.
//! Nothing here decides whether a webhook is genuine.

pub mod admin;
pub mod app;
pub mod reload;
pub mod service;
