//! The vocabulary: what a request is, what can be wrong with it, and what becomes of it.
//!
//! Families of errors never mix. A [`Refusal`] is the sender's doing, a [`Fault`] is ours or the upstream's (never
//! counted against the sender, never a 4xx), a [`Doubt`] is ours before anybody knows whether the request is genuine, and a
//! problem of the configuration is a `config::report::Problem`.

pub mod action_result;
pub mod doubt;
pub mod fault;
pub mod field_list;
pub mod head;
pub mod history_outcome;
pub mod lifetime;
pub mod outcome;
pub mod refusal;
pub mod sends;
pub mod sensitive;
pub mod source;
pub mod target;
mod words;

pub use action_result::ActionResult;
pub use doubt::{Doubt, Unproven};
pub use fault::Fault;
pub use field_list::{FieldList, FieldPattern};
pub use head::{Framing, Head, HeadBuilder, Headers, Method, RequestLine, Version};
pub use history_outcome::HistoryOutcome;
pub use lifetime::{Lifetime, Phase};
pub use outcome::{Answer, Outcome};
pub use refusal::{Refusal, Turned};
pub use sends::Sends;
pub use sensitive::{Class, Held, Kept, Marks, Own, Place, Sensitive};
pub use source::{SourceAddress, Via};
