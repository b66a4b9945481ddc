//! `explain`: why was this request taken or refused? For a stored one the running relay is asked; a captured one is judged
//! offline, by the steps that the relay judges with.

use super::Exit;
use super::Unusable;
use super::grammar::{Explain, Format};

pub(super) async fn explain(_args: &Explain, _format: Format) -> Result<Exit, Unusable> {
    Err("not yet".into())
}
