//! Loopback ports for servers that must be told one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};
use rand::Rng;

/// Below Linux's range for outgoing connections, so that none of those takes a port between our
/// look and the server's start.
const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

/// Where this process looks next; the first look is at a random place, so that runs at the same
/// time seldom meet.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on, and that this process has not handed out recently.
///
/// # Errors
///
/// Fails if every port of the range is taken.
pub fn free() -> Result<u16> {
    if NEXT.load(Ordering::Relaxed) == 0 {
        let start = rand::rng().random_range(1..COUNT);
        // Whoever loses this race uses the winner's start.
        let _ = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    }
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = loopback(FIRST + step);
        if TcpListener::bind(address).is_ok() {
            return Ok(address.port());
        }
    }
    bail!("no free port from {FIRST} to {}", FIRST + COUNT - 1);
}

/// An address on this machine that no other machine can reach.
#[must_use]
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_not_handed_out_twice_in_a_row() {
        let (one, two) = (free().unwrap(), free().unwrap());
        assert_ne!(one, two);
        assert!(TcpListener::bind(loopback(one)).is_ok());
    }
}
