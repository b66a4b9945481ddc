//! Where the demo is shown, and how fast.

use std::time::Duration;

use super::Settings;
use crate::cli::terminal::{Palette, say};

/// With `--slow`, after each line: time to read it, or to say something about it.
const PAUSE: Duration = Duration::from_millis(900);

/// Standard output, for people; JSON is printed in one piece at the end.
#[derive(Clone, Copy)]
pub(super) struct Screen {
    pub(super) palette: Palette,
    mute: bool,
    pause: Duration,
}

impl Screen {
    pub(super) fn of(settings: &Settings) -> Self {
        let pause = if settings.slow { PAUSE } else { Duration::ZERO };
        Self { palette: Palette::of_stdout(), mute: settings.json, pause }
    }

    /// Shows nothing.
    #[cfg(test)]
    pub(super) fn mute() -> Self {
        Self { palette: Palette::plain(), mute: true, pause: Duration::ZERO }
    }

    /// Shows a text, and leaves time to read it.
    pub(super) async fn show(&self, text: &str) {
        if self.mute {
            return;
        }
        say(text);
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }
}
