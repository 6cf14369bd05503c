//! The listening sockets of a worker, and the listeners they belong to.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use meshloom_model::Address;

use super::{Worker, WorkerError};
use crate::control::ListenerFd;
use crate::diag;
use crate::listener::{ListenSocket, ListenerRuntime, socket_address};
use crate::reactor::{Millis, Token};

impl Worker {
    /// A socket that the arbiter has bound for us. It is watched once a listener wants it.
    pub(super) fn add_socket(&mut self, listener: &ListenerFd, fd: OwnedFd) -> Result<(), WorkerError> {
        let Some(address) = socket_address(&listener.address, listener.port) else {
            diag::warning("socket_ignored", &[("address", &listener.address)]);
            return Ok(());
        };
        rustix::io::ioctl_fionbio(&fd, true).map_err(io::Error::from)?;
        if let Address::Ip(_) = address {
            // Accepted sockets inherit it.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&fd, true);
        }
        if let Some(old) = self.sockets.remove(&address) {
            self.engine.sockets.remove(old);
        }
        let socket = ListenSocket { fd, address: address.clone(), listener: None, watched: false };
        if let Some(token) = self.engine.sockets.insert(socket) {
            self.sockets.insert(address, token);
        }
        Ok(())
    }

    /// Gives each listener its sockets; those that nobody wants any more are closed.
    pub(super) fn assign_sockets(&mut self) {
        if self.drain_until != Millis::NEVER || !self.began {
            return;
        }
        let mut wanted: HashMap<Address, Rc<ListenerRuntime>> = HashMap::new();
        for listener in self.engine.listeners.values() {
            for address in listener.spec.addresses().filter(|_| listener.spec.bind_to_port) {
                wanted.insert(address.clone(), Rc::clone(listener));
            }
        }
        let mut unwanted = Vec::new();
        for (address, token) in &self.sockets {
            let Some(socket) = self.engine.sockets.get_mut(*token) else { continue };
            let Some(listener) = wanted.get(address) else {
                if socket.listener.is_some() {
                    unwanted.push(address.clone());
                }
                continue;
            };
            socket.listener = Some(Rc::clone(listener));
            if !socket.watched {
                socket.watched = self.engine.poller.add_level(&socket.fd, *token).is_ok();
            }
        }
        for address in unwanted {
            if let Some(token) = self.sockets.remove(&address) {
                self.close_socket(token);
            }
        }
    }

    /// Whoever has connected already is served.
    pub(super) fn close_socket(&mut self, token: Token) {
        let Some(socket) = self.engine.sockets.remove(token) else { return };
        let _ = self.engine.poller.remove(&socket.fd); // others may hold the socket, too
        self.engine.empty_queue(&socket);
    }
}
