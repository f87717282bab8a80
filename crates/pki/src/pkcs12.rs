//! A certificate with its private key in one encrypted file (PKCS #12, RFC 7292), for offices whose programs cannot make a
//! request: PBES2 with AES-256 for both parts and a MAC with SHA-256. Windows 10, macOS, browsers and OpenSSL read it.

use ring::digest::{SHA256, digest};
use ring::hmac;
use zeroize::Zeroizing;

use crate::Error;
use crate::der::{BMP, CONTEXT_0, NULL, OCTETS, OID, SEQUENCE, SET, integer, value};
use crate::sealed_key::{encrypt, encrypt_key, random};
use crate::{Issued, tls};

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
const SHROUDED_KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02];
const CERT_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// The password is a random code of 80 bits: rounds add nothing to it, and slow terminals must open the file.
const ROUNDS: u32 = 100_000;

/// The file. `password` in ASCII; `name` is what the terminal's list of certificates shows.
pub fn file(issued: &Issued, name: &str, password: &str) -> Result<Vec<u8>, Error> {
    let chain = tls::certificates(&issued.cert_pem)?;
    let key = pem::parse(&issued.key_pem).map_err(|error| Error::Certificate(error.to_string()))?;
    let key = Zeroizing::new(key.into_contents());
    let id = digest(&SHA256, chain.first().map_or(&[][..], |own| own));
    let attributes = attributes(name, &id.as_ref()[..20]);

    let mut bags = Vec::new();
    for (i, certificate) in chain.iter().enumerate() {
        let inner = value(SEQUENCE, &[&oid(X509), &value(CONTEXT_0, &[&value(OCTETS, &[certificate])])]);
        let own: &[u8] = if i == 0 { &attributes } else { &[] };
        bags.push(value(SEQUENCE, &[&oid(CERT_BAG), &value(CONTEXT_0, &[&inner]), own]));
    }
    let bags = value(SEQUENCE, &bags.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (algorithm, encrypted) = encrypt(&bags, password, ROUNDS)?;
    let content = value(SEQUENCE, &[&oid(DATA), &algorithm, &value(0x80, &[&encrypted])]);
    let content = value(SEQUENCE, &[&integer(0), &content]);
    let certificates = value(SEQUENCE, &[&oid(ENCRYPTED_DATA), &value(CONTEXT_0, &[&content])]);

    let shrouded = encrypt_key(&key, password, ROUNDS)?;
    let bag = value(SEQUENCE, &[&oid(SHROUDED_KEY_BAG), &value(CONTEXT_0, &[&shrouded]), &attributes]);
    let key = data(&value(SEQUENCE, &[&bag]));

    let safe = value(SEQUENCE, &[&certificates, &key]);
    Ok(value(SEQUENCE, &[&integer(3), &data(&safe), &mac(&safe, password)?]))
}

fn oid(id: &[u8]) -> Vec<u8> {
    value(OID, &[id])
}

fn data(content: &[u8]) -> Vec<u8> {
    value(SEQUENCE, &[&oid(DATA), &value(CONTEXT_0, &[&value(OCTETS, &[content])])])
}

fn attributes(name: &str, id: &[u8]) -> Vec<u8> {
    let attribute = |kind: &[u8], content: &[u8]| value(SEQUENCE, &[&oid(kind), &value(SET, &[content])]);
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (name, id) = (attribute(FRIENDLY_NAME, &value(BMP, &[&name])), attribute(LOCAL_KEY_ID, &value(OCTETS, &[id])));
    value(SET, &[&name, &id])
}

fn mac(content: &[u8], password: &str) -> Result<Vec<u8>, Error> {
    let salt = random::<16>()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &mac_key(password, &salt));
    let algorithm = value(SEQUENCE, &[&oid(SHA_256), &value(NULL, &[])]);
    let info = value(SEQUENCE, &[&algorithm, &value(OCTETS, &[hmac::sign(&key, content).as_ref()])]);
    Ok(value(SEQUENCE, &[&info, &value(OCTETS, &[&salt]), &integer(ROUNDS)]))
}

/// Derivation of RFC 7292 appendix B.2 for the MAC (id 3) with SHA-256: one block is all it needs.
fn mac_key(password: &str, salt: &[u8]) -> Zeroizing<Vec<u8>> {
    const BLOCK: usize = 64;
    let repeated = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(BLOCK) * BLOCK;
        bytes.iter().copied().cycle().take(length).collect()
    };
    let mut text: Zeroizing<Vec<u8>> = Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect());
    text.extend([0, 0]);
    let mut input = Zeroizing::new(vec![3; BLOCK]);
    input.extend(repeated(salt));
    input.extend(Zeroizing::new(repeated(&text)).iter());
    let mut key = digest(&SHA256, &input);
    for _ in 1..ROUNDS {
        key = digest(&SHA256, key.as_ref());
    }
    Zeroizing::new(key.as_ref().to_vec())
}
