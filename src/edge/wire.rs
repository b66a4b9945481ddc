//! A connection that hands over what has arrived. A reader would have to hold room for it while nothing comes; here room is made
//! when it is known how much is there, so an idle connection holds none.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

/// What one read of a socket without TLS takes at most.
const READ: usize = 4096;

/// A connection as HTTP/1.1 reads and writes it.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    /// Appends what has arrived, at most what one read of the socket gave; 0 when there will be no more.
    fn poll_arrived(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>>;
}

impl Wire for TcpStream {
    fn poll_arrived(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        ready!(self.poll_read_ready(context))?;
        into.reserve(READ);
        pin!(self.read_buf(into)).poll(context)
    }
}

#[cfg(test)]
impl Wire for tokio::io::DuplexStream {
    fn poll_arrived(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.read_buf(into)).poll(context)
    }
}
