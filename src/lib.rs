//! `dmz-relay`: the gate for webhooks on a DMZ host.
//!
//! A provider's webhook arrives over TLS, is proven genuine, and only then reaches an internal application server, byte for
//! byte. Everything else is refused before one byte is forwarded.
//!
//! The map, from the floor up; imports go down only (`tests/tidy.rs` checks it):
//!
//! - [`base`]: clock, secret, short texts.
//! - [`domain`]: the words: head, refusal, fault, outcome, answer.
//! - [`access`], [`routing`], [`signature`], [`replay`], [`meter`], [`budget`], [`habit`], [`upstream`], [`observe`],
//!   [`store`]: one mechanism each, blind to one another.
//! - [`dispatch`]: who may deliver now.
//! - [`snapshot`] (what was configured) and [`state`] (what outlives a reload); [`config`] compiles the first.
//! - [`pipeline`]: the request's way, top to bottom, in one file.
//! - [`delivery`]: what was accepted, delivered asynchronously. [`explain`]: each step's verdict on a stored or captured request.
//! - [`edge`]: sockets, TLS, HTTP/1.1 and HTTP/2. [`admin`]: the private listener. [`reload`]: noticing that files changed.
//!   [`service`]: the service manager.
//! - [`app`]: puts it together.
//! - [`sender`], [`authority`] and [`terminal`]: what a provider does, private certificates, and text for people; for [`demo`] and
//!   [`cli`].

pub mod access;
pub mod admin;
pub mod app;
pub mod authority;
pub mod base;
pub mod budget;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod dispatch;
pub mod domain;
pub mod edge;
pub mod explain;
pub mod habit;
pub mod meter;
pub mod observe;
pub mod pipeline;
pub mod reload;
pub mod replay;
pub mod routing;
pub mod sender;
pub mod service;
pub mod signature;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod terminal;
pub mod upstream;
