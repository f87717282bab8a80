//! PROXY protocol, version 2: the address of the client as a load balancer in TCP mode tells it, before TLS (decision
//! 0006.28). Believed from configured networks only; from them it is required.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The twelve bytes every header of version 2 begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest part after the first sixteen bytes: two addresses and the usual notes about the connection.
const LONGEST: usize = 1024;

/// Addresses of load balancers: one address, or a network such as `192.0.2.0/28` or `2001:db8::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32 - self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128 - self.prefix),
            _ => false,
        }
    }
}

/// Whether two addresses differ in the last bits only.
fn same(a: u128, b: u128, last: u32) -> bool {
    (a ^ b) >> last == 0
}

impl FromStr for Network {
    type Err = String;

    /// Reads `ADDRESS` or `ADDRESS/PREFIX`. Refuses bits behind the prefix, which are a slip of the pen, and the prefix 0,
    /// which would believe everybody.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("「{text}」は 192.0.2.10、192.0.2.0/28、2001:db8::/64 のように書いてください");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = IpAddr::from_str(address).map_err(|_| wrong())?.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse::<u32>).map_err(|_| wrong())?;
        if !(1..=bits).contains(&prefix) {
            return Err(wrong());
        }
        let value = match address {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        if value & ((1 << (bits - prefix).min(127)) - 1) != 0 {
            return Err(format!("「{text}」の、/{prefix} より後ろの桁を 0 にしてください"));
        }
        Ok(Self { address, prefix })
    }
}

/// Reads the header and nothing behind it. `None`: the load balancer speaks for itself, as in its health checks (LOCAL).
/// Anything but TCP over IPv4 or IPv6 with the address of one client is an error, also an address left open (UNSPEC) or of
/// the load balancer's own machine (UNIX): who comes in must be known.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut signature = [0; 12];
    stream.read_exact(&mut signature).await?;
    if signature != SIGNATURE {
        return Err(invalid("no PROXY header"));
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(invalid("a PROXY header that is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (command, family) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => client::<4>(&rest, |bytes| Ipv4Addr::from(bytes).into()).map(Some),
        (0x21, 0x21) => client::<16>(&rest, |bytes| Ipv6Addr::from(bytes).into()).map(Some),
        _ => Err(invalid("a PROXY header of another kind")),
    }
}

/// The source of: source address, destination address, source port, destination port.
fn client<const N: usize>(rest: &[u8], of: impl Fn([u8; N]) -> IpAddr) -> io::Result<SocketAddr> {
    let addresses = rest.get(..2 * N + 4);
    let parts = addresses.and_then(|all| Some((all.first_chunk::<N>()?, all.get(2 * N..)?.first_chunk::<2>()?)));
    let (source, port) = parts.ok_or_else(|| invalid("a short PROXY header"))?;
    let source = of(*source);
    if source.is_unspecified() || source.to_canonical().is_multicast() {
        return Err(invalid("a PROXY header without a client"));
    }
    Ok(SocketAddr::new(source, u16::from_be_bytes(*port)))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header for TCP over IPv4 with a note behind the addresses.
    fn header() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11, 0, 16]);
        bytes.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 0x01, 0xbb]);
        bytes.extend([4, 0, 1, 0]);
        bytes
    }

    #[tokio::test]
    async fn the_address_of_the_client_is_read_and_nothing_behind_the_header() {
        let bytes = [header(), b"TLS".to_vec()].concat();
        let mut stream = &bytes[..];
        assert_eq!(read(&mut stream).await.unwrap(), Some("192.0.2.7:8080".parse().unwrap()));
        assert_eq!(stream, b"TLS");
        let mut six = SIGNATURE.to_vec();
        six.extend([0x21, 0x21, 0, 36]);
        six.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six.extend([0; 16]);
        six.extend([0, 80, 0, 81]);
        assert_eq!(read(&mut &six[..]).await.unwrap(), Some("[2001:db8::7]:80".parse().unwrap()));
        let mut local = SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(read(&mut &local[..]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_cut_too_long_or_without_a_client_is_refused() {
        let whole = header();
        for cut in 0..whole.len() {
            assert!(read(&mut &whole[..cut]).await.is_err(), "cut at {cut}");
        }
        // Another signature, version 1, an unknown command, UNSPEC, UDP, UNIX, too long, and no client at all.
        let others: [(usize, &[u8]); 8] = [
            (0, b"x"),
            (12, &[0x11]),
            (12, &[0x22]),
            (13, &[0x00]),
            (13, &[0x12]),
            (13, &[0x31]),
            (14, &[0xff]),
            (16, &[0; 4]),
        ];
        for (place, bytes) in others {
            let mut other = header();
            other[place..place + bytes.len()].copy_from_slice(bytes);
            other.extend(vec![0; 70_000]);
            assert!(read(&mut &other[..]).await.is_err(), "{place} {bytes:?}");
        }
        let mut short = SIGNATURE.to_vec();
        short.extend([0x21, 0x11, 0, 11]);
        short.extend([192; 11]);
        assert!(read(&mut &short[..]).await.is_err());
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let holds =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(holds("192.0.2.10", "192.0.2.10") && !holds("192.0.2.10", "192.0.2.11"));
        assert!(holds("192.0.2.16/28", "192.0.2.31") && !holds("192.0.2.16/28", "192.0.2.32"));
        assert!(holds("192.0.2.16/28", "::ffff:192.0.2.17"));
        assert!(holds("2001:db8::/64", "2001:db8::1:2") && !holds("2001:db8::/64", "2001:db8:0:1::1"));
        assert!(holds("128.0.0.0/1", "203.0.113.1") && holds("8000::/1", "ff02::1") && !holds("8000::/1", "::1"));
        assert!(!holds("2001:db8::/64", "192.0.2.1"));
        for wrong in ["", "192.0.2", "0.0.0.0/0", "::/0", "192.0.2.0/33", "192.0.2.1/28", "192.0.2.0/", "a/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
