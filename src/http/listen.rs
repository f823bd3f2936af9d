//! Where to listen.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// One `--web.listen-address`, resolved: the socket addresses to try in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    /// As the user wrote it.
    pub text: String,
    /// The first that this host has the address family for is bound.
    pub candidates: Vec<SocketAddr>,
}

impl Listen {
    /// Resolves an address, a name with a port, or a port alone.
    ///
    /// # Errors
    /// Why it is none, with what to give.
    pub(crate) fn resolve(text: &str) -> Result<Self, String> {
        let candidates = if let Some(port) = text.strip_prefix(':') {
            let port =
                port.parse().map_err(|_| format!("'{port}' is no port number (0 to 65535)"))?;
            // The IPv6 wildcard takes IPv4 as well; the second is for hosts without IPv6.
            vec![
                SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port),
                SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
            ]
        } else {
            text.to_socket_addrs()
                .map_err(|error| format!("{error}; give :10121, 127.0.0.1:10121 or [::1]:10121"))?
                .collect()
        };
        Ok(Self { text: text.to_owned(), candidates })
    }
}
