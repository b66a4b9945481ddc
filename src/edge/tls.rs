//! TLS on one accepted connection: `rustls` does the protocol, this file moves the bytes.
//!
//! A library could move them (`tokio-rustls` did). It sends a TLS 1.3 ticket in a packet of its own, sends the closing alert
//! behind the last answer in another, and reads 4 KiB at a time. Here what is to be sent waits for the next flush, so a
//! connection that serves one request sends two packets and not four, and a read takes a whole record
//! (`docs/adr/0013-tls-stream.md` has the measurement).
//!
//! Deliberately absent: sending a ticket to a peer that never asks for anything. It has no use for one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead as _};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::opening::NotTls;
use super::wire::Wire;

/// What one read takes beyond what is waited for: a record of the largest size. More would be as much more memory for each
/// connection of somebody who sends and never reads.
const READ: usize = 16 * 1024 + 256;
/// What one read takes at most, where somebody waits for a large body.
const READ_MOST: usize = READ + 64 * 1024;
/// What a session reads at a time, and keeps room for.
const SESSION_READ: usize = 4096;

thread_local! {
    /// Ciphertext on its way from a socket to its session. What a session does not take at once is copied to its stream, so
    /// that an idle connection holds nothing.
    static ARRIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MOST].into());
}

/// A connection whose handshake is complete.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    /// Read from the socket and not yet given to the session: it takes no more while there is plaintext to fetch.
    ahead: Ahead,
    /// Whether the session may hold more memory than it does while it waits.
    has_grown: bool,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(super) enum NoSession {
    /// The peer went away before it sent anything.
    Silent,
    /// What it sent is no handshake at all.
    NotTls(NotTls),
    /// What `rustls` refused, an error of the socket, or a peer that went away in the middle.
    Failed(io::Error),
}

