//! Sockets: bound by us, or passed by systemd under the name that the file gives.

use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::control::service::InheritedSocket;
use crate::edge::ListenSocket;
use crate::runtime::snapshot::{ListenAddress, Snapshot};

use super::StartError;

/// The kernel's own default for `somaxconn`; it cuts this down where it is smaller.
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub(super) struct Bound {
    pub(super) name: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) socket: ListenSocket,
}

/// One socket for each listener; several where systemd passed several under one name.
pub(super) fn listeners(snapshot: &Snapshot, mut passed: Vec<InheritedSocket>) -> Result<Vec<Bound>, StartError> {
    let mut bound = Vec::new();
    for listener in &snapshot.listeners {
        match &listener.address {
            ListenAddress::Tcp(address) => {
                let (text, socket) = (address.to_string(), open(*address));
                bound.push(finish(&listener.name, &text, socket, ListenSocket::Bound)?);
            }
            ListenAddress::Systemd(name) => {
                let (ours, rest): (Vec<_>, Vec<_>) = passed.into_iter().partition(|socket| socket.name == *name);
                passed = rest;
                let text = format!("systemd:{name}");
                if ours.is_empty() {
                    let error = std::io::Error::new(
                        std::io::ErrorKind::NotFound,
                        "no socket of this FileDescriptorName was passed; is dmz-relay.socket enabled?",
                    );
                    return finish(&listener.name, &text, Err(error), ListenSocket::Passed).map(|_| bound);
                }
                for socket in ours {
                    bound.push(finish(&listener.name, &text, Ok(socket.listener), ListenSocket::Passed)?);
                }
            }
        }
    }
    Ok(bound)
}

/// Options set here are inherited by every accepted connection, which saves a system call on each.
fn open(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses, as the file says, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn finish(
    name: &Arc<str>,
    text: &str,
    socket: std::io::Result<std::net::TcpListener>,
    kept_by: impl FnOnce(TcpListener) -> ListenSocket,
) -> Result<Bound, StartError> {
    let ready = socket.and_then(|socket| {
        socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Bound { name: Arc::clone(name), address, socket: kept_by(TcpListener::from_std(socket)?) })
    });
    ready.map_err(|error| StartError::Bind { listener: name.to_string(), address: text.to_owned(), error })
}
