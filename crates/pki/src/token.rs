//! The authority's key in a token that signs and never gives it out: an HSM, a smart card, SoftHSM2 (PKCS #11, P-182).
//!
//! The CA's folder then holds `ca.token`, which says where the key is, instead of `ca.key`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::digest::{SHA256, digest};

use crate::{Error, der, files, read, sealed_key};

/// DER of the object identifier of the curve P-256.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// A point of that curve: 4, then two numbers of 32 bytes.
const POINT: usize = 65;

/// Where a key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The library of the token's maker, an absolute path.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
}

/// A key in a token, logged in.
pub(crate) struct TokenKey {
    session: Mutex<Session>,
    private: ObjectHandle,
    point: Vec<u8>,
}

impl TokenKey {
    /// Makes a key that cannot be taken out. With it comes the text of `ca.token`.
    pub(crate) fn make(place: &Place, pin: &str) -> Result<(Self, String), Error> {
        let id = sealed_key::random::<16>()?;
        let session = enter(place, pin, true)?;
        let common = |attributes: Vec<Attribute>| {
            let (label, id) = (Attribute::Label(b"kaigo-kiban CA".to_vec()), Attribute::Id(id.to_vec()));
            [vec![Attribute::Token(true), label, id], attributes].concat()
        };
        let public = common(vec![Attribute::EcParams(P256.to_vec()), Attribute::Verify(true)]);
        let private = vec![
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &common(private)).map_err(said)?;
        let text = format!("module\t{}\ntoken\t{}\nkey\t{}\n", place.module.display(), place.token, read::hex(&id));
        Ok((Self::found(session, &id)?, text))
    }

    /// The key that a `ca.token` names.
    pub(crate) fn open(text: &str, pin: &str) -> Result<Self, Error> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
            line.ok_or_else(|| Error::Token(format!("{name} is missing in ca.token")))
        };
        let id = read::from_hex(value("key")?).ok_or_else(|| Error::Token("key in ca.token".to_owned()))?;
        let place = Place { module: PathBuf::from(value("module")?), token: value("token")?.to_owned() };
        Self::found(enter(&place, pin, false)?, &id)
    }

    fn found(session: Session, id: &[u8]) -> Result<Self, Error> {
        let one = |class: ObjectClass| {
            let found = session.find_objects(&[Attribute::Class(class), Attribute::Id(id.to_vec())]).map_err(said)?;
            match found[..] {
                [object] => Ok(object),
                _ => Err(Error::Token(format!("{} keys of this id", found.len()))),
            }
        };
        let private = one(ObjectClass::PRIVATE_KEY)?;
        let attributes =
            session.get_attributes(one(ObjectClass::PUBLIC_KEY)?, &[AttributeType::EcPoint]).map_err(said)?;
        let point = attributes.into_iter().find_map(|attribute| match attribute {
            // An OCTET STRING around the point, which some tokens leave out.
            Attribute::EcPoint(point) => {
                Some(der::Reader(&point).take(der::OCTETS).map_or(point.clone(), <[u8]>::to_vec))
            }
            _ => None,
        });
        let point = point.filter(|point| point.len() == POINT && point[0] == 4);
        let point = point.ok_or_else(|| Error::Token("not a key of the curve P-256".to_owned()))?;
        Ok(Self { session: Mutex::new(session), private, point })
    }
}

impl PublicKeyData for TokenKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for TokenKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let digest = digest(&SHA256, message);
        let signed = lock(&self.session).sign(&Mechanism::Ecdsa, self.private, digest.as_ref());
        let signed = signed.map_err(|_| rcgen::Error::RemoteKeyError)?;
        // Two numbers of 32 bytes here, a SEQUENCE of two INTEGERs in a certificate.
        let (r, s) = signed.split_at_checked(32).ok_or(rcgen::Error::RemoteKeyError)?;
        Ok(der::value(der::SEQUENCE, &[&der::unsigned(r), &der::unsigned(s)]))
    }
}

/// A library is loaded and initialised once in a process.
static LIBRARIES: LazyLock<Mutex<HashMap<PathBuf, Pkcs11>>> = LazyLock::new(Mutex::default);

fn library(module: &Path) -> Result<Pkcs11, Error> {
    let mut known = lock(&LIBRARIES);
    if let Some(library) = known.get(module) {
        return Ok(library.clone());
    }
    // What is loaded runs with the rights of this process: only what the operator named by its whole path.
    if !module.is_absolute() {
        return Err(Error::Token(format!("\"{}\" is not an absolute path", module.display())));
    }
    std::fs::metadata(module).map_err(files::at(module))?;
    let library = Pkcs11::new(module).map_err(said)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(said(error)),
    }
    known.insert(module.to_owned(), library.clone());
    Ok(library)
}

/// A session on the one token of this label, logged in.
fn enter(place: &Place, pin: &str, writes: bool) -> Result<Session, Error> {
    let library = library(&place.module)?;
    let slots = library.get_slots_with_initialized_token().map_err(said)?;
    let of_label = |slot: &cryptoki::slot::Slot| {
        library.get_token_info(*slot).is_ok_and(|token| token.label().trim_end() == place.token)
    };
    let found: Vec<_> = slots.into_iter().filter(of_label).collect();
    let [slot] = found[..] else {
        return Err(Error::NoToken { token: place.token.clone(), found: found.len() });
    };
    let session = if writes { library.open_rw_session(slot) } else { library.open_ro_session(slot) }.map_err(said)?;
    match session.login(UserType::User, Some(&AuthPin::from(pin))) {
        // The token knows processes, not sessions.
        Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            Err(Error::Pin)
        }
        Err(TokenError::Pkcs11(RvError::PinLocked, _)) => Err(Error::PinLocked),
        Err(error) => Err(said(error)),
    }
}

fn said(error: TokenError) -> Error {
    Error::Token(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
