//! Answers with what the test says at the moment.

use std::sync::{Arc, Mutex};

use super::{Peer, honest};

/// What it answers.
#[derive(Clone)]
pub struct Mood(Arc<Mutex<String>>);

impl Mood {
    /// Takes everything.
    pub fn well(&self) {
        self.set(honest::OK);
    }

    /// Takes nothing.
    pub fn status(&self, status: u16, more: &str) {
        self.set(&format!("HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\n\r\n"));
    }

    fn set(&self, answer: &str) {
        answer.clone_into(&mut self.0.lock().unwrap());
    }
}

/// Begins with this status.
pub async fn moody(status: u16) -> (Peer, Mood) {
    let mood = Mood(Arc::default());
    mood.status(status, "");
    let shared = mood.clone();
    (honest::answers(move |_| shared.0.lock().unwrap().clone()).await, mood)
}