impl TlsStream {
    /// Does the handshake.
    pub(super) async fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, NoSession> {
        let session = ServerConnection::new(config).map_err(|error| NoSession::Failed(io::Error::other(error)))?;
        let mut stream = Self { socket, session, ahead: Ahead::default(), has_grown: true };
        let mut received = false;
        match poll_fn(|context| stream.poll_handshake(context, &mut received)).await {
            Ok(()) => Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(error.downcast().map_or_else(NoSession::Failed, NoSession::NotTls))
            }
            Err(error) if received => Err(NoSession::Failed(error)),
            Err(_) => Err(NoSession::Silent),
        }
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>, received: &mut bool) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            if self.session.wants_write() {
                ready!(self.poll_send(context))?;
            } else if !ready!(self.poll_receive(context, &mut ReadBuf::new(&mut [])))? {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")));
            }
            *received = true;
        }
        // In TLS 1.2 the last word is ours and the peer waits for it. In 1.3 it is a ticket, and goes with the first answer.
        if self.session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            ready!(self.poll_send(context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Brings the session more of what the peer sent, and what comes of it to `buf`; false when there will be no more.
    fn poll_receive(&mut self, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if !self.ahead.is_empty() {
            let mut ahead = std::mem::take(&mut self.ahead);
            let taken = self.take_in(context, ahead.bytes(), buf)?;
            ahead.taken(taken);
            self.ahead = ahead;
            return Poll::Ready(if taken > 0 { Ok(true) } else { Err(io::ErrorKind::InvalidData.into()) });
        }
        ARRIVED.with_borrow_mut(|arrived| {
            let most = READ.saturating_add(buf.remaining()).min(READ_MOST);
            let mut room = ReadBuf::new(arrived.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut room))?;
            let bytes = room.filled();
            if bytes.is_empty() {
                self.session.read_tls(&mut io::empty())?;
                return Poll::Ready(Ok(false));
            }
            let taken = self.take_in(context, bytes, buf).map_err(|error| self.named(bytes, error))?;
            self.ahead.keep(bytes.get(taken..).unwrap_or_default());
            Poll::Ready(Ok(true))
        })
    }

    /// The cause of an error, where bytes of a handshake are none.
    fn named(&self, bytes: &[u8], error: io::Error) -> io::Error {
        let not_tls = NotTls::recognise(bytes).filter(|_| self.session.is_handshaking());
        not_tls.map_or(error, |not_tls| io::Error::new(io::ErrorKind::InvalidData, not_tls))
    }

    /// Gives the session these bytes, and what comes of them to `buf`, until one of the two takes no more; how many.
    fn take_in(&mut self, context: &mut Context<'_>, bytes: &[u8], buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut left = bytes;
        loop {
            let before = left.len();
            let fed = feed(&mut self.session, &mut left);
            self.told(context, fed)?;
            // Of a small record that came as a whole the session kept nothing.
            self.has_grown |= bytes.len() > SESSION_READ || self.session.wants_read();
            if left.is_empty() || left.len() == before || self.drain(buf)? {
                return Ok(bytes.len() - left.len());
            }
        }
    }

    /// Moves plaintext to who waits for it; true when the peer said that it is done.
    fn drain(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        while buf.remaining() > 0 {
            match self.session.reader().into_first_chunk() {
                Ok([]) => return Ok(true),
                Ok(chunk) => {
                    let taken = chunk.len().min(buf.remaining());
                    buf.put_slice(chunk.get(..taken).unwrap_or_default());
                    self.session.reader().consume(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It went away without saying so.
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Nothing came. A session keeps the memory of its last record until it is asked to read again: it is asked, so that who
    /// waits holds 4 KiB of it and not 18.
    fn shrink(&mut self) {
        if std::mem::take(&mut self.has_grown) {
            let _ = self.session.read_tls(&mut NothingYet);
        }
    }

    /// A peer that broke the protocol receives an alert, if the socket takes it at once.
    fn told<T>(&mut self, context: &mut Context<'_>, outcome: Result<T, rustls::Error>) -> io::Result<T> {
        outcome.map_err(|error| {
            let _ = self.poll_send(context);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Sends everything that the session has to say.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut sending = Sending { socket: &mut self.socket, context };
            match self.session.write_tls(&mut sending) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts as much as the session's bounded buffer takes; sends only when it is full.
    fn poll_encrypt(
        &mut self,
        context: &mut Context<'_>,
        encrypt: impl Fn(&mut dyn io::Write) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let taken = encrypt(&mut self.session.writer())?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            ready!(self.poll_send(context))?;
        }
    }
}

/// What was agreed on in the handshake.
impl Deref for TlsStream {
    type Target = ServerConnection;

    fn deref(&self) -> &ServerConnection {
        &self.session
    }
}

/// Gives the session what it takes; it stops while there is plaintext to fetch, and finally after a closing alert.
fn feed(session: &mut ServerConnection, left: &mut &[u8]) -> Result<(), rustls::Error> {
    while !left.is_empty() && session.wants_read() {
        let read = session.read_tls(left);
        session.process_new_packets()?;
        // From memory, so this fails only where a message is too long to be one, which the session has said by now.
        if !matches!(read, Ok(1..)) {
            break;
        }
    }
    Ok(())
}

/// A socket on which nothing has come.
struct NothingYet;

impl io::Read for NothingYet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            match self.drain(buf) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(_) if buf.filled().len() > before => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            let more_is_here = buf.remaining() > 0 && !self.ahead.is_empty();
            if buf.remaining() == 0 || (buf.filled().len() > before && !more_is_here) {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(received) = self.poll_receive(context, buf) else {
                self.shrink();
                return Poll::Pending;
            };
            received?;
        }
    }
}

impl Wire for TlsStream {
    fn poll_arrived(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let before = into.len();
        loop {
            loop {
                match self.session.reader().into_first_chunk() {
                    // The peer said that it is done.
                    Ok([]) => return Poll::Ready(Ok(into.len() - before)),
                    Ok(chunk) => {
                        let taken = chunk.len();
                        into.extend_from_slice(chunk);
                        self.session.reader().consume(taken);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) if into.len() > before => break,
                    // It went away without saying so.
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if into.len() > before {
                return Poll::Ready(Ok(into.len() - before));
            }
            let Poll::Ready(received) = self.poll_receive(context, &mut ReadBuf::new(&mut [])) else {
                self.shrink();
                return Poll::Pending;
            };
            received?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_encrypt(context, |session| session.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.poll_encrypt(context, |session| session.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    /// Says that nothing more will come, in the same packet as what is still to be sent.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only the first call queues an alert.
        self.session.send_close_notify();
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// The socket as the session's writer.
struct Sending<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    context: &'c mut Context<'w>,
}

impl Sending<'_, '_, '_> {
    fn done(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
        match poll {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Write for Sending<'_, '_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.socket).poll_write(self.context, buf))
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.socket).poll_write_vectored(self.context, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that wait for the session, at most one read of them. Its memory goes when they have gone.
#[derive(Debug, Default)]
struct Ahead {
    bytes: Vec<u8>,
    from: usize,
}

impl Ahead {
    fn is_empty(&self) -> bool {
        self.from == self.bytes.len()
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            *self = Self { bytes: bytes.to_vec(), from: 0 };
        }
    }

    fn taken(&mut self, count: usize) {
        self.from += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}
