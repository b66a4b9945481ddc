//! HTTP/2 frame by frame: what no library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::{Io, LONG, Rig};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST /hooks/plain` as HPACK has it without a dynamic table: indexed where the static table has it, literal elsewhere.
pub fn head() -> Vec<u8> {
    head_to("/hooks/plain")
}

/// The same to another path.
pub fn head_to(path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [vec![0x83, 0x87], literal(0x04, path), literal(0x01, "relay.example")].concat()
}

/// A connection for frames.
pub struct Frames {
    pub write: WriteHalf<Box<dyn Io>>,
    pub read: ReadHalf<Box<dyn Io>>,
}

impl Frames {
    pub async fn open(rig: &Rig) -> Self {
        let tls = rig.tls();
        let stream = tls.over(tls.tcp(rig.address).await, tls.config(&[b"h2"])).await.unwrap();
        let (read, write) = split(Box::new(stream) as Box<dyn Io>);
        let mut frames = Self { write, read };
        frames.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        frames
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write.write_all(bytes).await?;
        self.write.flush().await
    }

    /// Sends until the relay has had enough; it must, long before all of it was sent.
    pub async fn flood(mut self, times: u32, of: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
        let mut read = self.read;
        let reader = tokio::spawn(async move {
            let mut said = Vec::new();
            let _ = timeout(LONG, read.read_to_end(&mut said)).await.expect("the relay ends the connection");
            said
        });
        for number in 0..times {
            if self.write.write_all(&of(number)).await.is_err() || self.write.flush().await.is_err() {
                break;
            }
        }
        reader.await.unwrap()
    }
}

/// Frames in the relay's words: kind, stream and payload. A frame that has not come whole is left out.
pub fn frames(mut said: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let [a, b, c, kind, _, d, e, f, g, rest @ ..] = said {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(payload) = rest.get(..length) else { break };
        found.push((*kind, u32::from_be_bytes([*d, *e, *f, *g]), payload.to_vec()));
        said = &rest[length..];
    }
    found
}

/// The error of the last GOAWAY among the frames.
pub fn goodbye(said: &[u8]) -> Option<u32> {
    let last = frames(said).into_iter().rfind(|(kind, ..)| *kind == GOAWAY)?.2;
    Some(u32::from_be_bytes(last[4..8].try_into().unwrap()))
}

/// Whether a GOAWAY with an error stands among the frames.
pub fn goes_away(said: &[u8]) -> bool {
    goodbye(said).is_some_and(|error| error != 0)
}
