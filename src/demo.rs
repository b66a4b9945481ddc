//! The demo: wip.
use crate::cli::Exit;
/// s
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// a
    pub once: bool,
    /// a
    pub port: Option<u16>,
    /// a
    pub json: bool,
}
/// a
pub async fn demo(_: &Settings) -> Result<Exit, String> {
    Ok(Exit::Fine)
}
